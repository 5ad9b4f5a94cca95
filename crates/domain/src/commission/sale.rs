//! A sale becomes a conversion record, and a commission when somebody earns.
use super::decide::Desk;
use super::holds::{SYSTEM, TIME, with};
use super::postings::{Bucket, Legs};
use super::pricing::{NoCommission, Priced, out_of_range};
use super::reversal::status_of;
use super::split::{divided, shares_of};
use super::state::BalanceRow;
use super::{
    CommissionEvent, CommissionEventKind, CommissionStatus, CommissionsEvent, Facets, LineFacets,
    SaleRecorded, Slice, Split, Terms,
};
use crate::attribution::{Decision, SaleKey, Share};
use crate::facts::{CouponRef, Fact, Sale, SaleDetails, SaleLine};
use crate::ids::{CommissionId, EventId, PartnerId, ProgramId, SaleId};
use crate::money::{AmountOutOfRange, Currency, Minor};
use crate::rules::CapScope;

impl Desk<'_> {
    /// A sale, or another conversion, with its decision.
    pub(super) fn sale(&mut self, fact: &Fact, sale: &Sale, decision: Option<&Decision>) {
        let (key, is_sale) = (SaleKey::of(&fact.source, sale), sale.details.kind.is_sale());
        let aliases = if is_sale { &sale.aliases[..] } else { &[] };
        let keeper = self.keeper(&fact.program, &key, aliases);
        if self.row(&fact.program, &keeper).sale.is_some() {
            self.told_again(fact, sale, decision, &key, keeper);
            return;
        }
        self.answers_about = Some(key.clone());
        // The sale keeps its payment under its own id, with all that waited for it under any other.
        self.unite(&fact.program, &key, &key, aliases, &fact.event);
        let (base, base_is_net) = if is_sale { self.base(fact, sale) } else { (Minor::ZERO, false) };
        let shares = decision.map(shares_of).unwrap_or_default();
        let (partner, reason) = match decision.map(|decision| &decision.outcome) {
            Some(Ok((partner, _))) => (Some(first_of(&shares, partner)), String::new()),
            Some(Err(reason)) => (None, reason.clone()),
            None => (None, "undecided".to_owned()),
        };
        let recorded = SaleRecorded {
            id: SaleId::derive(&fact.program, &key.source, &key.external_id),
            program: fact.program.clone(),
            sale: key,
            event: fact.event.clone(),
            currency: sale.currency,
            gross: if is_sale { sale.gross } else { Minor::ZERO },
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
            shares,
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
        let is_sale = sale.details.kind.is_sale();
        if is_sale && self.unite(&fact.program, &keeper, named, &sale.aliases, &fact.event) {
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
        let shares = shares_of(decision);
        let recorded = SaleRecorded {
            partner: Some(first_of(&shares, partner)),
            shares,
            reason: String::new(),
            customer: decision.customer.or(known.customer),
            late: true,
            ..known.clone()
        };
        // A customer who was known then had this purchase counted then.
        let purchase = recorded.purchase.or_else(|| self.purchase(&recorded));
        self.record(SaleRecorded { purchase, ..recorded }, cause);
    }

    /// Records the sale, its commissions, and what waited for it.
    fn record(&mut self, mut recorded: SaleRecorded, cause: &EventId) {
        let (program, key) = (recorded.program.clone(), recorded.sale.clone());
        let created = match &recorded.partner {
            Some(partner) => match self.created(&recorded, partner, cause) {
                Ok(events) => events,
                Err(reason) => {
                    reason.clone_into(&mut recorded.reason);
                    Vec::new()
                }
            },
            None => Vec::new(),
        };
        let parked = if recorded.late { Vec::new() } else { self.parked(&recorded) };
        let has_reversals = !self.row(&program, &key).reversals.is_empty();
        let has_commission = !created.is_empty();
        self.emit(CommissionsEvent::Sale(recorded));
        created.into_iter().for_each(|event| self.emit(CommissionsEvent::Commission(event)));
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

    /// The commission of a new sale, or one for each part of a split.
    fn created(
        &mut self,
        recorded: &SaleRecorded,
        partner: &PartnerId,
        cause: &EventId,
    ) -> Result<Vec<CommissionEvent>, NoCommission> {
        if recorded.shares.is_empty() {
            let priced = self.priced(recorded, partner)?;
            return Ok(vec![self.part(recorded, partner, 0, priced, cause)?]);
        }
        let Priced { terms, gross: whole, currency, caps } = self.priced(recorded, partner)?;
        let weights: Vec<u32> = recorded.shares.iter().map(|share| share.weight).collect();
        let parts = divided(whole, whole, &weights).map_err(out_of_range)?;
        let uncapped = divided(terms.uncapped, terms.uncapped, &weights).map_err(out_of_range)?;
        let (mut created, mut why) = (Vec::new(), "commission_zero");
        for (place, (share, (gross, uncapped))) in
            recorded.shares.iter().zip(parts.into_iter().zip(uncapped)).enumerate()
        {
            let place = u32::try_from(place).map_err(|_| "amount_out_of_range")?;
            let split = Some(Split { part: place, weights: weights.clone(), whole });
            let terms = Terms { split, uncapped, ..terms.clone() };
            let part = Priced { terms, gross, currency, caps: caps.clone() };
            match self.part(recorded, &share.partner, place, part, cause) {
                Ok(event) => created.push(event),
                Err(reason) => why = reason,
            }
        }
        if created.is_empty() { Err(why) } else { Ok(created) }
    }

    /// One partner's commission: a part, or the whole. What a partner may not have is not given to the others.
    fn part(
        &mut self,
        recorded: &SaleRecorded,
        partner: &PartnerId,
        place: u32,
        priced: Priced,
        cause: &EventId,
    ) -> Result<CommissionEvent, NoCommission> {
        if !self.book().partner(&recorded.program, partner).active {
            return Err("partner_inactive");
        }
        if priced.gross <= Minor::ZERO {
            return Err("commission_zero");
        }
        let currency = priced.currency;
        let caps = priced.caps_of(recorded, partner);
        let gross = self.capped(recorded, &caps, CapScope::is_of_partner, priced.gross)?;
        let terms = Terms { caps, ..priced.terms };
        self.can_be_granted(&recorded.program, partner, currency, gross)?;
        let holds = with(&self.holds_of_new(recorded), &[TIME.to_owned()]);
        let status = status_of(&holds, CommissionStatus::Pending);
        let mut legs = Legs::new(currency, BalanceRow::default());
        legs.expense(gross.negated().map_err(out_of_range)?);
        legs.give(Bucket::of(status), gross).map_err(out_of_range)?;
        Ok(CommissionEvent {
            id: CommissionId::derive(&recorded.id, partner, place),
            program: recorded.program.clone(),
            partner: partner.clone(),
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
            payout: None,
        })
    }

    /// Some later sum of a partner that would not fit is refused here, so that nothing later can overflow.
    pub(super) fn can_be_granted(
        &mut self,
        program: &ProgramId,
        partner: &PartnerId,
        currency: Currency,
        gross: Minor,
    ) -> Result<(), NoCommission> {
        let granted = self.balance(program, partner, currency).granted;
        let after = granted.saturating_add(i128::from(gross.0).saturating_abs());
        if after > i128::from(i64::MAX) { Err(out_of_range(AmountOutOfRange)) } else { Ok(()) }
    }
}

/// The partner whose rules price the sale: the first share's.
fn first_of(shares: &[Share], partner: &PartnerId) -> PartnerId {
    shares.first().map_or(partner, |share| &share.partner).clone()
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
        // Who earns which part is attribution's answer by now.
        details: SaleDetails { shares: Vec::new(), ..sale.details.clone() },
        lines: if sale.lines.iter().any(says) { lines.collect() } else { Vec::new() },
    }
}
