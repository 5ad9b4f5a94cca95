//! A partition in memory: frames go in, every invariant is checked after every step.
use super::commands::command;
pub use super::frames::{answer, applied, config_events, decision, kinds, passed, shares, verdict};
pub use super::specs::{
    PROGRAM, ReversalSpec, SOURCE, SaleSpec, Setting, currency, refund, refund_total, sale,
};
use std::collections::BTreeMap;
use tributary_domain::attribution::{AttributedEvent, SaleKey};
use tributary_domain::commission::balances::{BalanceSheet, CommissionLine, Ledger, is_balanced};
use tributary_domain::commission::{
    Account, Answer, CommissionEvent, CommissionEventKind, CommissionInput, CommissionStatus,
    CommissionsEvent, Posting, SaleRecorded, decide, evolve,
};
use tributary_domain::config::{ConfigObject, Partner, Reward, Rule};
use tributary_domain::facts::{
    Command, CommandKind, Fact, FactBody, Recurrence, Reversal, ReversalLine, Sale, SaleDetails, SaleLine,
};
use tributary_domain::ids::{CommissionId, EventId, Hash};
use tributary_domain::money::{Minor, RatePpm};
use tributary_domain::normalization::{FactsEvent, ReplyAddress, VerdictKind};
use tributary_domain::tables::MemoryTables;
use tributary_domain::time::Micros;

#[derive(Debug, Default)]
pub struct World {
    pub tables: MemoryTables,
    pub clock: Micros,
    pub ledger: Ledger,
    /// Each frame as it came.
    pub inputs: Vec<(Micros, Vec<AttributedEvent>)>,
    /// Each frame as it was folded.
    pub log: Vec<(Micros, Vec<CommissionsEvent>)>,
    /// Current conversion records.
    pub sales: BTreeMap<String, SaleRecorded>,
    hold_until: BTreeMap<CommissionId, Micros>,
    /// Holds of each commission after its last event.
    pub holds: BTreeMap<CommissionId, Vec<String>>,
    deliveries: u64,
}

impl World {
    pub fn new(setting: Setting) -> Self {
        let mut world = Self { clock: Micros(1_000_000_000), ..Self::default() };
        world.config(setting.program("USD"));
        match setting.flat {
            None => world.rate(1, setting.rate),
            Some((amount, code, on_refund)) => {
                world.rule(1, Reward::Flat { amount: Minor(amount), currency: currency(code), on_refund });
            }
        }
        world
    }

    pub fn rate(&mut self, version: u32, ppm: i64) {
        self.rule(version, Reward::Percent(RatePpm(ppm)));
    }

    pub fn rule(&mut self, version: u32, reward: Reward) {
        self.config(ConfigObject::Rule(Rule {
            rule: "rule_default".into(),
            version,
            reward,
            ..Rule::default()
        }));
    }

    pub fn add_rule(&mut self, rule: Rule) {
        self.config(ConfigObject::Rule(rule));
    }

    pub fn remove_rule(&mut self, rule: Rule) {
        self.frame(config_events(ConfigObject::Rule(rule), true));
    }

    pub fn partner_in(&mut self, partner: &str, group: &str) {
        self.config(ConfigObject::Partner(Partner {
            partner: partner.into(),
            active: true,
            group: group.to_owned(),
            ..Partner::default()
        }));
    }

    pub fn partner(&mut self, partner: &str, active: bool) {
        self.config(ConfigObject::Partner(Partner {
            partner: partner.into(),
            name: String::new(),
            active,
            ..Partner::default()
        }));
    }

    fn config(&mut self, object: ConfigObject) {
        self.frame(config_events(object, false));
    }

    pub fn sale(&mut self, spec: &SaleSpec) -> Vec<CommissionsEvent> {
        let events = self.sale_events(spec, None);
        self.frame(events)
    }

