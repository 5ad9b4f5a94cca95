//! The fold, on typed rows: `decide` looks ahead with it inside one frame, `evolve` writes what it changed.
use super::payout::{Holder, PayoutRows, Purse};
use super::reprice::{self, Counted};
use super::rule_index::Entry;
use super::rulebook::{CustomerRow, RuleRow};
use super::state::{
    BalanceRow, CommissionRow, PartnerRow, ProgramRow, SaleRow, Settings, TotalsRow, balance_key, cap_key,
    commission_key, customer_key, ended_key, partner_key, program_key, sale_key, started_key, totals_key,
};
use super::{
    Account, CapUse, CommissionEvent, CommissionEventKind, CommissionsEvent, ReversalRecorded, SaleLinked,
    SaleRecorded, SubscriptionOver,
};
use crate::attribution::SaleKey;
use crate::config::{ConfigFact, ConfigObject};
use crate::ids::{PartnerId, ProgramId, SourceName, SubjectId};
use crate::money::{Currency, Minor};
use crate::rules::Period;
use crate::tables::{Key, View, decode, row};
use crate::time::Micros;
use std::collections::BTreeMap;

/// Months that a range of totals reads: eight centuries.
const MOST_MONTHS: usize = 10_000;

/// Rows as they are after the events applied so far. Each is decoded once.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) programs: BTreeMap<Vec<u8>, ProgramRow>,
    pub(super) partners: BTreeMap<Vec<u8>, PartnerRow>,
    pub(super) rules: BTreeMap<Vec<u8>, RuleRow>,
    /// `None`: it no longer stands there.
    pub(super) rules_under: BTreeMap<Vec<u8>, Option<Entry>>,
    pub(super) customers: BTreeMap<Vec<u8>, CustomerRow>,
    pub(super) started: BTreeMap<Vec<u8>, Micros>,
    pub(super) totals: BTreeMap<Vec<u8>, TotalsRow>,
    pub(super) caps: BTreeMap<Vec<u8>, i128>,
    pub(super) sales: BTreeMap<Vec<u8>, SaleRow>,
    pub(super) balances: BTreeMap<Vec<u8>, BalanceRow>,
    pub(super) ended: BTreeMap<Vec<u8>, Micros>,
    pub(super) payout: PayoutRows,
}

/// A view, and what was applied on top of it.
pub(super) struct Book<'view> {
    pub(super) view: &'view dyn View,
    pub(super) rows: Rows,
}

/// What indexes have of a commission, before and after an event.
pub(super) struct Moved<T> {
    pub(super) before: Option<T>,
    pub(super) after: Option<T>,
}

/// What an event changed for the indexes.
pub(super) struct Indexed {
    /// When a tick may approve something of the sale.
    pub(super) due: Moved<Micros>,
    /// Where it stands among those of its partner that can be held.
    pub(super) holdable: Moved<Key>,
}

impl<'view> Book<'view> {
    pub(super) fn new(view: &'view dyn View) -> Self {
        Self { view, rows: Rows::default() }
    }

    pub(super) fn program(&mut self, program: &ProgramId) -> &mut ProgramRow {
        cached(self.view, &mut self.rows.programs, program_key(program).bytes())
    }

    pub(super) fn sale(&mut self, program: &ProgramId, sale: &SaleKey) -> &mut SaleRow {
        cached(self.view, &mut self.rows.sales, sale_key(program, sale).bytes())
    }

    pub(super) fn balance(
        &mut self,
        program: &ProgramId,
        partner: &PartnerId,
        currency: Currency,
    ) -> &mut BalanceRow {
        cached(self.view, &mut self.rows.balances, balance_key(program, partner, currency).bytes())
    }

    /// What is known of a partner. One that was never described earns: codes and coupons name partners too.
    pub(super) fn partner(&self, program: &ProgramId, partner: &PartnerId) -> PartnerRow {
        let key = partner_key(program, partner);
        let known = self.rows.partners.get(key.bytes()).cloned().or_else(|| row(self.view, key.bytes()));
        known.unwrap_or(PartnerRow { active: true, group: String::new() })
    }

