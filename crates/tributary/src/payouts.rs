//! `payouts draft|settle|fail|return`, `rates`, `write-off`, `payout-terms`, `partners destination`: what people say about paying
//! partners. Each is
//! the record that the native API would append, checked by the same table, and the answer read back.
use crate::admin::Admin;
use crate::cli::{
    DestinationCommand, DestinationSet, Partners, PayoutDraft, PayoutEnd, PayoutSettle, PayoutTermsCommand,
    PayoutsWrite, Rates, RatesSet, Saying, TermsPick, TermsSet, TermsShow, WriteOff,
};
use crate::database::Database;
use crate::endpoint::master_key_of;
use crate::parts::configure_quietly;
use crate::report::NOT_MIGRATED;
use crate::up::print_line;
use anyhow::{Context as _, bail};
use bytes::Bytes;
use domain::config::{ConfigFact, ConfigObject};
use domain::normalization::VerdictKind;
use domain::payouts::PayoutTerms;
use domain::time::Micros;
use readmodel::payout_terms::payout_terms;
use serde_json::{Map, Value, json};
use sources::native::schema::{self, Refused};
use sources::native::{self, IDEMPOTENCY_HEADER, Resource, payout};
use std::io::Read as _;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};
use wire::ingest::{IngestRecord, RawRequest};
use wire::outcomes::OutcomeRecord;
use zeroize::Zeroizing;

/// Who vouched, where a key does otherwise.
const ACTOR: &str = "cli";
/// A destination is a few short texts.
const MOST_DESTINATION_BYTES: u64 = 4_096;

/// `payouts draft|settle|fail|return`.
pub(crate) async fn payouts(command: &PayoutsWrite) -> anyhow::Result<ExitCode> {
    match command {
        PayoutsWrite::Draft(PayoutDraft { partner, currency, ignore_minimum, key, saying }) => {
            let body = json!({"partner_id": partner, "currency": currency, "ignore_minimum": ignore_minimum});
            say(saying, Resource::Payouts, body, Some(or_new(key))).await
        }
        PayoutsWrite::Settle(PayoutSettle { amount, currency, reference, of }) => {
            let body = json!({"payout_id": of.payout, "amount": amount, "currency": currency, "reference": reference});
            say(&of.saying, Resource::PayoutSettlements, body, of.key.clone()).await
        }
        PayoutsWrite::Fail(args) => end(args, Resource::PayoutFailures).await,
        PayoutsWrite::Return(args) => end(args, Resource::PayoutReturns).await,
    }
}

async fn end(PayoutEnd { reason, of }: &PayoutEnd, resource: Resource) -> anyhow::Result<ExitCode> {
    let body = json!({"payout_id": of.payout, "reason": reason});
    say(&of.saying, resource, body, of.key.clone()).await
}

/// `write-off`.
pub(crate) async fn write_off(args: &WriteOff) -> anyhow::Result<ExitCode> {
    let WriteOff { partner, currency, amount, reason, key, saying } = args;
    let body = json!({"partner_id": partner, "currency": currency, "amount": amount, "reason": reason});
    say(saying, Resource::WriteOffs, body, Some(or_new(key))).await
}

/// `rates set`.
pub(crate) async fn rates(command: &Rates) -> anyhow::Result<ExitCode> {
    let Rates::Set(RatesSet { rate_id, from, to, rate, spread_ppm, saying }) = command;
    let (mantissa, exponent) =
        decimal(rate).context("--rate must be a decimal number above 0, as in 1.0842")?;
    let body = json!({
        "rate_id": rate_id, "from": from, "to": to, "mantissa": mantissa, "exponent": exponent, "spread_ppm": spread_ppm,
    });
    say(saying, Resource::Rates, body, None).await
}

