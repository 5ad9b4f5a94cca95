//! What a sale pays: its rules' terms, frozen, and G under the caps.
use super::decide::Desk;
use super::rulebook::{CustomerRow, case};
use super::state::TotalsRow;
use super::{CapUse, FlatTerms, Origin, Purchase, SaleRecorded, Slice, Terms};
use crate::attribution::Share;
use crate::config::{Reward, Rule};
use crate::ids::PartnerId;
use crate::money::{AmountOutOfRange, Currency, Minor, RatePpm, rate_of_sum};
use crate::rules::{Cap, CapScope, Metric, Period, RuleRef, Selection, Tiers};
use std::collections::BTreeMap;

/// Why a sale has a partner and no commission.
pub(super) type NoCommission = &'static str;

/// A commission before it exists: the whole of a sale, before caps on single partners.
#[derive(Debug, Clone)]
pub(super) struct Priced {
    pub(super) terms: Terms,
    /// G.
    pub(super) gross: Minor,
    pub(super) currency: Currency,
    pub(super) caps: Vec<Cap>,
}

impl Priced {
    /// The caps that a partner's part counts towards.
    pub(super) fn caps_of(&self, recorded: &SaleRecorded, partner: &PartnerId) -> Vec<CapUse> {
        let uses = self.caps.iter().map(|cap| CapUse {
            rule: self.terms.rule.clone(),
            scope: cap.scope,
            of: match (cap.scope, recorded.customer) {
                (CapScope::Program, _) => String::new(),
                (CapScope::Partner, _) => partner.as_str().to_owned(),
                (CapScope::Customer, Some(customer)) => {
                    customer.0.iter().map(|byte| format!("{byte:02x}")).collect()
                }
                // Nobody is known: a customer of its own.
                (CapScope::Customer, None) => recorded.id.0.clone(),
            },
            period: cap.period,
            number: cap.period.number(recorded.occurred_at),
            limit: cap.limit,
        });
        uses.collect()
    }
}

