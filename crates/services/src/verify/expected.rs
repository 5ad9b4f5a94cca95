//! What a row must say, from what the log says: one function per table, in the order of its columns. Written apart from the
//! projector, so that a mistake there is a difference here.
use domain::attribution::SaleKey;
use domain::commission::{
    CommissionEvent, Origin, Posting, ReversalRecorded, SaleRecorded, Slice, Split, Terms,
};
use domain::config::{
    Account as Merchant, ApiKey, Code, Coupon, Endpoint, Mode, Partner, Program, ReleaseMode, Reward, Rule,
};
use domain::facts::{ConversionKind, CouponRef, Fact, FactBody, ReversalState};
use domain::ids::PayoutId;
use domain::money::Rounding;
use domain::normalization::Verdict;
use domain::time::Micros;
use readmodel::audit::{Cells, as_stored, moment_as_stored};
use stream::parked::Mark;

/// When an object was first and last written, by the log's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    pub(super) created: Micros,
    pub(super) updated: Micros,
}

/// A configuration object as it is now.
#[derive(Debug)]
pub(super) struct Configured<T> {
    pub(super) object: T,
    pub(super) removed: bool,
    pub(super) written: Written,
}

/// A commission as it is now: its last event, and the terms that the last one with terms froze.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) last: CommissionEvent,
    pub(super) terms: Option<Terms>,
    /// The last payout that it was in.
    pub(super) payout: Option<PayoutId>,
    pub(super) seq: u64,
    pub(super) written: Written,
}

/// A sale as it is now.
#[derive(Debug)]
pub(super) struct Sold {
    pub(super) sale: SaleRecorded,
    pub(super) seq: u64,
    pub(super) written: Written,
}

/// An input that a service could not decide, with every attempt.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) last: Mark,
    /// Of the last attempt that failed.
    pub(super) detail: String,
    pub(super) attempts: u64,
    pub(super) seq: u64,
    pub(super) written: Written,
}

/// `parked_rows`.
pub(super) fn parked((service, position, item): &(String, u64, String), row: &Parked) -> Cells {
    vec![
        text(service),
        number(position),
        text(item),
        number(row.seq),
        text(&row.last.program),
        text(&row.last.event),
        text(&row.detail),
        number(row.attempts),
        moment(row.written.created),
        moment(row.written.updated),
        row.last.settled.then(|| moment_as_stored(row.written.updated).to_string()),
    ]
}

pub(super) fn text(value: &str) -> Option<String> {
    Some(as_stored(value))
}

pub(super) fn number(value: impl ToString) -> Option<String> {
    Some(value.to_string())
}

pub(super) fn moment(at: Micros) -> Option<String> {
    number(moment_as_stored(at))
}

fn list(values: &[String]) -> Option<String> {
    let values: Vec<String> = values.iter().map(|value| as_stored(value)).collect();
    Some(values.join(", "))
}

const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Live => "live",
        Mode::Test => "test",
    }
}

/// `verdict_rows`.
pub(super) fn verdict(verdict: &Verdict, position: u64, clock: Micros) -> Cells {
    vec![
        number(position),
        text(verdict.program.as_str()),
        text(verdict.event.as_str()),
        text(verdict.source.as_str()),
        text(&verdict.delivery_key),
        text(verdict.kind.name()),
        text(&verdict.reason),
        text(&verdict.detail),
        verdict.retry_of.map(|position| position.to_string()),
        moment(verdict.received_at),
        moment(clock),
    ]
}

/// Legs as `account currency amount`.
pub(super) fn legs(postings: &[Posting]) -> Option<String> {
    let leg = |leg: &Posting| format!("{} {} {}", leg.account.name(), leg.currency.code(), leg.amount.0);
    Some(postings.iter().map(leg).collect::<Vec<_>>().join(", "))
}

/// `commission_event_rows`.
pub(super) fn commission_event(event: &CommissionEvent, clock: Micros) -> Cells {
    vec![
        text(event.id.as_str()),
        text(event.program.as_str()),
        text(event.partner.as_str()),
        text(event.sale_id.as_str()),
        text(event.kind.name()),
        text(event.status.name()),
        text(event.currency.code()),
        number(event.gross.0),
        number(event.reversed.0),
        number(event.delta.0),
        legs(&event.postings),
        event.cause.as_ref().map(|cause| as_stored(cause.as_str())),
        text(&event.reason),
        text(&event.actor),
        moment(clock),
        list(&event.holds),
        event.payout.as_ref().map(|payout| as_stored(payout.as_str())),
    ]
}

