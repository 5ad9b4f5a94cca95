//! What people say to the ledger, as tests write it.
use super::harness::{World, answer, applied, currency};
use tributary_domain::commission::{Answer, CommissionsEvent};
use tributary_domain::facts::{Adjustment, Command, CommandKind, FactBody};
use tributary_domain::ids::CommissionId;
use tributary_domain::money::Minor;

/// What a person says with every command.
pub fn command(kind: CommandKind) -> Command {
    Command {
        kind,
        commission: CommissionId::default(),
        reason: "looked at it".to_owned(),
        actor: "key_mary".to_owned(),
        hold: String::new(),
        adjustment: None,
        reprice: None,
    }
}

/// Asks for a commission of its own.
pub fn adjustment(kind: CommandKind, partner: &str, amount: i64, code: &str) -> Command {
    let adjustment = Adjustment { partner: partner.into(), amount: Minor(amount), currency: currency(code) };
    Command { adjustment: Some(adjustment), ..command(kind) }
}

impl World {
    /// A hold is added to or released from the commission of a sale.
    pub fn hold(&mut self, kind: CommandKind, sale: &str, hold: &str) -> (Answer, Vec<CommissionsEvent>) {
        let commission = self.commission(sale).unwrap().commission_id;
        self.decided(Command { commission, hold: hold.to_owned(), ..command(kind) })
    }

    /// A commission of its own; where it stands among external ids.
    pub fn adjust(&mut self, kind: CommandKind, partner: &str, amount: i64) -> (String, Answer) {
        let (answer, _) = self.decided(adjustment(kind, partner, amount, "USD"));
        (answer.event.0.clone(), answer)
    }

    pub fn decided(&mut self, command: Command) -> (Answer, Vec<CommissionsEvent>) {
        let fact = self.fact(command.commission.as_str(), "key_1", FactBody::Command(command.clone()));
        let events = self.frame(applied(fact));
        (answer(&events).answer, events)
    }
}
