//! A history told to the ledger and to the model, step by step, with every law asked after each.
use super::super::harness::{
    PROGRAM, ReversalSpec, SOURCE, World, applied, config_events, currency, decision, refund,
};
use super::books::{Books, Broken, law};
use super::history::{History, Product, Step, start};
use super::reference::Reference;
use super::rows::Rows;
use std::collections::BTreeMap;
use tributary_domain::attribution::AttributedEvent;
use tributary_domain::commission::{
    Account, CommissionEvent, CommissionEventKind, CommissionInput, CommissionStatus, CommissionsEvent,
    Posting, decide, evolve,
};
use tributary_domain::config::{ConfigObject, Mode, Partner, Program};
use tributary_domain::facts::{Command, CommandKind, FactBody};
use tributary_domain::ids::{CommissionId, SaleId};
use tributary_domain::money::Minor;
use tributary_domain::normalization::FactsEvent;
use tributary_domain::tables::MemoryTables;
use tributary_domain::time::Micros;

pub struct Run<'a> {
    history: &'a History,
    world: World,
    pub books: Books,
    pub reference: Reference,
    rows: &'a mut Rows,
    versions: u32,
}

impl<'a> Run<'a> {
    /// The program as it begins: its settings and its first rule.
    pub fn new(history: &'a History, rows: &'a mut Rows) -> Result<Self, Broken> {
        let reference = Reference::new(history.settings.clone());
        let mut world = World::default();
        world.clock = start();
        let mut run = Self { history, world, books: Books::default(), reference, rows, versions: 0 };
        let settings = &history.settings;
        run.config(ConfigObject::Program(Program {
            account: "acct".into(),
            name: "Laws".to_owned(),
            mode: Mode::Test,
            profile: settings.profile,
            currency: currency(settings.currency),
            rounding: settings.rounding,
            click_window_days: 30,
            hold_days: settings.hold_days,
            manual_approval: settings.manual,
            sale_from: None,
            referral_keys: Vec::new(),
            customer_keys: Vec::new(),
        }))?;
        run.step(&Step::Rule { rule: 0, is_removed: false })?;
        Ok(run)
    }

    /// Takes one step and asks the laws.
    pub fn step(&mut self, step: &Step) -> Result<(), Broken> {
        self.reference.clock = self.world.clock;
        match step {
            Step::Sale { sale, is_attributed } => {
                let mut spec = self.product(*sale).sale.clone();
                spec.partner = spec.partner.filter(|_| *is_attributed);
                self.reference.sale(&spec);
                let input = self.world.sale_events(&spec, None);
                self.frame(input)?;
            }
            Step::Late { sale, partner } => {
                let id = self.product(*sale).sale.id.clone();
                self.reference.attributed(&id, partner);
                let decision = decision(&id, Some(partner));
                self.frame(vec![AttributedEvent::Late { decision, cause: "evt_link".into() }])?;
            }
            Step::Reversal { sale, object, state } => {
                let fact = self.product(*sale).objects[*object].clone();
                self.reversal(&ReversalSpec { state: *state, ..fact })?;
            }
            Step::Tick { wait } => {
                self.world.clock = Micros(self.world.clock.0 + wait);
                self.reference.clock = self.world.clock;
                self.reference.tick();
                let tick = FactsEvent::Tick;
                let input =
                    AttributedEvent::Passed { bytes: Default::default(), event: tick, decision: None };
                self.frame(vec![input])?;
            }
            Step::Decide { kind, sale } => self.decide(*kind, *sale)?,
            Step::Cancelled { subscription, at } => {
                self.reference.cancelled(subscription, *at);
                let body = FactBody::SubscriptionCancelled { subscription_id: (*subscription).to_owned() };
                let mut fact = self.world.fact(subscription, "canceled", body);
                fact.occurred_at = *at;
                self.frame(applied(fact))?;
            }
            Step::Rule { rule, is_removed } => self.rule(*rule, *is_removed)?,
            Step::Partner { partner, active, group } => {
                self.reference.partner(partner, *active, group);
                let (active, group) = (*active, (*group).to_owned());
                let partner = Partner { partner: (*partner).into(), active, group, ..Partner::default() };
                self.config(ConfigObject::Partner(partner))?;
            }
            Step::Pay { sale } => self.pay(*sale)?,
        }
        self.agrees()
    }

