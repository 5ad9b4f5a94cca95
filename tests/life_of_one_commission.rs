//! One Paddle webhook becomes money, step by step, without a log, a clock or a database: the README's walk as a test.
//!
//! The services are pure, so feeding each one's output to the next by hand shows all there is to see. Run it with
//! `cargo test --release -p tributary --test life_of_one_commission -- --nocapture` to read what each step hands on.
#![allow(clippy::unwrap_used)]
use async_trait::async_trait;
use bytes::Bytes;
use domain::attribution::{AttributedEvent, TouchClass};
use domain::commission::{Account, CommissionEventKind, CommissionStatus, CommissionsEvent};
use domain::config::{Code, ConfigFact, ConfigObject, Mode, Partner, Profile, Program, Reward, Rule};
use domain::facts::FactBody;
use domain::ids::{Hash, SubjectId};
use domain::money::{Currency, Minor, RatePpm, Rounding};
use domain::normalization::{FactsEvent, VerdictKind};
use domain::tables::MemoryTables;
use domain::time::Micros;
use services::{attribution::Attribution, commission::Commission, normalizer::Normalizer};
use stream::keys::{KeyState, KeyStore, KeyStoreError, Keys, SubjectKey};
use stream::service::{Decided, FrameMeta, Input, Payload, Service};
use wire::ingest::{IngestRecord, RawRequest};

const PARTITIONS: u32 = 64;
const NINE_O_CLOCK: i64 = 1_767_603_600_000_000;

/// 120.00 before a discount of 20.00 and taxes of 9.00; `john123` sent the customer.
const BODY: &str = r#"{
  "event_id": "evt_walk", "event_type": "transaction.completed", "occurred_at": "2026-01-05T09:00:00.000000Z",
  "notification_id": "ntf_walk",
  "data": {
    "id": "txn_walk", "status": "completed", "origin": "web", "customer_id": "ctm_walk", "subscription_id": null,
    "discount_id": null, "currency_code": "USD", "custom_data": {"ref_code": "john123"},
    "details": {
      "totals": {"subtotal": "12000", "discount": "2000", "tax": "900", "total": "10900", "grand_total": "10900", "currency_code": "USD"},
      "line_items": [{"id": "txnitm_walk", "price_id": "pri_1", "quantity": 1,
        "totals": {"subtotal": "12000", "discount": "2000", "tax": "900", "total": "10900"}}]
    }
  }
}"#;

