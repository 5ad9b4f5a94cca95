//! The three deciding services over tables in memory, as the loop would run them, without a log.
use crate::setting;
use bytes::Bytes;
use domain::commission::balances::{BalanceSheet, Balances};
use domain::commission::{CommissionEventKind, CommissionsEvent};
use domain::config::{Code, ConfigFact, ConfigObject, Coupon, Partner, Reward, Rule};
use domain::facts::{Personal, SealedValue};
use domain::ids::{Hash, SubjectId};
use domain::money::RatePpm;
use domain::normalization::{FactsEvent, ReplyAddress, VerdictKind};
use domain::tables::MemoryTables;
use domain::time::Micros;
use std::collections::BTreeMap;
use stream::log::Topic;
use stream::service::{Decided, FrameMeta, Input, Payload, Service, SideOutput};
use tributary_services::attribution::Attribution;
use tributary_services::commission::Commission;
use tributary_services::normalizer::Normalizer;
use wire::ingest::{IngestRecord, RawRequest};
use wire::outcomes::OutcomeRecord;

const PARTITIONS: u32 = 64;

/// Seals like the loop, with the key store replaced by a code that hides nothing.
fn seal<S: Service>(service: &S, event: &mut S::Event) {
    for (subject, field) in service.personal(event) {
        if let Personal::Open(text) = field {
            let ciphertext = Bytes::from([&subject.0[..], text.as_bytes()].concat());
            *field = Personal::Sealed(SealedValue { key_id: [1; 16], ciphertext });
        }
    }
}

fn open<S: Service>(service: &S, event: &mut S::Event) {
    for (SubjectId(subject), field) in service.personal(event) {
        if let Personal::Sealed(sealed) = field {
            let text = sealed.ciphertext.strip_prefix(&subject[..]).unwrap();
            *field = Personal::Open(String::from_utf8(text.to_vec()).unwrap());
        }
    }
}

/// One service with its state and its frames as bytes.
struct Stage<S: Service> {
    service: S,
    tables: MemoryTables,
    frames: Vec<(FrameMeta, Vec<Bytes>)>,
    side: Vec<SideOutput>,
}

impl<S: Service> Stage<S> {
    fn new(service: S) -> Self {
        Self { service, tables: MemoryTables::default(), frames: Vec::new(), side: Vec::new() }
    }

    /// All steps of one input; the frames that came of it.
    fn run(&mut self, input: &Input) -> Vec<Vec<Bytes>> {
        let first = self.frames.len();
        for step in 0.. {
            let Decided::Frame { mut events, more } = self.service.decide(&self.tables, input, step) else {
                break;
            };
            let meta = FrameMeta {
                seq: self.frames.len() as u64 + 1,
                source: input.source,
                source_head: input.head,
                step,
                last: !more,
                clock: input.clock,
            };
            self.service.evolve(&mut self.tables, &meta, &events);
            events.iter_mut().for_each(|event| seal(&self.service, event));
            let encoded = events.iter().map(|event| self.service.encode(event)).collect();
            self.frames.push((meta, encoded));
            self.side.extend(self.service.side_outputs(&meta, &events));
            if !more {
                break;
            }
        }
        self.frames[first..].iter().map(|(_, events)| events.clone()).collect()
    }

    fn events(&self) -> Vec<S::Event> {
        self.frames
            .iter()
            .flat_map(|(_, events)| events)
            .map(|bytes| self.service.decode(bytes).unwrap())
            .collect()
    }

    /// The state as a new owner folds it from the log (rule 5).
    fn rebuilt(&self) -> MemoryTables {
        let mut tables = MemoryTables::default();
        for (meta, events) in &self.frames {
            let mut events: Vec<_> = events.iter().map(|bytes| self.service.decode(bytes).unwrap()).collect();
            events.iter_mut().for_each(|event| open(&self.service, event));
            self.service.evolve(&mut tables, meta, &events);
        }
        tables
    }

    fn outcomes(&self) -> Vec<OutcomeRecord> {
        let outcomes = self.side.iter().filter(|output| output.topic == Topic::Outcomes);
        outcomes.map(|output| wire::outcomes::decode(&output.value).unwrap()).collect()
    }
}