    fn product(&self, sale: usize) -> &'a Product {
        &self.history.products[sale]
    }

    pub fn reversal(&mut self, fact: &ReversalSpec) -> Result<(), Broken> {
        self.reference.reversal(fact);
        let input = self.world.reversal_events(fact);
        self.frame(input).map(drop)
    }

    fn rule(&mut self, rule: usize, is_removed: bool) -> Result<(), Broken> {
        let spec = &self.history.rules[rule];
        if is_removed && !self.reference.has_rule(spec.id) {
            return Ok(());
        }
        self.versions += 1;
        self.reference.rule(spec, is_removed);
        let rule = spec.rule(self.versions);
        let is_valid = rule.clauses.validate().is_ok()
            && rule.tiers.as_ref().is_none_or(|tiers| tiers.validate("tiers").is_ok());
        assert!(is_valid, "the generator made a rule that no program could have: {rule:#?}");
        self.frame(config_events(ConfigObject::Rule(rule), is_removed)).map(drop)
    }

    fn config(&mut self, object: ConfigObject) -> Result<(), Broken> {
        self.frame(config_events(object, false)).map(drop)
    }

    fn decide(&mut self, kind: CommandKind, sale: usize) -> Result<(), Broken> {
        let id = self.product(sale).sale.id.clone();
        let declined = self.reference.decided(kind, &id, 0);
        let commission = self.commission(&id, 0).map_or_else(|| "com_nobody".into(), |last| last.id.clone());
        let command =
            Command { kind, commission, reason: "looked at it".to_owned(), actor: "key_mary".to_owned() };
        let fact = self.world.fact(&id, "command", FactBody::Command(command));
        let events = self.frame(applied(fact))?;
        let said = events.iter().find_map(|event| match event {
            CommissionsEvent::Answer(answer) => Some(answer.answer.declined.as_str()),
            _ => None,
        });
        let of = "a person's decision is done or declined as the table says";
        law!(of, said == Some(declined), "{kind:?} of {id}: {said:?}, not {declined:?}");
        law!("what is declined changes nothing", declined.is_empty() || events.len() == 1, "{events:#?}");
        Ok(())
    }

    /// A commission of a sale: its last event.
    pub fn commission(&self, sale: &str, part: usize) -> Option<&CommissionEvent> {
        let id = SaleId::derive(&PROGRAM.into(), &SOURCE.into(), sale);
        let partner = self.reference.sold.get(sale)?.commissions.get(part)?.partner.as_str();
        self.books.last.get(&CommissionId::derive(&id, &partner.into(), u32::try_from(part).unwrap()))
    }

    /// Folds the postings that a payout will make. `pay` of the model says how much.
    fn pay(&mut self, sale: usize) -> Result<(), Broken> {
        let id = &self.product(sale).sale.id;
        let amount = i64::try_from(self.reference.paid(id, 0)).unwrap();
        let Some(last) = self.commission(id, 0).filter(|_| amount > 0) else { return Ok(()) };
        let leg = |account, amount| Posting { account, currency: last.currency, amount: Minor(amount) };
        let event = CommissionEvent {
            kind: CommissionEventKind::Approved,
            status: CommissionStatus::Paid,
            delta: Minor::ZERO,
            postings: vec![leg(Account::Available, -amount), leg(Account::PaidOut, amount)],
            cause: None,
            terms: None,
            holds: Vec::new(),
            ..last.clone()
        };
        self.books.postings(&event)?;
        self.books.last.insert(event.id.clone(), event.clone());
        self.fold(vec![CommissionsEvent::Commission(event)]);
        Ok(())
    }

    /// Decides one input frame, asks the laws of events, and folds it.
    fn frame(&mut self, input: Vec<AttributedEvent>) -> Result<Vec<CommissionsEvent>, Broken> {
        let mut all = Vec::new();
        for step in 0.. {
            law!("every frame comes to an end", step < 20, "{input:#?}");
            let clock = self.world.clock;
            let input = CommissionInput { source: 0, clock, events: &input };
            let (events, more) = decide(&self.world.tables, &input, step);
            let again = decide(&self.world.tables, &input, step);
            law!("10: decide is a function", again.0 == events && again.1 == more, "{events:#?} {again:#?}");
            for event in &events {
                if let CommissionsEvent::Commission(event) = event {
                    self.books.apply(clock, event, self.rows)?;
                }
            }
            all.extend(events.iter().cloned());
            self.fold(events);
            if !more {
                break;
            }
        }
        self.parts(&all)?;
        Ok(all)
    }

    fn fold(&mut self, events: Vec<CommissionsEvent>) {
        evolve(&mut self.world.tables, self.world.clock, &events);
        self.world.log.push((self.world.clock, events));
    }

    /// What a commission froze is the whole base, cut into parts.
    fn parts(&self, events: &[CommissionsEvent]) -> Result<(), Broken> {
        let mut base = None;
        for event in events {
            match event {
                CommissionsEvent::Sale(recorded) => base = Some(i128::from(recorded.base.0)),
                CommissionsEvent::Commission(CommissionEvent { terms: Some(terms), .. }) => {
                    let sum = terms.slices.iter().map(|slice| i128::from(slice.base.0)).sum();
                    law!("9: the parts are the whole", base == Some(sum), "{base:?} {terms:#?}");
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The ledger is where the model is.
    fn agrees(&self) -> Result<(), Broken> {
        self.books.sums()?;
        let sheets: BTreeMap<_, _> =
            self.books.sheets.iter().filter(|(_, sheet)| sheet.iter().any(|bucket| *bucket != 0)).collect();
        let expected = self.reference.balances();
        let is_same = sheets.len() == expected.len()
            && sheets.iter().zip(&expected).all(|(((partner, code), sheet), ((who, what), wanted))| {
                partner == who && code == what && *sheet == wanted
            });
        for (id, sold) in &self.reference.sold {
            self.agrees_about(id, sold)?;
        }
        let count: usize = self.reference.sold.values().map(|sold| sold.commissions.len()).sum();
        let is_all = self.books.last.len() == count;
        law!("nobody else earns", is_all, "{:#?}, not {:#?}", self.books.last, self.reference.sold);
        law!("balances are the model's", is_same, "{sheets:#?}, not {expected:#?}");
        Ok(())
    }

    fn agrees_about(&self, id: &str, sold: &super::reference::Sold) -> Result<(), Broken> {
        for (part, commission) in sold.commissions.iter().enumerate() {
            let Some(last) = self.commission(id, part) else {
                law!("G is the model's", false, "{id} has none, not {sold:#?}");
                continue;
            };
            let frozen = &self.books.created[&last.id];
            let expected = sold.terms.as_ref().map(|(terms, _)| (terms.rule.to_owned(), terms.uncapped));
            law!(
                "the rule that wins is the model's",
                Some(frozen) == expected.as_ref(),
                "{frozen:?}, not {sold:#?}"
            );
            let gross = i128::from(last.gross.0);
            law!(
                "G is the model's",
                gross == commission.gross,
                "{last:#?}, not {commission:#?} of {sold:#?}"
            );
            let net = gross - i128::from(last.reversed.0);
            law!(
                "N is the model's: a function of the set",
                net == commission.net,
                "{id}: {net}, not {sold:#?}"
            );
            let status = last.status.name();
            law!("status is the model's", status == commission.status, "{id}: {status}, not {sold:#?}");
            if last.status.is_unpaid() {
                let wanted = &self.reference.wanted(&sold.spec) - &commission.released;
                let holds = last.holds.iter().filter(|hold| *hold != "time");
                law!("holds are the model's", holds.eq(&wanted), "{id}: {:?}, not {wanted:?}", last.holds);
            }
        }
        Ok(())
    }

    /// State is a function of the log's prefix; from here on the run goes on with what was folded again.
    pub fn folds_again(&mut self) -> Result<(), Broken> {
        let mut again = MemoryTables::default();
        self.world.log.iter().for_each(|(clock, events)| evolve(&mut again, *clock, events));
        law!("10: folding the log again gives the same rows", again == self.world.tables, "");
        self.world.tables = again;
        Ok(())
    }

    /// Everything that was sold goes back in parts, and nothing is left.
    pub fn refunds_everything(&mut self) -> Result<(), Broken> {
        for (number, product) in self.history.products.iter().enumerate() {
            let sale = &product.sale;
            let owed = |run: &Self| -> i64 {
                let lasts = (0..).map_while(|part| run.commission(&sale.id, part));
                lasts.map(|last| last.gross.0 - last.reversed.0).sum()
            };
            if owed(self) == 0 {
                continue;
            }
            let parts = i64::try_from(number % 5 + 1).unwrap();
            for part in 0..parts {
                let gross = sale.gross / parts + i64::from(part < sale.gross % parts);
                let id = format!("all_{part}");
                self.reversal(&ReversalSpec { currency: sale.currency, ..refund(&sale.id, &id, gross) })?;
            }
            let net = owed(self);
            law!("5: a full refund in parts leaves nothing", net == 0, "{} keeps {net}", sale.id);
        }
        self.agrees()
    }
}