#[tokio::test]
async fn life_of_one_commission() {
    let mut normalizer = Stage::new(Normalizer::new([7; 32], PARTITIONS));
    let mut attribution = Stage::new(Attribution);
    let mut commission = Stage::new(Commission::new(PARTITIONS));

    // Configuration is events: the program, its rule, a partner and a code come through the same door as sales.
    for object in program() {
        let fact =
            ConfigFact { program: "prog_walk".into(), actor: "test".to_owned(), object, removed: false };
        let facts = normalizer.ingest(&IngestRecord::Config(fact), NINE_O_CLOCK);
        let attributed = attribution.frames(facts);
        commission.frames(attributed);
    }

    // 1, 2. The gateway checked the signature and appended the exact bytes.
    let webhook = IngestRecord::Request(RawRequest {
        program: "prog_walk".into(),
        source: "paddle".into(),
        body: Bytes::from_static(BODY.as_bytes()),
        headers: Vec::new(),
        query: "program_id=prog_walk".to_owned(),
        authenticated_by: "ep_walk".to_owned(),
        received_at: Micros(NINE_O_CLOCK),
        reply_to: None,
        trace: None,
        resource: String::new(),
        publishable: false,
    });

    // 3. It becomes one verdict and one fact; the base leaves out discount and taxes.
    let facts = normalizer.ingest(&webhook, NINE_O_CLOCK + 1);
    let events = normalizer.decoded(&facts);
    let [FactsEvent::Verdict(verdict), FactsEvent::Fact(fact)] = &events[..] else { panic!("{events:#?}") };
    println!("3. {verdict:#?}\n{fact:#?}");
    assert_eq!((verdict.kind, verdict.delivery_key.as_str()), (VerdictKind::Applied, "evt_walk"));
    let FactBody::Sale(sale) = &fact.body else { panic!("{fact:#?}") };
    assert_eq!((sale.gross, sale.net), (Minor(10_900), Some(Minor(10_000))));
    // Who the customer is travels sealed; everybody downstream sees an opaque subject.
    assert!(fact.identifiers.iter().all(|identifier| identifier.subject.is_some()));
    let bytes: Vec<u8> = facts.iter().flat_map(|frame| frame.events.concat()).collect();
    assert!(!bytes.windows(8).any(|window| window == b"ctm_walk"), "an identifier is readable in the log");

    // 4. The code earns it for john, and the reasons are recorded.
    let attributed = attribution.frames(facts);
    let events = attribution.decoded(&attributed);
    let decision = events.iter().find_map(|event| match event {
        AttributedEvent::Passed { decision, .. } => decision.as_ref(),
        AttributedEvent::Late { .. } => None,
    });
    let decision = decision.unwrap();
    println!("4. {decision:#?}");
    assert_eq!(decision.outcome, Ok(("partner_john".into(), TouchClass::Code)));

    // 5. Twenty percent of 100.00, pending, with postings that sum to zero.
    let created = commission.frames(attributed);
    let event = the_commission_event(&commission.decoded(&created));
    println!("5. {event:#?}");
    assert_eq!((event.kind, event.status), (CommissionEventKind::Created, CommissionStatus::Pending));
    assert_eq!((event.gross, event.delta), (Minor(2_000), Minor(2_000)));
    assert_eq!(legs(&event), [(Account::Expense, -2_000), (Account::Pending, 2_000)]);

    // The clock moves: the hold of 0 days is over at the next tick.
    let tick = normalizer.ingest(&IngestRecord::Tick, NINE_O_CLOCK + 1_000_000);
    let attributed = attribution.frames(tick);
    let approved = commission.frames(attributed);
    let event = the_commission_event(&commission.decoded(&approved));
    println!("6. {event:#?}");
    assert_eq!((event.kind, event.status), (CommissionEventKind::Approved, CommissionStatus::Approved));
    assert_eq!(legs(&event), [(Account::Pending, -2_000), (Account::Available, 2_000)]);

    // The same webhook again: a verdict, and no money.
    let again = normalizer.ingest(&webhook, NINE_O_CLOCK + 2_000_000);
    let events = normalizer.decoded(&again);
    assert!(matches!(&events[..], [FactsEvent::Verdict(verdict)] if verdict.kind == VerdictKind::Duplicate));
    let attributed = attribution.frames(again);
    let frames = commission.frames(attributed);
    let moved =
        commission.decoded(&frames).iter().any(|event| matches!(event, CommissionsEvent::Commission(_)));
    assert!(!moved, "a twin moved money");
}

fn program() -> Vec<ConfigObject> {
    vec![
        ConfigObject::Program(Program {
            account: "acct_walk".into(),
            name: "Walk".to_owned(),
            mode: Mode::Test,
            profile: Profile::Native,
            currency: Currency::parse("USD").unwrap(),
            rounding: Rounding::HalfEven,
            click_window_days: 30,
            hold_days: 0,
            release: domain::config::Release::default(),
            manual_approval: false,
            sale_from: None,
            referral_keys: Vec::new(),
            customer_keys: Vec::new(),
            rule_metadata_keys: Vec::new(),
        }),
        ConfigObject::Rule(Rule {
            rule: "rule_1".into(),
            version: 1,
            reward: Reward::Percent(RatePpm(200_000)),
            ..Rule::default()
        }),
        ConfigObject::Partner(Partner {
            partner: "partner_john".into(),
            name: "John".to_owned(),
            active: true,
            ..Partner::default()
        }),
        ConfigObject::Code(Code { code: "john123".to_owned(), partner: "partner_john".into(), active: true }),
    ]
}

fn the_commission_event(events: &[CommissionsEvent]) -> domain::commission::CommissionEvent {
    let mut found = events.iter().filter_map(|event| match event {
        CommissionsEvent::Commission(event) => Some(event.clone()),
        _ => None,
    });
    let event = found.next().unwrap_or_else(|| panic!("no commission event in {events:#?}"));
    assert!(found.next().is_none());
    event
}

