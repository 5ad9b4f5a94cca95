//! Programs, partners, codes, coupons, rules and payout terms: each a whole object that replaces the one before.
use super::{Answer, Call, Operation, endpoints, keys, shown, values};
use crate::app::App;
use crate::directory::Owner;
use crate::refusal::Refusal;
use crate::trace;
use axum::http::StatusCode;
use domain::config::{
    Code, ConfigFact, ConfigObject, Coupon, Mode, Partner, Profile, Program, Release, ReleaseMode, Rule,
    SaleFrom,
};
use domain::ids::{Hash, ProgramId};
use domain::money::{Currency, Rounding};
use domain::normalization::ReplyAddress;
use domain::payouts::PayoutTerms;
use serde_json::{Value, json};
use sources::native::schema::{Refused, Values};
use wire::ingest::IngestRecord;
use wire::v1;

const DEFAULT_WINDOW_DAYS: u32 = 30;

/// Serves one configuration request: the path and body first, then the program, then the write.
pub(super) async fn take(app: &App, call: &Call<'_>, body: &[u8]) -> Result<Answer, Refusal> {
    let values = values(call.operation, body)?;
    if call.operation == Operation::CreatePrograms {
        return pair(app, call, &values).await;
    }
    // What is in the body is refused before the program is looked up, whatever the program.
    let object = object(call, &values)?;
    let owner = call.program(app).await?;
    let (object, shown) = match object {
        Some(found) => found,
        None => match call.operation {
            Operation::CreateKey | Operation::RotateKey | Operation::DeleteKey => {
                return keys::take(app, call, &owner, &values).await;
            }
            Operation::PutProgram => {
                let program = settings(&values, &owner)?;
                let shown = program_shown(call.program_id(), &program);
                (ConfigObject::Program(program), shown)
            }
            Operation::DeleteProgram => {
                (ConfigObject::Program(closed(&owner)?), json!({"program_id": call.program_id()}))
            }
            _ => return endpoints::take(app, call, &values).await,
        },
    };
    let write = Write { program_id: call.program_id(), object, removed: is_delete(call), create_only: false };
    Ok(write.by(app, call).await?.answer(shown))
}

fn is_delete(call: &Call<'_>) -> bool {
    call.operation.shape().method == axum::http::Method::DELETE
}

/// The object of a request that needs nothing but itself, and how it is shown.
fn object(call: &Call<'_>, values: &Values) -> Result<Option<(ConfigObject, Value)>, Refusal> {
    let name = |parameter: &str| call.parameters.get(parameter).to_owned();
    let active = values.flag("active").unwrap_or(!is_delete(call));
    let partner_id = values.owned("partner_id");
    Ok(Some(match call.operation {
        Operation::PutPartner | Operation::DeletePartner => {
            let id = name("partner");
            let shown_name = values.text("name").unwrap_or(&id).to_owned();
            let group = values.owned("group");
            let shown = json!({"partner_id": id, "name": shown_name, "group": values.text("group"), "active": active});
            let partner = Partner { partner: id.into(), name: shown_name, active, group };
            (ConfigObject::Partner(partner), shown)
        }
        Operation::PutCode | Operation::DeleteCode => {
            let code = name("code");
            let shown = json!({"code": code, "partner_id": partner_id, "active": active});
            (ConfigObject::Code(Code { code, partner: partner_id.into(), active }), shown)
        }
        Operation::PutCoupon | Operation::DeleteCoupon => {
            let coupon = name("coupon");
            let shown = json!({"coupon": coupon, "partner_id": partner_id, "active": active});
            (ConfigObject::Coupon(Coupon { coupon, partner: partner_id.into(), active }), shown)
        }
        Operation::PutRule => {
            let rule = sources::native::rule::rule(name("rule").into(), values).map_err(Refusal::Field)?;
            let shown = shown::rule(&rule);
            (ConfigObject::Rule(rule), shown)
        }
        Operation::DeleteRule => {
            let id = name("rule");
            let shown = json!({"rule_id": id});
            (ConfigObject::Rule(Rule { rule: id.into(), ..Rule::default() }), shown)
        }
        Operation::PutTerms | Operation::PutPartnerTerms => {
            let terms = sources::native::payout::terms(name("partner").into(), values);
            let terms = terms.map_err(Refusal::Field)?;
            let shown = shown::payout_terms(&terms);
            (ConfigObject::PayoutTerms(terms), shown)
        }
        Operation::DeleteTerms | Operation::DeletePartnerTerms => {
            let terms = PayoutTerms { partner: name("partner").into(), ..PayoutTerms::default() };
            let shown = json!({"partner_id": shown::partner_of(&terms)});
            (ConfigObject::PayoutTerms(terms), shown)
        }
        Operation::RotateKey | Operation::CreateKey | Operation::AddSecret | Operation::CreateEndpoint => {
            endpoints::check(values)?;
            return Ok(None);
        }
        _ => return Ok(None),
    }))
}

