//! Attribution's state: what its own frames say, and nothing else (protocol, rule 5).
//!
//! Rows: the directory (programs, partners, codes, coupons, coupon definitions), the identity graph, and the sales that
//! nobody earned yet but somebody may: each with an entry in its customer's backlog, and in the line of sales that wait for
//! a coupon's definition. A link or a definition puts such a list on the queue; later steps drain the queue.
use super::identity::{self, Together};
use super::touches::{COUPON_UNKNOWN, Claims};
use super::{AttributedEvent, Decision, SaleKey, TouchClass};
use crate::config::{ConfigFact, ConfigObject, Profile};
use crate::facts::{CouponRef, Fact, FactBody, Sale};
use crate::ids::{PartnerId, ProgramId, SourceName, SubjectId};
use crate::normalization::FactsEvent;
use crate::tables::{Tables, View, decode, put_row, row};
use crate::time::Micros;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Keys of all rows.
pub(super) mod keys {
    use crate::attribution::SaleKey;
    use crate::ids::{PartnerId, ProgramId, SourceName, SubjectId};
    use crate::tables::Key;

    fn of(table: u8, program: &ProgramId) -> Key {
        Key::new(table).text(program.as_str())
    }

    pub(in crate::attribution) fn program(program: &ProgramId) -> Key {
        of(b'p', program)
    }

    pub(in crate::attribution) fn partner(program: &ProgramId, partner: &PartnerId) -> Key {
        of(b'n', program).text(partner.as_str())
    }

    pub(in crate::attribution) fn code(program: &ProgramId, code: &str) -> Key {
        of(b'c', program).text(code)
    }

    pub(in crate::attribution) fn coupon(program: &ProgramId, coupon: &str) -> Key {
        of(b'u', program).text(coupon)
    }

    pub(in crate::attribution) fn definition(
        program: &ProgramId,
        source: &SourceName,
        reference: &str,
    ) -> Key {
        of(b'd', program).text(source.as_str()).text(reference)
    }

    pub(in crate::attribution) fn subject(program: &ProgramId, subject: SubjectId) -> Key {
        of(b's', program).raw(&subject.0)
    }

    pub(in crate::attribution) fn open_sale(program: &ProgramId, sale: &SaleKey) -> Key {
        of(b'o', program).text(sale.source.as_str()).text(&sale.external_id)
    }

    pub(in crate::attribution) fn backlog(program: &ProgramId, customer: SubjectId) -> Key {
        of(b'b', program).raw(&customer.0)
    }

    pub(in crate::attribution) fn waiting(program: &ProgramId, source: &SourceName, reference: &str) -> Key {
        of(b'w', program).text(source.as_str()).text(reference)
    }

    pub(in crate::attribution) fn queue() -> Key {
        Key::new(b'q')
    }
}

/// A code or coupon, and whom it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct NameRow {
    partner: PartnerId,
    active: bool,
}

/// A provider's discount object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct DefinitionRow {
    code: String,
    occurred_at: Micros,
}

/// A sale that nobody earned yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OpenSale {
    sale: SaleKey,
    /// The backlog that it is in: the customer's root when it was last moved.
    pub(super) customer: Option<SubjectId>,
    pub(super) claims: Claims,
}

/// A list of open sales that is to be decided again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Queued {
    pub(super) program: ProgramId,
    pub(super) list: List,
}

/// Which list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum List {
    /// A customer's backlog.
    Backlog(SubjectId),
    /// Sales that wait for a coupon's definition.
    Waiting(SourceName, String),
}

impl Queued {
    /// Where its entries are.
    fn entries(&self) -> crate::tables::Key {
        match &self.list {
            List::Backlog(customer) => keys::backlog(&self.program, *customer),
            List::Waiting(source, reference) => keys::waiting(&self.program, source, reference),
        }
    }

    fn key(&self) -> Vec<u8> {
        [keys::queue().bytes(), self.entries().bytes()].concat()
    }

    /// The keys of up to `limit` of its sales.
    pub(super) fn sales(&self, view: &(impl View + ?Sized), limit: usize) -> Vec<SaleKey> {
        let entries = self.entries();
        let rows = view.range(entries.bytes(), &entries.end(), limit);
        rows.iter().map(|(_, value)| decode(value)).collect()
    }
}

/// Whom a code or coupon names.
pub(super) enum Named {
    Nobody,
    Inactive(PartnerId),
    Earns(PartnerId),
}

/// Configuration as attribution knows it.
pub(super) struct Directory<'view, V: ?Sized> {
    pub(super) view: &'view V,
    pub(super) program: &'view ProgramId,
}

