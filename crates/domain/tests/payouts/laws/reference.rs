//! What every commission, balance and payout must be after each step, written from `docs/reference/ledger.md` and not from the
//! code. Of a partner's money it knows: what each commission has in its bucket, what is in payouts, what they paid, and one
//! signed number for the rest (above 0 available, below 0 debt). What stands for one commission in that number it computes
//! anew each time, from N, the lines of payouts and the offsets as they were recorded.
use super::super::model::{expected_holds, rounded, taken};
use super::super::specs::{ReversalSpec, SaleSpec, Setting};
use super::commission::{Commission, FX_MISSING};
use super::history::{RateSpec, TermsSpec};
use super::money::next_due;
use super::payouts::Payout;
use super::sheets::Sheet;
use std::collections::{BTreeMap, BTreeSet};
use tributary_domain::config::Profile;
use tributary_domain::ids::PayoutId;
use tributary_domain::time::{DAY_MICROS, Micros};

/// Where a commission stands: a sale, or one of its own. (Sales are not divided here.)
pub type Place = (String, usize);
/// A balance: whose, in which currency.
pub type Account = (String, &'static str);

#[derive(Debug)]
pub struct Reference {
    pub settings: Setting,
    partners: BTreeMap<String, bool>,
    pub sold: BTreeMap<String, SaleSpec>,
    pub commissions: BTreeMap<Place, Commission>,
    facts: Vec<ReversalSpec>,
    /// Available less debt.
    pub payable: BTreeMap<Account, i128>,
    pub written_off: BTreeMap<Account, i128>,
    pub payouts: BTreeMap<PayoutId, Payout>,
    /// The last of each pair of currencies.
    pub rates: BTreeMap<(&'static str, &'static str), RateSpec>,
    /// The program's own under "", with the moment when they are due.
    pub terms: BTreeMap<&'static str, (TermsSpec, Option<Micros>)>,
    /// Debts that commissions paid, as recorded: by whom, of whom, how much.
    pub offsets: Vec<(Place, Place, i128)>,
    /// What write-offs took of what commissions owed.
    pub given_up: BTreeMap<Place, i128>,
    pub clock: Micros,
}

impl Reference {
    pub fn new(settings: Setting, clock: Micros) -> Self {
        Self {
            settings,
            partners: BTreeMap::new(),
            sold: BTreeMap::new(),
            commissions: BTreeMap::new(),
            facts: vec![],
            payable: BTreeMap::new(),
            written_off: BTreeMap::new(),
            payouts: BTreeMap::new(),
            rates: BTreeMap::new(),
            terms: BTreeMap::new(),
            offsets: vec![],
            given_up: BTreeMap::new(),
            clock,
        }
    }

    /// What is unpaid of a partner who is suspended waits until it is active again.
    pub fn partner(&mut self, partner: &str, active: bool) {
        let was_active = self.is_active(partner);
        self.partners.insert(partner.to_owned(), active);
        if was_active != active {
            self.suspends(partner, !active);
        }
    }

    pub fn is_active(&self, partner: &str) -> bool {
        self.partners.get(partner).copied().unwrap_or(true)
    }

    pub fn hold_until(&self, happened: Micros, _accepted: Micros) -> Micros {
        Micros(happened.0 + i64::from(self.settings.hold_days) * DAY_MICROS).max(self.clock)
    }

    /// A sale is told.
    pub fn sale(&mut self, spec: &SaleSpec) {
        if self.sold.contains_key(&spec.id) {
            return;
        }
        self.sold.insert(spec.id.clone(), spec.clone());
        let (gross, partner) = (self.earned(i128::from(spec.gross)), spec.partner.clone().unwrap());
        if gross == 0 || !self.is_active(&partner) {
            return;
        }
        let is_held = !self.facts_want(spec).is_empty();
        let waits = (self.hold_until(Micros(self.clock.0 - 5_000_000), self.clock), self.settings.manual);
        let commission = Commission::begins(&partner, spec.currency, gross, is_held, waits);
        self.commissions.insert((spec.id.clone(), 0), commission);
        self.settle(&spec.id);
    }

    fn earned(&self, base: i128) -> i128 {
        rounded(base * i128::from(self.settings.rate), 1_000_000, self.settings.rounding)
    }

    pub fn reversal(&mut self, fact: &ReversalSpec) {
        self.facts.push(fact.clone());
        self.settle(&fact.sale);
    }

    fn facts_want(&self, spec: &SaleSpec) -> BTreeSet<String> {
        expected_holds(spec, &self.facts, &[])
    }

    /// The holds that facts want on a commission, beside time.
    pub fn wanted(&self, place: &Place) -> BTreeSet<String> {
        self.sold.get(&place.0).map_or_else(BTreeSet::new, |spec| self.facts_want(spec))
    }

    /// What facts leave of a commission, whatever people say of it.
    pub fn left(&self, place: &Place) -> i128 {
        let commission = &self.commissions[place];
        let Some(spec) = self.sold.get(&place.0) else { return commission.gross };
        let taken = taken(Profile::Native, self.settings.rounding, spec, &self.facts);
        self.earned(i128::from(spec.gross) - taken.base).min(commission.gross)
    }

    /// What a commission is when nothing is left of it.
    pub fn end(&self, place: &Place) -> &'static str {
        let spec = self.sold.get(&place.0);
        let lost =
            spec.map(|spec| taken(Profile::Native, self.settings.rounding, spec, &self.facts).lost_gross);
        if lost.is_some_and(|lost| lost > 0) { "charged_back" } else { "refunded" }
    }

    /// After what people decide: what is rejected waits for no rate.
    pub fn forgets_rates(&mut self) {
        for place in self.places() {
            self.change(&place, |_, _| ());
        }
    }

    /// Brings a sale's commission to what the set of its facts says.
    fn settle(&mut self, id: &str) {
        let place = (id.to_owned(), 0);
        if self.commissions.contains_key(&place) {
            self.becomes(&place, self.end(&place));
        }
    }

    /// Terms are set or removed.
    pub fn terms(&mut self, terms: &TermsSpec, is_removed: bool) {
        if is_removed {
            self.terms.remove(terms.partner);
        } else {
            // A schedule that stays keeps its moment.
            let kept = self.terms.get(terms.partner).filter(|(known, _)| known.schedule == terms.schedule);
            let due = kept.map_or_else(|| next_due(terms.schedule, self.clock), |(_, due)| *due);
            self.terms.insert(terms.partner, (terms.clone(), due));
        }
        self.releases();
    }

    /// A rate is told; the word that declines it, or nothing. What waited for it waits no more.
    pub fn rate(&mut self, rate: RateSpec) -> &'static str {
        let is_good = rate.mantissa > 0
            && rate.from != rate.to
            && (-18..=18).contains(&rate.exponent)
            && rate.spread_ppm < 1_000_000;
        if !is_good {
            return "bad_rate";
        }
        self.rates.insert((rate.from, rate.to), rate);
        self.releases();
        ""
    }

    /// What waited for a rate waits no more, where there is one or nothing is converted any more.
    fn releases(&mut self) {
        for place in self.places() {
            let commission = &self.commissions[&place];
            let pay_in = self.terms_of(&commission.partner).pay_in.unwrap_or(commission.currency);
            let pair = (commission.currency, pay_in);
            let converts = pay_in == commission.currency || self.rates.contains_key(&pair);
            if converts && commission.by_hand.contains(FX_MISSING) {
                self.commissions.get_mut(&place).unwrap().by_hand.remove(FX_MISSING);
                self.follows(&place);
            }
        }
    }

    /// What each partner has in each currency; without those that have nothing.
    pub fn balances(&self) -> BTreeMap<Account, Sheet> {
        let mut balances = self.unpaid();
        for payout in self.payouts.values() {
            let sheet = balances.entry(payout.account.clone()).or_default();
            match payout.status {
                "drafted" => sheet[3] += payout.total,
                "settled" => sheet[4] += payout.total,
                _ => {}
            }
        }
        for (account, written_off) in &self.written_off {
            balances.entry(account.clone()).or_default()[6] = *written_off;
        }
        balances.retain(|_, sheet| *sheet != Sheet::default());
        balances
    }
}
