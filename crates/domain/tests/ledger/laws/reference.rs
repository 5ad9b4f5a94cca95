//! What every commission and balance must be after each step of a history, written from `docs/reference/ledger.md` and not from
//! the code. It keeps the facts, computes N from their whole set each time, and knows of a partner's money three things: what
//! each commission has in its bucket, what was paid out, and one signed number for the rest (above 0 available, below 0 debt).
use super::super::model::{base, expected_holds, taken};
use super::super::specs::{ReversalSpec, SaleSpec};
use super::calendar::month_end;
use super::commission::Commission;
use super::history::Settings;
use super::rule_spec::RuleSpec;
use super::sheets::Sheet;
use super::terms::{Brought, CapKey, Circumstances, Standing, Terms, cap_of, divided_again, net, terms};
use std::collections::{BTreeMap, BTreeSet};
use tributary_domain::config::ReleaseMode;
use tributary_domain::rules::CapScope;
use tributary_domain::time::{DAY_MICROS, Micros};

/// Where a commission stands: a sale by its name at its source and the part of it, or one of its own.
pub type Place = (String, usize);

/// A recorded conversion. The id in its spec is its name at its source, and only a sale has amounts.
#[derive(Debug, Clone)]
pub struct Sold {
    pub spec: SaleSpec,
    partner: Option<String>,
    is_renewal: bool,
    purchase: (u64, Micros),
    recorded_at: Micros,
    /// The reward of the whole, once somebody earns.
    whole: Option<Whole>,
}

/// What was frozen of a sale that somebody earns.
#[derive(Debug, Clone)]
struct Whole {
    terms: Terms,
    /// G before it is divided.
    gross: i128,
    weights: Vec<i128>,
    settings: Settings,
}

