//! The model's payouts: which lines a draft has, the words that decline, what becomes of them.
use super::commission::{Commission, FX_MISSING};
use super::history::{Part, Said, TermsSpec};
use super::money::{converted, next_due};
use super::reference::{Account, Place, Reference};
use std::collections::{BTreeMap, BTreeSet};
use tributary_domain::ids::PayoutId;
use tributary_domain::payouts::PayoutAct;
use tributary_domain::time::Micros;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub amount: i128,
    pub paid: i128,
    pub further: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payout {
    pub account: Account,
    pub status: &'static str,
    pub lines: BTreeMap<Place, Line>,
    pub total: i128,
    pub paid_currency: &'static str,
    pub paid: i128,
    /// What rounding line by line left over.
    pub residue: i128,
}

impl Reference {
    /// What of a commission is available, or owed where it is below 0.
    pub fn stands(&self, place: &Place) -> i128 {
        let commission = &self.commissions[place];
        let mut stands = commission.net - commission.here;
        for payout in self.payouts.values().filter(|one| ["drafted", "settled"].contains(&one.status)) {
            stands -= payout.lines.get(place).map_or(0, |line| line.amount);
        }
        for (by, of, amount) in &self.offsets {
            stands -= if by == place { *amount } else { 0 };
            stands += if of == place { *amount } else { 0 };
        }
        stands + self.given_up.get(place).copied().unwrap_or_default()
    }

    fn in_flight(&self, place: &Place) -> bool {
        self.payouts.values().any(|one| one.status == "drafted" && one.lines.contains_key(place))
    }

    fn of_account(&self, account: &Account) -> Vec<Place> {
        let of = |one: &Commission| one.partner == account.0 && one.currency == account.1;
        self.commissions.iter().filter(|(_, one)| of(one)).map(|(place, _)| place.clone()).collect()
    }

    pub fn terms_of(&self, partner: &str) -> TermsSpec {
        let terms = self.terms.get(partner).or(self.terms.get(""));
        terms.map_or_else(
            || TermsSpec { partner: "", schedule: Default::default(), minimums: vec![], pay_in: None },
            |(terms, _)| terms.clone(),
        )
    }

