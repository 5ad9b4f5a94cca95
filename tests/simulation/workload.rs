//! What the clients of a history send, in the words of their providers, and what each record means to the reference model.
use crate::decisions::{self, BOTH, LEAD, Word};
use crate::versions::{POISON, VENOM};
use bytes::Bytes;
use domain::config::{
    ApiKey, Code, ConfigFact, ConfigObject, FlatRefund, Mode, Partner, Profile, Program, Reward, Rule,
};
use domain::money::{Currency, Minor, RatePpm, Rounding};
use domain::normalization::ReplyAddress;
use domain::rules::{
    Band, Cap, CapScope, Clauses, Comparison, Condition, Field, Limit, Metric, Operator, Period, Tiers, Value,
};
use domain::time::Micros;
use rand::Rng;
use rand::rngs::StdRng;
use wire::ingest::{IngestRecord, RawRequest};

/// Days that a commission is held.
pub(crate) const HOLD_DAYS: u32 = 7;
/// Each has a code of the same name.
pub(crate) const PARTNERS: [&str; 2] = ["john", "mary"];

/// What a lead earns.
pub(crate) const FOR_A_LEAD: i64 = 250;

/// The partner who is not this one.
pub(crate) fn other(partner: &str) -> &'static str {
    if partner == PARTNERS[0] { PARTNERS[1] } else { PARTNERS[0] }
}

/// What a version of the rule pays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pays {
    pub(crate) rate_ppm: i64,
    /// At most so much for a partner.
    pub(crate) cap: Option<i64>,
    /// From so many sales of a partner on, another rate.
    pub(crate) from: Option<(i64, i64)>,
}

/// What one request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// A sale that names a code; `referral` when it came through the dialect that refuses unknown codes.
    Sale { id: String, code: String, base: i64, referral: bool },
    /// A refund of a provider's sale.
    Refund { id: String, sale: String, base: i64 },
    /// A person decides about a part of a sale, under a key of its own.
    Decide { sale: String, referral: bool, part: usize, partner: String, word: Word, key: String },
    /// A person gives a partner something, or takes it.
    Give { partner: String, amount: i64, key: String },
    /// A request that nobody can read in version 1, or ever.
    Defect { id: String, code: String, base: i64, for_ever: bool },
}

/// A request to be sent, more than once perhaps.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) program: String,
    pub(crate) said: Said,
}

impl Request {
    /// The raw request, with a reply address of its own.
    pub(crate) fn raw(&self, reply: u64) -> RawRequest {
        let (source, body) = match &self.said {
            Said::Sale { id, code, base, referral: true } => ("revshare", self.referral(id, code, *base, "")),
            Said::Defect { id, code, base, for_ever } => {
                let word = if *for_ever { VENOM } else { POISON };
                ("revshare", self.referral(id, code, *base, word))
            }
            Said::Sale { id, code, base, referral: false } => ("paddle", transaction(id, code, *base)),
            Said::Refund { id, sale, base } => ("paddle", adjustment(id, sale, *base)),
            Said::Decide { sale, referral, part, partner, word, key } => {
                let source = if *referral { "revshare" } else { "paddle" };
                let part = (u32::from(*part > 0), partner.as_str());
                ("native", decisions::about(&self.program, (source, sale), part, *word, key))
            }
            Said::Give { partner, amount, key } => ("native", decisions::gives(partner, *amount, key)),
        };
        RawRequest {
            program: self.program.as_str().into(),
            source: source.into(),
            body: Bytes::from(body),
            headers: Vec::new(),
            query: String::new(),
            authenticated_by: "simulation".into(),
            received_at: Micros(1_800_000_000_000_000),
            reply_to: Some(ReplyAddress { gateway_instance: "gateway".into(), correlation_id: reply }),
            trace: None,
            resource: if source == "native" { "approvals".into() } else { String::new() },
            publishable: false,
        }
    }

    fn referral(&self, id: &str, code: &str, base: i64, note: &str) -> String {
        let program = &self.program;
        format!(
            r#"{{"ref_code":"{code}","program_id":"{program}","spent_amount":{base},"transaction_id":"{id}","currency":"USD","note":"{note}"}}"#
        )
    }
}

fn paddle(event: &str, kind: &str, data: &str) -> String {
    format!(
        r#"{{"event_id":"{event}","event_type":"{kind}","occurred_at":"2027-01-12T10:18:49.738971Z","notification_id":"ntf_{event}","data":{data}}}"#
    )
}

fn transaction(id: &str, code: &str, base: i64) -> String {
    let total = base + 100;
    let data = format!(
        r#"{{"id":"{id}","status":"completed","customer_id":"ctm_{id}","subscription_id":null,"discount_id":null,"origin":"web","currency_code":"USD","custom_data":{{"ref_code":"{code}"}},"billed_at":"2027-01-12T10:18:48.294633Z","items":[],"details":{{"totals":{{"subtotal":"{base}","discount":"0","tax":"100","total":"{total}","credit":"0","balance":"0","grand_total":"{total}","fee":null,"earnings":null,"currency_code":"USD"}},"line_items":[]}},"payments":[]}}"#
    );
    paddle(&format!("evt_{id}"), "transaction.completed", &data)
}

