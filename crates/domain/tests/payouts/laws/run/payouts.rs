//! What is said about payouts, told to the ledger and to the model: drafts, what becomes of them, write-offs, rates, and the
//! tick that finds schedules due.
use super::super::super::frames::passed;
use super::super::super::specs::currency;
use super::super::commission::FX_MISSING;
use super::super::history::{Part, RateSpec, Said, Which};
use super::super::law::{Broken, law};
use super::super::payouts::Payout;
use super::super::reference::Account;
use super::Run;
use std::collections::BTreeMap;
use tributary_domain::commission::{CommissionEventKind, CommissionsEvent, PayoutEvent, PayoutEventKind};
use tributary_domain::facts::FactBody;
use tributary_domain::ids::{CommissionId, PayoutId};
use tributary_domain::money::Minor;
use tributary_domain::normalization::FactsEvent;
use tributary_domain::payouts::{PayoutAct, PayoutCommand, Rate, WriteOff};
use tributary_domain::time::Micros;

impl Run<'_> {
    /// What is due is approved; then schedules that are due make drafts.
    pub(super) fn tick(&mut self, clock: Micros) -> Result<(), Broken> {
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

    pub(super) fn draft(
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

    pub(super) fn payout(&mut self, act: PayoutAct, of: Which, said: Said) -> Result<(), Broken> {
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

    pub(super) fn write_off(&mut self, account: &Account, part: Part, said: Said) -> Result<(), Broken> {
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

    pub(super) fn rate(&mut self, rate: RateSpec) -> Result<(), Broken> {
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