    /// The frame of a sale, its verdict first.
    pub fn sale_events(&mut self, spec: &SaleSpec, reply_to: Option<ReplyAddress>) -> Vec<AttributedEvent> {
        let sale = Sale {
            external_id: spec.id.clone(),
            currency: currency(spec.currency),
            gross: Minor(spec.gross),
            net: spec.net.map(Minor),
            lines: spec
                .lines
                .iter()
                .zip(spec.products.iter().chain(std::iter::repeat(&"")))
                .map(|((line, net), product)| SaleLine {
                    line_id: (*line).to_owned(),
                    net: Minor(*net),
                    product_id: (*product).to_owned(),
                    ..SaleLine::default()
                })
                .collect(),
            subscription_id: spec.subscription.to_owned(),
            recurrence: Recurrence::Unknown,
            referral: None,
            coupon: None,
            aliases: spec.aliases.clone(),
            details: SaleDetails {
                country: spec.country.to_owned(),
                kind: spec.kind,
                fraud: spec.fraud.iter().map(|rule| (*rule).to_owned()).collect(),
                publishable: spec.publishable,
                ..SaleDetails::default()
            },
        };
        let name = SaleKey::of(&SOURCE.into(), &sale).external_id;
        let body = FactBody::Sale(sale);
        let mut fact = self.fact(&spec.id, "completed", body);
        fact.occurred_at = spec.at.unwrap_or(fact.occurred_at);
        let mut decision = decision(&name, spec.partner.as_deref());
        decision.customer = spec
            .customer
            .map(|customer| tributary_domain::ids::SubjectId([customer; 16]))
            .or(decision.customer);
        decision.shares = shares(&spec.shares);
        let verdict = verdict(VerdictKind::Applied, &fact.event, reply_to);
        vec![passed(FactsEvent::Verdict(verdict), None), passed(FactsEvent::Fact(fact), Some(decision))]
    }

    pub fn reversal(&mut self, spec: &ReversalSpec) -> Vec<CommissionsEvent> {
        let events = self.reversal_events(spec);
        self.frame(events)
    }

    /// The frame of a reversal, its verdict first.
    pub fn reversal_events(&mut self, spec: &ReversalSpec) -> Vec<AttributedEvent> {
        let body = FactBody::Reversal(Reversal {
            sale_external_id: spec.sale.clone(),
            currency: currency(spec.currency),
            gross: Minor(spec.gross),
            net: spec.net.map(Minor),
            lines: spec
                .lines
                .iter()
                .map(|(line, net)| ReversalLine { line_id: (*line).to_owned(), net: Minor(*net) })
                .collect(),
            family: spec.family,
            state: spec.state,
            sale_aliases: spec.aliases.clone(),
        });
        applied(self.fact(&spec.id, &format!("{:?}", spec.state), body))
    }

    /// Other names of one payment.
    pub fn link(&mut self, id: &str, aliases: &[&str]) -> Vec<CommissionsEvent> {
        let body = FactBody::SaleLink {
            external_id: id.to_owned(),
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        };
        let fact = self.fact(id, "", body);
        self.frame(applied(fact))
    }

    /// A subscription ended at `at`.
    pub fn cancelled(&mut self, subscription: &str, at: Micros) -> Vec<CommissionsEvent> {
        let body = FactBody::SubscriptionCancelled { subscription_id: subscription.to_owned() };
        let fact = Fact { occurred_at: at, ..self.fact(subscription, "canceled", body) };
        self.frame(applied(fact))
    }

    /// A person decides about the commission of a sale, and nobody waits for the answer.
    pub fn command(&mut self, kind: CommandKind, sale: &str) -> (Answer, Vec<CommissionsEvent>) {
        let id = self.commission(sale).map_or_else(|| "com_nobody".into(), |line| line.commission_id);
        self.command_by_id(kind, &id)
    }

    pub fn command_by_id(&mut self, kind: CommandKind, id: &CommissionId) -> (Answer, Vec<CommissionsEvent>) {
        self.decided(Command { commission: id.clone(), ..command(kind) })
    }

    pub fn late(&mut self, sale: &str, partner: &str) -> Vec<CommissionsEvent> {
        let decision = decision(sale, Some(partner));
        self.frame(vec![AttributedEvent::Late { decision, cause: "evt_link".into() }])
    }

