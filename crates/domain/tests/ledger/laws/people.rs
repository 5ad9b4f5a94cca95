//! What people decide about the model's commissions, and the word that declines it.
use super::commission::{Commission, SUSPENDED};
use super::reference::{Place, Reference};
use tributary_domain::facts::CommandKind;
use tributary_domain::time::Micros;

/// Facts of people say that they happened so long before the log has them.
const SAID_BEFORE: i64 = 5_000_000;

/// Whether people may add a hold of this name.
fn may_add(hold: &str) -> bool {
    hold == "manual" || ["manual:", "fraud:"].iter().any(|kind| hold.starts_with(kind) && hold != *kind)
}

impl Reference {
    /// A person decides; the word that declines it, or nothing.
    pub fn decided(&mut self, kind: CommandKind, place: &Place, hold: &str) -> &'static str {
        let Some(mut commission) = self.commissions.get(place).cloned() else {
            return "unknown_commission";
        };
        let mut account = self.account(&commission);
        let declined = match kind {
            CommandKind::Approve => self.approved(&mut commission, place, &mut account),
            CommandKind::Reject if !commission.is_unpaid() => "wrong_status",
            CommandKind::Reject => {
                commission.reject(&mut account);
                ""
            }
            CommandKind::Reinstate => self.reinstated(&mut commission, place, &mut account),
            CommandKind::Hold => self.held(&mut commission, place, hold, &mut account),
            CommandKind::Release => self.released(&mut commission, place, hold, &mut account),
            CommandKind::Bonus | CommandKind::Correction | CommandKind::Debit | CommandKind::Reprice => {
                unreachable!()
            }
        };
        if declined.is_empty() {
            self.set_account(&commission, account);
            self.commissions.insert(place.clone(), commission);
        }
        declined
    }

    fn approved(&self, commission: &mut Commission, place: &Place, account: &mut i128) -> &'static str {
        if !["pending", "review"].contains(&commission.status) {
            return "wrong_status";
        }
        if !commission.was_approved && commission.hold_until > self.clock {
            return "held_until";
        }
        // Each hold but time is released by its name. A suspension is not among what stays released: the next one holds.
        commission.is_suspended = false;
        commission.released.extend(commission.holds(&self.wanted(place)));
        commission.by_hand.clear();
        commission.approve(account);
        ""
    }

    fn reinstated(&self, commission: &mut Commission, place: &Place, account: &mut i128) -> &'static str {
        let target = match commission.status {
            "refunded" | "charged_back" => 0,
            "rejected" => self.left(place),
            _ => return "wrong_status",
        };
        if target == 0 {
            return "nothing_left";
        }
        let is_active = self.is_active(&commission.partner);
        commission.returns(target, &self.wanted(place), is_active, account);
        ""
    }

    fn held(
        &self,
        commission: &mut Commission,
        place: &Place,
        hold: &str,
        account: &mut i128,
    ) -> &'static str {
        let wanted = self.wanted(place);
        if !may_add(hold) {
            return "bad_hold";
        }
        if !commission.can_be_held() {
            return "wrong_status";
        }
        if commission.holds(&wanted).contains(hold) {
            return "already_held";
        }
        commission.by_hand.insert(hold.to_owned());
        commission.released.remove(hold);
        commission.follows(&wanted, account);
        ""
    }

    fn released(
        &self,
        commission: &mut Commission,
        place: &Place,
        hold: &str,
        account: &mut i128,
    ) -> &'static str {
        let wanted = self.wanted(place);
        if hold == "time" {
            return "bad_hold";
        }
        if !commission.can_be_held() || !commission.holds(&wanted).contains(hold) {
            return "unknown_hold";
        }
        if hold == SUSPENDED {
            commission.is_suspended = false;
        } else {
            commission.released.insert(hold.to_owned());
            commission.by_hand.remove(hold);
        }
        commission.follows(&wanted, account);
        ""
    }

    /// A person makes a commission of its own.
    pub fn adjusted(
        &mut self,
        number: usize,
        kind: CommandKind,
        partner: &str,
        amount: i64,
        currency: &'static str,
    ) -> &'static str {
        let fits = match kind {
            CommandKind::Bonus => amount > 0,
            CommandKind::Debit => amount < 0,
            _ => amount != 0,
        };
        if !fits {
            return "bad_amount";
        }
        let is_suspended = !self.is_active(partner);
        let hold_until = self.hold_until(Micros(self.clock.0 - SAID_BEFORE), self.clock);
        let waits = (hold_until, self.settings.manual);
        let begins = Commission::begins(partner, currency, i128::from(amount), is_suspended, waits);
        let commission = Commission { is_suspended, ..begins };
        self.commissions.insert((made(number), 0), commission);
        ""
    }
}

/// Where a commission of its own stands.
pub fn made(number: usize) -> String {
    format!("made {number}")
}
