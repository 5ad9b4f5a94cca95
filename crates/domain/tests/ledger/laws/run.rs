//! A history told to the ledger and to the model, step by step, with every law asked after each.
use super::super::commands::{adjustment, command};
use super::super::frames::{applied, config_events, decision, shares};
use super::super::harness::World;
use super::super::specs::{PROGRAM, ReversalSpec, SOURCE, SaleSpec, Setting, refund};
use super::books::Books;
use super::commission::Commission;
use super::history::{History, Product, Settings, Step, Target, start};
use super::law::{Broken, law};
use super::people::made;
use super::reference::{Place, Reference, name};
use super::rows::Rows;
use super::telling::{decided, folds_again};
use std::collections::BTreeMap;
use tributary_domain::attribution::{AttributedEvent, Decision};
use tributary_domain::commission::{
    Account, CommissionEvent, CommissionEventKind, CommissionStatus, CommissionsEvent, Origin, Posting,
    evolve,
};
use tributary_domain::config::{ConfigObject, Partner};
use tributary_domain::facts::{Command, CommandKind, FactBody, ReversalFamily, ReversalState};
use tributary_domain::ids::{CommissionId, SaleId};
use tributary_domain::money::Minor;
use tributary_domain::normalization::FactsEvent;
use tributary_domain::time::Micros;

pub struct Run<'a> {
    history: &'a History,
    world: World,
    pub books: Books,
    pub reference: Reference,
    rows: &'a mut Rows,
    versions: u32,
    /// What was made by hand, by its number.
    made: BTreeMap<usize, CommissionId>,
    /// What a person asks for in the frame at hand.
    asked: Option<CommandKind>,
}

impl<'a> Run<'a> {
    /// The program as it begins: its settings and its first rule.
    pub fn new(history: &'a History, rows: &'a mut Rows) -> Result<Self, Broken> {
        let reference = Reference::new(history.settings[0].clone());
        let mut world = World::default();
        world.clock = start();
        let mut run = Self {
            history,
            world,
            books: Books::default(),
            reference,
            rows,
            versions: 0,
            made: BTreeMap::new(),
            asked: None,
        };
        run.step(&Step::Program { settings: 0 })?;
        run.step(&Step::Rule { rule: 0, is_removed: false })?;
        Ok(run)
    }

    /// Takes one step and asks the laws.
    pub fn step(&mut self, step: &Step) -> Result<(), Broken> {
        self.reference.clock = self.world.clock;
        match step {
            Step::Sale { sale, is_attributed } => {
                let mut spec = self.product(*sale).sale.clone();
                if !is_attributed {
                    (spec.partner, spec.shares) = (None, vec![]);
                }
                self.reference.sale(&spec);
                let input = self.world.sale_events(&spec, None);
                self.frame(input)?;
            }
            Step::Late { sale, shares } => self.late(*sale, shares)?,
            Step::Reversal { sale, object, state } => {
                let fact = self.product(*sale).objects[*object].clone();
                self.reversal(&ReversalSpec { state: *state, ..fact })?;
            }
            Step::Tick { wait } => {
                self.world.clock = Micros(self.world.clock.0 + wait);
                self.reference.clock = self.world.clock;
                self.reference.approves();
                let tick = FactsEvent::Tick;
                let input =
                    AttributedEvent::Passed { bytes: Default::default(), event: tick, decision: None };
                self.frame(vec![input])?;
            }
            Step::Decide { kind, of, hold } => self.decide(*kind, *of, hold)?,
            Step::Adjust { number, kind, partner, amount, currency } => {
                self.adjust(*number, *kind, partner, *amount, currency)?;
            }
            Step::Cancelled { subscription, at } => {
                self.reference.cancelled(subscription, *at);
                let body = FactBody::SubscriptionCancelled { subscription_id: (*subscription).to_owned() };
                let mut fact = self.world.fact(subscription, "canceled", body);
                fact.occurred_at = *at;
                self.frame(applied(fact))?;
            }
            Step::Rule { rule, is_removed } => self.rule(*rule, *is_removed)?,
            Step::Program { settings } => self.program(*settings)?,
            Step::Partner { partner, active, group } => {
                self.reference.partner(partner, *active, group);
                let (active, group) = (*active, (*group).to_owned());
                let partner = Partner { partner: (*partner).into(), active, group, ..Partner::default() };
                self.config(ConfigObject::Partner(partner))?;
            }
            Step::Pay { of } => self.pay(*of)?,
        }
        self.agrees()
    }

    pub fn clock(&self) -> Micros {
        self.world.clock
    }

    /// The ledger, as far as it was told.
    pub fn told(self) -> World {
        self.world
    }