fn legs(event: &domain::commission::CommissionEvent) -> Vec<(Account, i64)> {
    let mut legs: Vec<_> = event.postings.iter().map(|leg| (leg.account, leg.amount.0)).collect();
    assert_eq!(legs.iter().map(|(_, amount)| amount).sum::<i64>(), 0, "postings must balance");
    legs.sort_by_key(|(_, amount)| *amount);
    legs
}

/// What the next service reads.
#[derive(Debug, Clone)]
struct Output {
    seq: u64,
    clock: Micros,
    events: Vec<Bytes>,
}

/// One service with its state, as the loop in `stream::owner` runs it, minus the log.
struct Stage<S: Service> {
    service: S,
    tables: MemoryTables,
    keys: WalkKeys,
    seq: u64,
    inputs: u64,
}

impl<S: Service> Stage<S> {
    fn new(service: S) -> Self {
        Self { service, tables: MemoryTables::default(), keys: WalkKeys, seq: 0, inputs: 0 }
    }

    fn ingest(&mut self, record: &IngestRecord, clock: i64) -> Vec<Output> {
        let record = wire::ingest::encode(record);
        self.inputs += 1;
        let (source, head) = (self.inputs, Hash::of(&record));
        self.feed(&Input {
            source,
            head,
            clock: Micros(clock),
            payload: Payload::Ingest(record),
            trace: None,
        })
    }

    fn frames(&mut self, frames: Vec<Output>) -> Vec<Output> {
        let inputs = frames.into_iter().map(|frame| Input {
            source: frame.seq,
            head: Hash::of(&frame.events.concat()),
            clock: frame.clock,
            payload: Payload::Events(frame.events),
            trace: None,
        });
        inputs.collect::<Vec<_>>().iter().flat_map(|input| self.feed(input)).collect()
    }

    fn feed(&mut self, input: &Input) -> Vec<Output> {
        let mut outputs = Vec::new();
        for step in 0.. {
            let Decided::Frame { events, more } = self.service.decide(&self.tables, input, step) else {
                break;
            };
            self.seq += 1;
            let frame = FrameMeta {
                seq: self.seq,
                source: input.source,
                source_head: input.head,
                step,
                last: !more,
                clock: input.clock,
            };
            self.service.evolve(&mut self.tables, &frame, &events);
            outputs.push(Output { seq: self.seq, clock: input.clock, events: self.sealed(events) });
            if !more {
                break;
            }
        }
        outputs
    }

    fn sealed(&self, mut events: Vec<S::Event>) -> Vec<Bytes> {
        for event in &mut events {
            for (subject, field) in self.service.personal(event) {
                stream::seal::seal(&self.keys.of(subject), subject, field).unwrap();
            }
        }
        events.iter().map(|event| self.service.encode(event)).collect()
    }

    fn decoded(&self, frames: &[Output]) -> Vec<S::Event> {
        frames
            .iter()
            .flat_map(|frame| &frame.events)
            .map(|bytes| self.service.decode(bytes).unwrap())
            .collect()
    }
}

/// A key for everybody; the real store is a file or a database.
#[derive(Debug)]
struct WalkKeys;

impl WalkKeys {
    fn of(&self, subject: SubjectId) -> KeyState {
        let mut key = [9; 64];
        key[..16].copy_from_slice(&subject.0);
        KeyState::Live(SubjectKey { key_id: subject.0, key })
    }
}

#[async_trait]
impl KeyStore for WalkKeys {
    async fn load(&self, subjects: &[SubjectId]) -> Result<Keys, KeyStoreError> {
        Ok(subjects.iter().map(|subject| (*subject, self.of(*subject))).collect())
    }

    async fn ensure(&self, subjects: &[SubjectId]) -> Result<Keys, KeyStoreError> {
        self.load(subjects).await
    }

    async fn destroy(&self, _subject: SubjectId) -> Result<(), KeyStoreError> {
        Err(KeyStoreError("not in this walk".to_owned()))
    }

    fn index_key(&self) -> [u8; 32] {
        [7; 32]
    }
}
