//! A sale becomes a conversion record, and a commission when somebody earns.
use super::decide::Desk;
use super::holds::{SYSTEM, TIME, with};
use super::postings::{Bucket, Legs};
use super::pricing::{NoCommission, Priced, out_of_range};
use super::reversal::status_of;
use super::state::BalanceRow;
use super::{
    CommissionEvent, CommissionEventKind, CommissionStatus, CommissionsEvent, Facets, LineFacets,
    SaleRecorded, Slice,
};
use crate::attribution::{Decision, SaleKey};
use crate::facts::{CouponRef, Fact, Sale, SaleLine};
use crate::ids::{CommissionId, EventId, PartnerId, SaleId};
use crate::money::{AmountOutOfRange, Minor};

impl Desk<'_> {
    /// A sale fact with its decision.
    pub(super) fn sale(&mut self, fact: &Fact, sale: &Sale, decision: Option<&Decision>) {
        let key = SaleKey { source: fact.source.clone(), external_id: sale.external_id.clone() };
        let keeper = self.keeper(&fact.program, &key, &sale.aliases);
        if self.row(&fact.program, &keeper).sale.is_some() {
            self.told_again(fact, sale, decision, &key, keeper);
            return;
        }
        self.answers_about = Some(key.clone());
        // The sale keeps its payment under its own id, with all that waited for it under any other.
        self.unite(&fact.program, &key, &key, &sale.aliases, &fact.event);
        let (base, base_is_net) = self.base(fact, sale);
        let (partner, reason) = match decision.map(|decision| &decision.outcome) {
            Some(Ok((partner, _))) => (Some(partner.clone()), String::new()),
            Some(Err(reason)) => (None, reason.clone()),
            None => (None, "undecided".to_owned()),
        };
        let recorded = SaleRecorded {
            id: SaleId::derive(&fact.program, &key.source, &key.external_id),
            program: fact.program.clone(),
            sale: key,
            event: fact.event.clone(),
            currency: sale.currency,
            gross: sale.gross,
            base,
            base_is_net,
            slices: slices_of(sale, base),
            partner,
            reason,
            customer: decision.and_then(|decision| decision.customer),
            subscription_id: sale.subscription_id.clone(),
            occurred_at: fact.occurred_at,
            recorded_at: self.clock,
            late: false,
            facets: facets_of(sale),
            purchase: None,
            subscription_since: None,
        };
        let recorded = SaleRecorded {
            purchase: self.purchase(&recorded),
            subscription_since: self.book().started(&recorded),
            ..recorded
        };
        self.record(recorded, &fact.event);
    }

    /// The same payment in another state of its source, or under another of its names: the first one counts. What it says
    /// of who earns may still explain it.
    fn told_again(
        &mut self,
        fact: &Fact,
        sale: &Sale,
        decision: Option<&Decision>,
        named: &SaleKey,
        keeper: SaleKey,
    ) {
        if self.unite(&fact.program, &keeper, named, &sale.aliases, &fact.event) {
            self.settle(&fact.program, &keeper, &fact.event, None);
        }
        self.answers_about = Some(keeper);
        if let Some(decision) = decision {
            self.late(decision, &fact.event);
        }
    }

    /// A later link or definition explains a sale that nobody earned. Decided once: a sale with a partner keeps it.
    pub(super) fn late(&mut self, decision: &Decision, cause: &EventId) {
        let Ok((partner, _)) = &decision.outcome else { return };
        let key = self.book().root(&decision.program, &decision.sale);
        let Some(known) = &self.row(&decision.program, &key).sale else { return };
        if known.partner.is_some() {
            return;
        }
        let recorded = SaleRecorded {
            partner: Some(partner.clone()),
            reason: String::new(),
            customer: decision.customer.or(known.customer),
            late: true,
            ..known.clone()
        };
        // A customer who was known then had this purchase counted then.
        let purchase = recorded.purchase.or_else(|| self.purchase(&recorded));
        self.record(SaleRecorded { purchase, ..recorded }, cause);
    }

    /// Records the sale, its commission, and what waited for it.
    fn record(&mut self, mut recorded: SaleRecorded, cause: &EventId) {
        let (program, key) = (recorded.program.clone(), recorded.sale.clone());
        let created = match recorded.partner.clone() {
            Some(partner) => match self.created(&recorded, partner, cause) {
                Ok(event) => Some(event),
                Err(reason) => {
                    reason.clone_into(&mut recorded.reason);
                    None
                }
            },
            None => None,
        };
        let parked = if recorded.late { Vec::new() } else { self.parked(&recorded) };
        let has_reversals = !self.row(&program, &key).reversals.is_empty();
        let has_commission = created.is_some();
        self.emit(CommissionsEvent::Sale(recorded));
        if let Some(event) = created {
            self.emit(CommissionsEvent::Commission(event));
        }
        parked.into_iter().for_each(|reversal| self.emit(CommissionsEvent::Reversal(reversal)));
        if has_commission && has_reversals {
            self.settle(&program, &key, cause, None);
        }
    }

    /// B, and whether it leaves out tax and discount.
    fn base(&mut self, fact: &Fact, sale: &Sale) -> (Minor, bool) {
        let wants_net = self
            .book()
            .program(&fact.program)
            .settings
            .is_some_and(|settings| settings.profile.base_is_net());
        match sale.net {
            Some(net) if wants_net => (net, true),
            _ => (sale.gross, false),
        }
    }

    fn created(
        &mut self,
        recorded: &SaleRecorded,
        partner: PartnerId,
        cause: &EventId,
    ) -> Result<CommissionEvent, NoCommission> {
        let Priced { terms, gross, currency } = self.priced(recorded, &partner)?;
        let balance = self.balance(&recorded.program, &partner, currency);
        if balance.granted.saturating_add(i128::from(gross.0)) > i128::from(i64::MAX) {
            // Some later sum of this partner would not fit: refused here, so that nothing later can overflow.
            return Err(out_of_range(AmountOutOfRange));
        }
        let holds = with(&self.holds_of_new(recorded), &[TIME.to_owned()]);
        let status = status_of(&holds, CommissionStatus::Pending);
        let mut legs = Legs::new(currency, BalanceRow::default());
        legs.expense(gross.negated().map_err(out_of_range)?);
        legs.give(Bucket::of(status), gross).map_err(out_of_range)?;
        Ok(CommissionEvent {
            id: CommissionId::derive(&recorded.id, &partner, 0),
            program: recorded.program.clone(),
            partner,
            sale_id: recorded.id.clone(),
            sale: recorded.sale.clone(),
            kind: CommissionEventKind::Created,
            status,
            currency,
            gross,
            reversed: Minor::ZERO,
            delta: gross,
            postings: legs.finish(),
            cause: Some(cause.clone()),
            reason: String::new(),
            actor: SYSTEM.to_owned(),
            terms: Some(terms),
            holds,
        })
    }
}

