//! One commission of the model: what it is owed, where its money is, and what holds it. Of the partner's money it is given one
//! signed number: above 0 available, below 0 debt.
use super::terms::CapKey;
use std::collections::BTreeSet;
use tributary_domain::time::Micros;

pub const SUSPENDED: &str = "partner_suspended";
pub const FX_MISSING: &str = "fx_missing";

#[derive(Debug, Clone)]
pub struct Commission {
    pub partner: String,
    pub currency: &'static str,
    pub rule: &'static str,
    pub uncapped: i128,
    pub caps: Vec<CapKey>,
    /// Below 0: it takes, while it is approved.
    pub gross: i128,
    pub net: i128,
    pub status: &'static str,
    /// In `pending` or `review`.
    pub here: i128,
    pub was_approved: bool,
    pub hold_until: Micros,
    pub manual: bool,
    /// Holds that a person released: facts do not bring them back.
    pub released: BTreeSet<String>,
    /// Holds that a person added: they come back until somebody releases them.
    pub by_hand: BTreeSet<String>,
    pub is_suspended: bool,
}

pub fn is_held(status: &str) -> bool {
    ["pending", "review"].contains(&status)
}

fn is_end(status: &str) -> bool {
    ["refunded", "charged_back"].contains(&status)
}

impl Commission {
    /// One that begins, in review or not. Until it is approved, what takes counts for nothing.
    pub fn begins(
        partner: &str,
        currency: &'static str,
        gross: i128,
        is_held: bool,
        (hold_until, manual): (Micros, bool),
    ) -> Self {
        Self {
            partner: partner.to_owned(),
            currency,
            rule: "",
            uncapped: gross,
            caps: vec![],
            gross,
            net: gross.max(0),
            status: if is_held { "review" } else { "pending" },
            here: gross.max(0),
            was_approved: false,
            hold_until,
            manual,
            released: BTreeSet::new(),
            by_hand: BTreeSet::new(),
            is_suspended: false,
        }
    }

    pub fn is_unpaid(&self) -> bool {
        is_held(self.status) || self.status == "approved"
    }

    /// To hold what takes would give the money back.
    pub fn can_be_held(&self) -> bool {
        self.is_unpaid() && !(self.gross < 0 && self.status == "approved")
    }

    /// What holds it beside time, when facts want `wanted`.
    pub fn holds(&self, wanted: &BTreeSet<String>) -> BTreeSet<String> {
        let mut holds: BTreeSet<String> = wanted.difference(&self.released).cloned().collect();
        holds.extend(self.by_hand.iter().cloned());
        holds.extend(self.is_suspended.then(|| SUSPENDED.to_owned()));
        holds
    }

    /// Takes from its bucket; what is not there has paid a debt, and is taken from what the partner can get.
    fn take(&mut self, amount: i128, account: &mut i128) {
        let here = self.here.min(amount);
        self.here -= here;
        *account -= amount - here;
        self.net -= amount;
    }

    fn give(&mut self, amount: i128, account: &mut i128) {
        if is_held(self.status) {
            self.here += amount;
        } else {
            *account += amount;
        }
    }

    pub fn approve(&mut self, account: &mut i128) {
        if self.gross < 0 {
            self.net = self.gross;
            *account += self.gross;
        }
        *account += self.here;
        (self.here, self.status, self.was_approved) = (0, "approved", true);
        self.is_suspended = false;
    }

    pub fn reject(&mut self, account: &mut i128) {
        if self.gross < 0 {
            *account -= self.net;
            self.net = 0;
        } else {
            self.take(self.net, account);
        }
        self.ends("rejected");
    }

    fn ends(&mut self, end: &'static str) {
        self.status = end;
        self.is_suspended = false;
    }

    /// Comes back from its end with `target`; a debt is paid first, whatever it comes back to.
    pub fn returns(&mut self, target: i128, wanted: &BTreeSet<String>, is_active: bool, account: &mut i128) {
        self.is_suspended = !is_active;
        self.status = match (self.holds(wanted).is_empty(), self.was_approved) {
            (false, _) => "review",
            (true, true) => "approved",
            (true, false) => "pending",
        };
        if target < 0 {
            if self.status == "approved" {
                self.net = target;
                *account += target;
            }
            return;
        }
        self.net = target;
        let repaid = target.min((-*account).max(0));
        *account += repaid;
        self.give(target - repaid, account);
    }

    /// What facts leave of it is `target`; `end`: what it is when that is nothing.
    pub fn becomes(
        &mut self,
        target: i128,
        end: &'static str,
        wanted: &BTreeSet<String>,
        is_active: bool,
        account: &mut i128,
    ) {
        if self.status == "rejected" {
            return;
        }
        if is_end(self.status) && target > 0 {
            self.returns(target, wanted, is_active, account);
        } else if target < self.net {
            self.take(self.net - target, account);
        } else {
            self.give(target - self.net, account);
            self.net = target;
        }
        if target == 0 && !["locked", "paid"].contains(&self.status) {
            self.ends(end);
        }
        self.follows(wanted, account);
    }

    /// It is in review exactly while a hold beside time is there.
    pub fn follows(&mut self, wanted: &BTreeSet<String>, account: &mut i128) {
        let is_free = self.holds(wanted).is_empty();
        match (self.status, is_free) {
            ("pending", false) => self.status = "review",
            ("review", true) => self.status = "pending",
            ("approved", false) if self.gross > 0 => {
                *account -= self.net;
                (self.here, self.status) = (self.net, "review");
            }
            _ => {}
        }
    }
}