struct Chain {
    normalizer: Stage<Normalizer>,
    attribution: Stage<Attribution>,
    commission: Stage<Commission>,
    position: u64,
}

impl Chain {
    /// With the demo program of the documentation.
    fn demo() -> Self {
        let mut chain = Self {
            normalizer: Stage::new(Normalizer::new([9; 32], PARTITIONS)),
            attribution: Stage::new(Attribution),
            commission: Stage::new(Commission::new(PARTITIONS)),
            position: 0,
        };
        let partner = |id: &str| {
            ConfigObject::Partner(Partner {
                partner: id.into(),
                name: id.into(),
                active: true,
                ..Partner::default()
            })
        };
        let code = |code: &str, partner: &str| {
            ConfigObject::Code(Code { code: code.into(), partner: partner.into(), active: true })
        };
        let objects = [
            setting::program("acc_demo", "Demo"),
            ConfigObject::Rule(Rule {
                rule: "rule_demo".into(),
                version: 1,
                reward: Reward::Percent(RatePpm(200_000)),
                ..Rule::default()
            }),
            partner("partner_john"),
            partner("partner_mary"),
            code("john123", "partner_john"),
            code("mary456", "partner_mary"),
            ConfigObject::Coupon(Coupon {
                coupon: "SAVE20".into(),
                partner: "partner_john".into(),
                active: true,
            }),
        ];
        for object in objects {
            chain.configure(object);
        }
        chain
    }

    fn configure(&mut self, object: ConfigObject) {
        let fact = ConfigFact { program: "prog_demo".into(), actor: "demo".into(), object, removed: false };
        self.append(&IngestRecord::Config(fact));
    }

    fn append(&mut self, record: &IngestRecord) {
        self.append_bytes(wire::ingest::encode(record));
    }

    /// One second of log time for each record.
    fn append_bytes(&mut self, record: Bytes) {
        let clock = Micros(1_800_000_000_000_000 + i64::try_from(self.position).unwrap() * 1_000_000);
        let head = Hash::of(&record);
        let input =
            Input { source: self.position, head, clock, payload: Payload::Ingest(record), trace: None };
        self.position += 1;
        for facts in self.normalizer.run(&input) {
            for attributed in
                self.attribution.run(&Input { payload: Payload::Events(facts), ..input.clone() })
            {
                self.commission.run(&Input { payload: Payload::Events(attributed), ..input.clone() });
            }
        }
    }

    fn tick(&mut self) {
        self.append(&IngestRecord::Tick);
    }

