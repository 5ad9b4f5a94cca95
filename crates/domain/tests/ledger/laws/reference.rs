//! What every commission and balance must be after each step of a history, written from `docs/reference/ledger.md` and not from
//! the code. It keeps the facts, computes N from their whole set each time, and knows of a partner's money three things: what
//! each commission has in its bucket, what was paid out, and one signed number for the rest (above 0 available, below 0 debt).
use super::super::harness::{ReversalSpec, SaleSpec};
use super::super::model::{base, expected_holds, taken};
use super::history::Settings;
use super::rule_spec::RuleSpec;
use super::terms::{Brought, Circumstances, Standing, Terms, divided, net, terms};
use std::collections::{BTreeMap, BTreeSet};
use tributary_domain::facts::CommandKind;
use tributary_domain::time::Micros;

/// One commission of a sale.
#[derive(Debug, Clone)]
pub struct Commission {
    pub partner: String,
    /// Its share of the sale's reward, among the shares of the others.
    pub share: i128,
    pub gross: i128,
    pub net: i128,
    pub status: &'static str,
    /// In `pending` or `review`.
    pub here: i128,
    pub was_approved: bool,
    pub hold_until: Micros,
    pub manual: bool,
    /// Holds that a person released: they do not come back.
    pub released: BTreeSet<String>,
}

/// A recorded sale.
#[derive(Debug, Clone)]
pub struct Sold {
    pub spec: SaleSpec,
    pub partner: Option<String>,
    is_renewal: bool,
    purchase: (u64, Micros),
    /// The reward of the whole, once somebody earns: G before it is divided.
    pub terms: Option<(Terms, i128)>,
    /// One, as long as nothing divides a sale.
    pub commissions: Vec<Commission>,
}