impl<V: View + ?Sized> Directory<'_, V> {
    pub(super) fn code_beats_binding(&self) -> bool {
        let profile: Option<Profile> = row(self.view, keys::program(self.program).bytes());
        profile.unwrap_or(Profile::Native).code_beats_binding()
    }

    pub(super) fn partner_earns(&self, partner: &PartnerId) -> bool {
        row(self.view, keys::partner(self.program, partner).bytes()) == Some(true)
    }

    /// Whether there is such a partner, active or not.
    pub(super) fn has_partner(&self, partner: &PartnerId) -> bool {
        self.view.get(keys::partner(self.program, partner).bytes()).is_some()
    }

    /// Whom an active code names, active or not.
    pub(super) fn partner_of_code(&self, code: &str) -> Option<PartnerId> {
        let name: NameRow = row(self.view, keys::code(self.program, code).bytes())?;
        (name.active && self.has_partner(&name.partner)).then_some(name.partner)
    }

    fn named(&self, key: &[u8]) -> Named {
        match row::<NameRow>(self.view, key) {
            None => Named::Nobody,
            Some(name) if name.active && self.partner_earns(&name.partner) => Named::Earns(name.partner),
            Some(name) => Named::Inactive(name.partner),
        }
    }

    pub(super) fn code(&self, code: &str) -> Named {
        self.named(keys::code(self.program, code).bytes())
    }

    pub(super) fn coupon(&self, coupon: &str) -> Named {
        self.named(keys::coupon(self.program, coupon).bytes())
    }

    /// The text of a provider's discount object, once it was defined.
    pub(super) fn coupon_text(&self, source: &SourceName, reference: &str) -> Option<String> {
        let key = keys::definition(self.program, source, reference);
        row::<DefinitionRow>(self.view, key.bytes()).map(|definition| definition.code)
    }
}

/// An open sale.
pub(super) fn open_sale(
    view: &(impl View + ?Sized),
    program: &ProgramId,
    sale: &SaleKey,
) -> Option<OpenSale> {
    row(view, keys::open_sale(program, sale).bytes())
}

/// The first list on the queue.
pub(super) fn first_queued(view: &(impl View + ?Sized)) -> Option<Queued> {
    let queue = keys::queue();
    view.range(queue.bytes(), &queue.end(), 1).first().map(|(_, value)| decode(value))
}

/// Folds one accepted frame of `attributed`: frame number `seq`.
pub fn evolve(tables: &mut dyn Tables, seq: u64, events: &[AttributedEvent]) {
    for (place, event) in events.iter().enumerate() {
        evolve_one(tables, (seq, u32::try_from(place).unwrap_or(u32::MAX)), event);
    }
}

/// Folds one event, in place `order` of the history.
pub(super) fn evolve_one(tables: &mut (impl Tables + ?Sized), order: (u64, u32), event: &AttributedEvent) {
    match event {
        AttributedEvent::Passed { event: FactsEvent::Config(fact), .. } => fold_config(tables, fact),
        AttributedEvent::Passed { event: FactsEvent::Fact(fact), decision, .. } => {
            fold_fact(tables, order, fact, decision.as_ref());
        }
        AttributedEvent::Passed { .. } => {}
        AttributedEvent::Late { decision, .. } => {
            close(tables, &decision.program, &decision.sale);
            fold_binding(tables, order, decision);
        }
    }
}

fn fold_config(tables: &mut (impl Tables + ?Sized), fact: &ConfigFact) {
    let program = &fact.program;
    let (key, value) = match &fact.object {
        ConfigObject::Program(object) => (keys::program(program), postcard::to_allocvec(&object.profile)),
        ConfigObject::Partner(object) => {
            (keys::partner(program, &object.partner), postcard::to_allocvec(&object.active))
        }
        ConfigObject::Code(object) => {
            let name = NameRow { partner: object.partner.clone(), active: object.active };
            (keys::code(program, &object.code), postcard::to_allocvec(&name))
        }
        ConfigObject::Coupon(object) => {
            let name = NameRow { partner: object.partner.clone(), active: object.active };
            (keys::coupon(program, &object.coupon), postcard::to_allocvec(&name))
        }
        ConfigObject::Rule(_)
        | ConfigObject::ApiKey(_)
        | ConfigObject::Endpoint(_)
        | ConfigObject::Account(_)
        | ConfigObject::PayoutTerms(_) => return,
    };
    #[allow(clippy::expect_used, reason = "plain data always encodes")]
    let value = value.expect("plain data encodes");
    if fact.removed {
        tables.delete(key.bytes());
    } else {
        tables.put(key.bytes(), Bytes::from(value));
    }
}

/// The subjects that a fact names.
pub(super) fn subjects(fact: &Fact) -> impl Iterator<Item = SubjectId> + '_ {
    fact.identifiers.iter().filter_map(|identifier| identifier.subject)
}

fn fold_fact(
    tables: &mut (impl Tables + ?Sized),
    order: (u64, u32),
    fact: &Fact,
    decision: Option<&Decision>,
) {
    if fact.identifiers.len() > 1
        && let Some(together) = identity::together(tables, &fact.program, subjects(fact))
    {
        join(tables, &fact.program, &together);
    }
    match (&fact.body, decision) {
        (FactBody::CouponDefinition { provider_ref, code }, _) => {
            define_coupon(tables, fact, provider_ref, code);
        }
        (FactBody::Sale(sale), Some(decision)) => {
            fold_binding(tables, order, decision);
            if decision.outcome.is_err() {
                open(tables, decision, sale);
            }
        }
        _ => {}
    }
}

