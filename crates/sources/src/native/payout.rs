//! Paying partners: drafts and what becomes of them, rates of exchange, debts that are given up, destinations, terms.
use super::decision::actor;
use super::schema::{Field, Kind, Refused, Values};
use super::{Event, IDEMPOTENCY_FIELD, KEY, currency, event, may, must};
use crate::defect::reason;
use domain::facts::{FactBody, Identifier, Personal};
use domain::ids::PartnerId;
use domain::money::Minor;
use domain::payouts::destination::{BadDestination, Destination, RECIPIENT_TYPES};
use domain::payouts::{
    DESTINATION_NAMESPACE, PAYOUT_METHODS, PayoutAct, PayoutCommand, PayoutDestination, PayoutTerms, Rate,
    Schedule, WriteOff,
};

/// Currencies that terms say a minimum for at most.
const MOST_MINIMUMS: usize = 32;
/// As large as a mantissa may be: what the fact's field holds.
const MANTISSA: Kind = Kind::Number { least: 1, most: 0x7fff_ffff_ffff_ffff };

const ACTOR: Field = may("actor", Kind::Id, "who says so, for the record, beside the id of the key");
/// Of the path; written into what is logged.
const PAYOUT: Field = must("payout_id", Kind::Id, "which payout");
/// Of the path; written into what is logged.
const PARTNER: Field = must("partner_id", Kind::Id, "whose");

pub(super) const DRAFT: [Field; 5] = [
    must("partner_id", Kind::Id, "whose balance"),
    must("currency", Kind::Currency, "which balance"),
    may("ignore_minimum", Kind::Flag, "also below the minimum of the terms; absent: false"),
    ACTOR,
    may(
        IDEMPOTENCY_FIELD,
        Kind::Id,
        "needed, here or as the header Idempotency-Key: the same once more is the same payout, another is another one",
    ),
];
pub(super) const SETTLEMENT: [Field; 6] = [
    PAYOUT,
    may("amount", Kind::Amount, "what was paid: refused unless it is the payout's"),
    may("currency", Kind::Currency, "of what was paid: refused unless it is the payout's"),
    may("reference", Kind::Id, "the payment's id at whoever paid it"),
    ACTOR,
    KEY,
];
pub(super) const FAILURE: [Field; 4] =
    [PAYOUT, must("reason", Kind::Text, "why it was not paid"), ACTOR, KEY];
pub(super) const RETURN: [Field; 4] = [PAYOUT, must("reason", Kind::Text, "why it came back"), ACTOR, KEY];
pub(super) const WRITE_OFF: [Field; 6] = [
    PARTNER,
    must("currency", Kind::Currency, "of the debt"),
    may("amount", Kind::Amount, "how much of it, above 0; absent: all of it"),
    must("reason", Kind::Text, "why"),
    ACTOR,
    may(
        IDEMPOTENCY_FIELD,
        Kind::Id,
        "needed, here or as the header Idempotency-Key: the same once more counts once",
    ),
];
pub(super) const RATE: [Field; 8] = [
    must("rate_id", Kind::Id, "your own id of it; payouts name it"),
    must("from", Kind::Currency, "converts from"),
    must("to", Kind::Currency, "converts to"),
    must("mantissa", MANTISSA, "one whole unit of `from` is `mantissa` x 10^`exponent` whole units of `to`"),
    must(
        "exponent",
        Kind::Signed { least: -18, most: 18 },
        "1.0842 is the mantissa 10842 and the exponent -4",
    ),
    may(
        "spread_ppm",
        Kind::Number { least: 0, most: 999_999 },
        "how much of each conversion the program keeps, in parts per million; absent: 0",
    ),
    ACTOR,
    KEY,
];
/// What is logged in place of a destination: the gateway has sealed it.
pub(super) const SEALED: [Field; 5] = [
    PARTNER,
    may("method", Kind::Word(&PAYOUT_METHODS), "how"),
    may(
        "sealed",
        Kind::Text,
        "the destination under the master key, in hexadecimal; absent: there is none any more",
    ),
    ACTOR,
    KEY,
];
/// A destination as callers say it.
pub const DESTINATION: [Field; 9] = [
    must("method", Kind::Word(&PAYOUT_METHODS), "how the partner is paid"),
    may(
        "name",
        Kind::Id,
        "with `wise`, which needs it: the name on the recipient's bank account, up to 100 bytes",
    ),
    may(
        "email",
        Kind::Id,
        "with `paypal` one of `email`, `phone` and `payer_id`; with `wise` this, `recipient_id` or both",
    ),
    may("phone", Kind::Id, "with `paypal`: a mobile number of 7 to 15 digits, perhaps after a plus"),
    may("payer_id", Kind::Id, "with `paypal`: its id of the recipient"),
    may("recipient_id", Kind::Id, "with `wise`: its id of a recipient that is saved there"),
    may("recipient_type", Kind::Word(&RECIPIENT_TYPES), "with `wise`; absent: `person`"),
    ACTOR,
    KEY,
];

