//! Nothing: the crate exists for its test, `tests/simulation`, and for the feature that switches negative controls on.