/// `reversal_rows`.
pub(super) fn reversal(reversal: &ReversalRecorded, clock: Micros) -> Cells {
    let state = match reversal.state {
        ReversalState::Pending => "pending",
        ReversalState::Live => "live",
        ReversalState::Dead => "dead",
    };
    vec![
        text(reversal.program.as_str()),
        text(reversal.sale.source.as_str()),
        text(&reversal.sale.external_id),
        text(&reversal.object_id),
        text(reversal.event.as_str()),
        text(reversal.family.name()),
        text(state),
        text(reversal.currency.code()),
        number(reversal.gross.0),
        reversal.net.map(|net| net.0.to_string()),
        text(reversal.result.name()),
        moment(clock),
    ]
}

/// `sale_code_rows`, where the sale names a code.
pub(super) fn sale_code(fact: &Fact, clock: Micros) -> Option<Cells> {
    let FactBody::Sale(sale) = &fact.body else { return None };
    let referral = sale.referral.as_ref()?;
    Some(vec![
        text(fact.program.as_str()),
        text(fact.source.as_str()),
        text(&SaleKey::of(&fact.source, sale).external_id),
        text(fact.event.as_str()),
        text(&referral.code),
        text(&referral.found_at),
        moment(clock),
    ])
}

/// `coupon_rows`, where the sale names its coupon by the provider's id.
pub(super) fn sale_coupon(fact: &Fact) -> Option<Cells> {
    let FactBody::Sale(sale) = &fact.body else { return None };
    let Some(CouponRef::ProviderRef(reference)) = &sale.coupon else { return None };
    Some(vec![
        text(fact.program.as_str()),
        text(fact.source.as_str()),
        text(&SaleKey::of(&fact.source, sale).external_id),
        text(reference),
    ])
}

/// `commission_rows`.
pub(super) fn commission(standing: &Standing) -> Cells {
    let Standing { last, terms, payout, seq, written } = standing;
    let mut cells = vec![
        text(last.id.as_str()),
        text(last.program.as_str()),
        text(last.partner.as_str()),
        text(last.sale_id.as_str()),
        text(last.sale.source.as_str()),
        text(&last.sale.external_id),
        text(last.status.name()),
        text(last.currency.code()),
        number(last.gross.0),
        number(last.reversed.0),
        text(terms.as_ref().map_or("", |terms| terms.rule.as_str())),
        number(terms.as_ref().map_or(0, |terms| terms.rule_version)),
        terms.as_ref().and_then(|terms| moment(terms.hold_until)),
        number(seq),
        moment(written.created),
        moment(written.updated),
        list(&last.holds),
        // Only where a cap limited it.
        terms
            .as_ref()
            .filter(|terms| terms.uncapped != last.gross)
            .and_then(|terms| number(terms.uncapped.0)),
    ];
    cells.extend(purpose(terms.as_ref()));
    cells.push(payout.as_ref().map(|payout| as_stored(payout.as_str())));
    cells.extend(computed(terms.as_ref()));
    cells
}

/// What its first amount was computed from.
fn computed(terms: Option<&Terms>) -> [Option<String>; 3] {
    let Some(terms) = terms else { return [None, Some(String::new()), None] };
    let rounding = match terms.rounding {
        Rounding::HalfEven => "half_even",
        Rounding::HalfUp => "half_up",
        Rounding::Floor => "floor",
    };
    let slice = |slice: &Slice| format!("{} {} {}", as_stored(&slice.line_id), slice.base.0, slice.rate.0);
    let slices: Vec<String> = terms.slices.iter().map(slice).collect();
    [text(rounding), Some(slices.join(", ")), terms.flat.map(|flat| flat.amount.0.to_string())]
}

/// What the commission is for, and which part of which whole it is.
fn purpose(terms: Option<&Terms>) -> Cells {
    let origin = match terms.map(|terms| terms.origin) {
        None | Some(Origin::Conversion) => "conversion",
        Some(Origin::Bonus) => "bonus",
        Some(Origin::Correction) => "correction",
        Some(Origin::Debit) => "debit",
    };
    let Some(Split { part, weights, .. }) = terms.and_then(|terms| terms.split.as_ref()) else {
        return vec![text(origin), None, None, None, None];
    };
    let mine = weights.iter().zip(0_u32..).find(|(_, place)| place == part).map_or(0, |(weight, _)| *weight);
    let all: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    vec![text(origin), number(u64::from(*part) + 1), number(weights.len()), number(mine), number(all)]
}

