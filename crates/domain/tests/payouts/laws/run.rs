//! A history told to the ledger and to the model, step by step, with every law asked after each.
use super::super::commands::command;
use super::super::frames::{applied, config_events, decision, passed, verdict};
use super::super::harness::World;
use super::super::specs::{PROGRAM, ReversalSpec, SOURCE, SaleSpec, currency};
use super::books::{Books, Broken, law};
use super::history::{History, Part, RateSpec, Said, Step, Target, TermsSpec, Which};
use super::payouts::{FX_MISSING, Payout};
use super::people::made;
use super::reference::{Account, Place, Reference};
use super::rows::Rows;
use std::collections::{BTreeMap, BTreeSet};
use tributary_domain::attribution::AttributedEvent;
use tributary_domain::commission::{
    Answer, CommissionEventKind, CommissionInput, CommissionsEvent, PayoutEvent, PayoutEventKind, decide,
    evolve,
};
use tributary_domain::config::{ConfigObject, Mode, Partner, Profile, Program, Release, Reward, Rule};
use tributary_domain::facts::{Adjustment, Command, CommandKind, FactBody, ReversalState};
use tributary_domain::ids::{CommissionId, EventId, PayoutId, SaleId};
use tributary_domain::money::{Minor, RatePpm};
use tributary_domain::normalization::{FactsEvent, ReplyAddress, VerdictKind};
use tributary_domain::payouts::{PayoutAct, PayoutCommand, PayoutTerms, Rate, WriteOff};
use tributary_domain::tables::MemoryTables;
use tributary_domain::time::{DAY_MICROS, Micros};

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
            reference: Reference::new(history.settings.clone(), history.start),
            rows,
            ids: BTreeMap::new(),
            drafted: vec![],
            told: vec![],
        };
        let settings = &history.settings;
        run.config(
            ConfigObject::Program(Program {
                account: "acct".into(),
                name: "Laws".to_owned(),
                mode: Mode::Test,
                profile: Profile::Native,
                currency: currency("USD"),
                rounding: settings.rounding,
                click_window_days: 30,
                hold_days: settings.hold_days,
                release: Release::default(),
                manual_approval: settings.manual,
                sale_from: None,
                referral_keys: Vec::new(),
                customer_keys: Vec::new(),
                rule_metadata_keys: Vec::new(),
            }),
            false,
        )?;
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
                // A refund that is told while pending is no fact of the ledger's yet, whatever becomes of it.
                debug_assert!(fact.gross > 0 || *state == ReversalState::Dead);
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
        debug_assert!(decision(&spec.id, spec.partner.as_deref()).outcome.is_ok());
        let input = self.world.sale_events(spec, None);
        self.frame(input).map(drop)
    }

    /// What is due is approved; then schedules that are due make drafts.
    fn tick(&mut self, clock: Micros) -> Result<(), Broken> {
        self.world.clock = clock;
        self.reference.clock = clock;
        self.reference.approves();
        let events = self.frame(vec![passed(FactsEvent::Tick, None)])?;
        if self.reference.is_late() {
            self.rows.say("-", "a schedule: due, with several since");
        }
        let accounts = self.reference.due();
        let drafts = drafts(&events);
        for account in &accounts {
            match self.reference.draft(account, false) {
                Ok(payout) => {
                    let event = drafts.iter().find(|event| is_of(event, account));
                    law!("a schedule drafts what is payable", event.is_some(), "{account:?}: {payout:#?}");
                    self.drafted(event.unwrap(), payout)?;
                    self.rows.say("-", "a schedule: due, and drafted");
                }
                Err(word) => {
                    let drafted = drafts.iter().find(|event| is_of(event, account));
                    law!(
                        "a schedule drafts only what a person could",
                        drafted.is_none(),
                        "{word}: {drafted:#?}"
                    );
                    if word == "no_rate" {
                        self.reference.waits_for_rate(account);
                    }
                    self.rows.say("-", &format!("a schedule: due, and {}", short(word)));
                }
            }
        }
        let is_due = |event: &&&PayoutEvent| accounts.iter().any(|account| is_of(event, account));
        let is_all = drafts.iter().filter(is_due).count() == drafts.len();
        law!("a schedule drafts when it is due", is_all, "{drafts:#?}, due {accounts:?}");
        Ok(())
    }

    /// A draft event is what the model says, and becomes the model's.
    fn drafted(&mut self, event: &PayoutEvent, expected: Payout) -> Result<(), Broken> {
        let lines: BTreeMap<CommissionId, (i128, i128, bool)> = expected
            .lines
            .iter()
            .map(|(place, line)| (self.ids[place].clone(), (line.amount, line.paid, line.further)))
            .collect();
        let said = event.lines.iter().map(|line| {
            (line.commission.clone(), (i128::from(line.amount.0), i128::from(line.paid.0), line.further))
        });
        let said: BTreeMap<_, _> = said.collect();
        law!("the lines of a payout are the model's", said == lines, "{said:#?}, not {lines:#?}");
        let residue: i128 = event
            .postings
            .iter()
            .filter(|leg| leg.account == tributary_domain::commission::Account::FxRounding)
            .map(|leg| i128::from(leg.amount.0))
            .sum();
        law!(
            "the residue is what rounding left over",
            residue == expected.residue,
            "{event:#?}, not {expected:#?}"
        );
        law!("a payout's id was never used", !self.drafted.contains(&event.id), "{event:#?}");
        if self
            .reference
            .payouts
            .values()
            .any(|one| one.status == "returned" && one.account == expected.account)
        {
            self.rows.say("-", "drafted, after a return");
        }
        self.drafted.push(event.id.clone());
        self.reference.drafted(event.id.clone(), expected);
        Ok(())
    }

    fn draft(
        &mut self,
        partner: &str,
        code: Option<&'static str>,
        ignore_minimum: bool,
    ) -> Result<(), Broken> {
        let account = code.map(|code| (partner.to_owned(), code));
        let expected = account
            .as_ref()
            .map_or(Err("currency_required"), |account| self.reference.draft(account, ignore_minimum));
        if let (Some(account), Err("no_rate")) = (&account, &expected) {
            self.reference.waits_for_rate(account);
        }
        if expected.is_ok() && self.reference.draft(account.as_ref().unwrap(), false).is_err() {
            self.rows.say("-", "drafted, below the minimum");
        }
        let command = PayoutCommand {
            partner: partner.into(),
            currency: code.map(currency),
            ignore_minimum,
            ..payout_command(PayoutAct::Draft)
        };
        let (answer, events) = self.commands(partner, FactBody::Payout(command), "a twin of a draft")?;
        let drafts = drafts(&events);
        match expected {
            Ok(payout) => {
                let said = (answer.declined.as_str(), answer.payout.as_ref().map(|(_, status)| *status));
                law!(
                    "a draft is made as the model says",
                    said == ("", Some(PayoutEventKind::Drafted)) && drafts.len() == 1,
                    "{answer:#?}, not {payout:#?}"
                );
                let event = drafts[0];
                let is_told = answer.payout.as_ref().is_some_and(|(id, _)| *id == event.id)
                    && answer.amount == event.paid
                    && answer.currency == Some(event.paid_currency);
                law!("a draft is answered with what it pays", is_told, "{answer:#?}: {event:#?}");
                law!(
                    "a draft is of the balance that was asked for",
                    is_of(event, account.as_ref().unwrap()),
                    "{event:#?}"
                );
                self.drafted(event, payout)
            }
            Err(word) => {
                self.rows.say("-", &format!("a draft is declined: {word}"));
                law!(
                    "a draft is declined as the model says",
                    answer.declined == word && drafts.is_empty(),
                    "{:?}, not {word:?}",
                    answer.declined
                );
                let holds = |event: &CommissionsEvent| match event {
                    CommissionsEvent::Commission(event) => {
                        event.kind == CommissionEventKind::Review
                            && event.holds.iter().any(|hold| hold == FX_MISSING)
                    }
                    CommissionsEvent::Offset(_) | CommissionsEvent::Answer(_) => true,
                    _ => false,
                };
                let changes = events.len() > 1 && (word != "no_rate" || !events.iter().all(holds));
                law!(
                    "what is declined changes nothing, but waits for a rate",
                    !changes,
                    "{word}: {events:#?}"
                );
                Ok(())
            }
        }
    }

    fn which(&self, of: Which) -> PayoutId {
        let Which::Last(status, back) = of else { return "pay_nobodys".into() };
        let is_of = |id: &&PayoutId| self.reference.payouts[*id].status == status;
        let found = self.drafted.iter().rev().filter(is_of).nth(back).or(self.drafted.last());
        found.cloned().unwrap_or_else(|| "pay_none".into())
    }

    fn payout(&mut self, act: PayoutAct, of: Which, said: Said) -> Result<(), Broken> {
        let id = self.which(of);
        let known = self.reference.payouts.get(&id).cloned();
        let declined = self.reference.payout(act, &id, said);
        let mut command = PayoutCommand { payout: id.clone(), ..payout_command(act) };
        let as_it_is = known.as_ref().map_or((0, "USD"), |known| (known.paid, known.paid_currency));
        let (amount, code) = (Minor(i64::try_from(as_it_is.0).unwrap()), as_it_is.1);
        match said {
            Said::Nothing => {}
            Said::Right => (command.amount, command.currency) = (Some(amount), Some(currency(code))),
            Said::WrongAmount => command.amount = Some(Minor(amount.0 + 1)),
            Said::WrongCurrency => {
                command.currency = Some(currency(if code == "USD" { "JPY" } else { "USD" }));
            }
            Said::NoReason => command.reason = String::new(),
            Said::NoActor => command.actor = String::new(),
        }
        let twin = match act {
            PayoutAct::Settle => "a twin of a settle",
            PayoutAct::Fail => "a twin of a fail",
            _ => "a twin of a return",
        };
        let (answer, events) = self.commands(id.as_str(), FactBody::Payout(command), twin)?;
        law!(
            "a payout is done or declined as the model says",
            answer.declined == declined,
            "{act:?} of {known:#?}: {:?}, not {declined:?}",
            answer.declined
        );
        let status = self.reference.payouts.get(&id).map(|one| one.status);
        if declined.is_empty() {
            let said = answer.payout.as_ref().map(|(known, status)| (known.clone(), status.name()));
            law!(
                "an answer names the payout and its status",
                said == status.map(|status| (id.clone(), status)),
                "{answer:#?}"
            );
            let is_paid = answer.amount == amount && answer.currency == Some(currency(code));
            law!("an answer says what is paid", is_paid, "{answer:#?}, not {amount} {code}");
        } else {
            law!("what is declined changes nothing", events.len() == 1, "{declined}: {events:#?}");
            match declined {
                "wrong_status" => self.rows.say(status.unwrap(), &format!("declined: {}", act.name())),
                word => self.rows.say("-", &format!("declined: {word}")),
            }
        }
        Ok(())
    }

    fn write_off(&mut self, account: &Account, part: Part, said: Said) -> Result<(), Broken> {
        let debt = self.reference.payable.get(account).map_or(0, |payable| (-payable).max(0));
        let expected = self.reference.write_off(account, part, said);
        let amount = match part {
            Part::All => None,
            Part::Half => Some(debt / 2),
            Part::TooMuch => Some(debt + 1),
            Part::Nothing => Some(0),
        };
        let some = |text: &str, unless| if said == unless { String::new() } else { text.to_owned() };
        let body = FactBody::WriteOff(WriteOff {
            partner: account.0.as_str().into(),
            currency: currency(account.1),
            amount: amount.map(|amount| Minor(i64::try_from(amount).unwrap())),
            reason: some("gone", Said::NoReason),
            actor: some("key_mary", Said::NoActor),
        });
        let (answer, events) = self.commands(&account.0, body, "a twin of another command")?;
        let word = expected.err().unwrap_or_default();
        law!(
            "a write-off is done or declined as the model says",
            answer.declined == word,
            "{:?}, not {expected:?}",
            answer.declined
        );
        let done = events.iter().find_map(|event| match event {
            CommissionsEvent::WrittenOff(event) => Some(event),
            _ => None,
        });
        let amount = done.map(|event| i128::from(event.amount.0));
        law!("a write-off is of the model's amount", amount == expected.ok(), "{amount:?}, not {expected:?}");
        match expected {
            Ok(amount) if amount == debt => self.rows.say("-", "written off: all of it"),
            Ok(_) => self.rows.say("-", "written off: part of it"),
            Err(word) => self.rows.say("-", &format!("a write-off is declined: {word}")),
        }
        law!("what is declined changes nothing", done.is_some() || events.len() == 1, "{events:#?}");
        Ok(())
    }

    fn rate(&mut self, rate: RateSpec) -> Result<(), Broken> {
        let declined = self.reference.rate(rate);
        let body = FactBody::Rate(Rate {
            id: format!("rate_{}", self.world.log.len()).as_str().into(),
            from: currency(rate.from),
            to: currency(rate.to),
            mantissa: rate.mantissa,
            exponent: rate.exponent,
            spread_ppm: rate.spread_ppm,
            actor: "key_mary".to_owned(),
        });
        let (answer, events) = self.commands("rate", body, "a twin of another command")?;
        law!(
            "a rate is taken or declined as the model says",
            answer.declined == declined,
            "{rate:?}: {:?}, not {declined:?}",
            answer.declined
        );
        let is_taken = events.iter().any(|event| matches!(event, CommissionsEvent::Rate(_)));
        law!("a rate is recorded unless it is declined", is_taken == declined.is_empty(), "{events:#?}");
        self.rows.say("-", if declined.is_empty() { "a rate" } else { "a rate is declined: bad_rate" });
        Ok(())
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
        let adjustment =
            Adjustment { partner: partner.into(), amount: Minor(amount), currency: currency(code) };
        let body = FactBody::Command(Command { adjustment: Some(adjustment), ..command(kind) });
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

    /// Decides one input frame, asks the laws of events, folds it, and tells the model of the offsets.
    fn frame(&mut self, input: Vec<AttributedEvent>) -> Result<Vec<CommissionsEvent>, Broken> {
        let mut all = Vec::new();
        for step in 0.. {
            law!("every frame comes to an end", step < 20, "{input:#?}");
            let clock = self.world.clock;
            let input = CommissionInput { source: 0, clock, events: &input };
            let (events, more) = decide(&self.world.tables, &input, step);
            let again = decide(&self.world.tables, &input, step);
            law!("10: decide is a function", again.0 == events && again.1 == more, "{events:#?} {again:#?}");
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
        let sheets = self.books.sheets.iter().filter(|(_, sheet)| sheet.iter().any(|bucket| *bucket != 0));
        let sheets: BTreeMap<(&str, &str), _> =
            sheets.map(|((partner, code), sheet)| ((partner.as_str(), code.as_str()), *sheet)).collect();
        let expected = self.reference.balances();
        let expected: BTreeMap<(&str, &str), _> =
            expected.iter().map(|((partner, code), sheet)| ((partner.as_str(), *code), *sheet)).collect();
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
        law!("balances are the model's", sheets == expected, "{sheets:#?}, not {expected:#?}");
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

    /// State is a function of the log's prefix; from here on the run goes on with what was folded again.
    pub fn folds_again(&mut self) -> Result<(), Broken> {
        let mut again = MemoryTables::default();
        self.world.log.iter().for_each(|(clock, events)| evolve(&mut again, *clock, events));
        law!("10: folding the log again gives the same rows", again == self.world.tables, "");
        self.world.tables = again;
        Ok(())
    }

    /// R, N, and all buckets together of the only commission.
    pub fn comes_to(&self, of: Target) -> Option<(i64, i64, i128)> {
        let last = self.books.last.get(self.ids.get(&self.place(of))?)?;
        let buckets =
            self.books.sheets.values().map(|sheet| sheet[..5].iter().sum::<i128>() - sheet[5] - sheet[6]);
        Some((last.reversed.0, last.gross.0 - last.reversed.0, buckets.sum()))
    }
}

fn payout_command(act: PayoutAct) -> PayoutCommand {
    PayoutCommand {
        act,
        payout: PayoutId::default(),
        partner: Default::default(),
        currency: None,
        amount: None,
        ignore_minimum: false,
        reference: String::new(),
        reason: "the bank says so".to_owned(),
        actor: "key_mary".to_owned(),
    }
}

fn drafts(events: &[CommissionsEvent]) -> Vec<&PayoutEvent> {
    let is_draft = |event: &&PayoutEvent| event.kind == PayoutEventKind::Drafted;
    let payouts = events.iter().filter_map(|event| match event {
        CommissionsEvent::Payout(event) => Some(event),
        _ => None,
    });
    payouts.filter(is_draft).collect()
}

fn is_of(event: &PayoutEvent, account: &Account) -> bool {
    event.partner.as_str() == account.0 && event.currency.code() == account.1
}

/// How the table says why a schedule drafted nothing.
fn short(word: &str) -> &str {
    match word {
        "nothing_payable" => "nothing to draft",
        "below_minimum" => "below the minimum",
        "debt" => "owes",
        "partner_suspended" => "suspended",
        _ => "no rate",
    }
}
