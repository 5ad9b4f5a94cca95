//! The read model in a real Postgres.
mod apply;
mod payouts;
mod private_postgres;
mod questions;
mod support;
mod tls;
mod views;