/// `sale_rows`.
pub(super) fn sale(sold: &Sold) -> Cells {
    let Sold { sale, seq, written } = sold;
    vec![
        text(sale.id.as_str()),
        text(sale.program.as_str()),
        text(sale.sale.source.as_str()),
        text(&sale.sale.external_id),
        text(sale.event.as_str()),
        sale.partner.as_ref().map(|partner| as_stored(partner.as_str())),
        text(&sale.reason),
        sale.customer.as_ref().map(|customer| hex(&customer.0)),
        text(&sale.subscription_id),
        text(sale.currency.code()),
        number(sale.gross.0),
        number(sale.base.0),
        moment(sale.occurred_at),
        number(seq),
        moment(written.created),
        moment(written.updated),
        text(match sale.facets.details.kind {
            ConversionKind::Sale => "sale",
            ConversionKind::Lead => "lead",
            ConversionKind::Signup => "signup",
            ConversionKind::Click => "click",
        }),
        number(sale.shares.len().max(1)),
    ]
}

/// Bytes as the views show them.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn ended(mut cells: Cells, removed: bool, written: Written) -> Cells {
    cells.extend([number(removed), moment(written.created), moment(written.updated)]);
    cells
}

/// `program_rows`.
pub(super) fn program(id: &str, row: &Configured<Program>) -> Cells {
    let object = &row.object;
    let cells = vec![
        text(id),
        text(object.account.as_str()),
        text(&object.name),
        text(mode(object.mode)),
        text(object.profile.name()),
        text(object.currency.code()),
        number(object.hold_days),
        number(object.click_window_days),
        number(object.manual_approval),
        text(match object.release.mode {
            ReleaseMode::Days => "days",
            ReleaseMode::Calendar => "calendar",
        }),
        number(object.release.min_hold_days),
    ];
    ended(cells, row.removed, row.written)
}

/// `partner_rows`.
pub(super) fn partner(program: &str, row: &Configured<Partner>) -> Cells {
    let object = &row.object;
    let cells = vec![
        text(program),
        text(object.partner.as_str()),
        text(&object.name),
        number(object.active),
        text(&object.group),
    ];
    ended(cells, row.removed, row.written)
}

/// `account_rows`.
pub(super) fn merchant(row: &Configured<Merchant>) -> Cells {
    ended(vec![text(row.object.account.as_str()), text(&row.object.name)], row.removed, row.written)
}

/// `code_rows`.
pub(super) fn code(program: &str, row: &Configured<Code>) -> Cells {
    let object = &row.object;
    let cells = vec![text(program), text(&object.code), text(object.partner.as_str()), number(object.active)];
    ended(cells, row.removed, row.written)
}

/// `coupon_rows`.
pub(super) fn coupon(program: &str, row: &Configured<Coupon>) -> Cells {
    let object = &row.object;
    let cells =
        vec![text(program), text(&object.coupon), text(object.partner.as_str()), number(object.active)];
    ended(cells, row.removed, row.written)
}

/// `rule_rows`.
pub(super) fn rule(program: &str, row: &Configured<Rule>) -> Cells {
    let object = &row.object;
    let mut cells = vec![text(program), text(object.rule.as_str()), number(object.version)];
    cells.extend(match (&object.tiers, object.reward) {
        (Some(_), _) => [text("tiers"), None, None, None, None],
        (None, Reward::Percent(rate)) => [text("percent"), number(rate.0), None, None, None],
        (None, Reward::Flat { amount, currency, on_refund }) => {
            [text("flat"), None, number(amount.0), text(currency.code()), text(on_refund.name())]
        }
    });
    cells.push(number(object.clauses.priority));
    ended(cells, row.removed, row.written)
}

/// `endpoint_rows`.
pub(super) fn endpoint(program: &str, row: &Configured<Endpoint>) -> Cells {
    let object = &row.object;
    let cells = vec![
        text(program),
        text(&object.endpoint_id),
        text(&object.provider),
        number(object.sealed_secrets.len()),
        number(object.tolerance_seconds),
    ];
    ended(cells, row.removed, row.written)
}

/// `key_rows`.
pub(super) fn key(program: &str, row: &Configured<ApiKey>) -> Cells {
    let object = &row.object;
    let scopes: Vec<String> = object.scopes.iter().map(|scope| scope.name().to_owned()).collect();
    let cells = vec![
        text(program),
        text(&object.key_id),
        text(object.account.as_str()),
        text(&object.name),
        text(mode(object.mode)),
        number(object.publishable),
        number(object.program_bound),
        list(&scopes),
        object.expires_at.and_then(moment),
    ];
    ended(cells, row.removed, row.written)
}