    pub(super) fn rule(&mut self, key: &[u8]) -> &mut RuleRow {
        cached(self.view, &mut self.rows.rules, key)
    }

    /// What a customer bought before, by the log.
    pub(super) fn customer(&mut self, program: &ProgramId, customer: SubjectId) -> &mut CustomerRow {
        cached(self.view, &mut self.rows.customers, customer_key(program, customer).bytes())
    }

    /// When the sale's subscription was first paid for, if it was.
    pub(super) fn started(&self, sale: &SaleRecorded) -> Option<Micros> {
        if sale.subscription_id.is_empty() {
            return None;
        }
        let key = started_key(&sale.program, &sale.sale.source, &sale.subscription_id);
        self.rows.started.get(key.bytes()).copied().or_else(|| row(self.view, key.bytes()))
    }

    /// What the partner brought in some calendar months, the first and the last included.
    pub(super) fn brought(
        &self,
        program: &ProgramId,
        partner: &PartnerId,
        first: i64,
        last: i64,
    ) -> TotalsRow {
        let of = |month: i64| totals_key(program, partner).number(month);
        let (start, end) = (of(first), of(last.saturating_add(1)));
        let mut months: BTreeMap<Vec<u8>, TotalsRow> = self
            .view
            .range(start.bytes(), end.bytes(), MOST_MONTHS)
            .into_iter()
            .map(|(key, value)| (key.to_vec(), decode(&value)))
            .collect();
        let here = self.rows.totals.range(start.bytes().to_vec()..end.bytes().to_vec());
        months.extend(here.map(|(key, row)| (key.clone(), *row)));
        months.into_values().fold(TotalsRow::default(), TotalsRow::and)
    }

    /// What counts towards a cap so far.
    pub(super) fn used(&mut self, program: &ProgramId, cap: &CapUse) -> &mut i128 {
        cached(self.view, &mut self.rows.caps, cap_key(program, cap).bytes())
    }

    pub(super) fn config(&mut self, fact: &ConfigFact, clock: Micros) {
        match &fact.object {
            ConfigObject::Program(program) => {
                self.program(&fact.program).settings = (!fact.removed).then_some(Settings {
                    profile: program.profile,
                    currency: program.currency,
                    rounding: program.rounding,
                    hold_days: program.hold_days,
                    release: program.release,
                    manual_approval: program.manual_approval,
                });
            }
            ConfigObject::Rule(rule) => self.rule_changed(&fact.program, rule, fact.removed),
            ConfigObject::Partner(partner) => {
                let key = partner_key(&fact.program, &partner.partner);
                let row =
                    PartnerRow { active: partner.active && !fact.removed, group: partner.group.clone() };
                self.rows.partners.insert(key.bytes().to_vec(), row);
            }
            ConfigObject::PayoutTerms(terms) => self.terms_changed(fact, terms, clock),
            _ => {}
        }
    }

    pub(super) fn recorded(&mut self, recorded: &SaleRecorded) {
        let row = self.sale(&recorded.program, &recorded.sale);
        if !recorded.late && row.sale.is_some() {
            return;
        }
        let known = row.sale.replace(recorded.clone());
        if !recorded.facets.details.kind.is_sale() {
            // No purchase of the customer, and nothing that tiers count.
            return;
        }
        let had =
            |known: fn(&SaleRecorded) -> bool, sale: &Option<SaleRecorded>| sale.as_ref().is_some_and(known);
        if let Some(customer) = recorded.customer.filter(|_| !had(|sale| sale.customer.is_some(), &known)) {
            let row = self.customer(&recorded.program, customer);
            if row.payments == 0 {
                row.first_purchase_at = recorded.occurred_at;
            }
            row.payments = row.payments.saturating_add(1);
        }
        if known.is_none() && !recorded.subscription_id.is_empty() && self.started(recorded).is_none() {
            let key = started_key(&recorded.program, &recorded.sale.source, &recorded.subscription_id);
            self.rows.started.insert(key.bytes().to_vec(), recorded.occurred_at);
        }
        if let Some(partner) =
            recorded.partner.as_ref().filter(|_| !had(|sale| sale.partner.is_some(), &known))
        {
            self.brings(recorded, partner);
        }
    }

