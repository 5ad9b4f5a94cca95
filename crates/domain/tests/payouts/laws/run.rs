//! A history told to the ledger and to the model, step by step, with every law asked after each.
use super::super::commands::{adjustment, command};
use super::super::frames::{applied, config_events, passed, verdict};
use super::super::harness::World;
use super::super::specs::{PROGRAM, ReversalSpec, SOURCE, SaleSpec, currency};
use super::books::Books;
use super::history::{History, Step, Target, TermsSpec};
use super::law::{Broken, law};
use super::people::made;
use super::reference::{Place, Reference};
use super::rows::Rows;
use super::telling::{decided, folds_again};
use std::collections::{BTreeMap, BTreeSet};
use tributary_domain::attribution::AttributedEvent;
use tributary_domain::commission::{Answer, CommissionsEvent, evolve};
use tributary_domain::config::{ConfigObject, Partner, Reward, Rule};
use tributary_domain::facts::{Command, CommandKind, FactBody};
use tributary_domain::ids::{CommissionId, EventId, PayoutId, SaleId};
use tributary_domain::money::{Minor, RatePpm};
use tributary_domain::normalization::{FactsEvent, ReplyAddress, VerdictKind};
use tributary_domain::payouts::PayoutTerms;
use tributary_domain::time::{DAY_MICROS, Micros};

mod payouts;

pub struct Run<'a> {
    history: &'a History,
    world: World,
    books: Books,
    reference: Reference,
    rows: &'a mut Rows,
    /// The commissions of the model, by place; each as its id derives.
    ids: BTreeMap<Place, CommissionId>,
    /// Payouts in the order of their drafts.
    drafted: Vec<PayoutId>,
    /// Commands, and what they were told: the word that the table of twins has for each.
    told: Vec<(EventId, Answer, &'static str)>,
}

impl<'a> Run<'a> {
    /// The program as it begins.
    pub fn new(history: &'a History, rows: &'a mut Rows) -> Result<Self, Broken> {
        let mut world = World::default();
        world.clock = history.start;
        let mut run = Self {
            history,
            world,
            books: Books::default(),
            reference: Reference::new(history.settings, history.start),
            rows,
            ids: BTreeMap::new(),
            drafted: vec![],
            told: vec![],
        };
        let settings = &history.settings;
        run.config(settings.program("USD"), false)?;
        let reward = Reward::Percent(RatePpm(settings.rate));
        let rule = Rule { rule: "rule_default".into(), version: 1, reward, ..Rule::default() };
        run.config(ConfigObject::Rule(rule), false)?;
        Ok(run)
    }

    /// Takes one step and asks the laws.
    pub fn step(&mut self, step: &Step) -> Result<(), Broken> {
        self.reference.clock = self.world.clock;
        match step {
            Step::Sale { sale } => {
                let spec = self.history.products[*sale].sale.clone();
                self.sale(&spec)?;
            }
            Step::Reversal { sale, object, state } => {
                let fact = &self.history.products[*sale].objects[*object];
                let fact = ReversalSpec { state: *state, ..fact.clone() };
                self.reference.reversal(&fact);
                let input = self.world.reversal_events(&fact);
                self.frame(input)?;
            }
            Step::Tick { wait } => self.tick(Micros(self.world.clock.0 + wait))?,
            Step::Midnight { days } => {
                self.tick(Micros((self.world.clock.0 / DAY_MICROS + 1 + days) * DAY_MICROS))?;
            }
            Step::Decide { kind, of, hold } => self.decide(*kind, *of, hold)?,
            Step::Adjust { number, kind, partner, amount, currency } => {
                self.adjust(*number, *kind, partner, *amount, currency)?;
            }
            Step::Partner { partner, active } => {
                self.reference.partner(partner, *active);
                let partner = Partner { partner: (*partner).into(), active: *active, ..Partner::default() };
                self.config(ConfigObject::Partner(partner), false)?;
            }
            Step::Draft { partner, currency, ignore_minimum } => {
                self.draft(partner, *currency, *ignore_minimum)?;
            }
            Step::Payout { act, of, said } => self.payout(*act, *of, *said)?,
            Step::WriteOff { partner, currency, part, said } => {
                self.write_off(&((*partner).to_owned(), *currency), *part, *said)?;
            }
            Step::Rate(rate) => self.rate(*rate)?,
            Step::Terms { terms, is_removed } => self.terms(terms, *is_removed)?,
            Step::Twin { back } => self.twin(*back)?,
        }
        self.agrees()
    }

