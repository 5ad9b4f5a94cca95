//! What a row must say, from what the log says: one function per table, in the order of its columns. Written apart from the
//! projector, so that a mistake there is a difference here.
use domain::attribution::SaleKey;
use domain::commission::{CommissionEvent, Origin, ReversalRecorded, SaleRecorded, Split, Terms};
use domain::config::{
    Account as Merchant, ApiKey, Code, Coupon, Endpoint, Mode, Partner, Program, ReleaseMode, Reward, Rule,
};
use domain::facts::{ConversionKind, CouponRef, Fact, FactBody, ReversalState};
use domain::ids::PayoutId;
use domain::money::Rounding;
use domain::normalization::Verdict;
use domain::time::Micros;
use readmodel::audit::{Cell, Cells, as_stored, moment_as_stored};
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
pub(super) fn parked<'a>((service, position, item): &'a (String, u64, String), row: &'a Parked) -> Cells<'a> {
    vec![
        text(service),
        number(*position),
        text(item),
        number(row.seq),
        text(&row.last.program),
        text(&row.last.event),
        text(&row.detail),
        number(row.attempts),
        moment(row.written.created),
        moment(row.written.updated),
        some_moment(row.last.settled.then_some(row.written.updated)),
    ]
}

pub(super) fn text(value: &str) -> Cell<'_> {
    Cell::Text(as_stored(value))
}

/// A text, or null.
pub(super) fn some_text(value: Option<&str>) -> Cell<'_> {
    value.map_or(Cell::Null, text)
}

/// What does not fit is as much as fits, as the projection has it.
pub(super) fn number(value: impl TryInto<i64>) -> Cell<'static> {
    Cell::Number(value.try_into().unwrap_or(i64::MAX))
}

pub(super) fn moment(at: Micros) -> Cell<'static> {
    Cell::Number(moment_as_stored(at))
}

/// A moment, or null.
pub(super) fn some_moment(at: Option<Micros>) -> Cell<'static> {
    at.map_or(Cell::Null, moment)
}

fn list(values: &[String]) -> Cell<'_> {
    match values {
        [] => Cell::Text("".into()),
        [value] => text(value),
        values => {
            Cell::Text(values.iter().map(|value| as_stored(value)).collect::<Vec<_>>().join(", ").into())
        }
    }
}

const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Live => "live",
        Mode::Test => "test",
    }
}

/// `verdict_rows`.
pub(super) fn verdict(verdict: &Verdict, position: u64, clock: Micros) -> Cells<'_> {
    vec![
        number(position),
        text(verdict.program.as_str()),
        text(verdict.event.as_str()),
        text(verdict.source.as_str()),
        text(&verdict.delivery_key),
        text(verdict.kind.name()),
        text(&verdict.reason),
        text(&verdict.detail),
        verdict.retry_of.map_or(Cell::Null, number),
        moment(verdict.received_at),
        moment(clock),
    ]
}

/// `commission_event_rows`.
pub(super) fn commission_event(event: &CommissionEvent, clock: Micros) -> Cells<'_> {
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
        Cell::Legs(&event.postings),
        some_text(event.cause.as_ref().map(|cause| cause.as_str())),
        text(&event.reason),
        text(&event.actor),
        moment(clock),
        list(&event.holds),
        some_text(event.payout.as_ref().map(|payout| payout.as_str())),
    ]
}

/// `reversal_rows`.
pub(super) fn reversal(reversal: &ReversalRecorded, clock: Micros) -> Cells<'_> {
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
        reversal.net.map_or(Cell::Null, |net| number(net.0)),
        text(reversal.result.name()),
        moment(clock),
    ]
}

/// `sale_code_rows`, where the sale names a code.
pub(super) fn sale_code(fact: &Fact, clock: Micros) -> Option<Cells<'_>> {
    let FactBody::Sale(sale) = &fact.body else { return None };
    let referral = sale.referral.as_ref()?;
    Some(vec![
        text(fact.program.as_str()),
        text(fact.source.as_str()),
        Cell::Text(as_stored(&SaleKey::of(&fact.source, sale).external_id).into_owned().into()),
        text(fact.event.as_str()),
        text(&referral.code),
        text(&referral.found_at),
        moment(clock),
    ])
}

/// `coupon_rows`, where the sale names its coupon by the provider's id.
pub(super) fn sale_coupon(fact: &Fact) -> Option<Cells<'_>> {
    let FactBody::Sale(sale) = &fact.body else { return None };
    let Some(CouponRef::ProviderRef(reference)) = &sale.coupon else { return None };
    Some(vec![
        text(fact.program.as_str()),
        text(fact.source.as_str()),
        Cell::Text(as_stored(&SaleKey::of(&fact.source, sale).external_id).into_owned().into()),
        text(reference),
    ])
}

/// `commission_rows`.
pub(super) fn commission(standing: &Standing) -> Cells<'_> {
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
        some_moment(terms.as_ref().map(|terms| terms.hold_until)),
        number(*seq),
        moment(written.created),
        moment(written.updated),
        list(&last.holds),
        // Only where a cap limited it.
        terms
            .as_ref()
            .filter(|terms| terms.uncapped != last.gross)
            .map_or(Cell::Null, |terms| number(terms.uncapped.0)),
    ];
    cells.extend(purpose(terms.as_ref()));
    cells.push(some_text(payout.as_ref().map(|payout| payout.as_str())));
    cells.extend(computed(terms.as_ref()));
    cells
}

