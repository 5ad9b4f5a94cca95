//! Which ids name one payment. Providers tell a payment by several (a charge, its payment intent, an invoice), and say which
//! belong together at any time: with the sale, with a refund, or on their own, before or after either.
use super::decide::{After, Change, Desk};
use super::holds::SYSTEM;
use super::postings::Bucket;
use super::reversal::result_of;
use super::state::ReversalRow;
use super::{
    CommissionEvent, CommissionEventKind, CommissionStatus, CommissionsEvent, ReversalRecorded, SaleLinked,
};
use crate::attribution::SaleKey;
use crate::facts::Fact;
use crate::ids::{EventId, ProgramId};
use crate::money::{AmountOutOfRange, Minor};

impl Desk<'_> {
    /// Other ids of a payment, on their own.
    pub(super) fn link(&mut self, fact: &Fact, external_id: &str, aliases: &[String]) {
        let named = SaleKey { source: fact.source.clone(), external_id: external_id.to_owned() };
        let root = self.payment(fact, &named, aliases);
        self.answers_about.get_or_insert(root);
    }

    /// The name that keeps the payment that all these name, after they have become one. With that, its commission has all
    /// that was known under any of them.
    pub(super) fn payment(&mut self, fact: &Fact, named: &SaleKey, aliases: &[String]) -> SaleKey {
        let root = self.keeper(&fact.program, named, aliases);
        if self.unite(&fact.program, &root, named, aliases, &fact.event) {
            self.settle(&fact.program, &root, &fact.event, None);
        }
        root
    }

    /// The name that keeps the payment, or would: of names that are sales already the one that has a commission, then the
    /// first recorded; otherwise the first one known.
    pub(super) fn keeper(&mut self, program: &ProgramId, named: &SaleKey, aliases: &[String]) -> SaleKey {
        let first = self.book().root(program, named);
        if aliases.is_empty() {
            return first;
        }
        let mut best = None;
        for alias in aliases.iter().filter(|alias| !alias.is_empty()) {
            let root = self.book().root(program, &named.named(alias));
            for root in [&first, &root] {
                let row = self.row(program, root);
                let rank = (
                    row.sale.is_none(),
                    row.commissions.is_empty(),
                    row.sale.as_ref().map(|sale| (sale.recorded_at, sale.id.clone())),
                    row.names.is_empty() && row.reversals.is_empty(),
                );
                if best.as_ref().is_none_or(|(least, _)| rank < *least) {
                    best = Some((rank, root.clone()));
                }
            }
        }
        best.map_or(first, |(_, root)| root)
    }

    /// Records that these names belong to `root`, unless all that is known; whether `root` has more reversals now.
    pub(super) fn unite(
        &mut self,
        program: &ProgramId,
        root: &SaleKey,
        named: &SaleKey,
        aliases: &[String],
        event: &EventId,
    ) -> bool {
        let (mut news, mut others): (Vec<String>, Vec<SaleKey>) = (Vec::new(), Vec::new());
        let own = self.book().root(program, root);
        if own != *root {
            // A sale whose id was known before it: from now on it keeps the payment itself.
            others.push(own);
        }
        let names = std::iter::once(&named.external_id).chain(aliases);
        for name in names.filter(|name| !name.is_empty() && **name != root.external_id) {
            let kept_by = self.book().root(program, &named.named(name));
            if kept_by != *root && !news.contains(name) {
                news.push(name.clone());
                if !others.contains(&kept_by) {
                    others.push(kept_by);
                }
            }
        }
        if others.is_empty() {
            return false;
        }
        let mut moved = Vec::new();
        for other in &others {
            moved.extend(self.row(program, other).reversals.iter().cloned());
            self.same_payment(program, other, root, event);
        }
        self.emit(CommissionsEvent::Link(SaleLinked {
            program: program.clone(),
            sale: root.clone(),
            aliases: news,
            event: event.clone(),
        }));
        self.joined(program, root, &moved);
        !moved.is_empty()
    }

    /// Two recorded sales turn out to be one payment: it is owed once. The commissions that stay are `root`'s.
    fn same_payment(&mut self, program: &ProgramId, twin: &SaleKey, root: &SaleKey, cause: &EventId) {
        let Some(kept) = self.row(program, root).sale.as_ref().map(|sale| sale.id.clone()) else { return };
        for id in self.row(program, twin).ids() {
            let row = self.row(program, twin);
            let Some(change) = Change::of(program, twin, row, &id, Some(cause)) else { continue };
            if change.status.is_unpaid()
                && let Ok(rejected) = self.rejection(change, format!("same_payment:{kept}"), SYSTEM)
            {
                self.emit(CommissionsEvent::Commission(rejected));
            }
        }
    }

    /// Takes all of a commission back for good.
    pub(super) fn rejection(
        &mut self,
        change: Change,
        reason: String,
        actor: &str,
    ) -> Result<CommissionEvent, AmountOutOfRange> {
        let net = change.net()?;
        let mut legs = change.legs(self);
        legs.expense(net);
        if net < Minor::ZERO {
            legs.give(Bucket::Payable, net.negated()?)?;
        } else {
            legs.take(Bucket::of(change.status), net, change.held)?;
        }
        let after = After {
            status: CommissionStatus::Rejected,
            reversed: change.gross,
            postings: legs.finish(),
            reason,
            actor: actor.to_owned(),
            holds: Vec::new(),
        };
        change.event(CommissionEventKind::Rejected, after)
    }

    /// Says of reversals that were known under another name what becomes of them now.
    fn joined(&mut self, program: &ProgramId, root: &SaleKey, moved: &[ReversalRow]) {
        let row = self.row(program, root);
        let Some(sale) = &row.sale else { return };
        let (key, currency) = (sale.sale.clone(), sale.currency);
        let known: Vec<ReversalRow> = moved.iter().filter_map(|moved| row.reversal(moved)).cloned().collect();
        for reversal in known {
            self.emit(CommissionsEvent::Reversal(again(
                program,
                &key,
                &reversal,
                currency == reversal.currency,
            )));
        }
    }

    /// The reversals that came before their sale, with what becomes of them now.
    pub(super) fn parked(&mut self, recorded: &super::SaleRecorded) -> Vec<ReversalRecorded> {
        let row = self.row(&recorded.program, &recorded.sale);
        let now = |waiting: &ReversalRow| {
            again(&recorded.program, &recorded.sale, waiting, recorded.currency == waiting.currency)
        };
        row.reversals.iter().map(now).collect()
    }
}

fn again(program: &ProgramId, sale: &SaleKey, known: &ReversalRow, same_currency: bool) -> ReversalRecorded {
    ReversalRecorded {
        program: program.clone(),
        sale: sale.clone(),
        object_id: known.object_id.clone(),
        event: known.event.clone(),
        family: known.family,
        state: known.state,
        currency: known.currency,
        gross: known.gross,
        net: known.net,
        lines: known.lines.clone(),
        result: result_of(Some(same_currency)),
    }
}