const MINIMUM: [Field; 2] = [
    must("amount", Kind::Amount, "the least amount of a draft, above 0"),
    must("currency", Kind::Currency, "of the balance; each once"),
];
/// The terms of a program, or of one partner.
pub const TERMS: [Field; 4] = [
    may(
        "schedule",
        Kind::Word(&["manual", "weekly", "monthly"]),
        "when drafts are made without anybody asking, at the start of `day` in UTC; absent: `manual`",
    ),
    may(
        "day",
        Kind::Number { least: 1, most: 31 },
        "with `weekly` 1 (Monday) to 7, with `monthly` 1 to 31; in a shorter month the last day; not with `manual`",
    ),
    may(
        "minimums",
        Kind::List { of: &MINIMUM, most: MOST_MINIMUMS },
        "the least amount of a draft; absent: whatever is above 0",
    ),
    may("pay_in", Kind::Currency, "what everything is converted into at the draft; absent: paid as earned"),
];

/// A draft.
pub(super) fn draft(values: &Values, key: Option<&str>, by: &str) -> Result<Event, Refused> {
    let command = PayoutCommand {
        partner: values.owned("partner_id").into(),
        currency: Some(currency(values)?),
        ignore_minimum: values.flag("ignore_minimum").unwrap_or(false),
        ..command(PayoutAct::Draft, values, by)
    };
    Ok(event(named(key)?, "draft", FactBody::Payout(command)))
}

/// What became of a payout. Its state is what makes it another fact: the caller's key, else what it says.
pub(super) fn became(act: PayoutAct, values: &Values, by: &str) -> Result<Event, Refused> {
    let command = PayoutCommand {
        currency: values.currency("currency"),
        amount: values.amount("amount"),
        reference: values.owned("reference"),
        reason: values.owned("reason"),
        ..command(act, values, by)
    };
    if matches!(act, PayoutAct::Fail | PayoutAct::Return) && command.reason.trim().is_empty() {
        return Err(Refused::new(reason::MISSING_FIELD, "reason", format!("{} needs a reason", act.name())));
    }
    if command.amount == Some(Minor::ZERO) {
        return Err(Refused::new(reason::BAD_AMOUNT, "amount", "what was paid is above 0"));
    }
    let payout = command.payout.0.clone();
    let state = [
        act.name(),
        &command.amount.map(|amount| amount.0.to_string()).unwrap_or_default(),
        command.currency.as_ref().map_or("", |currency| currency.code()),
        &command.reference,
        &command.reason,
    ]
    .join("/");
    Ok(event(payout, &state, FactBody::Payout(command)))
}

fn command(act: PayoutAct, values: &Values, by: &str) -> PayoutCommand {
    PayoutCommand {
        act,
        payout: values.owned("payout_id").into(),
        partner: PartnerId::default(),
        currency: None,
        amount: None,
        ignore_minimum: false,
        reference: String::new(),
        reason: String::new(),
        actor: actor(values, by),
    }
}

/// What is known by its idempotency key alone has one.
fn named(key: Option<&str>) -> Result<String, Refused> {
    key.map(str::to_owned).ok_or_else(|| {
        let message = "without an idempotency key nobody could tell a repetition from another one";
        Refused::new(reason::MISSING_FIELD, IDEMPOTENCY_FIELD, message)
    })
}

/// A debt that is given up.
pub(super) fn write_off(values: &Values, key: Option<&str>, by: &str) -> Result<Event, Refused> {
    let write_off = WriteOff {
        partner: values.owned("partner_id").into(),
        currency: currency(values)?,
        amount: values.amount("amount"),
        reason: values.owned("reason"),
        actor: actor(values, by),
    };
    if write_off.amount == Some(Minor::ZERO) {
        return Err(Refused::new(reason::BAD_AMOUNT, "amount", "what is written off is above 0"));
    }
    if write_off.reason.trim().is_empty() {
        return Err(Refused::new(reason::MISSING_FIELD, "reason", "a write-off needs a reason"));
    }
    Ok(event(named(key)?, "write_off", FactBody::WriteOff(write_off)))
}

