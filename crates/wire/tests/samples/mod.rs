//! One fixed sample of every event kind. Golden bytes are made of these: never change one, only add.
mod attributed;
mod commissions;
mod config;
mod facts;
mod ingest;
mod outcomes;
pub(crate) mod payouts;

pub(crate) use attributed::attributed;
pub(crate) use commissions::commissions;
pub(crate) use config::configs;
pub(crate) use facts::facts;
pub(crate) use ingest::ingest;
pub(crate) use outcomes::outcomes;

use domain::attribution::{SaleKey, Share};
use domain::commission::{Origin, Slice, Terms};
use domain::ids::{CommissionId, EventId, SaleId};
use domain::money::{Currency, Minor, RatePpm, Rounding};
use domain::normalization::ReplyAddress;
use domain::time::Micros;

const AT: Micros = Micros(1_712_917_129_738_971);

fn usd() -> Currency {
    Currency::parse("USD").unwrap()
}

fn event() -> EventId {
    EventId::derive(&"prog_demo".into(), &"paddle".into(), "evt_sample")
}

fn sale_key() -> SaleKey {
    SaleKey { source: "paddle".into(), external_id: "txn_sample".into() }
}

fn sale_id() -> SaleId {
    SaleId::derive(&"prog_demo".into(), &"paddle".into(), "txn_sample")
}

fn commission_id() -> CommissionId {
    CommissionId::derive(&sale_id(), &"ptn_john".into(), 0)
}

fn reply() -> ReplyAddress {
    ReplyAddress { gateway_instance: "gw_sample".into(), correlation_id: 300 }
}

/// Terms with a whole that is more than they leave.
fn terms() -> Terms {
    Terms {
        rule: "rule_1".into(),
        rule_version: 2,
        rounding: Rounding::HalfEven,
        slices: vec![Slice { base: Minor(29_950), rate: RatePpm(25_000), ..Slice::default() }],
        hold_until: AT,
        manual_approval: false,
        flat: None,
        caps: Vec::new(),
        uncapped: Minor(749),
        considered: Vec::new(),
        considered_more: 0,
        split: None,
        origin: Origin::default(),
    }
}

fn shares() -> Vec<Share> {
    vec![
        Share { partner: "ptn_john".into(), weight: 400_000 },
        Share { partner: "ptn_mary".into(), weight: 600_000 },
    ]
}