impl Desk<'_> {
    /// Which of the customer's purchases a sale is, by the log so far; what is none stands where the next one would.
    pub(super) fn purchase(&mut self, sale: &SaleRecorded) -> Option<Purchase> {
        let customer = sale.customer?;
        let CustomerRow { first_purchase_at, payments } = *self.book().customer(&sale.program, customer);
        Some(Purchase {
            number: payments.saturating_add(1),
            first_at: if payments == 0 { sale.occurred_at } else { first_purchase_at },
        })
    }

    /// The terms of this moment, frozen, and what they come to. The rules are chosen for `partner`, the first of several.
    pub(super) fn priced(
        &mut self,
        recorded: &SaleRecorded,
        partner: &PartnerId,
    ) -> Result<Priced, NoCommission> {
        let clock = self.clock;
        let known = self.book().partner(&recorded.program, partner);
        let earns = |share: &Share| self.book().partner(&recorded.program, &share.partner).active;
        if !known.active && !recorded.shares.iter().any(earns) {
            return Err("partner_inactive");
        }
        let settings = self.book().program(&recorded.program).settings.ok_or("no_program")?;
        let case = case(recorded, partner, &known.group);
        let (selection, rules) = self.book().choose(&recorded.program, &case);
        let first = selection.first().and_then(|place| rules.get(&place));
        let first = first.ok_or(if rules.is_empty() { "no_rule" } else { "no_rule_applies" })?;
        let flat = match first.reward {
            Reward::Flat { amount, currency, on_refund } if takes_all(first) => {
                Some(FlatTerms { amount, currency, on_refund })
            }
            _ => None,
        };
        let slices = match flat {
            Some(_) => recorded.slices.clone(),
            None => self.sliced(recorded, partner, &selection, &rules, first)?,
        };
        let (uncapped, currency) = match flat {
            // Nothing was sold: nothing is left of it either, whatever a sale earns.
            Some(_) if recorded.base <= Minor::ZERO && recorded.facets.details.kind.is_sale() => {
                return Err("commission_zero");
            }
            Some(flat) => (flat.amount, flat.currency),
            None => {
                let parts = slices.iter().map(|slice| (slice.base, slice.rate));
                (rate_of_sum(parts, settings.rounding).map_err(out_of_range)?, recorded.currency)
            }
        };
        if uncapped <= Minor::ZERO {
            return Err("commission_zero");
        }
        let caps = first.clauses.caps.iter().filter(|cap| cap.limit.currency == currency).copied();
        let caps: Vec<Cap> = caps.collect();
        let terms = Terms {
            rule: first.rule.clone(),
            rule_version: first.version,
            rounding: settings.rounding,
            slices,
            hold_until: settings.hold_until(recorded.occurred_at, recorded.recorded_at, clock),
            manual_approval: settings.manual_approval || recorded.facets.details.publishable,
            flat,
            caps: Vec::new(),
            uncapped,
            considered: selection.considered,
            considered_more: u32::try_from(selection.more).unwrap_or(u32::MAX),
            split: None,
            origin: Origin::Conversion,
        };
        let mut priced = Priced { terms, gross: uncapped, currency, caps };
        let shared = priced.caps_of(recorded, partner);
        priced.gross = self.capped(recorded, &shared, |scope| !scope.is_of_partner(), uncapped)?;
        Ok(priced)
    }

    /// The base of each line with its rule's rate, and divided among the bands of a tier where the rule says so.
    fn sliced(
        &mut self,
        recorded: &SaleRecorded,
        partner: &PartnerId,
        selection: &Selection,
        rules: &BTreeMap<usize, Rule>,
        first: &Rule,
    ) -> Result<Vec<Slice>, NoCommission> {
        // Of a sale whose lines say less than all, the first rule pays for the whole.
        let by_line = selection.lines.len() == recorded.slices.len();
        // How far lines before this one went into a rule's bands.
        let mut gone: BTreeMap<&str, i128> = BTreeMap::new();
        let mut slices = Vec::with_capacity(recorded.slices.len());
        for (place, slice) in recorded.slices.iter().enumerate() {
            let winner =
                if by_line { selection.lines.get(place).copied().flatten() } else { selection.first() };
            let rule = winner.and_then(|winner| rules.get(&winner));
            let named = rule
                .filter(|rule| rule.rule != first.rule)
                .map(|rule| RuleRef { rule: rule.rule.clone(), version: rule.version });
            let parts = match rule {
                None => vec![(slice.base, RatePpm::default())],
                Some(rule) => {
                    let gone = gone.entry(rule.rule.as_str()).or_default();
                    let before = *gone;
                    *gone = gone.saturating_add(i128::from(slice.base.0));
                    self.parts_of(recorded, partner, rule, slice.base, before)?
                }
            };
            for (index, (base, rate)) in parts.into_iter().enumerate() {
                slices.push(Slice {
                    line_id: slice.line_id.clone(),
                    base,
                    rate,
                    rule: named.clone(),
                    higher_band: index > 0,
                });
            }
        }
        Ok(slices)
    }

    /// A line's base with the rates that a rule pays for it.
    fn parts_of(
        &mut self,
        recorded: &SaleRecorded,
        partner: &PartnerId,
        rule: &Rule,
        base: Minor,
        gone: i128,
    ) -> Result<Vec<(Minor, RatePpm)>, NoCommission> {
        let rate = match (&rule.tiers, rule.reward) {
            (Some(tiers), _) => {
                let before = self.total(recorded, partner, tiers);
                if tiers.marginal {
                    return tiers.divided(before.saturating_add(gone), base).map_err(out_of_range);
                }
                let here = if tiers.prior { 0 } else { self.counts(recorded, tiers.metric) };
                tiers.reached(before.saturating_add(here))
            }
            (None, Reward::Percent(rate)) => rate,
            // Of 0: it excludes its lines. Above 0 it takes all lines or none.
            (None, Reward::Flat { .. }) => RatePpm::default(),
        };
        if !rate.is_valid() {
            return Err("rate_out_of_range");
        }
        Ok(vec![(base, rate)])
    }

    /// What the partner has brought in the tiers' period before this sale.
    fn total(&mut self, recorded: &SaleRecorded, partner: &PartnerId, tiers: &Tiers) -> i128 {
        let month = Period::Month.number(recorded.occurred_at);
        let number = tiers.period.number(recorded.occurred_at).saturating_sub(i64::from(tiers.prior));
        let (first, last) = match tiers.period {
            Period::Quarter => (number.saturating_mul(3), number.saturating_mul(3).saturating_add(2)),
            Period::Year => (number.saturating_mul(12), number.saturating_mul(12).saturating_add(11)),
            Period::Ever => (i64::MIN, i64::MAX.saturating_sub(1)),
            Period::Day | Period::Week | Period::Month if tiers.prior => {
                (month.saturating_sub(1), month.saturating_sub(1))
            }
            Period::Day | Period::Week | Period::Month => (month, month),
        };
        let TotalsRow { count, volume, revenue } =
            self.book().brought(&recorded.program, partner, first, last);
        match tiers.metric {
            Metric::Count => count,
            Metric::Volume => volume,
            Metric::Revenue => revenue,
        }
    }

    /// What this sale adds to a total.
    fn counts(&mut self, recorded: &SaleRecorded, metric: Metric) -> i128 {
        let settings = self.book().program(&recorded.program).settings;
        let in_currency = settings.is_some_and(|settings| settings.currency == recorded.currency);
        match metric {
            Metric::Count => 1,
            Metric::Volume if in_currency => i128::from(recorded.gross.0),
            Metric::Revenue if in_currency => i128::from(recorded.base.0),
            Metric::Volume | Metric::Revenue => 0,
        }
    }

    /// At most what each cap of some scopes leaves.
    pub(super) fn capped(
        &mut self,
        recorded: &SaleRecorded,
        caps: &[CapUse],
        which: impl Fn(CapScope) -> bool,
        uncapped: Minor,
    ) -> Result<Minor, NoCommission> {
        let mut gross = i128::from(uncapped.0);
        for cap in caps.iter().filter(|cap| which(cap.scope)) {
            let used = *self.book().used(&recorded.program, cap);
            gross = gross.min(i128::from(cap.limit.amount.0).saturating_sub(used));
        }
        if gross <= 0 {
            return Err("cap_exhausted");
        }
        Minor::try_from(gross).map_err(out_of_range)
    }
}

/// A rule that pays one amount, whatever was bought.
pub(super) fn takes_all(rule: &Rule) -> bool {
    rule.tiers.is_none() && matches!(rule.reward, Reward::Flat { amount, .. } if amount > Minor::ZERO)
}

pub(super) const fn out_of_range(_: AmountOutOfRange) -> NoCommission {
    "amount_out_of_range"
}