fn adjustment(id: &str, sale: &str, base: i64) -> String {
    let data = format!(
        r#"{{"id":"{id}","action":"refund","type":"partial","transaction_id":"{sale}","subscription_id":null,"customer_id":"ctm_{sale}","reason":"error","currency_code":"USD","status":"approved","items":[],"totals":{{"subtotal":"{base}","tax":"0","total":"{base}","fee":null,"earnings":null,"currency_code":"USD"}},"created_at":"2027-01-15T08:48:20.239695Z","updated_at":"2027-01-15T08:48:20.239695Z"}}"#
    );
    paddle(&format!("evt_{id}"), "adjustment.created", &data)
}

fn fact(program: &str, object: ConfigObject) -> IngestRecord {
    write(ConfigFact { program: program.into(), actor: "simulation".into(), object, removed: false })
}

/// As commands and gateways write configuration; nobody waits.
fn write(fact: ConfigFact) -> IngestRecord {
    IngestRecord::ConfigWrite { fact, reply_to: None, create_only: false, trace: None }
}

/// The program with its partners, codes, rule and key, in an order in which each object finds what it names.
#[allow(clippy::unwrap_used, reason = "a currency that is spelled here")]
pub(crate) fn setup(program: &str) -> Vec<IngestRecord> {
    let object = ConfigObject::Program(Program {
        account: "acc_simulation".into(),
        name: program.to_owned(),
        mode: Mode::Test,
        profile: Profile::Native,
        currency: Currency::parse("USD").unwrap(),
        rounding: Rounding::HalfEven,
        click_window_days: 30,
        hold_days: HOLD_DAYS,
        release: domain::config::Release::default(),
        manual_approval: false,
        sale_from: None,
        referral_keys: Vec::new(),
        customer_keys: Vec::new(),
        rule_metadata_keys: Vec::new(),
    });
    let mut records = vec![fact(program, object)];
    for partner in PARTNERS {
        let object =
            Partner { partner: partner.into(), name: partner.into(), active: true, ..Partner::default() };
        records.push(fact(program, ConfigObject::Partner(object)));
        records.push(code(program, partner, true));
    }
    records.push(rule(program, 1, Pays { rate_ppm: 200_000, ..Pays::default() }));
    records.push(for_leads(program));
    records.push(key(program, 0, false));
    records
}

/// A code of the partner of the same name.
pub(crate) fn code(program: &str, name: &str, active: bool) -> IngestRecord {
    fact(program, ConfigObject::Code(Code { code: name.into(), partner: name.into(), active }))
}

#[allow(clippy::unwrap_used, reason = "a currency that is spelled here")]
fn usd(amount: i64) -> Limit {
    Limit { amount: Minor(amount), currency: Currency::parse("USD").unwrap() }
}

/// The rule in another version: one rate, or with a cap on each partner, or two rates by what a partner brought.
pub(crate) fn rule(program: &str, version: u32, pays: Pays) -> IngestRecord {
    let bands = pays.from.map(|(from, rate)| {
        let first = Band { from: 0, rate: RatePpm(pays.rate_ppm) };
        vec![first, Band { from, rate: RatePpm(rate) }]
    });
    let tiers = bands.map(|bands| Tiers {
        metric: Metric::Count,
        period: Period::Ever,
        prior: false,
        marginal: false,
        bands,
    });
    let reward = if tiers.is_some() { Reward::default() } else { Reward::Percent(RatePpm(pays.rate_ppm)) };
    let cap = |limit| Cap { scope: CapScope::Partner, period: Period::Ever, limit: usd(limit) };
    let clauses = Clauses { caps: pays.cap.into_iter().map(cap).collect(), ..Clauses::default() };
    fact(program, ConfigObject::Rule(Rule { rule: "rule".into(), version, reward, tiers, clauses }))
}

/// What [`rule`] says, read back from the log.
pub(crate) fn pays(rule: &Rule) -> Pays {
    let rates = rule.tiers.as_ref().map(|tiers| &tiers.bands[..]);
    let rate_ppm = match (rates, rule.reward) {
        (Some([first, ..]), _) => first.rate.0,
        (_, Reward::Percent(rate)) => rate.0,
        (_, Reward::Flat { .. }) => 0,
    };
    let from = rates.and_then(|bands| bands.get(1)).map(|band| (band.from, band.rate.0));
    Pays { rate_ppm, from, cap: rule.clauses.caps.first().map(|cap| cap.limit.amount.0) }
}