    fn sale(&mut self, spec: &SaleSpec) -> Result<(), Broken> {
        self.reference.sale(spec);
        let id = SaleId::derive(&PROGRAM.into(), &SOURCE.into(), &spec.id);
        let partner = spec.partner.clone().unwrap();
        self.ids.insert((spec.id.clone(), 0), CommissionId::derive(&id, &partner.as_str().into(), 0));
        let input = self.world.sale_events(spec, None);
        self.frame(input).map(drop)
    }

    fn terms(&mut self, terms: &TermsSpec, is_removed: bool) -> Result<(), Broken> {
        if is_removed && !self.reference.terms.contains_key(terms.partner) {
            return Ok(());
        }
        self.reference.terms(terms, is_removed);
        let object = ConfigObject::PayoutTerms(PayoutTerms {
            partner: terms.partner.into(),
            schedule: terms.schedule,
            minimums: terms.minimums.iter().map(|(code, least)| (currency(code), Minor(*least))).collect(),
            pay_in: terms.pay_in.map(currency),
        });
        self.config(object, is_removed)
    }

    fn config(&mut self, object: ConfigObject, is_removed: bool) -> Result<(), Broken> {
        self.frame(config_events(object, is_removed)).map(drop)
    }

    /// A command that is told again is answered as the first time, and nothing happens.
    fn twin(&mut self, back: usize) -> Result<(), Broken> {
        let Some((event, first, what)) = self.told.iter().rev().nth(back).cloned() else { return Ok(()) };
        let waits = ReplyAddress { gateway_instance: "gw".to_owned(), correlation_id: 1 };
        let verdict = verdict(VerdictKind::Duplicate, &event, Some(waits));
        let events = self.frame(vec![passed(FactsEvent::Verdict(verdict), None)])?;
        let [CommissionsEvent::Answer(again)] = events.as_slice() else {
            law!("a twin changes nothing", false, "{events:#?}");
            return Ok(());
        };
        law!(
            "a twin is told the same",
            again.duplicate && again.answer == first,
            "{again:#?}, not {first:#?}"
        );
        self.rows.say("-", what);
        Ok(())
    }

    fn place(&self, of: Target) -> Place {
        match of {
            Target::Sale(sale) => (self.history.products[sale].sale.id.clone(), 0),
            Target::Made(number) => (made(number), 0),
        }
    }

    fn decide(&mut self, kind: CommandKind, of: Target, hold: &str) -> Result<(), Broken> {
        let place = self.place(of);
        let declined = self.reference.decided(kind, &place, hold);
        self.reference.forgets_rates();
        let known = self.reference.commissions.contains_key(&place);
        let commission =
            self.ids.get(&place).filter(|_| known).cloned().unwrap_or_else(|| "com_nobody".into());
        let command = Command { commission, hold: hold.to_owned(), ..command(kind) };
        let (answer, events) =
            self.commands(&place.0, FactBody::Command(command), "a twin of another command")?;
        let law = "a person's decision is done or declined as the table says";
        law!(
            law,
            answer.declined == declined,
            "{kind:?} of {place:?}: {:?}, not {declined:?}",
            answer.declined
        );
        law!("what is declined changes nothing", declined.is_empty() || events.len() == 1, "{events:#?}");
        Ok(())
    }

    fn adjust(
        &mut self,
        number: usize,
        kind: CommandKind,
        partner: &str,
        amount: i64,
        code: &'static str,
    ) -> Result<(), Broken> {
        let place = (made(number), 0);
        if self.reference.commissions.contains_key(&place) {
            return Ok(());
        }
        let declined = self.reference.adjusted(number, kind, partner, amount, code);
        let body = FactBody::Command(adjustment(kind, partner, amount, code));
        let (answer, _) = self.commands(&place.0, body, "a twin of another command")?;
        law!("a commission of its own is made", answer.declined == declined, "{answer:#?}, not {declined:?}");
        self.ids.extend(answer.commission.map(|id| (place, id)));
        Ok(())
    }