    pub fn tick(&mut self) -> Vec<CommissionsEvent> {
        self.frame(vec![passed(FactsEvent::Tick, None)])
    }

    pub fn fact(&mut self, object_id: &str, state: &str, body: FactBody) -> Fact {
        self.deliveries += 1;
        let delivery = format!("delivery_{}", self.deliveries);
        Fact {
            program: PROGRAM.into(),
            event: EventId::derive(&PROGRAM.into(), &SOURCE.into(), &delivery),
            source: SOURCE.into(),
            object_id: object_id.to_owned(),
            state: state.to_owned(),
            hash: Hash::ZERO,
            // By the source: some time before the log saw it.
            occurred_at: Micros(self.clock.0 - 5_000_000),
            identifiers: vec![],
            body,
        }
    }

    /// Decides and folds one input frame, step by step.
    pub fn frame(&mut self, input: Vec<AttributedEvent>) -> Vec<CommissionsEvent> {
        let mut all = Vec::new();
        self.inputs.push((self.clock, input.clone()));
        for step in 0.. {
            assert!(step < 100, "a tick that never ends");
            let input = CommissionInput { source: 0, clock: self.clock, events: &input };
            let (events, more) = decide(&self.tables, &input, step);
            assert_eq!(
                (&events, more),
                (&decide(&self.tables, &input, step).0, more),
                "decide is not a function"
            );
            self.fold(&events);
            all.extend(events);
            if !more {
                return all;
            }
        }
        unreachable!()
    }

    /// Folds events as they are: what later parts of the ledger (payouts) will write.
    pub fn fold(&mut self, events: &[CommissionsEvent]) {
        evolve(&mut self.tables, self.clock, events);
        self.log.push((self.clock, events.to_vec()));
        for event in events {
            match event {
                CommissionsEvent::Sale(recorded) => {
                    self.sales.insert(recorded.sale.external_id.clone(), recorded.clone());
                }
                CommissionsEvent::Commission(event) => self.check(event),
                other => self.ledger.record(self.clock, other).unwrap(),
            }
        }
        assert_eq!(self.ledger.problems(), vec![], "after {events:#?}");
    }

    fn check(&mut self, event: &CommissionEvent) {
        assert!(is_balanced(&event.postings), "{event:#?}");
        assert!(
            event.postings.iter().all(|posting| posting.currency == event.currency && posting.amount.0 != 0)
        );
        // R lies between 0 and G, whatever G's sign is.
        let (least, most) = (event.gross.0.min(0), event.gross.0.max(0));
        assert!((least..=most).contains(&event.reversed.0), "{event:#?}");
        if event.gross < Minor::ZERO {
            assert_eq!(event.reversed == Minor::ZERO, event.status == CommissionStatus::Approved);
        }
        let net_before = self.ledger.commission(&event.id).map_or(0, |line| line.net_minor.0);
        assert_eq!(event.delta.0, event.gross.0 - event.reversed.0 - net_before, "{event:#?}");
        match event.kind {
            CommissionEventKind::Created => {
                assert!(event.gross.0 != 0 && self.ledger.commission(&event.id).is_none(), "{event:#?}");
                let hold_until = event.terms.as_ref().unwrap().hold_until;
                assert!(hold_until >= self.clock, "a hold that ends before it begins");
                assert!(event.holds.contains(&"time".to_owned()), "{event:#?}");
                self.hold_until.insert(event.id.clone(), hold_until);
            }
            CommissionEventKind::Approved if event.status == CommissionStatus::Approved => {
                assert!(self.clock >= self.hold_until[&event.id], "{event:#?}");
                assert_eq!(event.cause.is_none(), event.actor == "system", "{event:#?}");
                assert_eq!(self.ledger.commission(&event.id).unwrap().status, CommissionStatus::Pending);
            }
            _ => {}
        }
        self.check_holds(event);
        self.ledger.apply(self.clock, event).unwrap();
    }

