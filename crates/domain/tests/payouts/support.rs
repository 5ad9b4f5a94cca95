//! What people say about payouts, as tests write it.
use crate::harness::{PROGRAM, Setting, World, answer, applied, currency, sale};
use tributary_domain::commission::{Answer, CommissionsEvent, OffsetRecorded, PayoutEvent};
use tributary_domain::config::{ConfigFact, ConfigObject};
use tributary_domain::facts::FactBody;
use tributary_domain::ids::PayoutId;
use tributary_domain::money::Minor;
use tributary_domain::normalization::FactsEvent;
use tributary_domain::payouts::{PayoutAct, PayoutCommand, PayoutTerms, Rate, WriteOff};

pub const JOHN: &str = "partner_john";

/// Everything is commission: amounts of sales are amounts of commissions.
pub fn world() -> World {
    World::new(Setting { rate: 1_000_000, ..Setting::default() })
}

pub fn command(act: PayoutAct) -> PayoutCommand {
    PayoutCommand {
        act,
        payout: PayoutId::default(),
        partner: "".into(),
        currency: None,
        amount: None,
        ignore_minimum: false,
        reference: "tr_1".to_owned(),
        reason: "as agreed".to_owned(),
        actor: "key_mary".to_owned(),
    }
}

pub fn draft() -> PayoutCommand {
    PayoutCommand { partner: JOHN.into(), currency: Some(currency("USD")), ..command(PayoutAct::Draft) }
}

impl World {
    /// Something said about payouts, with the answer and all that happened.
    pub fn said(&mut self, body: FactBody) -> (Answer, Vec<CommissionsEvent>) {
        let fact = self.fact("payout", "key_1", body);
        let events = self.frame(applied(fact));
        (answer(&events).answer, events)
    }

    pub fn payout(&mut self, command: PayoutCommand) -> (Answer, Vec<CommissionsEvent>) {
        self.said(FactBody::Payout(command))
    }

    /// Drafts everything payable in dollars.
    pub fn drafted(&mut self) -> PayoutId {
        let (answer, _) = self.payout(draft());
        assert_eq!(answer.declined, "");
        answer.payout.unwrap().0
    }

    /// Settles, fails or returns a payout; the word of the refusal, if it was one.
    pub fn ends(&mut self, act: PayoutAct, payout: &PayoutId) -> String {
        self.payout(PayoutCommand { payout: payout.clone(), ..command(act) }).0.declined
    }

    /// Drafts and settles everything payable in dollars.
    pub fn paid(&mut self) -> PayoutId {
        let payout = self.drafted();
        assert_eq!(self.ends(PayoutAct::Settle, &payout), "");
        payout
    }

    /// A sale whose commission is approved.
    pub fn earned(&mut self, id: &str, amount: i64) -> Vec<CommissionsEvent> {
        self.sale(&sale(id, amount));
        self.tick()
    }

    pub fn terms(&mut self, terms: PayoutTerms) {
        self.set_terms(terms, false);
    }

    pub fn set_terms(&mut self, terms: PayoutTerms, removed: bool) {
        let fact = ConfigFact {
            program: PROGRAM.into(),
            actor: "test".to_owned(),
            object: ConfigObject::PayoutTerms(terms),
            removed,
        };
        self.frame(vec![crate::harness::passed(FactsEvent::Config(fact), None)]);
    }

    pub fn rated(&mut self, rate: Rate) -> (Answer, Vec<CommissionsEvent>) {
        self.said(FactBody::Rate(rate))
    }

    pub fn gives_up(&mut self, amount: Option<i64>, reason: &str) -> (Answer, Vec<CommissionsEvent>) {
        self.said(FactBody::WriteOff(WriteOff {
            partner: JOHN.into(),
            currency: currency("USD"),
            amount: amount.map(Minor),
            reason: reason.to_owned(),
            actor: "key_mary".to_owned(),
        }))
    }

    /// (available, in flight, paid out, debt) in dollars.
    pub fn money(&self) -> (i64, i64, i64, i64) {
        let sheet = self.sheet(JOHN);
        (sheet.available.0, sheet.in_flight.0, sheet.paid_out.0, sheet.debt.0)
    }

    pub fn statuses<const N: usize>(&self, sales: [&str; N]) -> [&'static str; N] {
        sales.map(|id| self.numbers(id).2)
    }

    /// Offsets in short: (who pays, who owes, amount), by sale.
    pub fn offsets(&self, events: &[CommissionsEvent]) -> Vec<(String, String, i64)> {
        let name = |id: &tributary_domain::ids::CommissionId| {
            self.ledger.commission(id).unwrap().external_id.clone()
        };
        let short = |event: &CommissionsEvent| match event {
            CommissionsEvent::Offset(OffsetRecorded { commission, debt_of, amount, .. }) => {
                Some((name(commission), name(debt_of), amount.0))
            }
            _ => None,
        };
        events.iter().filter_map(short).collect()
    }
}

pub fn payout_events<'event>(events: &'event [CommissionsEvent]) -> Vec<&'event PayoutEvent> {
    let payout = |event: &'event CommissionsEvent| match event {
        CommissionsEvent::Payout(payout) => Some(payout),
        _ => None,
    };
    events.iter().filter_map(payout).collect()
}

/// The amounts of the lines of each payout drafted.
pub fn lines(events: &[CommissionsEvent]) -> Vec<Vec<i64>> {
    let amounts = |payout: &&PayoutEvent| payout.lines.iter().map(|line| line.amount.0).collect();
    payout_events(events).iter().map(amounts).collect()
}
