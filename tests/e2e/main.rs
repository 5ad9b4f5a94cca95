//! The whole system, from outside, on real parts: the built binary, real Postgres, the embedded log and real Kafka.
//! Every case runs on both logs. No mock, no sleep instead of a condition, no retry of a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
mod bad_input;
mod configuration;
mod explain;
mod installation;
mod kills;
mod lifecycle;
mod main_job;
mod metrics;
mod native_api;
mod otlp;
mod outages;
mod quarantine;
mod rebuild;
mod referral;
mod secrets;
mod settings;
mod stages;
mod stripe;
mod telemetry;