/// `partners destination set|remove`.
pub(crate) async fn partners(command: &Partners) -> anyhow::Result<ExitCode> {
    let Partners::Destination(command) = command;
    // Each is a fact of its own, so that a partner can go back to the destination before the last one.
    let key = Some(or_new(&None));
    match command {
        DestinationCommand::Set(args) => match sealed(args)? {
            Ok(body) => say(&args.saying, Resource::PayoutDestinations, body, key).await,
            Err(refused) => not_said(&args.saying, &refused),
        },
        DestinationCommand::Remove(args) => {
            let body = json!({"partner_id": args.partner});
            say(&args.saying, Resource::PayoutDestinations, body, key).await
        }
    }
}

/// What stands in the log for a destination, as the gateway writes it.
fn sealed(args: &DestinationSet) -> anyhow::Result<Result<Value, Refused>> {
    let mut text = Zeroizing::new(String::new());
    let read = match &args.file {
        Some(path) => std::fs::File::open(path)
            .and_then(|file| file.take(MOST_DESTINATION_BYTES).read_to_string(&mut text)),
        None => std::io::stdin().take(MOST_DESTINATION_BYTES).read_to_string(&mut text),
    };
    read.context("the destination cannot be read as text")?;
    // Its parser's messages would repeat what it read.
    let said: Result<Map<String, Value>, _> = serde_json::from_str(&text);
    let mut said = said.ok().context("the destination must be one JSON object of texts; see --help")?;
    said.insert("method".to_owned(), args.method.as_str().into());
    let said = Zeroizing::new(Value::Object(said).to_string());
    let values = schema::read(&payout::DESTINATION, said.as_bytes());
    let destination = match values.and_then(|values| payout::said_destination(&values)) {
        Ok(destination) => destination,
        Err(refused) => return Ok(Err(refused)),
    };
    let config = configure_quietly(&args.saying.place.layers(&[]))?;
    let plain = Zeroizing::new(serde_json::to_vec(&destination)?);
    let sealed =
        master_key_of(&config)?.seal_payout_destination(&args.saying.program, &args.partner, &plain)?;
    Ok(Ok(json!({"partner_id": args.partner, "method": args.method, "sealed": hex::encode(sealed)})))
}

/// A rate as whole digits and where the point stands.
fn decimal(text: &str) -> Option<(i64, i32)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{fraction}");
    if whole.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mantissa = digits.parse().ok().filter(|mantissa: &i64| *mantissa > 0)?;
    Some((mantissa, i32::try_from(fraction.len()).ok()?.checked_neg()?))
}

fn or_new(key: &Option<String>) -> String {
    key.clone().unwrap_or_else(|| format!("cli_{}", hex::encode(rand::random::<[u8; 16]>())))
}

fn not_said(saying: &Saying, refused: &Refused) -> anyhow::Result<ExitCode> {
    not_done(saying, refused.code, &refused.field, &refused.message)
}

