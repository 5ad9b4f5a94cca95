//! The identity graph: subjects that come together in one fact belong to one customer.
//!
//! A forest of subjects. A subject without a row is a customer of its own, unbound: the common case costs nothing.
use super::fold::keys;
use crate::ids::{PartnerId, ProgramId, SubjectId};
use crate::tables::{Tables, View, put_row, row};
use serde::{Deserialize, Serialize};

/// A subject's place in the forest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Node {
    /// It stands for its customer.
    Root(Customer),
    /// It belongs to the customer that this subject leads to.
    Under(SubjectId),
}

/// A customer, kept at its root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Customer {
    /// Subjects in it.
    size: u32,
    /// Its first partner.
    pub(super) binding: Option<Binding>,
}

/// The first partner of a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Binding {
    pub(super) partner: PartnerId,
    /// Frame and place in it: the earlier binding of two merged customers stays.
    order: (u64, u32),
}

/// What some subjects come to when they belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Together {
    /// Who stands for them.
    pub(super) root: SubjectId,
    /// The earliest binding of any.
    pub(super) binding: Option<Binding>,
    /// The customers that they belonged to before, in the order in which they were named.
    pub(super) sides: Vec<(SubjectId, Customer)>,
}

impl Together {
    /// Sides for which coming together means another binding than they had.
    pub(super) fn newly_bound(&self) -> impl Iterator<Item = SubjectId> + '_ {
        self.sides
            .iter()
            .filter(|(_, side)| self.binding.is_some() && side.binding != self.binding)
            .map(|(root, _)| *root)
    }
}

fn find(view: &(impl View + ?Sized), program: &ProgramId, subject: SubjectId) -> (SubjectId, Customer) {
    let mut at = subject;
    loop {
        match row(view, keys::subject(program, at).bytes()) {
            None => return (at, Customer { size: 1, binding: None }),
            Some(Node::Root(customer)) => return (at, customer),
            Some(Node::Under(above)) => at = above,
        }
    }
}

/// What `subjects` come to together; `None` when there are none. Changes nothing.
pub(super) fn together(
    view: &(impl View + ?Sized),
    program: &ProgramId,
    subjects: impl IntoIterator<Item = SubjectId>,
) -> Option<Together> {
    let mut sides: Vec<(SubjectId, Customer)> = Vec::new();
    for subject in subjects {
        let (root, customer) = find(view, program, subject);
        if !sides.iter().any(|(known, _)| *known == root) {
            sides.push((root, customer));
        }
    }
    let earliest = sides
        .iter()
        .filter_map(|(root, side)| side.binding.as_ref().map(|binding| (binding.order, *root)))
        .min();
    // The side with the binding leads, so that a customer's waiting sales never move to where they would be run again;
    // without one the largest, so that the forest stays flat; of equals the one that was named first.
    let root = earliest.map(|(_, root)| root).or_else(|| {
        let largest = sides.iter().map(|(_, side)| side.size).max()?;
        sides.iter().find(|(_, side)| side.size == largest).map(|(root, _)| *root)
    })?;
    let binding = sides.iter().find(|(side, _)| *side == root).and_then(|(_, side)| side.binding.clone());
    Some(Together { root, binding, sides })
}

/// Makes them one customer.
pub(super) fn join(tables: &mut (impl Tables + ?Sized), program: &ProgramId, together: &Together) {
    if together.sides.len() < 2 {
        return;
    }
    let mut size = 0_u32;
    for (side, customer) in &together.sides {
        size = size.saturating_add(customer.size);
        if *side != together.root {
            put_row(tables, keys::subject(program, *side).bytes(), &Node::Under(together.root));
        }
    }
    let customer = Customer { size, binding: together.binding.clone() };
    put_row(tables, keys::subject(program, together.root).bytes(), &Node::Root(customer));
}

/// Binds the customer of `subject` to a partner, unless it is bound.
pub(super) fn bind(
    tables: &mut (impl Tables + ?Sized),
    program: &ProgramId,
    subject: SubjectId,
    partner: &PartnerId,
    order: (u64, u32),
) {
    let (root, mut customer) = find(tables, program, subject);
    if customer.binding.is_none() {
        customer.binding = Some(Binding { partner: partner.clone(), order });
        put_row(tables, keys::subject(program, root).bytes(), &Node::Root(customer));
    }
}