    fn send(&mut self, source: &str, body: &str) {
        let reply_to = ReplyAddress { gateway_instance: "gw".into(), correlation_id: self.position };
        let request = RawRequest {
            program: "prog_demo".into(),
            source: source.into(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            headers: Vec::new(),
            query: String::new(),
            authenticated_by: "test".into(),
            received_at: Micros(1_800_000_000_000_000),
            reply_to: Some(reply_to),
            trace: None,
            resource: String::new(),
            publishable: false,
        };
        self.append(&IngestRecord::Request(request));
    }

    fn verdicts(&self) -> Vec<(VerdictKind, String)> {
        let events = self.normalizer.events().into_iter();
        events
            .filter_map(|event| match event {
                FactsEvent::Verdict(verdict) => Some((verdict.kind, verdict.reason)),
                _ => None,
            })
            .collect()
    }

    fn commission_kinds(&self) -> Vec<CommissionEventKind> {
        let events = self.commission.events().into_iter();
        events
            .filter_map(|event| match event {
                CommissionsEvent::Commission(event) => Some(event.kind),
                _ => None,
            })
            .collect()
    }

    fn balances(&self) -> BTreeMap<String, BalanceSheet> {
        let mut balances = Balances::default();
        for event in self.commission.events() {
            if let CommissionsEvent::Commission(event) = event {
                balances.apply(&event).unwrap();
            }
        }
        balances.lines().map(|line| (line.partner_id.to_string(), line.sheet)).collect()
    }

    fn assert_state_is_the_fold(&self) {
        assert_eq!(self.normalizer.rebuilt(), self.normalizer.tables);
        assert_eq!(self.attribution.rebuilt(), self.attribution.tables);
        assert_eq!(self.commission.rebuilt(), self.commission.tables);
    }
}

fn referral(transaction: &str, code: &str, amount: u64) -> String {
    format!(
        r#"{{"ref_code":"{code}","program_id":"prog_demo","spent_amount":{amount},"transaction_id":"{transaction}","currency":"USD","customer_id":"user42"}}"#
    )
}

fn paddle(event_id: &str, event_type: &str, data: &str) -> String {
    format!(
        r#"{{"event_id":"{event_id}","event_type":"{event_type}","occurred_at":"2024-04-12T10:18:49.738971Z","notification_id":"ntf_{event_id}","data":{data}}}"#
    )
}

/// 60.00 with tax, 50.00 without.
fn transaction(event_id: &str, id: &str, custom_data: &str, discount: &str) -> String {
    let data = format!(
        r#"{{"id":"{id}","status":"completed","customer_id":"ctm_1","subscription_id":null,"discount_id":{discount},"origin":"web","currency_code":"USD","custom_data":{custom_data},"billed_at":"2024-04-12T10:18:48.294633Z","items":[],"details":{{"totals":{{"subtotal":"5000","discount":"0","tax":"1000","total":"6000","credit":"0","balance":"0","grand_total":"6000","fee":null,"earnings":null,"currency_code":"USD"}},"line_items":[]}},"payments":[]}}"#
    );
    paddle(event_id, "transaction.completed", &data)
}

fn adjustment(event_id: &str, event_type: &str, id: &str, status: &str, (net, tax): (u64, u64)) -> String {
    let total = net + tax;
    let data = format!(
        r#"{{"id":"{id}","action":"refund","type":"partial","transaction_id":"txn_1","subscription_id":null,"customer_id":"ctm_1","reason":"error","currency_code":"USD","status":"{status}","items":[],"totals":{{"subtotal":"{net}","tax":"{tax}","total":"{total}","fee":null,"earnings":null,"currency_code":"USD"}},"created_at":"2024-04-15T08:48:20.239695Z","updated_at":"2024-04-15T08:48:20.239695Z"}}"#
    );
    paddle(event_id, event_type, &data)
}

const JOHN: &str = r#"{"ref_code":"john123"}"#;

#[test]
fn a_referral_becomes_a_balance_and_its_twins_get_the_first_answer() {
    let mut chain = Chain::demo();
    for _ in 0..3 {
        chain.send("revshare", &referral("order_1", "john123", 4900));
    }
    chain.send("revshare", &referral("order_1", "john123", 5000));
    chain.send("revshare", &referral("order_2", "nobody", 5000));
    use VerdictKind::{Applied, Duplicate, Ignored, Quarantined};
    let verdicts = chain.verdicts();
    assert_eq!(
        verdicts.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(),
        [Applied, Duplicate, Duplicate, Quarantined, Ignored]
    );
    assert_eq!((verdicts[3].1.as_str(), verdicts[4].1.as_str()), ("conflict", "unknown_code"));
    assert_eq!(chain.balances()["partner_john"].pending.0, 980);

    let answers = chain.commission.outcomes();
    let told: Vec<_> = answers
        .iter()
        .map(|outcome| {
            (outcome.reply_to.correlation_id, outcome.duplicate, outcome.answer.as_ref().unwrap().amount.0)
        })
        .collect();
    assert_eq!(told, [(7, false, 980), (8, true, 980), (9, true, 980)]);
    assert!(answers.iter().all(|outcome| {
        let answer = outcome.answer.as_ref().unwrap();
        answer.commission == answers[0].answer.as_ref().unwrap().commission && answer.status.is_some()
    }));
    let refusals = chain.normalizer.outcomes();
    let refused: Vec<_> = refusals.iter().map(|o| (o.reply_to.correlation_id, o.reason.as_str())).collect();
    assert_eq!(refused, [(10, "conflict"), (11, "unknown_code")]);

    chain.tick();
    assert_eq!(chain.balances()["partner_john"].available.0, 980);
    chain.assert_state_is_the_fold();
}

#[test]
fn a_refund_before_its_sale_comes_to_the_same_as_after_it() {
    let sale = transaction("evt_1", "txn_1", JOHN, "null");
    let pending = adjustment("evt_2", "adjustment.created", "adj_1", "pending_approval", (1000, 200));
    let approved = adjustment("evt_3", "adjustment.updated", "adj_1", "approved", (1000, 200));
    let orders = [[&sale, &pending, &approved], [&pending, &approved, &sale], [&approved, &sale, &pending]];
    for order in orders {
        let mut chain = Chain::demo();
        for body in order {
            chain.send("paddle", body);
            chain.send("paddle", body);
        }
        let verdicts: Vec<_> = chain.verdicts().into_iter().map(|(kind, _)| kind).collect();
        let expected = [VerdictKind::Applied, VerdictKind::Duplicate];
        assert_eq!(verdicts, expected.repeat(3), "each is here once and known the second time");
        assert_eq!(chain.balances()["partner_john"].pending.0, 800, "20% of 50.00 less 10.00");
        let kinds = chain.commission_kinds();
        assert_eq!(kinds, [CommissionEventKind::Created, CommissionEventKind::Refunded]);
        chain.tick();
        assert_eq!(chain.balances()["partner_john"].available.0, 800);
        chain.assert_state_is_the_fold();
    }
}

#[test]
fn a_discount_that_is_explained_after_its_sale_pays_late() {
    let mut chain = Chain::demo();
    chain.send("paddle", &transaction("evt_1", "txn_1", "null", r#""dsc_1""#));
    assert!(chain.balances().is_empty());
    let definition = r#"{"id":"dsc_1","status":"active","code":"SAVE20","type":"percentage","amount":"20","currency_code":null,"created_at":"2024-04-12T10:18:48.294633Z","updated_at":"2024-04-12T10:18:48.294633Z"}"#;
    chain.send("paddle", &paddle("evt_2", "discount.created", definition));
    assert_eq!(chain.balances()["partner_john"].pending.0, 1000);
    chain.send("paddle", &transaction("evt_3", "txn_2", "null", "null"));
    assert_eq!(chain.balances()["partner_john"].pending.0, 2000, "the customer is bound now");
    chain.assert_state_is_the_fold();
}

#[test]
fn what_nobody_can_read_is_kept_with_a_verdict_and_stops_nothing() {
    let mut chain = Chain::demo();
    chain.append_bytes(Bytes::from_static(b"\xff\xff\xff"));
    chain.send("paddle", "{\"event_id\":");
    chain.send("no_such_source", "{}");
    chain.send("paddle", &paddle("evt_9", "product.created", "{}"));
    chain.send("paddle", &transaction("evt_1", "txn_1", JOHN, "null"));
    let kinds: Vec<_> = chain.verdicts().into_iter().map(|(kind, _)| kind.name()).collect();
    assert_eq!(kinds, ["quarantined", "quarantined", "quarantined", "ignored", "applied"]);
    assert_eq!(chain.balances()["partner_john"].pending.0, 1000);
    chain.assert_state_is_the_fold();
}

#[test]
fn gateways_are_told_of_configuration_that_concerns_them_and_the_owner_can_tell_again() {
    let chain = Chain::demo();
    let told: Vec<_> = chain
        .normalizer
        .side
        .iter()
        .filter(|output| output.topic == Topic::GatewayConfig)
        .map(|output| (output.key.clone(), output.value.clone()))
        .collect();
    let standing =
        chain.normalizer.service.standing_outputs(&chain.normalizer.tables, stream::log::Partition(0));
    assert_eq!(told, standing.into_iter().map(|output| (output.key, output.value)).collect::<Vec<_>>());
    let record = wire::config::decode_gateway(&told[0].1).unwrap();
    assert_eq!(
        (record.key.as_str(), record.version, record.account.as_str()),
        ("program/prog_demo", 1, "acc_demo")
    );
}