    /// Holds and status agree, only events about holds change them, and these say which.
    fn check_holds(&mut self, event: &CommissionEvent) {
        assert!(event.holds.is_sorted_by(|a, b| a < b), "{event:#?}");
        let in_review = event.holds.iter().any(|hold| hold != "time");
        match event.status {
            CommissionStatus::Pending => assert!(!in_review, "{event:#?}"),
            CommissionStatus::Review => assert!(in_review, "{event:#?}"),
            _ => assert_eq!(event.holds, Vec::<String>::new(), "{event:#?}"),
        }
        let before = self.holds.insert(event.id.clone(), event.holds.clone()).unwrap_or_default();
        let changed: Vec<&str> = match event.kind {
            CommissionEventKind::Review => {
                event.holds.iter().filter(|hold| !before.contains(hold)).collect::<Vec<_>>()
            }
            CommissionEventKind::HoldReleased => {
                before.iter().filter(|hold| !event.holds.contains(hold)).collect()
            }
            _ => return,
        }
        .into_iter()
        .map(String::as_str)
        .collect();
        assert!(!changed.is_empty() && changed.iter().all(|hold| event.reason.contains(hold)), "{event:#?}");
    }

    /// Pays what is available of an approved commission. Payouts come later; their postings are in the contract.
    pub fn pay(&mut self, sale: &str) -> bool {
        let Some(line) = self.commission(sale) else { return false };
        let sheet = self.ledger.balances.sheet(&line.program_id, &line.partner_id, line.currency);
        let amount = line.net_minor.min(sheet.available);
        if line.status != CommissionStatus::Approved || amount <= Minor::ZERO || sheet.debt != Minor::ZERO {
            return false;
        }
        let leg = |account, amount| Posting { account, currency: line.currency, amount: Minor(amount) };
        self.fold(&[CommissionsEvent::Commission(CommissionEvent {
            id: line.commission_id.clone(),
            program: line.program_id.clone(),
            partner: line.partner_id.clone(),
            sale_id: line.sale_id.clone(),
            sale: SaleKey { source: line.source.clone(), external_id: line.external_id.clone() },
            kind: CommissionEventKind::Approved,
            status: CommissionStatus::Paid,
            currency: line.currency,
            gross: line.gross_minor,
            reversed: line.reversed_minor,
            delta: Minor::ZERO,
            postings: vec![leg(Account::Available, -amount.0), leg(Account::PaidOut, amount.0)],
            cause: None,
            reason: String::new(),
            actor: "test".to_owned(),
            terms: None,
            holds: Vec::new(),
            payout: None,
        })]);
        true
    }

    pub fn commission(&self, sale: &str) -> Option<CommissionLine> {
        self.ledger.commissions().find(|line| line.external_id == sale).cloned()
    }

    /// A partner's part of what a sale earns.
    pub fn part(&self, sale: &str, partner: &str) -> Option<CommissionLine> {
        let is_part =
            |line: &&CommissionLine| line.external_id == sale && line.partner_id.as_str() == partner;
        self.ledger.commissions().find(is_part).cloned()
    }

    /// What holds the commission of a sale.
    pub fn holds_of(&self, sale: &str) -> Vec<&str> {
        let id = self.commission(sale).unwrap().commission_id;
        self.holds[&id].iter().map(String::as_str).collect()
    }

    /// (R, N, status) of the commission of a sale.
    pub fn numbers(&self, sale: &str) -> (i64, i64, &'static str) {
        let line = self.commission(sale).unwrap();
        (line.reversed_minor.0, line.net_minor.0, line.status.name())
    }

    pub fn sheet(&self, partner: &str) -> BalanceSheet {
        self.ledger.balances.sheet(&PROGRAM.into(), &partner.into(), currency("USD"))
    }

    /// What the log comes to when it is folded again.
    pub fn rebuilt(&self) -> MemoryTables {
        let mut again = MemoryTables::default();
        self.log.iter().for_each(|(clock, events)| evolve(&mut again, *clock, events));
        again
    }

    /// State is a function of the log's prefix: folding it again gives the same rows.
    pub fn assert_rebuild_is_identical(&self) {
        assert_eq!(self.rebuilt(), self.tables);
    }
}