/// The program that a body describes.
fn settings(values: &Values, owner: &Owner) -> Result<Program, Refusal> {
    let days = |name: &str| values.number(name).and_then(|days| u32::try_from(days).ok());
    Ok(Program {
        account: owner.account_id.clone().into(),
        name: values.owned("name"),
        mode: mode_of(owner)?,
        profile: values.text("profile").and_then(Profile::parse).unwrap_or(Profile::Native),
        currency: values.currency("currency").ok_or(Refusal::Internal)?,
        rounding: values.text("rounding").and_then(Rounding::parse).unwrap_or_default(),
        click_window_days: days("click_window_days").unwrap_or(DEFAULT_WINDOW_DAYS),
        hold_days: days("hold_days").unwrap_or(0),
        release: values.object("release").map(release).unwrap_or_default(),
        manual_approval: values.flag("manual_approval").unwrap_or(false),
        sale_from: values.text("sale_from").and_then(SaleFrom::parse),
        referral_keys: values.texts("referral_keys").to_vec(),
        customer_keys: values.texts("customer_keys").to_vec(),
        rule_metadata_keys: values.texts("rule_metadata_keys").to_vec(),
    })
}

fn release(values: &Values) -> Release {
    Release {
        mode: values.text("mode").and_then(ReleaseMode::parse).unwrap_or_default(),
        min_hold_days: values
            .number("min_hold_days")
            .and_then(|days| u32::try_from(days).ok())
            .unwrap_or_default(),
    }
}

/// What names a program that is removed: its account and mode, which never change, and nothing else of it.
fn closed(owner: &Owner) -> Result<Program, Refusal> {
    Ok(Program {
        account: owner.account_id.clone().into(),
        name: String::new(),
        mode: mode_of(owner)?,
        profile: Profile::Native,
        currency: Currency::parse("USD").ok_or(Refusal::Internal)?,
        rounding: Rounding::default(),
        click_window_days: DEFAULT_WINDOW_DAYS,
        hold_days: 0,
        release: Release::default(),
        manual_approval: false,
        sale_from: None,
        referral_keys: Vec::new(),
        customer_keys: Vec::new(),
        rule_metadata_keys: Vec::new(),
    })
}

/// The mode as the ledger's type; a program that the directory holds has one.
pub(super) fn mode_of(owner: &Owner) -> Result<Mode, Refusal> {
    match v1::Mode::try_from(owner.mode) {
        Ok(v1::Mode::Live) => Ok(Mode::Live),
        Ok(v1::Mode::Test) => Ok(Mode::Test),
        _ => Err(Refusal::Internal),
    }
}

const fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Live => "live",
        Mode::Test => "test",
    }
}

fn program_shown(id: &str, program: &Program) -> Value {
    json!({
        "program_id": id,
        "mode": mode_name(program.mode),
        "name": program.name,
        "profile": program.profile.name(),
        "currency": program.currency.code(),
        "rounding": program.rounding.name(),
        "click_window_days": program.click_window_days,
        "hold_days": program.hold_days,
        "release": {"mode": program.release.mode.name(), "min_hold_days": program.release.min_hold_days},
        "manual_approval": program.manual_approval,
        "sale_from": program.sale_from.map(SaleFrom::name),
        "referral_keys": program.referral_keys,
        "customer_keys": program.customer_keys,
        "rule_metadata_keys": program.rule_metadata_keys,
    })
}