    /// Tells what a person says; the answer, which is recorded also when nobody waits.
    fn commands(
        &mut self,
        object: &str,
        body: FactBody,
        twin: &'static str,
    ) -> Result<(Answer, Vec<CommissionsEvent>), Broken> {
        let fact = self.world.fact(object, "command", body);
        let event = fact.event.clone();
        let events = self.frame(applied(fact))?;
        let answers = events.iter().filter_map(|event| match event {
            CommissionsEvent::Answer(answer) => Some(answer.answer.clone()),
            _ => None,
        });
        let answers: Vec<Answer> = answers.collect();
        law!("a command has one answer", answers.len() == 1, "{events:#?}");
        self.told.push((event, answers[0].clone(), twin));
        Ok((answers[0].clone(), events))
    }

    /// The ledger after all that was told.
    pub fn told(self) -> World {
        self.world
    }

    /// Decides one input frame, asks the laws of events, folds it, and tells the model of the offsets.
    fn frame(&mut self, input: Vec<AttributedEvent>) -> Result<Vec<CommissionsEvent>, Broken> {
        let mut all = Vec::new();
        self.world.inputs.push((self.world.clock, input.clone()));
        for step in 0.. {
            let clock = self.world.clock;
            let (events, more) = decided(&self.world, &input, step)?;
            self.books.frame(clock, &events, self.rows)?;
            evolve(&mut self.world.tables, clock, &events);
            for event in &events {
                law!("every sum fits", self.world.ledger.record(clock, event).is_ok(), "{event:#?}");
            }
            let problems = self.world.ledger.problems();
            law!("the second fold has nothing to say", problems.is_empty(), "{problems:?} after {events:#?}");
            all.extend(events.iter().cloned());
            self.world.log.push((clock, events));
            if !more {
                break;
            }
        }
        let places: BTreeMap<&CommissionId, &Place> =
            self.ids.iter().map(|(place, id)| (id, place)).collect();
        for event in &all {
            match event {
                CommissionsEvent::Offset(event) => {
                    let [by, of] = [&event.commission, &event.debt_of].map(|id| places[id].clone());
                    self.reference.offsets.push((by, of, i128::from(event.amount.0)));
                }
                CommissionsEvent::WrittenOff(event) => {
                    for (of, amount) in &event.claims {
                        *self.reference.given_up.entry(places[of].clone()).or_default() +=
                            i128::from(amount.0);
                    }
                }
                _ => {}
            }
        }
        Ok(all)
    }

    /// The ledger is where the model is.
    fn agrees(&self) -> Result<(), Broken> {
        self.books.sums()?;
        for (place, commission) in &self.reference.commissions {
            let last = self.books.last.get(&self.ids[place]);
            law!("the model's commissions are there", last.is_some(), "{place:?}: {commission:#?}");
            let last = last.unwrap();
            let numbers = [last.gross.0, last.gross.0 - last.reversed.0].map(i128::from);
            law!(
                "G and N are the model's",
                numbers == [commission.gross, commission.net],
                "{place:?}: {last:#?}, not {commission:#?}"
            );
            law!(
                "status is the model's",
                last.status.name() == commission.status,
                "{place:?}: {last:#?}, not {commission:#?}"
            );
            if last.status.is_unpaid() {
                let wanted = commission.holds(&self.reference.wanted(place));
                let holds: BTreeSet<String> =
                    last.holds.iter().filter(|hold| *hold != "time").cloned().collect();
                law!("holds are the model's", holds == wanted, "{place:?}: {holds:?}, not {wanted:?}");
            }
        }
        let is_all = self.books.last.len() == self.reference.commissions.len();
        law!("nobody else earns", is_all, "{:#?}", self.books.last);
        self.books.sheets.are(&self.reference.balances())?;
        for (id, payout) in &self.reference.payouts {
            let book = &self.books.payouts[id];
            law!(
                "a payout's status is the model's",
                book.status.name() == payout.status,
                "{book:#?}, not {payout:#?}"
            );
        }
        law!(
            "nothing else is paid",
            self.books.payouts.len() == self.drafted.len(),
            "{:#?}",
            self.books.payouts
        );
        Ok(())
    }

    pub fn folds_again(&mut self) -> Result<(), Broken> {
        folds_again(&mut self.world)
    }

    /// R, N, and all buckets together of the only commission.
    pub fn comes_to(&self, of: Target) -> Option<(i64, i64, i128)> {
        let last = self.books.last.get(self.ids.get(&self.place(of))?)?;
        Some((last.reversed.0, last.gross.0 - last.reversed.0, self.books.sheets.whole()))
    }
}