/// What its first amount was computed from.
fn computed(terms: Option<&Terms>) -> [Cell<'_>; 3] {
    let Some(terms) = terms else { return [Cell::Null, Cell::Slices(&[]), Cell::Null] };
    let rounding = match terms.rounding {
        Rounding::HalfEven => "half_even",
        Rounding::HalfUp => "half_up",
        Rounding::Floor => "floor",
    };
    let flat = terms.flat.map_or(Cell::Null, |flat| number(flat.amount.0));
    [text(rounding), Cell::Slices(&terms.slices), flat]
}

/// What the commission is for, and which part of which whole it is.
fn purpose(terms: Option<&Terms>) -> [Cell<'_>; 5] {
    let origin = match terms.map(|terms| terms.origin) {
        None | Some(Origin::Conversion) => "conversion",
        Some(Origin::Bonus) => "bonus",
        Some(Origin::Correction) => "correction",
        Some(Origin::Debit) => "debit",
    };
    let Some(Split { part, weights, .. }) = terms.and_then(|terms| terms.split.as_ref()) else {
        return [text(origin), Cell::Null, Cell::Null, Cell::Null, Cell::Null];
    };
    let mine = weights.iter().zip(0_u32..).find(|(_, place)| place == part).map_or(0, |(weight, _)| *weight);
    let all: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    [text(origin), number(u64::from(*part) + 1), number(weights.len()), number(mine), number(all)]
}

/// `sale_rows`.
pub(super) fn sale(sold: &Sold) -> Cells<'_> {
    let Sold { sale, seq, written } = sold;
    vec![
        text(sale.id.as_str()),
        text(sale.program.as_str()),
        text(sale.sale.source.as_str()),
        text(&sale.sale.external_id),
        text(sale.event.as_str()),
        some_text(sale.partner.as_ref().map(|partner| partner.as_str())),
        text(&sale.reason),
        sale.customer.as_ref().map_or(Cell::Null, |customer| Cell::Text(hex(&customer.0).into())),
        text(&sale.subscription_id),
        text(sale.currency.code()),
        number(sale.gross.0),
        number(sale.base.0),
        moment(sale.occurred_at),
        number(*seq),
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
    hex::encode(bytes)
}

pub(super) fn ended(mut cells: Cells<'_>, removed: bool, written: Written) -> Cells<'_> {
    cells.extend([Cell::Flag(removed), moment(written.created), moment(written.updated)]);
    cells
}

/// `program_rows`.
pub(super) fn program<'a>(id: &'a str, row: &'a Configured<Program>) -> Cells<'a> {
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
        Cell::Flag(object.manual_approval),
        text(match object.release.mode {
            ReleaseMode::Days => "days",
            ReleaseMode::Calendar => "calendar",
        }),
        number(object.release.min_hold_days),
    ];
    ended(cells, row.removed, row.written)
}

/// `partner_rows`.
pub(super) fn partner<'a>(program: &'a str, row: &'a Configured<Partner>) -> Cells<'a> {
    let object = &row.object;
    let cells = vec![
        text(program),
        text(object.partner.as_str()),
        text(&object.name),
        Cell::Flag(object.active),
        text(&object.group),
    ];
    ended(cells, row.removed, row.written)
}

/// `account_rows`.
pub(super) fn merchant(row: &Configured<Merchant>) -> Cells<'_> {
    ended(vec![text(row.object.account.as_str()), text(&row.object.name)], row.removed, row.written)
}

/// `code_rows`.
pub(super) fn code<'a>(program: &'a str, row: &'a Configured<Code>) -> Cells<'a> {
    let object = &row.object;
    let cells =
        vec![text(program), text(&object.code), text(object.partner.as_str()), Cell::Flag(object.active)];
    ended(cells, row.removed, row.written)
}

/// `coupon_rows`.
pub(super) fn coupon<'a>(program: &'a str, row: &'a Configured<Coupon>) -> Cells<'a> {
    let object = &row.object;
    let cells =
        vec![text(program), text(&object.coupon), text(object.partner.as_str()), Cell::Flag(object.active)];
    ended(cells, row.removed, row.written)
}

/// `rule_rows`.
pub(super) fn rule<'a>(program: &'a str, row: &'a Configured<Rule>) -> Cells<'a> {
    let object = &row.object;
    let mut cells = vec![text(program), text(object.rule.as_str()), number(object.version)];
    cells.extend(match (&object.tiers, &object.reward) {
        (Some(_), _) => [text("tiers"), Cell::Null, Cell::Null, Cell::Null, Cell::Null],
        (None, Reward::Percent(rate)) => {
            [text("percent"), number(rate.0), Cell::Null, Cell::Null, Cell::Null]
        }
        (None, Reward::Flat { amount, currency, on_refund }) => {
            [text("flat"), Cell::Null, number(amount.0), text(currency.code()), text(on_refund.name())]
        }
    });
    cells.push(number(object.clauses.priority));
    ended(cells, row.removed, row.written)
}

/// `endpoint_rows`.
pub(super) fn endpoint<'a>(program: &'a str, row: &'a Configured<Endpoint>) -> Cells<'a> {
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
pub(super) fn key<'a>(program: &'a str, row: &'a Configured<ApiKey>) -> Cells<'a> {
    let object = &row.object;
    let scopes: Vec<&str> = object.scopes.iter().map(|scope| scope.name()).collect();
    let cells = vec![
        text(program),
        text(&object.key_id),
        text(object.account.as_str()),
        text(&object.name),
        text(mode(object.mode)),
        Cell::Flag(object.publishable),
        Cell::Flag(object.program_bound),
        Cell::Text(scopes.join(", ").into()),
        some_moment(object.expires_at),
    ];
    ended(cells, row.removed, row.written)
}