    /// Counts a sale for its partner.
    fn brings(&mut self, recorded: &SaleRecorded, partner: &PartnerId) {
        let settings = self.program(&recorded.program).settings;
        let counts = settings.is_some_and(|settings| settings.currency == recorded.currency);
        let month = Period::Month.number(recorded.occurred_at);
        let key = totals_key(&recorded.program, partner).number(month);
        let row = cached(self.view, &mut self.rows.totals, key.bytes());
        let amount = |amount: Minor| if counts { i128::from(amount.0) } else { 0 };
        *row =
            row.and(TotalsRow { count: 1, volume: amount(recorded.gross), revenue: amount(recorded.base) });
    }

    /// Adds a reversal to its payment; whether it says anything new.
    pub(super) fn reversed(&mut self, recorded: &ReversalRecorded) -> bool {
        self.sale(&recorded.program, &recorded.sale).keep(recorded.into())
    }

    /// Makes the names of a link one payment: one keeps the row, the others point to it.
    pub(super) fn linked(&mut self, link: &SaleLinked) {
        if let Some(kept_by) = self.sale(&link.program, &link.sale).root.take() {
            self.absorb(&link.program, &link.sale, kept_by);
        }
        for alias in &link.aliases {
            let key = link.sale.named(alias);
            let kept_by = self.sale(&link.program, &key).root.clone().unwrap_or(key.external_id);
            if kept_by != link.sale.external_id {
                self.absorb(&link.program, &link.sale, kept_by);
            }
        }
    }

    /// Moves what `from` keeps, and all names that point to it, to `into`.
    fn absorb(&mut self, program: &ProgramId, into: &SaleKey, from: String) {
        let row = self.sale(program, &into.named(&from));
        row.root = Some(into.external_id.clone());
        let (mut names, reversals) = (std::mem::take(&mut row.names), std::mem::take(&mut row.reversals));
        names.retain(|name| *name != into.external_id);
        for name in &names {
            self.sale(program, &into.named(name)).root = Some(into.external_id.clone());
        }
        let row = self.sale(program, into);
        row.names.push(from);
        row.names.extend(names);
        for reversal in reversals {
            row.keep(reversal);
        }
    }

    /// The name that keeps the payment of `sale`.
    pub(super) fn root(&mut self, program: &ProgramId, sale: &SaleKey) -> SaleKey {
        match &self.sale(program, sale).root {
            Some(root) => sale.named(root),
            None => sale.clone(),
        }
    }

    /// When a subscription ended, if it has.
    pub(super) fn ended(
        &self,
        program: &ProgramId,
        source: &SourceName,
        subscription: &str,
    ) -> Option<Micros> {
        let key = ended_key(program, source, subscription);
        self.rows.ended.get(key.bytes()).copied().or_else(|| row(self.view, key.bytes()))
    }

    pub(super) fn cancelled(&mut self, over: &SubscriptionOver) {
        let known = self.ended(&over.program, &over.source, &over.subscription_id);
        let key = ended_key(&over.program, &over.source, &over.subscription_id);
        let ended = known.map_or(over.ended_at, |known| known.max(over.ended_at));
        self.rows.ended.insert(key.bytes().to_vec(), ended);
    }