/// Appends what is said, waits for the outcome and prints it. What is refused changes nothing, and is status 1.
async fn say(
    saying: &Saying,
    resource: Resource,
    body: Value,
    key: Option<String>,
) -> anyhow::Result<ExitCode> {
    let mut body = body;
    body["actor"] = saying.actor.as_deref().into();
    let body = Bytes::from(body.to_string());
    // What the gateway would refuse is not logged either.
    if let Err(refused) = native::validate(resource, &body, key.as_deref(), ACTOR) {
        return not_said(saying, &refused);
    }
    let config = configure_quietly(&saying.place.layers(&[]))?;
    let admin = Admin::open(&config, false).await?;
    let told = submit(&admin, saying, resource, body, key).await;
    let closed = admin.close().await;
    let told = told?;
    closed?;
    match told.verdict {
        VerdictKind::Applied | VerdictKind::Duplicate => {}
        _ => return not_done(saying, &told.reason, "", &told.detail),
    }
    let declined = told.answer.as_ref().map_or("", |answer| answer.declined.as_str());
    // Its twin came under another key: what was recorded stands, and says the same.
    if !declined.is_empty() && (declined != "unknown" || !told.duplicate) {
        return not_done(saying, "declined", "", declined);
    }
    print_line(&if saying.json {
        serde_json::to_string_pretty(&shown(&told))?
    } else {
        line(resource, &told)
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn submit(
    admin: &Admin,
    saying: &Saying,
    resource: Resource,
    body: Bytes,
    key: Option<String>,
) -> anyhow::Result<OutcomeRecord> {
    let reply_to = admin.reply_address();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let request = RawRequest {
        program: saying.program.as_str().into(),
        source: native::NAME.into(),
        body,
        headers: key.map(|key| (IDEMPOTENCY_HEADER.to_owned(), key)).into_iter().collect(),
        query: String::new(),
        authenticated_by: ACTOR.to_owned(),
        received_at: Micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)),
        reply_to: Some(reply_to.clone()),
        trace: None,
        resource: resource.name().to_owned(),
        publishable: false,
    };
    let program = request.program.clone();
    admin.submit(&program, &IngestRecord::Request(request), &reply_to).await
}

fn not_done(saying: &Saying, code: &str, field: &str, message: &str) -> anyhow::Result<ExitCode> {
    if saying.json {
        let refusal =
            json!({"code": code, "field": (!field.is_empty()).then_some(field), "message": message});
        print_line(&serde_json::to_string_pretty(&json!({"error": refusal}))?)?;
    }
    let at = if field.is_empty() { String::new() } else { format!(" ({field})") };
    eprintln!("tributary: {code}{at}: {message}; nothing changed");
    Ok(ExitCode::FAILURE)
}

fn shown(told: &OutcomeRecord) -> Value {
    let answer = told.answer.as_ref();
    let payout = answer.and_then(|answer| answer.payout.as_ref());
    json!({
        "event_id": answer.map(|answer| answer.event.as_str()),
        "duplicate": told.duplicate,
        "payout_id": payout.map(|(id, _)| id.as_str()),
        "status": payout.map(|(_, status)| status.name()),
        "partner_id": answer.and_then(|answer| answer.partner.as_ref()).map(|partner| partner.as_str()),
        "amount": answer.map(|answer| answer.amount.0),
        "currency": answer.and_then(|answer| answer.currency.as_ref()).map(|currency| currency.code()),
    })
}

fn line(resource: Resource, told: &OutcomeRecord) -> String {
    let again = if told.duplicate { " (said before)" } else { "" };
    let Some(answer) = &told.answer else { return format!("recorded{again}") };
    let currency = answer.currency.as_ref().map_or("", |currency| currency.code());
    let partner = answer.partner.as_ref().map_or("", |partner| partner.as_str());
    match &answer.payout {
        Some((id, status)) => {
            format!(
                "{id}  {}  {} {currency} (minor units) to {partner}{again}",
                status.name(),
                answer.amount.0
            )
        }
        None if resource == Resource::WriteOffs => {
            format!("written off: {} {currency} (minor units) of {partner}{again}", answer.amount.0)
        }
        None => format!("recorded{again}"),
    }
}

/// `payout-terms set|remove`.
pub(crate) async fn terms(command: &PayoutTermsCommand) -> anyhow::Result<ExitCode> {
    match command {
        PayoutTermsCommand::Set(args) => match said_terms(args)? {
            Ok(terms) => write_terms(&args.pick, terms, false).await,
            Err(refused) => not_said(&args.pick.saying, &refused),
        },
        PayoutTermsCommand::Show(args) => show_terms(args).await,
        PayoutTermsCommand::Remove(pick) => {
            let partner = pick.partner.clone().unwrap_or_default().into();
            write_terms(pick, PayoutTerms { partner, ..PayoutTerms::default() }, true).await
        }
    }
}

async fn show_terms(args: &TermsShow) -> anyhow::Result<ExitCode> {
    let config = configure_quietly(&args.place.layers(&[]))?;
    let database = Database::attach(&config).await?;
    let found = payout_terms(database.pool(), &args.program).await.context(NOT_MIGRATED);
    let closed = database.close().await;
    let found = found?;
    closed?;
    let rows = found.iter().map(|row| serde_json::from_str(row)).collect::<Result<Vec<Value>, _>>()?;
    if args.json {
        print_line(&serde_json::to_string_pretty(&rows)?)?;
    } else if rows.is_empty() {
        print_line(
            "no payout terms: nothing is drafted unless somebody asks, and everything above 0 may be",
        )?;
    }
    for row in rows.iter().filter(|_| !args.json) {
        let whose = row["partner_id"].as_str().unwrap_or("all others");
        let (schedule, day) = (row["schedule"].as_str().unwrap_or_default(), row["day"].as_u64());
        let day = day.map(|day| format!(" {day}")).unwrap_or_default();
        let pay_in = row["pay_in"].as_str().unwrap_or("as earned");
        print_line(&format!("{whose}  {schedule}{day}  minimums {}  paid {pay_in}", row["minimums"]))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The terms of the flags, read as the body of a request would be.
fn said_terms(args: &TermsSet) -> anyhow::Result<Result<PayoutTerms, Refused>> {
    let mut minimums = Vec::with_capacity(args.minimum.len());
    for minimum in &args.minimum {
        let (currency, amount) =
            minimum.split_once('=').context("--minimum is a currency and minor units, as in USD=5000")?;
        let amount: u64 = amount.parse().context("--minimum has minor units after the =, as in USD=5000")?;
        minimums.push(json!({"currency": currency, "amount": amount}));
    }
    let body =
        json!({"schedule": args.schedule, "day": args.day, "minimums": minimums, "pay_in": args.pay_in});
    let values = schema::read(&payout::TERMS, body.to_string().as_bytes());
    let partner = args.pick.partner.clone().unwrap_or_default().into();
    Ok(values.and_then(|values| payout::terms(partner, &values)))
}

async fn write_terms(pick: &TermsPick, terms: PayoutTerms, removed: bool) -> anyhow::Result<ExitCode> {
    if pick.partner.as_deref() == Some("") {
        bail!("--partner is empty: without it the terms are the program's");
    }
    let saying = &pick.saying;
    let config = configure_quietly(&saying.place.layers(&[]))?;
    let admin = Admin::open(&config, false).await?;
    let actor = saying.actor.as_ref().map_or_else(|| ACTOR.to_owned(), |name| format!("{ACTOR} ({name})"));
    let object = ConfigObject::PayoutTerms(terms);
    let fact = ConfigFact { program: saying.program.as_str().into(), actor, object, removed };
    let answer = admin.configure(fact, false).await;
    let closed = admin.close().await;
    let answer = answer?;
    closed?;
    let answer = match answer {
        Ok(answer) => answer,
        Err(refusal) => return not_done(saying, &refusal.code, &refusal.field, &refusal.detail),
    };
    let word = match (answer.changed, removed) {
        (false, _) => "nothing to change",
        (true, false) => "written",
        (true, true) => "removed",
    };
    print_line(&if saying.json {
        let shown =
            json!({"program_id": saying.program, "partner_id": pick.partner, "changed": answer.changed});
        serde_json::to_string_pretty(&shown)?
    } else {
        format!("payout terms of {}: {word}", pick.partner.as_ref().unwrap_or(&saying.program))
    })?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_digit_by_digit() {
        assert_eq!(decimal("1.0842"), Some((10_842, -4)));
        assert_eq!(decimal("150"), Some((150, 0)));
        assert_eq!(decimal("0.0067"), Some((67, -4)));
        for bad in ["", ".5", "0", "0.00", "-1", "1e2", "1,5", "1.2.3", "99999999999999999999"] {
            assert_eq!(decimal(bad), None, "{bad}");
        }
    }
}
