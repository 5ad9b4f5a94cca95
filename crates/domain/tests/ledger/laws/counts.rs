//! How often each of some things happened, and each row of the state tables.
use std::collections::BTreeMap;

/// From, event, to.
pub type Row = (&'static str, &'static str, &'static str);

/// How often each row must be taken.
pub const LEAST: u64 = 1_000;

#[derive(Debug, Default)]
pub struct Counts<K>(pub BTreeMap<K, u64>);

impl<K: Ord> Counts<K> {
    pub fn add(&mut self, what: K) {
        *self.0.entry(what).or_default() += 1;
    }

    /// What several parts of a run counted.
    pub fn sum(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut sum = BTreeMap::new();
        for (what, times) in parts.into_iter().flat_map(|part| part.0) {
            *sum.entry(what).or_default() += times;
        }
        Self(sum)
    }
}

impl Counts<Row> {
    /// Prints the table, and what else was taken; the rows that were taken too rarely.
    pub fn report(&self, table: &[Row]) -> Vec<String> {
        let print = |(from, event, to): &Row, times| println!("{times:>10}  {from:<13} {event:<41} {to}");
        let mut rare = Vec::new();
        println!("{:>10}  {:<13} {:<41} to", "times", "from", "event");
        for row @ (from, event, to) in table {
            let times = self.0.get(row).copied().unwrap_or_default();
            print(row, times);
            if times < LEAST {
                rare.push(format!("{from}, {event}, {to}: {times}"));
            }
        }
        println!("as well, without a number that must be reached:");
        self.0.iter().filter(|(row, _)| !table.contains(row)).for_each(|(row, times)| print(row, *times));
        rare
    }
}