fn join(tables: &mut (impl Tables + ?Sized), program: &ProgramId, together: &Together) {
    identity::join(tables, program, together);
    let directory = Directory { view: &*tables, program };
    let earns = together.binding.as_ref().is_some_and(|binding| directory.partner_earns(&binding.partner));
    let newly_bound: Vec<_> = if earns { together.newly_bound().collect() } else { Vec::new() };
    for (side, _) in &together.sides {
        if newly_bound.contains(side) {
            enqueue(tables, Queued { program: program.clone(), list: List::Backlog(*side) });
        } else if *side != together.root {
            move_backlog(tables, program, *side, together.root);
        }
    }
}

fn enqueue(tables: &mut (impl Tables + ?Sized), queued: Queued) {
    if !queued.sales(tables, 1).is_empty() {
        put_row(tables, &queued.key(), &queued);
    }
}

fn move_backlog(tables: &mut (impl Tables + ?Sized), program: &ProgramId, from: SubjectId, to: SubjectId) {
    let list = Queued { program: program.clone(), list: List::Backlog(from) };
    for sale in list.sales(tables, usize::MAX) {
        let Some(mut open) = open_sale(tables, program, &sale) else { continue };
        tables.delete(entry(keys::backlog(program, from), &sale).bytes());
        open.customer = Some(to);
        put_row(tables, entry(keys::backlog(program, to), &sale).bytes(), &sale);
        put_row(tables, keys::open_sale(program, &sale).bytes(), &open);
    }
}

fn entry(list: crate::tables::Key, sale: &SaleKey) -> crate::tables::Key {
    list.text(sale.source.as_str()).text(&sale.external_id)
}

fn fold_binding(tables: &mut (impl Tables + ?Sized), order: (u64, u32), decision: &Decision) {
    if let (true, Some(customer), Ok((partner, _))) = (decision.binds, decision.customer, &decision.outcome) {
        identity::bind(tables, &decision.program, customer, partner, order);
    }
}

fn define_coupon(tables: &mut (impl Tables + ?Sized), fact: &Fact, reference: &str, code: &str) {
    let key = keys::definition(&fact.program, &fact.source, reference);
    let known: Option<DefinitionRow> = row(tables, key.bytes());
    // Providers deliver in any order: the newest by their own time stands.
    if known.is_some_and(|known| known.occurred_at > fact.occurred_at) {
        return;
    }
    let definition = DefinitionRow { code: code.to_owned(), occurred_at: fact.occurred_at };
    put_row(tables, key.bytes(), &definition);
    let directory = Directory { view: &*tables, program: &fact.program };
    if matches!(directory.coupon(code), Named::Earns(_)) {
        let list = List::Waiting(fact.source.clone(), reference.to_owned());
        enqueue(tables, Queued { program: fact.program.clone(), list });
    }
}

/// Keeps a sale that nobody earned, if a link or a definition may still explain it.
fn open(tables: &mut (impl Tables + ?Sized), decision: &Decision, sale: &Sale) {
    let (program, key) = (&decision.program, &decision.sale);
    let open = OpenSale { sale: key.clone(), customer: decision.customer, claims: claims(sale) };
    let waits = decision
        .touches
        .iter()
        .any(|touch| touch.class == TouchClass::Coupon && touch.lost_because == COUPON_UNKNOWN);
    if let (true, Some(CouponRef::ProviderRef(reference))) = (waits, &sale.coupon) {
        let list = keys::waiting(program, &key.source, reference);
        put_row(tables, entry(list, key).bytes(), key);
    } else if decision.customer.is_none() {
        return;
    }
    if let Some(customer) = decision.customer {
        put_row(tables, entry(keys::backlog(program, customer), key).bytes(), key);
    }
    put_row(tables, keys::open_sale(program, key).bytes(), &open);
}

/// What a sale says about who earns.
pub(super) fn claims(sale: &Sale) -> Claims {
    Claims {
        code: sale.referral.as_ref().map(|referral| referral.code.clone()),
        coupon: sale.coupon.clone(),
        shares: sale.details.shares.clone(),
    }
}

/// Takes a sale out of its lists, and lists that are empty now off the queue.
fn close(tables: &mut (impl Tables + ?Sized), program: &ProgramId, sale: &SaleKey) {
    let Some(open) = open_sale(tables, program, sale) else { return };
    tables.delete(keys::open_sale(program, sale).bytes());
    let backlog = open.customer.map(List::Backlog);
    let waiting = match open.claims.coupon {
        Some(CouponRef::ProviderRef(reference)) => Some(List::Waiting(sale.source.clone(), reference)),
        _ => None,
    };
    for list in backlog.into_iter().chain(waiting) {
        let queued = Queued { program: program.clone(), list };
        tables.delete(entry(queued.entries(), sale).bytes());
        let key = queued.key();
        if tables.get(&key).is_some() && queued.sales(tables, 1).is_empty() {
            tables.delete(&key);
        }
    }
}