/// The program.
#[derive(Debug)]
pub struct Reference {
    pub settings: Settings,
    rules: Vec<Standing>,
    ages: Vec<&'static str>,
    partners: BTreeMap<String, (bool, &'static str)>,
    pub sold: BTreeMap<String, Sold>,
    pub commissions: BTreeMap<Place, Commission>,
    pub facts: Vec<ReversalSpec>,
    ends: Vec<(&'static str, Micros)>,
    purchases: Vec<(u8, Micros)>,
    subscriptions: BTreeSet<&'static str>,
    brought: BTreeMap<String, Vec<Brought>>,
    /// Available less debt, and paid out, by partner and currency.
    pub payable: BTreeMap<(String, &'static str), i128>,
    paid_out: BTreeMap<(String, &'static str), i128>,
    pub clock: Micros,
}

/// The name of a conversion at its source.
pub fn name(spec: &SaleSpec) -> String {
    if spec.kind.is_sale() { spec.id.clone() } else { format!("{}:{}", spec.kind.name(), spec.id) }
}

/// Each partner once, at its earliest place, with something to get.
fn together(shares: &[(&'static str, u32)]) -> Vec<(String, i128)> {
    let mut together: Vec<(String, i128)> = Vec::new();
    for (partner, weight) in shares.iter().filter(|(_, weight)| *weight > 0) {
        match together.iter_mut().find(|(known, _)| known == partner) {
            Some((_, sum)) => *sum += i128::from(*weight),
            None => together.push(((*partner).to_owned(), i128::from(*weight))),
        }
    }
    together
}

impl Reference {
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            rules: vec![],
            ages: vec![],
            partners: BTreeMap::new(),
            sold: BTreeMap::new(),
            commissions: BTreeMap::new(),
            facts: vec![],
            ends: vec![],
            purchases: vec![],
            subscriptions: BTreeSet::new(),
            brought: BTreeMap::new(),
            payable: BTreeMap::new(),
            paid_out: BTreeMap::new(),
            clock: Micros(0),
        }
    }

    pub fn has_rule(&self, id: &str) -> bool {
        self.rules.iter().any(|rule| rule.spec.id == id)
    }

    /// A rule is as old as its first version, also when it was away meanwhile.
    pub fn rule(&mut self, spec: &RuleSpec, is_removed: bool) {
        self.rules.retain(|rule| rule.spec.id != spec.id);
        if !self.ages.contains(&spec.id) {
            self.ages.push(spec.id);
        }
        let order = self.ages.iter().position(|id| *id == spec.id).unwrap();
        if !is_removed {
            self.rules.push(Standing { spec: spec.clone(), order });
        }
    }

    /// A partner is described; what is unpaid of one who is suspended waits until it is active again.
    pub fn partner(&mut self, partner: &str, active: bool, group: &'static str) {
        let was_active = self.is_active(partner);
        self.partners.insert(partner.to_owned(), (active, group));
        if was_active != active {
            self.suspends(partner, !active);
        }
    }

    pub fn is_active(&self, partner: &str) -> bool {
        self.partners.get(partner).is_none_or(|(active, _)| *active)
    }

    /// When the time hold of something ends that happened at one moment and was accepted at another.
    pub fn hold_until(&self, happened: Micros, accepted: Micros) -> Micros {
        let days = |days: u32| i64::from(days) * DAY_MICROS;
        let mut release = Micros(happened.0 + days(self.settings.hold_days));
        if self.settings.release.mode == ReleaseMode::Calendar {
            release = month_end(release);
        }
        let least = Micros(accepted.0 + days(self.settings.release.min_hold_days));
        release.max(least).max(self.clock)
    }

    /// A sale is told; the second time it may say who earns.
    pub fn sale(&mut self, told: &SaleSpec) {
        let id = name(told);
        if !self.sold.contains_key(&id) {
            let mut spec = SaleSpec { id: id.clone(), ..told.clone() };
            let mine = self.purchases.iter().filter(|(customer, _)| Some(*customer) == spec.customer);
            let (before, first) = (mine.clone().count(), mine.map(|(_, at)| *at).next());
            let at = spec.at.unwrap();
            let is_sale = spec.kind.is_sale();
            if !is_sale {
                (spec.gross, spec.net) = (0, None);
            }
            self.purchases.extend(spec.customer.filter(|_| is_sale).map(|customer| (customer, at)));
            let is_subscription = is_sale && !spec.subscription.is_empty();
            let sold = Sold {
                partner: None,
                is_renewal: is_subscription && !self.subscriptions.insert(spec.subscription),
                purchase: (u64::try_from(before).unwrap() + 1, first.unwrap_or(at)),
                recorded_at: self.clock,
                whole: None,
                spec,
            };
            self.sold.insert(id.clone(), sold);
        }
        if let Some(partner) = &told.partner {
            self.attributed(&id, partner, &told.shares);
        }
    }

    /// Somebody earns a sale: decided once, with the terms of this moment.
    pub fn attributed(&mut self, id: &str, partner: &str, shares: &[(&'static str, u32)]) {
        let Some(sold) = self.sold.get(id).filter(|sold| sold.partner.is_none()).cloned() else { return };
        let mut shares = together(shares);
        if shares.len() < 2 {
            shares = vec![(partner.to_owned(), 1)];
        }
        let first = shares[0].0.clone();
        self.sold.get_mut(id).unwrap().partner = Some(first.clone());
        let (spec, at) = (&sold.spec, sold.spec.at.unwrap());
        let group = self.partners.get(&first).map_or("", |(_, group)| group);
        let about =
            Circumstances { partner: &first, group, is_renewal: sold.is_renewal, purchase: sold.purchase };
        let brought = self.brought.entry(first.clone()).or_default();
        let terms = terms(&self.settings, &self.rules, brought, spec, about);
        if spec.kind.is_sale() {
            let base = base(self.settings.profile, spec);
            brought.push(Brought { at, gross: spec.gross, base, currency: spec.currency });
        }
        let Some(terms) = terms else { return };
        // What cuts one of several partners' parts leaves the whole, and the others, as they are.
        let is_split = shares.len() > 1;
        let cuts_whole = |cap: &CapKey| !is_split || cap.1 != CapScope::Partner;
        let of_whole = terms.caps.iter().filter(|(cap, _)| cuts_whole(cap));
        let gross = of_whole.map(|(cap, most)| most - self.used(cap)).fold(terms.uncapped, i128::min);
        if gross <= 0 {
            return;
        }
        let weights = shares.iter().map(|(_, weight)| *weight).collect();
        let whole = Whole { terms, gross, weights, settings: self.settings.clone() };
        let created = self.created(&sold, &whole, &shares);
        self.sold.get_mut(id).unwrap().whole = Some(whole);
        for (part, commission) in created {
            self.commissions.insert((id.to_owned(), part), commission);
        }
        self.settle(id);
    }

    /// The parts of a sale. What a partner may not have is nobody's.
    fn created(&self, sold: &Sold, whole: &Whole, shares: &[(String, i128)]) -> Vec<(usize, Commission)> {
        let Whole { terms, gross, weights, settings } = whole;
        let parts = divided_again(*gross, *gross, weights);
        let uncapped = divided_again(terms.uncapped, terms.uncapped, weights);
        let is_held = !self.facts_want(&sold.spec).is_empty();
        let mut created = Vec::new();
        for (place, (partner, _)) in shares.iter().enumerate() {
            let caps: Vec<(CapKey, i128)> =
                terms.caps.iter().map(|(cap, most)| (cap_of(cap, partner), *most)).collect();
            let of_partner = caps.iter().filter(|((_, scope, ..), _)| *scope == CapScope::Partner);
            let gross = of_partner.map(|(cap, most)| most - self.used(cap)).fold(parts[place], i128::min);
            if gross <= 0 || !self.is_active(partner) {
                continue;
            }
            let waits = (self.hold_until(sold.spec.at.unwrap(), sold.recorded_at), settings.manual);
            let commission = Commission {
                rule: terms.rule,
                uncapped: uncapped[place],
                caps: caps.into_iter().map(|(cap, _)| cap).collect(),
                ..Commission::begins(partner, terms.currency, gross, is_held, waits)
            };
            created.push((place, commission));
        }
        created
    }

    /// What counts towards a cap: N of all that was earned under it.
    fn used(&self, cap: &CapKey) -> i128 {
        self.commissions.values().filter(|one| one.caps.contains(cap)).map(|one| one.net).sum()
    }

    pub fn reversal(&mut self, fact: &ReversalSpec) {
        self.facts.push(fact.clone());
        self.settle(&fact.sale);
    }

    pub fn cancelled(&mut self, subscription: &'static str, at: Micros) {
        self.ends.push((subscription, at));
        let ids: Vec<String> = self.sold.keys().cloned().collect();
        ids.iter().for_each(|id| self.settle(id));
    }

    fn facts_want(&self, spec: &SaleSpec) -> BTreeSet<String> {
        let ends = self.ends.iter().filter(|(subscription, _)| *subscription == spec.subscription);
        expected_holds(spec, &self.facts, &ends.map(|(_, at)| *at).collect::<Vec<_>>())
    }

    /// The holds that facts want on a commission, beside time.
    pub fn wanted(&self, place: &Place) -> BTreeSet<String> {
        self.sold.get(&place.0).map_or_else(BTreeSet::new, |sold| self.facts_want(&sold.spec))
    }

    /// N of the whole sale: what its facts leave of it. `None`: nobody earns it.
    pub fn whole(&self, id: &str) -> Option<i128> {
        let sold = self.sold.get(id)?;
        let Whole { terms, gross, settings, .. } = sold.whole.as_ref()?;
        if !sold.spec.kind.is_sale() {
            return Some(*gross);
        }
        let taken = taken(settings.profile, settings.rounding, &sold.spec, &self.facts);
        Some(net(settings, terms, *gross, &taken))
    }

    /// What facts leave of a commission, whatever people say of it.
    pub fn left(&self, place: &Place) -> i128 {
        let commission = &self.commissions[place];
        let Some(now) = self.whole(&place.0) else { return commission.gross };
        let whole = self.sold[&place.0].whole.as_ref().unwrap();
        divided_again(whole.gross, now, &whole.weights)[place.1].min(commission.gross)
    }

    /// Brings a sale's commissions to what the set of its facts says.
    fn settle(&mut self, id: &str) {
        let Some(sold) = self.sold.get(id).filter(|sold| sold.whole.is_some()) else { return };
        let settings = &sold.whole.as_ref().unwrap().settings;
        let lost = taken(settings.profile, settings.rounding, &sold.spec, &self.facts).lost_gross;
        let end = if lost > 0 { "charged_back" } else { "refunded" };
        for place in self.places().into_iter().filter(|(of, _)| of == id) {
            self.becomes(&place, end);
        }
    }

    /// Pays what is available of an approved commission; how much.
    pub fn paid(&mut self, place: &Place) -> i128 {
        let Some(mut commission) = self.commissions.get(place).cloned() else { return 0 };
        let account = self.account(&commission);
        let amount = commission.net.min(account);
        if commission.status != "approved" || amount <= 0 {
            return 0;
        }
        commission.status = "paid";
        self.set_account(&commission, account - amount);
        *self.paid_out.entry((commission.partner.clone(), commission.currency)).or_default() += amount;
        self.commissions.insert(place.clone(), commission);
        amount
    }

    /// What each partner has in each currency; without those that have nothing.
    pub fn balances(&self) -> BTreeMap<(String, &'static str), Sheet> {
        let mut balances = self.unpaid();
        for (account, paid) in &self.paid_out {
            balances.entry(account.clone()).or_default()[4] = *paid;
        }
        balances.retain(|_, sheet| *sheet != Sheet::default());
        balances
    }
}