    fn product(&self, sale: usize) -> &'a Product {
        &self.history.products[sale]
    }

    fn late(&mut self, sale: usize, by: &[(&'static str, u32)]) -> Result<(), Broken> {
        let id = name(&self.product(sale).sale);
        let partner = by[0].0;
        self.reference.attributed(&id, partner, by);
        let decision = Decision { shares: shares(by), ..decision(&id, Some(partner)) };
        self.frame(vec![AttributedEvent::Late { decision, cause: "evt_link".into() }]).map(drop)
    }

    pub fn reversal(&mut self, fact: &ReversalSpec) -> Result<(), Broken> {
        let about_no_sale = self.reference.sold.get(&fact.sale).is_some_and(|sold| !sold.spec.kind.is_sale());
        if about_no_sale && self.commission(&(fact.sale.clone(), 0)).is_some() && takes(fact) {
            self.rows.nothing_taken();
        }
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

    fn program(&mut self, settings: usize) -> Result<(), Broken> {
        let settings = &self.history.settings[settings];
        self.reference.settings = settings.clone();
        let Settings { profile, rounding, hold_days, release, manual, currency } = *settings;
        let setting = Setting { profile, rounding, hold_days, release, manual, ..Setting::default() };
        self.config(setting.program(currency))
    }

    fn config(&mut self, object: ConfigObject) -> Result<(), Broken> {
        self.frame(config_events(object, false)).map(drop)
    }

    fn place(&self, of: Target) -> Place {
        match of {
            Target::Sale { sale, part } => (name(&self.product(sale).sale), part),
            Target::Made(number) => (made(number), 0),
        }
    }

    fn decide(&mut self, kind: CommandKind, of: Target, hold: &str) -> Result<(), Broken> {
        let place = self.place(of);
        let declined = self.reference.decided(kind, &place, hold);
        let commission = self.commission(&place).map_or_else(|| "com_nobody".into(), |last| last.id.clone());
        let command = Command { commission, hold: hold.to_owned(), ..command(kind) };
        self.command(command, declined, &place.0).map(drop)
    }

    fn adjust(
        &mut self,
        number: usize,
        kind: CommandKind,
        partner: &str,
        amount: i64,
        code: &'static str,
    ) -> Result<(), Broken> {
        if self.made.contains_key(&number) {
            return Ok(());
        }
        let declined = self.reference.adjusted(number, kind, partner, amount, code);
        let command = adjustment(kind, partner, amount, code);
        let id = self.command(command, declined, &made(number))?;
        self.made.extend(id.map(|id| (number, id)));
        Ok(())
    }

    /// Tells a command; the commission that its answer names.
    fn command(
        &mut self,
        command: Command,
        declined: &str,
        of: &str,
    ) -> Result<Option<CommissionId>, Broken> {
        let kind = command.kind;
        let fact = self.world.fact(of, "command", FactBody::Command(command));
        self.asked = Some(kind);
        let events = self.frame(applied(fact));
        self.asked = None;
        let events = events?;
        let answer = events.iter().find_map(|event| match event {
            CommissionsEvent::Answer(answer) => Some(&answer.answer),
            _ => None,
        });
        let said = answer.map(|answer| answer.declined.as_str());
        let law = "a person's decision is done or declined as the table says";
        law!(law, said == Some(declined), "{kind:?} of {of}: {said:?}, not {declined:?}");
        law!("what is declined changes nothing", declined.is_empty() || events.len() == 1, "{events:#?}");
        Ok(answer.and_then(|answer| answer.commission.clone()))
    }

    /// A commission: its last event.
    pub fn commission(&self, place: &Place) -> Option<&CommissionEvent> {
        self.books.last.get(&self.id(place)?)
    }

    fn id(&self, place: &Place) -> Option<CommissionId> {
        let (of, part) = place;
        let partner = self.reference.commissions.get(place)?.partner.as_str();
        if !self.reference.sold.contains_key(of) {
            return self.made.iter().find(|(number, _)| made(**number) == *of).map(|(_, id)| id.clone());
        }
        let id = SaleId::derive(&PROGRAM.into(), &SOURCE.into(), of);
        Some(CommissionId::derive(&id, &partner.into(), u32::try_from(*part).unwrap()))
    }

    /// Folds the postings that a payout will make. `pay` of the model says how much.
    fn pay(&mut self, of: Target) -> Result<(), Broken> {
        let place = self.place(of);
        let amount = i64::try_from(self.reference.paid(&place)).unwrap();
        let Some(last) = self.commission(&place).filter(|_| amount > 0) else { return Ok(()) };
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
        self.world.inputs.push((self.world.clock, input.clone()));
        for step in 0.. {
            let (events, more) = decided(&self.world, &input, step)?;
            for event in &events {
                if let CommissionsEvent::Commission(event) = event {
                    let mode = self.reference.settings.release.mode;
                    self.books.apply(self.world.clock, event, (self.asked, mode), self.rows)?;
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
                CommissionsEvent::Commission(CommissionEvent { terms: Some(terms), .. })
                    if terms.origin == Origin::Conversion =>
                {
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
        for (place, commission) in &self.reference.commissions {
            self.agrees_about(place, commission)?;
        }
        self.shares_are_the_whole()?;
        let is_all = self.books.last.len() == self.reference.commissions.len();
        let expected = &self.reference.commissions;
        law!("nobody else earns", is_all, "{:#?}, not {expected:#?}", self.books.last);
        self.books.sheets.are(&self.reference.balances())
    }

    fn agrees_about(&self, place: &Place, commission: &Commission) -> Result<(), Broken> {
        let id = &place.0;
        let Some(last) = self.commission(place) else {
            law!("G is the model's", false, "{place:?} has none, not {commission:#?}");
            return Ok(());
        };
        let frozen = &self.books.created[&last.id];
        let expected = (commission.rule.to_owned(), commission.uncapped);
        law!("the rule that wins is the model's", *frozen == expected, "{frozen:?}, not {commission:#?}");
        let gross = i128::from(last.gross.0);
        law!("G is the model's", gross == commission.gross, "{last:#?}, not {commission:#?}");
        let net = gross - i128::from(last.reversed.0);
        let same = net == commission.net;
        law!("N is the model's: a function of the set", same, "{id}: {net}, not {commission:#?}");
        let status = last.status.name();
        law!("status is the model's", status == commission.status, "{id}: {status}, not {commission:#?}");
        if last.status.is_unpaid() {
            let wanted = commission.holds(&self.reference.wanted(place));
            let holds = last.holds.iter().filter(|hold| *hold != "time");
            law!("holds are the model's", holds.eq(&wanted), "{id}: {:?}, not {wanted:?}", last.holds);
        }
        Ok(())
    }

    /// The parts of a sale sum to N of the whole where nobody's part was cut, refused or rejected.
    fn shares_are_the_whole(&self) -> Result<(), Broken> {
        for id in self.reference.sold.keys() {
            let lasts = (0..3).filter_map(|part| self.commission(&(id.clone(), part)));
            let parts: Vec<&CommissionEvent> = lasts.collect();
            let Some(split) = parts.first().and_then(|part| self.books.split(&part.id)) else { continue };
            let granted: i64 = parts.iter().map(|part| part.gross.0).sum();
            let is_rejected = parts.iter().any(|part| part.status == CommissionStatus::Rejected);
            if granted != split.whole.0 || is_rejected {
                continue;
            }
            let net: i64 = parts.iter().map(|part| part.gross.0 - part.reversed.0).sum();
            let whole = self.reference.whole(id);
            let is_whole = whole == Some(i128::from(net));
            law!("9: the shares are the whole", is_whole, "{net}, not {whole:?}: {parts:#?}");
        }
        Ok(())
    }

    pub fn folds_again(&mut self) -> Result<(), Broken> {
        folds_again(&mut self.world)
    }

    /// Everything that was sold goes back in parts, and nothing is left; what is no sale stays.
    pub fn refunds_everything(&mut self) -> Result<(), Broken> {
        for (number, product) in self.history.products.iter().enumerate() {
            let sale = SaleSpec { id: name(&product.sale), ..product.sale.clone() };
            let before = self.owed(&sale.id);
            if before == 0 {
                continue;
            }
            let parts = i64::try_from(number % 5 + 1).unwrap();
            for part in 0..parts {
                let gross = sale.gross / parts + i64::from(part < sale.gross % parts);
                let id = format!("all_{part}");
                self.reversal(&ReversalSpec { currency: sale.currency, ..refund(&sale.id, &id, gross) })?;
            }
            let net = self.owed(&sale.id);
            if sale.kind.is_sale() {
                law!("5: a full refund in parts leaves nothing", net == 0, "{} keeps {net}", sale.id);
            } else {
                law!("refunds take nothing of what is no sale", net == before, "{}: {net}", sale.id);
            }
        }
        self.agrees()
    }

    /// What all parts of a sale are owed; none is below 0.
    fn owed(&self, id: &str) -> i64 {
        let lasts = (0..3).filter_map(|part| self.commission(&(id.to_owned(), part)));
        lasts.map(|last| last.gross.0 - last.reversed.0).sum()
    }
}

/// Whether it would take something from a sale.
fn takes(fact: &ReversalSpec) -> bool {
    let counts = [ReversalFamily::Refund, ReversalFamily::RefundTotal, ReversalFamily::Chargeback];
    fact.state == ReversalState::Live && fact.gross > 0 && counts.contains(&fact.family)
}
