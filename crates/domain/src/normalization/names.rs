//! What is known under the names that a source uses: delivery keys and object ids.
//!
//! One row for a name, also when it is both, as in the Revshare dialect. An object that changes often (a discount that tells
//! each use) would make its row grow for ever, so only the first facts are in it and each later one has a row of its own.
use super::hash::{self, Half};
use crate::facts::{Fact, FactBody, Personal};
use crate::ids::{ProgramId, SourceName};
use crate::tables::{Key, Tables, View, put_row, row};
use serde::{Deserialize, Serialize};

const NAMES: u8 = b'n';
const FURTHER: u8 = b'f';
/// Facts in an object's own row.
const IN_ROW: usize = 8;

/// What is known under one name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct NameRow {
    /// A delivery of this name was applied.
    reserved: bool,
    /// Facts of the object of this name.
    facts: Vec<Known>,
}

/// A fact that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// Kind and state: with the name, the fact's key.
    what: String,
    content: Half,
    /// `None`: somebody in it was erased, which equals any.
    identity: Option<Half>,
}

/// How a fact compares with what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    /// Not known.
    New,
    /// Known, the same.
    Same,
    /// Known under the same key, with other content.
    Conflict {
        /// The class of fields that differs.
        differs: &'static str,
    },
}

fn what(fact: &Fact) -> String {
    let (kind, state) = (fact.body.kind(), &fact.state);
    format!("{kind}/{state}")
}

impl NameRow {
    fn compare(&self, fact: &Fact, what: &str) -> Comparison {
        let (content, identity) = hash::halves(&fact.hash);
        // Links add up: another set of identifiers of the same object is another link, not a contradiction.
        let adds_up = matches!(fact.body, FactBody::CustomerLink);
        let mut result = Comparison::New;
        for known in self.facts.iter().filter(|known| known.what == what) {
            let same_person = known.identity.is_none_or(|known| known == identity);
            if known.content == content && same_person {
                return Comparison::Same;
            }
            if !adds_up {
                let differs =
                    if known.content == content { "another customer" } else { "other money or links" };
                result = Comparison::Conflict { differs };
            }
        }
        result
    }

    fn is_full(&self) -> bool {
        self.facts.len() >= IN_ROW
    }
}

/// A row, and whether it changed.
#[derive(Debug)]
struct Held {
    key: Key,
    row: NameRow,
    changed: bool,
}

/// The rows that one frame touches, each read once.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<Held>);

impl Names {
    fn at(&mut self, view: &(impl View + ?Sized), key: Key) -> &mut Held {
        let place = self.0.iter().position(|held| held.key.bytes() == key.bytes()).unwrap_or_else(|| {
            let row = row(view, key.bytes()).unwrap_or_default();
            self.0.push(Held { key, row, changed: false });
            self.0.len() - 1
        });
        &mut self.0[place]
    }

    /// Whether a delivery of this name was applied.
    pub(super) fn is_reserved(
        &mut self,
        view: &(impl View + ?Sized),
        program: &ProgramId,
        source: &SourceName,
        delivery_key: &str,
    ) -> bool {
        self.at(view, name_key(NAMES, program, source, delivery_key)).row.reserved
    }

    /// A delivery of this name is applied.
    pub(super) fn reserve(
        &mut self,
        view: &(impl View + ?Sized),
        program: &ProgramId,
        source: &SourceName,
        delivery_key: &str,
    ) {
        let held = self.at(view, name_key(NAMES, program, source, delivery_key));
        held.row.reserved = true;
        held.changed = true;
    }

    /// How `fact` compares with what is known.
    pub(super) fn compare(&mut self, view: &(impl View + ?Sized), fact: &Fact) -> Comparison {
        let what = what(fact);
        let row = &self.at(view, object_key(NAMES, fact)).row;
        let comparison = row.compare(fact, &what);
        if comparison != Comparison::New || !row.is_full() {
            return comparison;
        }
        self.at(view, object_key(FURTHER, fact).text(&what)).row.compare(fact, &what)
    }

    /// `fact` is applied.
    pub(super) fn add(&mut self, view: &(impl View + ?Sized), fact: &Fact) {
        let what = what(fact);
        let (content, identity) = hash::halves(&fact.hash);
        let erased =
            fact.identifiers.iter().any(|identifier| matches!(identifier.value, Personal::Erased(_)));
        let full = self.at(view, object_key(NAMES, fact)).row.is_full();
        let key = if full { object_key(FURTHER, fact).text(&what) } else { object_key(NAMES, fact) };
        let held = self.at(view, key);
        held.row.facts.push(Known { what, content, identity: (!erased).then_some(identity) });
        held.changed = true;
    }

    /// Writes what changed.
    pub(super) fn store(&self, tables: &mut (impl Tables + ?Sized)) {
        for held in self.0.iter().filter(|held| held.changed) {
            put_row(tables, held.key.bytes(), &held.row);
        }
    }
}

fn name_key(table: u8, program: &ProgramId, source: &SourceName, name: &str) -> Key {
    Key::new(table).text(program.as_str()).text(source.as_str()).text(name)
}

/// Whether any name is known in the program: something was recorded there.
pub(super) fn any(view: &(impl View + ?Sized), program: &ProgramId) -> bool {
    let names = Key::new(NAMES).text(program.as_str());
    !view.range(names.bytes(), &names.end(), 1).is_empty()
}

fn object_key(table: u8, fact: &Fact) -> Key {
    name_key(table, &fact.program, &fact.source, &fact.object_id)
}
