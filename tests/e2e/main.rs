//! The whole system, from outside, on real parts: the built binary, real Postgres, the embedded log and real Kafka.
//! Every case runs on both logs. No mock, no sleep instead of a condition, no retry of a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
mod bad_input;
mod brokers;
mod clients;
mod configuration;
mod crew;
mod explain;
mod fleet;
mod installation;
mod kills;
mod kills_apart;
#[path = "../scenarios/late_refund.rs"]
mod late_refund;
mod ledger;
mod lifecycle;
mod main_job;
mod metrics;
mod moving;
mod native_api;
mod otlp;
mod outages;
mod outages_kafka;
mod payout_files;
mod payouts;
mod proof;
mod quarantine;
mod rebuild;
mod recovery;
mod referral;
mod rolling;
mod scaling;
mod secrets;
mod secured;
mod settings;
mod stages;
mod stalled;
mod stripe;
mod telemetry;
mod topics;
mod what_if;
