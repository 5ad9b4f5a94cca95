//! What needs no broker: the service's loop under faults, its state, how frames are judged, and what only one of the logs promises.
//! One program, since what takes long to build is the same in all of them.
#![allow(clippy::unwrap_used)]
mod embedded;
mod judge;
mod owner;
mod recovery;
mod side_outputs;
mod simulated;