/// Creates a live program and its test twin. Each write is one of its own: a repetition goes on where a failure stopped.
async fn pair(app: &App, call: &Call<'_>, values: &Values) -> Result<Answer, Refusal> {
    if call.key.program_bound {
        return Err(Refusal::AccountKeyNeeded);
    }
    let live = program_id(app, call, values, "live_program_id", "live")?;
    let test = program_id(app, call, values, "test_program_id", "test")?;
    if live == test {
        let message = "the two programs need two ids";
        return Err(Refusal::Field(Refused::new("contradictory", "test_program_id", message)));
    }
    let account_id = &call.key.owner.account_id;
    let mut programs = Vec::with_capacity(2);
    let (mut changed, mut status) = (Some(false), StatusCode::OK);
    for (id, mode) in [(live, v1::Mode::Live), (test, v1::Mode::Test)] {
        let owner = Owner { account_id: account_id.clone(), mode: mode.into() };
        let program = settings(values, &owner)?;
        let mut shown = program_shown(&id, &program);
        let object = ConfigObject::Program(program);
        let write = Write { program_id: &id, object, removed: false, create_only: true };
        let mut written = write.by(app, call).await?;
        // Only for a program that is new: this key's mode may be the other one, which gets no key to what is there already.
        if written.changed == Some(true) {
            let (key, made) = keys::for_new_program(app, call, &id, &owner).await?;
            shown["key"] = key;
            written = written.and(made);
        } else {
            shown["key"] = Value::Null;
        }
        if written.changed.is_none() {
            status = StatusCode::ACCEPTED;
        }
        changed = changed.zip(written.changed).map(|(all, this)| all || this);
        programs.push(shown);
    }
    let word = if status == StatusCode::OK { "done" } else { "pending" };
    Ok((status, json!({"status": word, "changed": changed, "object": {"programs": programs}})))
}

fn program_id(
    app: &App,
    call: &Call<'_>,
    values: &Values,
    field: &'static str,
    mode: &str,
) -> Result<String, Refusal> {
    let id = match values.text(field) {
        Some(id) => id.to_owned(),
        None => new_id(call, &format!("prog_{mode}_"), mode),
    };
    if id.contains('/') {
        let message = format!("{field} must have no slash");
        return Err(Refusal::Field(Refused::new("bad_text", field, message)));
    }
    // Keys of an account live under its id.
    if app.directory.is_account(&id) {
        return Err(Refusal::Conflict(format!("{field} is taken")));
    }
    Ok(id)
}

/// A new id: from the caller's idempotency key, so that a repetition makes the same one, else from chance.
pub(super) fn new_id(call: &Call<'_>, prefix: &str, of: &str) -> String {
    let random: [u8; 16];
    let hash = match &call.idempotency_key {
        Some(key) => {
            let (account, program) = (call.key.owner.account_id.as_bytes(), call.program_id().as_bytes());
            Hash::of_parts(&[b"native new id", account, program, of.as_bytes(), key.as_bytes()]).0
        }
        None => {
            random = rand::random();
            Hash::of(&random).0
        }
    };
    format!("{prefix}{}", hex::encode(&hash[..10]))
}

/// One configuration write.
pub(super) struct Write<'call> {
    pub(super) program_id: &'call str,
    pub(super) object: ConfigObject,
    pub(super) removed: bool,
    pub(super) create_only: bool,
}

/// What became of a write that was not refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    /// `None`: not known in time.
    pub(super) changed: Option<bool>,
}

impl Written {
    pub(super) fn and(self, other: Self) -> Self {
        Self { changed: self.changed.zip(other.changed).map(|(one, two)| one || two) }
    }

    pub(super) fn answer(self, object: Value) -> Answer {
        let (status, word) =
            if self.changed.is_some() { (StatusCode::OK, "done") } else { (StatusCode::ACCEPTED, "pending") };
        (status, json!({"status": word, "changed": self.changed, "object": object}))
    }
}

impl Write<'_> {
    /// Appends it and waits for what becomes of it.
    pub(super) async fn by(self, app: &App, call: &Call<'_>) -> Result<Written, Refusal> {
        let expected = app.outcomes.expect()?;
        let reply_to = expected.reply_to();
        let record = IngestRecord::ConfigWrite {
            fact: ConfigFact {
                program: ProgramId::from(self.program_id),
                actor: call.key.key_id.clone(),
                object: self.object,
                removed: self.removed,
            },
            reply_to: Some(ReplyAddress {
                gateway_instance: reply_to.gateway_instance,
                correlation_id: reply_to.correlation_id,
            }),
            create_only: self.create_only,
            trace: Some(trace::context_of(call.headers)),
        };
        let value = wire::ingest::encode(&record);
        let _permit = app.producer.admit(value.len())?;
        let record = app.producer.placed(self.program_id, value);
        app.producer.produce(record, &app.meters).await?;
        let Some(known) = expected.until(call.deadline).await else { return Ok(Written { changed: None }) };
        match known.config {
            Some(answer) => match answer.refused {
                None => Ok(Written { changed: Some(answer.changed) }),
                Some(refused) => {
                    Err(Refusal::Config { code: refused.code, field: refused.field, detail: refused.detail })
                }
            },
            // Some other answer under our number: what became of the write is not known.
            None => Ok(Written { changed: None }),
        }
    }
}