    pub(super) fn changed(&mut self, event: &CommissionEvent, clock: Micros) -> Indexed {
        let row = self.sale(&event.program, &event.sale);
        let before = (row.due(), row.holdable(&event.program, &event.sale, &event.id));
        let stood = row.standing(&event.program, &event.id);
        if let Some(terms) = event.terms.as_ref().filter(|_| reprice::is_new(event)) {
            row.commissions.retain(|known| known.id != event.id);
            row.commissions.push(CommissionRow {
                id: event.id.clone(),
                sale_id: event.sale_id.clone(),
                partner: event.partner.clone(),
                status: event.status,
                created_as: event.status,
                was_approved: false,
                holds: Vec::new(),
                released: Vec::new(),
                by_hand: Vec::new(),
                currency: event.currency,
                gross: event.gross,
                reversed: event.reversed,
                held: Minor::ZERO,
                terms: terms.clone(),
                purse: Purse::default(),
                changed_at: clock,
            });
        }
        let mut counts = Counted::default();
        if let Some(commission) = row.commissions.iter_mut().find(|known| known.id == event.id) {
            commission.remember_holds(event);
            counts = reprice::fold(commission, event);
            commission.holds.clone_from(&event.holds);
            commission.status = event.status;
            commission.reversed = event.reversed;
            commission.was_approved |= event.kind == CommissionEventKind::Approved;
            commission.changed_at = clock;
            commission.purse.follow(event, clock);
            commission.date_payable(clock);
            for posting in &event.postings {
                if matches!(posting.account, Account::Pending | Account::Review) {
                    // Within 0..=G: the legs of one commission.
                    commission.held = Minor(commission.held.0.saturating_add(posting.amount.0));
                }
            }
        }
        let after = (row.due(), row.holdable(&event.program, &event.sale, &event.id));
        let stands = row.standing(&event.program, &event.id);
        if stood != stands {
            let place = (event.sale.clone(), event.id.clone());
            self.stands(&Holder::of(event), place, (stood, stands));
        }
        if event.kind == CommissionEventKind::Created {
            let key = commission_key(&event.id);
            self.rows.payout.places.insert(key.bytes().to_vec(), event.sale.clone());
        }
        for (cap, delta) in counts.caps {
            // Net amounts: what is taken back can be earned again.
            let used = self.used(&event.program, &cap);
            *used = used.saturating_add(i128::from(delta.0));
        }
        if !event.postings.is_empty() || event.gross < Minor::ZERO || counts.granted > 0 {
            let balance = self.balance(&event.program, &event.partner, event.currency);
            event.postings.iter().for_each(|posting| balance.post(posting));
            balance.granted = balance.granted.saturating_add(counts.granted);
            if event.kind == CommissionEventKind::Created {
                let granted = i128::from(event.gross.0).saturating_abs();
                balance.granted = balance.granted.saturating_add(granted);
            }
        }
        Indexed {
            due: Moved { before: before.0, after: after.0 },
            holdable: Moved { before: before.1, after: after.1 },
        }
    }

    /// Applies an event of `decide`'s own frame.
    pub(super) fn apply(&mut self, event: &CommissionsEvent, clock: Micros) {
        match event {
            CommissionsEvent::Config(fact) => self.config(fact, clock),
            CommissionsEvent::Sale(recorded) => self.recorded(recorded),
            CommissionsEvent::Reversal(recorded) => {
                self.reversed(recorded);
            }
            CommissionsEvent::Commission(event) => {
                self.changed(event, clock);
            }
            CommissionsEvent::Link(link) => self.linked(link),
            CommissionsEvent::Cancelled(over) => self.cancelled(over),
            CommissionsEvent::Payout(event) => self.payout_changed(event),
            CommissionsEvent::Rate(recorded) => self.rated(recorded),
            CommissionsEvent::Offset(offset) => self.offset(offset, clock),
            CommissionsEvent::WrittenOff(event) => self.written_off(event, clock),
            CommissionsEvent::Schedule(ran) => self.schedule_ran(ran),
            CommissionsEvent::Answer(_) | CommissionsEvent::Parked(_) => {}
        }
    }
}

fn cached<'rows, T: serde::de::DeserializeOwned + Default>(
    view: &dyn View,
    rows: &'rows mut BTreeMap<Vec<u8>, T>,
    key: &[u8],
) -> &'rows mut T {
    rows.entry(key.to_vec()).or_insert_with(|| row(view, key).unwrap_or_default())
}