/// A rate of exchange.
pub(super) fn rate(values: &Values, by: &str) -> Result<Event, Refused> {
    let missing = |field| Refused::new(reason::MISSING_FIELD, field, format!("{field} is missing"));
    let (from, to) = (values.currency("from"), values.currency("to"));
    let mantissa = values.number("mantissa").and_then(|mantissa| i64::try_from(mantissa).ok());
    let rate = Rate {
        id: values.owned("rate_id").into(),
        from: from.ok_or_else(|| missing("from"))?,
        to: to.ok_or_else(|| missing("to"))?,
        mantissa: mantissa.ok_or_else(|| missing("mantissa"))?,
        exponent: values.signed("exponent").unwrap_or_default(),
        spread_ppm: values.number("spread_ppm").and_then(|ppm| u32::try_from(ppm).ok()).unwrap_or_default(),
        actor: actor(values, by),
    };
    if rate.from == rate.to {
        let message = "a rate converts into another currency than from";
        return Err(Refused::new(reason::CONTRADICTORY, "to", message));
    }
    Ok(event(rate.id.0.clone(), "recorded", FactBody::Rate(rate)))
}

/// A destination as it was logged: sealed, or gone.
pub(super) fn destination(values: &Values, by: &str) -> Result<Event, Refused> {
    let sealed = values.text("sealed");
    if sealed.is_some() != values.has("method") {
        return Err(Refused::new(
            reason::CONTRADICTORY,
            "sealed",
            "a destination has both a method and a value",
        ));
    }
    let partner = values.owned("partner_id");
    let state = sealed.map_or_else(|| "none".to_owned(), str::to_owned);
    let body = PayoutDestination {
        partner: partner.clone().into(),
        method: values.owned("method"),
        actor: actor(values, by),
    };
    let mut event = event(partner, &state, FactBody::PayoutDestination(body));
    event.identifiers = sealed
        .map(|sealed| Identifier {
            namespace: DESTINATION_NAMESPACE.to_owned(),
            subject: None,
            value: Personal::Open(sealed.to_owned()),
        })
        .into_iter()
        .collect();
    Ok(event)
}

/// The destination that a caller's body says. It is not logged like this.
///
/// # Errors
/// [`Refused`], by field; never with a value.
pub fn said_destination(values: &Values) -> Result<Destination, Refused> {
    let destination = Destination {
        method: values.owned("method"),
        name: values.owned("name"),
        email: values.owned("email"),
        phone: values.owned("phone"),
        payer_id: values.owned("payer_id"),
        recipient_id: values.owned("recipient_id"),
        recipient_type: values.owned("recipient_type"),
    };
    match destination.check() {
        Ok(()) => Ok(destination),
        Err(BadDestination { field, missing, message }) => {
            let code = if missing { reason::MISSING_FIELD } else { reason::BAD_FIELD };
            Err(Refused::new(code, field, message))
        }
    }
}

/// The terms that a body says, of `partner`; of all without terms of their own when it is empty.
///
/// # Errors
/// [`Refused`], by field.
pub fn terms(partner: PartnerId, values: &Values) -> Result<PayoutTerms, Refused> {
    let contradictory = |field: &str, message| Err(Refused::new(reason::CONTRADICTORY, field, message));
    let day = values.number("day").and_then(|day| u32::try_from(day).ok());
    let schedule = match (values.text("schedule").unwrap_or("manual"), day) {
        ("manual", None) => Schedule::Manual,
        ("manual", Some(_)) => return contradictory("day", "nothing happens on a day without a schedule"),
        (_, None) => {
            return Err(Refused::new(reason::MISSING_FIELD, "day", "a schedule needs the day"));
        }
        ("weekly", Some(day)) if day > 7 => {
            return Err(Refused::new(reason::BAD_FIELD, "day", "a week has the days 1 (Monday) to 7"));
        }
        ("weekly", Some(day)) => Schedule::Weekly { day },
        (_, Some(day)) => Schedule::Monthly { day },
    };
    let mut minimums: Vec<(domain::money::Currency, Minor)> = Vec::new();
    for (place, minimum) in values.list("minimums").iter().enumerate() {
        let (amount, currency) = (minimum.amount("amount").unwrap_or_default(), currency(minimum)?);
        if amount == Minor::ZERO {
            let field = format!("minimums[{place}].amount");
            return Err(Refused::new(reason::BAD_AMOUNT, field, "a minimum is above 0"));
        }
        if minimums.iter().any(|(known, _)| *known == currency) {
            return contradictory(
                &format!("minimums[{place}].currency"),
                "this currency has a minimum already",
            );
        }
        minimums.push((currency, amount));
    }
    Ok(PayoutTerms { partner, schedule, minimums, pay_in: values.currency("pay_in") })
}