    /// What a draft of a balance would be, or the word that declines it.
    pub fn draft(&self, account: &Account, ignore_minimum: bool) -> Result<Payout, &'static str> {
        if !self.is_active(&account.0) {
            return Err("partner_suspended");
        }
        if self.payable.get(account).is_some_and(|payable| *payable < 0) {
            return Err("debt");
        }
        let mut amounts: BTreeMap<Place, (i128, bool)> = BTreeMap::new();
        for place in self.of_account(account) {
            let (commission, stands) = (&self.commissions[&place], self.stands(&place));
            let is_first = commission.status == "approved" && commission.gross > 0;
            if (is_first || stands > 0) && !self.in_flight(&place) {
                amounts.insert(place, (stands, !is_first));
            }
        }
        let total: i128 = amounts.values().map(|(amount, _)| amount).sum();
        if total <= 0 {
            return Err("nothing_payable");
        }
        let terms = self.terms_of(&account.0);
        let least = terms.minimums.iter().find(|(of, _)| *of == account.1).map_or(0, |(_, least)| *least);
        if total < i128::from(least) && !ignore_minimum {
            return Err("below_minimum");
        }
        let paid_currency = terms.pay_in.unwrap_or(account.1);
        let rate = self.rates.get(&(account.1, paid_currency));
        if paid_currency != account.1 && rate.is_none() {
            return Err("no_rate");
        }
        let convert = |amount| match rate {
            Some(rate) if paid_currency != account.1 => converted(amount, *rate, self.settings.rounding),
            _ => amount,
        };
        let line = |(place, (amount, further)): (Place, (i128, bool))| {
            (place, Line { amount, paid: convert(amount), further })
        };
        let lines: BTreeMap<Place, Line> = amounts.into_iter().map(line).collect();
        let paid: i128 = lines.values().map(|line| line.paid).sum();
        if paid == 0 {
            return Err("below_minimum");
        }
        let residue = convert(total) - paid;
        Ok(Payout { account: account.clone(), status: "drafted", lines, total, paid_currency, paid, residue })
    }

    /// It exists, and what it pays is locked.
    pub fn drafted(&mut self, id: PayoutId, payout: Payout) {
        *self.payable.entry(payout.account.clone()).or_default() -= payout.total;
        for (place, _) in payout.lines.iter().filter(|(_, line)| !line.further) {
            self.commissions.get_mut(place).unwrap().status = "locked";
        }
        self.payouts.insert(id, payout);
    }

    /// What could have been paid waits for a rate.
    pub fn waits_for_rate(&mut self, account: &Account) {
        for place in self.of_account(account) {
            let is_in_flight = self.in_flight(&place);
            let commission = self.commissions.get_mut(&place).unwrap();
            let may = commission.status == "approved" && commission.gross > 0 && !is_in_flight;
            // Who released it once decided for good.
            if may && !commission.released.contains(FX_MISSING) {
                commission.by_hand.insert(FX_MISSING.to_owned());
                self.follows(&place);
            }
        }
    }

    /// A payout is settled, fails or comes back; the word that declines it, or nothing.
    pub fn payout(&mut self, act: PayoutAct, id: &PayoutId, said: Said) -> &'static str {
        let (from, to) = match act {
            PayoutAct::Settle => ("drafted", "settled"),
            PayoutAct::Fail => ("drafted", "failed"),
            _ => ("settled", "returned"),
        };
        let Some(payout) = self.payouts.get(id).cloned() else { return "unknown_payout" };
        if said == Said::NoActor {
            return "actor_required";
        }
        if said == Said::NoReason && act != PayoutAct::Settle {
            return "reason_required";
        }
        if payout.status != from {
            return "wrong_status";
        }
        match said {
            Said::WrongAmount => return "wrong_amount",
            Said::WrongCurrency => return "wrong_currency",
            _ => {}
        }
        self.payouts.get_mut(id).unwrap().status = to;
        if act == PayoutAct::Settle {
            for (place, _) in payout.lines.iter().filter(|(_, line)| !line.further) {
                self.commissions.get_mut(place).unwrap().status = "paid";
            }
            return "";
        }
        *self.payable.entry(payout.account.clone()).or_default() += payout.total;
        for (place, _) in payout.lines.iter().filter(|(_, line)| !line.further) {
            self.comes_back(place);
        }
        ""
    }

    /// A commission is payable again, unless nothing is left of it or something holds it.
    fn comes_back(&mut self, place: &Place) {
        let (end, is_active) = (self.end(place), self.is_active(&self.commissions[place].partner));
        let commission = self.commissions.get_mut(place).unwrap();
        commission.status = if commission.net == 0 { end } else { "approved" };
        commission.is_suspended = commission.net != 0 && !is_active;
        if commission.net != 0 {
            self.follows(place);
        }
    }

    /// A debt is given up: how much, or the word that declines it.
    pub fn write_off(&mut self, account: &Account, part: Part, said: Said) -> Result<i128, &'static str> {
        let debt = self.payable.get(account).map_or(0, |payable| (-payable).max(0));
        let amount = match part {
            Part::All => debt,
            Part::Half => debt / 2,
            Part::TooMuch => debt + 1,
            Part::Nothing => 0,
        };
        match said {
            Said::NoReason => return Err("reason_required"),
            Said::NoActor => return Err("actor_required"),
            _ => {}
        }
        if part != Part::All && amount <= 0 {
            return Err("bad_amount");
        }
        if debt == 0 {
            return Err("no_debt");
        }
        if amount > debt {
            return Err("more_than_debt");
        }
        *self.payable.entry(account.clone()).or_default() += amount;
        *self.written_off.entry(account.clone()).or_default() += amount;
        Ok(amount)
    }

    /// Whether a schedule is due again before it has run: it runs once for all of that.
    pub fn is_late(&self) -> bool {
        let is_late = |(terms, due): &(TermsSpec, Option<Micros>)| {
            due.and_then(|due| next_due(terms.schedule, due)).is_some_and(|next| next <= self.clock)
        };
        self.terms.values().any(is_late)
    }

    /// The schedules that are due at the clock: each balance that they are for, whatever it has.
    pub fn due(&mut self) -> BTreeSet<Account> {
        let (clock, mut accounts) = (self.clock, BTreeSet::new());
        let own: BTreeSet<&str> = self.terms.keys().copied().filter(|partner| !partner.is_empty()).collect();
        for (partner, (terms, due)) in &mut self.terms {
            if due.is_none_or(|due| due > clock) {
                continue;
            }
            *due = next_due(terms.schedule, clock);
            let is_for = |account: &&Account| match *partner {
                "" => !own.contains(account.0.as_str()),
                partner => account.0 == partner,
            };
            accounts.extend(self.payable.keys().filter(is_for).cloned());
        }
        accounts
    }
}