/// The rule that pays for leads.
#[allow(clippy::unwrap_used, reason = "a field that is spelled here")]
fn for_leads(program: &str) -> IngestRecord {
    let when = Condition::Test(Comparison {
        field: Field::parse("kind", "when").unwrap(),
        operator: Operator::Equal,
        value: Value::Text("lead".to_owned()),
    });
    let Limit { amount, currency } = usd(FOR_A_LEAD);
    fact(
        program,
        ConfigObject::Rule(Rule {
            rule: LEADS.into(),
            version: 1,
            reward: Reward::Flat { amount, currency, on_refund: FlatRefund::Any },
            clauses: Clauses { when, ..Clauses::default() },
            ..Rule::default()
        }),
    )
}

/// The name of that rule.
pub(crate) const LEADS: &str = "rule_leads";

/// An API key, or its removal.
pub(crate) fn key(program: &str, number: u8, removed: bool) -> IngestRecord {
    let object = ConfigObject::ApiKey(ApiKey {
        key_id: format!("key_{number}"),
        sha256: [number + 1; 32],
        account: "acc_simulation".into(),
        publishable: false,
        mode: Mode::Test,
        name: String::new(),
        program_bound: true,
        expires_at: None,
        scopes: Vec::new(),
    });
    write(ConfigFact { program: program.into(), actor: "simulation".into(), object, removed })
}

/// Requests of one program in the order in which a client has them, repeats and contradictions included.
pub(crate) fn requests(program: &str, count: usize, chance: &mut StdRng) -> Vec<Request> {
    let mut said: Vec<Said> = Vec::new();
    for number in 0..count {
        let base = if chance.random_range(0..5) == 0 { 5_000 } else { chance.random_range(1..20_000) };
        let code = PARTNERS[chance.random_range(0..PARTNERS.len())].to_owned();
        // One sale in five is divided, one in ten is a lead.
        let kind = [BOTH, BOTH, LEAD, "", "", "", "", "", "", ""][chance.random_range(0..10)];
        let id = format!("{kind}{program}-{number}");
        match chance.random_range(0..24) {
            20..23 => decide(&mut said, chance, &id),
            23 => {
                let amount = chance.random_range(-900..900_i64);
                let amount = if amount == 0 { 5 } else { amount };
                said.push(Said::Give { partner: code, amount, key: format!("give-{id}") });
            }
            0..5 => said.push(Said::Sale { id, code, base, referral: true }),
            5..11 => {
                let sale = Said::Sale { id: id.clone(), code, base, referral: false };
                let refunds = chance.random_range(0..3_i64);
                let whole = chance.random_range(0..3) == 0;
                let at = said.len();
                said.push(sale);
                for part in 0..refunds {
                    let base = if whole { base } else { base * (part + 1) / 5 };
                    if base > 0 {
                        let refund = Said::Refund { id: format!("adj-{id}-{part}"), sale: id.clone(), base };
                        let place = chance.random_range(at..=said.len());
                        said.insert(place, refund);
                    }
                }
            }
            11 => said.push(Said::Sale { id, code: "nobody".to_owned(), base, referral: true }),
            12 => said.push(Said::Defect { id, code, base, for_ever: chance.random_range(0..4) == 0 }),
            13..18 => repeat(&mut said, chance, 0),
            _ => repeat(&mut said, chance, 1),
        }
    }
    said.into_iter().map(|said| Request { program: program.to_owned(), said }).collect()
}

/// Somebody decides about a sale that was sent, twice in a row perhaps.
fn decide(said: &mut Vec<Said>, chance: &mut StdRng, key: &str) {
    let sales = said.iter().filter_map(|said| match said {
        Said::Sale { id, code, referral, .. } => Some((id.clone(), code.clone(), *referral)),
        _ => None,
    });
    let sales: Vec<_> = sales.collect();
    if sales.is_empty() {
        return;
    }
    let (sale, code, referral) = sales[chance.random_range(0..sales.len())].clone();
    let part = if sale.starts_with(BOTH) { chance.random_range(0..2) } else { 0 };
    let partner = if part == 0 { code } else { other(&code).to_owned() };
    let words: &[Word] = [
        &[Word::Reject, Word::Reinstate][..],
        &[Word::Hold, Word::Release],
        &[Word::Hold],
        &[Word::Reject],
        &[Word::Approve],
    ][chance.random_range(0..5)];
    for (number, word) in words.iter().enumerate() {
        said.push(Said::Decide {
            sale: sale.clone(),
            referral,
            part,
            partner: partner.clone(),
            word: *word,
            key: format!("decide-{key}-{number}"),
        });
    }
}

/// Says something again, `off` by some cents.
fn repeat(said: &mut Vec<Said>, chance: &mut StdRng, off: i64) {
    if said.is_empty() {
        return;
    }
    let mut again = said[chance.random_range(0..said.len())].clone();
    if let Said::Sale { base, referral: true, .. } = &mut again {
        *base += off;
    }
    said.push(again);
}
