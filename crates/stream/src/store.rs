//! The local state store: a cache of the fold of a service's own accepted frames, with its cursor. May be late, may be deleted.
