//! The kind of each event, for metrics: one of a few fixed words, never a value of a request.
use domain::attribution::AttributedEvent;
use domain::commission::CommissionsEvent;
use domain::facts::FactBody;
use domain::normalization::{FactsEvent, VerdictKind};

/// Of the normalizer.
pub(crate) const fn facts(event: &FactsEvent) -> &'static str {
    match event {
        FactsEvent::Verdict(verdict) => match verdict.kind {
            VerdictKind::Applied => "verdict_applied",
            VerdictKind::Duplicate => "verdict_duplicate",
            VerdictKind::Ignored => "verdict_ignored",
            VerdictKind::Quarantined => "verdict_quarantined",
        },
        FactsEvent::Fact(fact) => match &fact.body {
            FactBody::Sale(_) => "fact_sale",
            FactBody::Reversal(_) => "fact_reversal",
            FactBody::CustomerLink => "fact_customer_link",
            FactBody::CouponDefinition { .. } => "fact_coupon",
            FactBody::SubscriptionCancelled { .. } => "fact_subscription_cancelled",
            FactBody::Command(_) => "fact_command",
            FactBody::SaleLink { .. } => "fact_sale_link",
            FactBody::Payout(_) => "fact_payout",
            FactBody::WriteOff(_) => "fact_write_off",
            FactBody::Rate(_) => "fact_rate",
            FactBody::PayoutDestination(_) => "fact_payout_destination",
        },
        FactsEvent::Config(_) => "config",
        FactsEvent::ConfigOutcome(_) => "config_outcome",
        FactsEvent::DefectRetry(_) => "defect_retry",
        FactsEvent::Tick => "tick",
    }
}

/// Of attribution.
pub(crate) const fn attributed(event: &AttributedEvent) -> &'static str {
    match event {
        AttributedEvent::Passed { decision: Some(_), .. } => "decided",
        AttributedEvent::Passed { decision: None, .. } => "passed",
        AttributedEvent::Late { .. } => "decided_late",
    }
}

/// Of commission.
pub(crate) const fn commissions(event: &CommissionsEvent) -> &'static str {
    match event {
        CommissionsEvent::Config(_) => "config",
        CommissionsEvent::Sale(_) => "sale",
        CommissionsEvent::Reversal(_) => "reversal",
        CommissionsEvent::Commission(_) => "commission",
        CommissionsEvent::Answer(_) => "answer",
        CommissionsEvent::Link(_) => "link",
        CommissionsEvent::Cancelled(_) => "subscription_cancelled",
        CommissionsEvent::Parked(_) => "parked",
        CommissionsEvent::Payout(_) => "payout",
        CommissionsEvent::Rate(_) => "rate",
        CommissionsEvent::Offset(_) => "offset",
        CommissionsEvent::WrittenOff(_) => "write_off",
        CommissionsEvent::Schedule(_) => "schedule",
    }
}