/// The base by line where the lines say all of it; otherwise in one piece.
fn slices_of(sale: &Sale, base: Minor) -> Vec<Slice> {
    let mut sum = 0_i128;
    for line in &sale.lines {
        sum = sum.saturating_add(i128::from(line.net.0));
    }
    let by_line = !sale.lines.is_empty()
        && sum == i128::from(base.0)
        && sale.lines.iter().all(|line| line.net >= Minor::ZERO);
    if by_line {
        let slice =
            |line: &SaleLine| Slice { line_id: line.line_id.clone(), base: line.net, ..Slice::default() };
        return sale.lines.iter().map(slice).collect();
    }
    vec![Slice { base, ..Slice::default() }]
}

/// What rules may ask of a sale.
fn facets_of(sale: &Sale) -> Facets {
    let says = |line: &SaleLine| {
        [&line.product_id, &line.price_id, &line.plan, &line.category, &line.product_key]
            .into_iter()
            .any(|text| !text.is_empty())
    };
    let lines = sale.lines.iter().map(|line| LineFacets {
        product: line.product_id.clone(),
        price: line.price_id.clone(),
        plan: line.plan.clone(),
        category: line.category.clone(),
        product_key: line.product_key.clone(),
    });
    Facets {
        recurrence: sale.recurrence,
        coupon: match &sale.coupon {
            Some(CouponRef::Code(text) | CouponRef::ProviderRef(text)) => text.clone(),
            None => String::new(),
        },
        details: sale.details.clone(),
        lines: if sale.lines.iter().any(says) { lines.collect() } else { Vec::new() },
    }
}
