//! What the models of both suites do with a commission and its partner's money.
use super::commission::{Commission, FX_MISSING, is_held};
use super::reference::{Place, Reference};
use super::sheets::Sheet;
use std::collections::BTreeMap;

impl Reference {
    pub fn places(&self) -> Vec<Place> {
        self.commissions.keys().cloned().collect()
    }

    pub fn account(&self, of: &Commission) -> i128 {
        self.payable.get(&(of.partner.clone(), of.currency)).copied().unwrap_or_default()
    }

    pub fn set_account(&mut self, of: &Commission, account: i128) {
        self.payable.insert((of.partner.clone(), of.currency), account);
    }

    /// Changes a commission, and the partner's money with it.
    pub fn change(&mut self, place: &Place, how: impl FnOnce(&mut Commission, &mut i128)) {
        let mut commission = self.commissions[place].clone();
        let mut account = self.account(&commission);
        how(&mut commission, &mut account);
        self.set_account(&commission, account);
        if ["rejected", "refunded", "charged_back"].contains(&commission.status) {
            // What comes back waits for a rate only once it would be paid again.
            commission.by_hand.remove(FX_MISSING);
        }
        self.commissions.insert(place.clone(), commission);
    }

    /// A commission follows its holds.
    pub fn follows(&mut self, place: &Place) {
        let wanted = self.wanted(place);
        self.change(place, |commission, account| commission.follows(&wanted, account));
    }

    /// What facts leave of a commission; `end`: what it is when that is nothing.
    pub fn becomes(&mut self, place: &Place, end: &'static str) {
        let (target, wanted) = (self.left(place), self.wanted(place));
        let is_active = self.is_active(&self.commissions[place].partner);
        self.change(place, |commission, account| {
            commission.becomes(target, end, &wanted, is_active, account);
        });
    }

    /// What is unpaid of a partner who is suspended waits until it is active again.
    pub fn suspends(&mut self, partner: &str, is_suspended: bool) {
        for place in self.places() {
            let commission = self.commissions.get_mut(&place).unwrap();
            if commission.partner == partner && commission.can_be_held() {
                commission.is_suspended = is_suspended;
                self.follows(&place);
            }
        }
    }

    /// The clock's tick: what was in review, and what a person must approve, waits.
    pub fn approves(&mut self) {
        for place in self.places() {
            let commission = &self.commissions[&place];
            let is_due = commission.hold_until <= self.clock && !commission.manual;
            if commission.status == "pending" && is_due {
                self.change(&place, Commission::approve);
            }
        }
    }

    /// What waits, what is available, what is owed.
    pub fn unpaid(&self) -> BTreeMap<(String, &'static str), Sheet> {
        let mut balances: BTreeMap<_, Sheet> = BTreeMap::new();
        for commission in self.commissions.values().filter(|one| is_held(one.status)) {
            let sheet = balances.entry((commission.partner.clone(), commission.currency)).or_default();
            sheet[usize::from(commission.status == "review")] += commission.here;
        }
        for (account, payable) in &self.payable {
            let sheet = balances.entry(account.clone()).or_default();
            (sheet[2], sheet[5]) = ((*payable).max(0), (-payable).max(0));
        }
        balances
    }
}