/// The program.
#[derive(Debug)]
pub struct Reference {
    settings: Settings,
    rules: Vec<Standing>,
    ages: Vec<&'static str>,
    partners: BTreeMap<String, (bool, &'static str)>,
    pub sold: BTreeMap<String, Sold>,
    pub facts: Vec<ReversalSpec>,
    ends: Vec<(&'static str, Micros)>,
    purchases: Vec<(u8, Micros)>,
    subscriptions: BTreeSet<&'static str>,
    brought: BTreeMap<String, Vec<Brought>>,
    /// Available less debt, and paid out, by partner and currency.
    payable: BTreeMap<(String, &'static str), i128>,
    paid_out: BTreeMap<(String, &'static str), i128>,
    pub clock: Micros,
}

fn is_unpaid(status: &str) -> bool {
    ["pending", "review", "approved"].contains(&status)
}

fn is_held(status: &str) -> bool {
    ["pending", "review"].contains(&status)
}

fn is_end(status: &str) -> bool {
    ["refunded", "charged_back"].contains(&status)
}

impl Reference {
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            rules: vec![],
            ages: vec![],
            partners: BTreeMap::new(),
            sold: BTreeMap::new(),
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

    pub fn partner(&mut self, partner: &str, active: bool, group: &'static str) {
        self.partners.insert(partner.to_owned(), (active, group));
    }

    /// A sale is told; the second time it may say who earns.
    pub fn sale(&mut self, spec: &SaleSpec) {
        if !self.sold.contains_key(&spec.id) {
            let mine = self.purchases.iter().filter(|(customer, _)| Some(*customer) == spec.customer);
            let (before, first) = (mine.clone().count(), mine.map(|(_, at)| *at).next());
            let at = spec.at.unwrap();
            self.purchases.extend(spec.customer.map(|customer| (customer, at)));
            let is_subscription = !spec.subscription.is_empty();
            let sold = Sold {
                spec: spec.clone(),
                partner: None,
                is_renewal: is_subscription && !self.subscriptions.insert(spec.subscription),
                purchase: (u64::try_from(before).unwrap() + 1, first.unwrap_or(at)),
                terms: None,
                commissions: vec![],
            };
            self.sold.insert(spec.id.clone(), sold);
        }
        if let Some(partner) = &spec.partner {
            self.attributed(&spec.id, partner);
        }
    }

    /// Somebody earns a sale: decided once, with the terms of this moment.
    pub fn attributed(&mut self, id: &str, partner: &str) {
        let Some(sold) = self.sold.get_mut(id).filter(|sold| sold.partner.is_none()) else { return };
        sold.partner = Some(partner.to_owned());
        let (spec, at) = (sold.spec.clone(), sold.spec.at.unwrap());
        let (active, group) = self.partners.get(partner).copied().unwrap_or((true, ""));
        let about = Circumstances { partner, group, is_renewal: sold.is_renewal, purchase: sold.purchase };
        let base = base(self.settings.profile, &spec);
        let brought = self.brought.entry(partner.to_owned()).or_default();
        let terms = terms(&self.settings, &self.rules, brought, &spec, about).filter(|_| active);
        brought.push(Brought { at, gross: spec.gross, base, currency: spec.currency });
        let Some(terms) = terms else { return };
        let left = terms.caps.iter().map(|(cap, most)| {
            let counts = self.sold.values().filter(|sold| {
                sold.terms.as_ref().is_some_and(|(terms, _)| terms.caps.iter().any(|(key, _)| key == cap))
            });
            most - counts.flat_map(|sold| &sold.commissions).map(|one| one.net).sum::<i128>()
        });
        let gross = left.fold(terms.uncapped, i128::min);
        if gross <= 0 {
            return;
        }
        let hold_until = Micros(at.0 + i64::from(self.settings.hold_days) * 86_400_000_000);
        let status = if self.wanted(&spec).is_empty() { "pending" } else { "review" };
        let commission = Commission {
            partner: partner.to_owned(),
            share: 1,
            gross,
            net: gross,
            status,
            here: gross,
            was_approved: false,
            hold_until: hold_until.max(self.clock),
            manual: self.settings.manual,
            released: BTreeSet::new(),
        };
        let sold = self.sold.get_mut(id).unwrap();
        sold.terms = Some((terms, gross));
        sold.commissions = vec![commission];
        self.settle(id);
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

    /// The holds that the facts want, beside time.
    pub fn wanted(&self, spec: &SaleSpec) -> BTreeSet<String> {
        let ends = self.ends.iter().filter(|(subscription, _)| *subscription == spec.subscription);
        expected_holds(spec, &self.facts, &ends.map(|(_, at)| *at).collect::<Vec<_>>())
    }

    /// Brings a sale's commissions to what the set of its facts says.
    fn settle(&mut self, id: &str) {
        let Some(sold) = self.sold.get(id) else { return };
        let Some((terms, gross)) = &sold.terms else { return };
        let taken = taken(self.settings.profile, self.settings.rounding, &sold.spec, &self.facts);
        let whole = net(&self.settings, terms, *gross, &taken);
        let shares: Vec<i128> = sold.commissions.iter().map(|one| one.share).collect();
        let currency = terms.currency;
        let end = if taken.lost_gross > 0 { "charged_back" } else { "refunded" };
        let wanted = self.wanted(&sold.spec);
        let mut commissions = sold.commissions.clone();
        for (commission, target) in commissions.iter_mut().zip(divided(whole, &shares)) {
            let account = self.payable.entry((commission.partner.clone(), currency)).or_default();
            let is_held = !wanted.is_subset(&commission.released);
            commission.becomes(target, end, is_held, account);
        }
        self.sold.get_mut(id).unwrap().commissions = commissions;
    }

    /// The clock's tick: what was in review, and what a person must approve, waits.
    pub fn tick(&mut self) {
        for sold in self.sold.values_mut() {
            let currency = sold.terms.as_ref().map_or("", |(terms, _)| terms.currency);
            for commission in &mut sold.commissions {
                let is_due = commission.hold_until <= self.clock && !commission.manual;
                if commission.status == "pending" && is_due {
                    let account = (commission.partner.clone(), currency);
                    commission.approve(self.payable.entry(account).or_default());
                }
            }
        }
    }

    /// A person decides; the word that declines it, or nothing.
    pub fn decided(&mut self, kind: CommandKind, id: &str, part: usize) -> &'static str {
        let clock = self.clock;
        let Some(commission) = self.sold.get(id).and_then(|sold| sold.commissions.get(part)) else {
            return "unknown_commission";
        };
        if !is_unpaid(commission.status) || kind == CommandKind::Approve && commission.status == "approved" {
            return "wrong_status";
        }
        if kind == CommandKind::Approve && !commission.was_approved && commission.hold_until > clock {
            return "held_until";
        }
        let wanted = self.wanted(&self.sold[id].spec);
        let sold = self.sold.get_mut(id).unwrap();
        let (commission, currency) = (&mut sold.commissions[part], sold.terms.as_ref().unwrap().0.currency);
        let account = self.payable.entry((commission.partner.clone(), currency)).or_default();
        match kind {
            CommandKind::Approve => {
                commission.released.extend(wanted);
                commission.approve(account);
            }
            CommandKind::Reject => {
                commission.take(commission.net, account);
                commission.status = "rejected";
            }
        }
        ""
    }

    /// Pays what is available of an approved commission; how much.
    pub fn paid(&mut self, id: &str, part: usize) -> i128 {
        let Some(sold) = self.sold.get_mut(id) else { return 0 };
        let Some(commission) = sold.commissions.get_mut(part) else { return 0 };
        let account = (commission.partner.clone(), sold.terms.as_ref().unwrap().0.currency);
        let payable = self.payable.entry(account.clone()).or_default();
        let amount = commission.net.min(*payable);
        if commission.status != "approved" || amount <= 0 {
            return 0;
        }
        commission.status = "paid";
        *payable -= amount;
        *self.paid_out.entry(account).or_default() += amount;
        amount
    }

    /// Pending, review, available, in flight, paid out, debt of each partner in each currency; without those that are all 0.
    pub fn balances(&self) -> BTreeMap<(String, &'static str), [i128; 6]> {
        let mut balances: BTreeMap<(String, &'static str), [i128; 6]> = BTreeMap::new();
        for sold in self.sold.values() {
            for commission in sold.commissions.iter().filter(|one| is_held(one.status)) {
                let currency = sold.terms.as_ref().unwrap().0.currency;
                let sheet = balances.entry((commission.partner.clone(), currency)).or_default();
                sheet[usize::from(commission.status == "review")] += commission.here;
            }
        }
        for (account, payable) in &self.payable {
            let sheet = balances.entry(account.clone()).or_default();
            (sheet[2], sheet[5]) = ((*payable).max(0), (-payable).max(0));
        }
        for (account, paid) in &self.paid_out {
            balances.entry(account.clone()).or_default()[4] = *paid;
        }
        balances.retain(|_, sheet| sheet.iter().any(|bucket| *bucket != 0));
        balances
    }
}

impl Commission {
    /// Takes from its bucket; what is not there has paid a debt, and is taken from what the partner can get.
    fn take(&mut self, amount: i128, account: &mut i128) {
        let here = self.here.min(amount);
        self.here -= here;
        *account -= amount - here;
        self.net -= amount;
    }

    fn approve(&mut self, account: &mut i128) {
        *account += self.here;
        (self.here, self.status, self.was_approved) = (0, "approved", true);
    }

    /// N becomes `target`, and the status follows it and the holds.
    fn becomes(&mut self, target: i128, end: &'static str, is_held: bool, account: &mut i128) {
        if self.status == "rejected" {
            return;
        }
        if target < self.net {
            self.take(self.net - target, account);
        }
        let gains = target - self.net;
        self.net = target;
        if is_end(self.status) && target > 0 {
            self.status = match (is_held, self.was_approved) {
                (true, _) => "review",
                (false, true) => "approved",
                (false, false) => "pending",
            };
            // Whatever it comes back to, a debt is paid first.
            let repaid = gains.min((-*account).max(0));
            *account += repaid;
            self.give(gains - repaid, account);
        } else {
            self.give(gains, account);
        }
        if target == 0 && self.status != "paid" {
            self.status = end;
        }
        match (self.status, is_held) {
            ("pending", true) => self.status = "review",
            ("review", false) => self.status = "pending",
            ("approved", true) => {
                *account -= self.net;
                (self.here, self.status) = (self.net, "review");
            }
            _ => {}
        }
    }

    fn give(&mut self, amount: i128, account: &mut i128) {
        if is_held(self.status) {
            self.here += amount;
        } else {
            *account += amount;
        }
    }
}
