//! Objects of the read model against the fold, both in byte order of the rows' keys; then what frames without any row mean.
use super::expected::{self, Sold};
use super::fold::{Absent, Fold};
use super::objects::{Commission, Customer, Object, Sorters, Waiting};
use super::payouts::{Line, Payout};
use super::runs::Sorter;
use super::{Findings, VerifyError, expected_payouts};
use domain::commission::balances::{Balances, Nets};
use readmodel::audit::{self, Cell, Cells, Rows, Snapshot, Table, as_stored};
use std::collections::{BTreeMap, BTreeSet};
use stream::log::Partition;

/// Compares one partition's objects.
pub(super) async fn compare(
    snapshot: &Snapshot,
    fold: Fold,
    findings: &mut Findings,
) -> Result<(), VerifyError> {
    let partition = fold.partition;
    let mut broken = Broken { wanted: wanted(&fold.absent), found: BTreeSet::new() };
    let (balances, mut nets) = (balances(&fold), Nets::default());
    let mut tables = Tables { snapshot, partition, findings, broken: &mut broken };
    tables.configuration(&fold.configuration).await?;
    tables.compare(&audit::BALANCES, balances.into_iter()).await?;
    tables.compare(&audit::CHAINS, fold.chains.rows().into_iter()).await?;
    let Sorters { commissions, sales, customers, parked, payouts, payout_lines } = fold.objects;
    let mut twice = Vec::new();
    let each = |commission: &Commission| {
        add(&mut nets, commission);
        twice.extend(commission.twice.then(|| commission.standing.last.id.to_string()));
    };
    tables.objects(commissions, each).await?;
    tables.objects(sales, |_: &Sold| ()).await?;
    tables.objects(customers, |_: &Customer| ()).await?;
    tables.objects(parked, |_: &Waiting| ()).await?;
    let mut again = Vec::new();
    tables.objects(payouts, |payout: &Payout| again.extend(payout.used_again())).await?;
    tables.objects(payout_lines, |_: &Line| ()).await?;
    fold.payouts.nets(&mut nets);
    ledger(&fold.balances, nets, findings);
    for commission in twice {
        findings.problem("ledger", commission, "the ledger's rules", "in two live payouts");
    }
    for payout in again {
        findings.problem("ledger", payout, "the ledger's rules", "a payout's id was used again");
    }
    for absent in fold.absent {
        let skipped = absent.objects.iter().all(|object| broken.found.contains(object));
        if skipped {
            let rows = format!("its {} rows", absent.rows.len());
            findings.problem("skipped_frame", absent.place, rows, "none, and the cursor is past it");
        } else {
            absent.rows.into_iter().for_each(|row| row.report(findings));
        }
    }
    Ok(())
}

/// Adds a commission's N to its partner's sum. One that nothing created counts for nobody.
fn add(nets: &mut Nets, commission: &Commission) {
    let last = &commission.standing.last;
    // What leaves 64 bits was named where it happened.
    if let (true, Ok(net)) = (commission.created, last.gross.minus(last.reversed)) {
        nets.add(&last.program, &last.partner, last.currency, net);
    }
}

/// What the sheets break, given the sums of all commissions.
fn ledger(balances: &Balances, nets: Nets, findings: &mut Findings) {
    for (rule, place) in balances.problems(nets) {
        findings.problem("ledger", place, "the ledger's rules", rule);
    }
}

/// Objects of absent frames that are missing or differ.
struct Broken {
    wanted: BTreeSet<(&'static str, String)>,
    found: BTreeSet<(&'static str, String)>,
}

fn wanted(absent: &[Absent]) -> BTreeSet<(&'static str, String)> {
    absent.iter().flat_map(|frame| frame.objects.iter().cloned()).collect()
}

struct Tables<'a> {
    snapshot: &'a Snapshot,
    partition: Partition,
    findings: &'a mut Findings,
    broken: &'a mut Broken,
}

impl Tables<'_> {
    /// Rows that are made here, of a table that is small.
    async fn compare(
        &mut self,
        table: &'static Table,
        rows: impl Iterator<Item = Cells<'_>>,
    ) -> Result<(), VerifyError> {
        let expected: BTreeMap<Vec<u8>, Cells<'_>> = rows.map(|cells| (key(table, &cells), cells)).collect();
        let mut found = self.found(table);
        for (key, cells) in expected {
            self.expect(&mut found, &key, &cells).await?;
        }
        self.rest(found).await
    }

    /// Objects whose events were sorted; `each` sees every one.
    async fn objects<T: Object>(
        &mut self,
        events: Sorter,
        mut each: impl FnMut(&T),
    ) -> Result<(), VerifyError> {
        let mut found = self.found(T::TABLE);
        let mut events = events.finish()?;
        while let Some(entry) = events.next()? {
            let mut object = T::first(&entry)?;
            while events.continues(&entry.key)
                && let Some(next) = events.next()?
            {
                object.then(&next)?;
            }
            each(&object);
            self.expect(&mut found, &entry.key, &object.cells()).await?;
        }
        self.rest(found).await
    }

    fn found(&self, table: &'static Table) -> Found {
        Found { table, rows: self.snapshot.rows(table, self.partition), key: Vec::new() }
    }

    /// The row with this key must say this; rows before it belong to nothing.
    async fn expect(
        &mut self,
        found: &mut Found,
        key: &[u8],
        expected: &Cells<'_>,
    ) -> Result<(), VerifyError> {
        loop {
            match found.next().await? {
                Some(next) if next < key => self.extra(found)?,
                Some(next) if next == key => {
                    if let Some(row) = found.rows.take()
                        && !row.is(expected)?
                    {
                        let place = place(key);
                        self.differs(found.table, &place);
                        self.findings.compare(found.table, place, expected, &row.cells()?);
                    }
                    return Ok(());
                }
                _ => {
                    let place = place(key);
                    self.differs(found.table, &place);
                    let expected = super::shown(found.table, expected, |_| true);
                    self.findings.problem(found.table.kind, place, expected, "no row");
                    return Ok(());
                }
            }
        }
    }

    /// There are no more.
    async fn rest(&mut self, mut found: Found) -> Result<(), VerifyError> {
        while found.next().await?.is_some() {
            self.extra(&mut found)?;
        }
        Ok(())
    }

    fn extra(&mut self, found: &mut Found) -> Result<(), VerifyError> {
        if let Some(row) = found.rows.take() {
            let shown = super::shown(found.table, &row.cells()?, |_| true);
            self.findings.problem(found.table.kind, place(&found.key), "no row", shown);
        }
        Ok(())
    }

    fn differs(&mut self, table: &Table, place: &str) {
        let object = (table.kind, place.to_owned());
        if self.broken.wanted.contains(&object) {
            self.broken.found.insert(object);
        }
    }

    async fn configuration(&mut self, all: &super::fold::Configuration) -> Result<(), VerifyError> {
        let programs = all.programs.iter().map(|(id, row)| expected::program(id, row));
        self.compare(&audit::PROGRAMS, programs).await?;
        let partners = all.partners.iter().map(|(key, row)| expected::partner(&key.0, row));
        self.compare(&audit::PARTNERS, partners).await?;
        self.compare(&audit::ACCOUNTS, all.accounts.values().map(expected::merchant)).await?;
        let codes = all.codes.iter().map(|(key, row)| expected::code(&key.0, row));
        self.compare(&audit::CODES, codes).await?;
        let coupons = all.coupons.iter().map(|(key, row)| expected::coupon(&key.0, row));
        self.compare(&audit::COUPONS, coupons).await?;
        let rules = all.rules.iter().map(|(key, row)| expected::rule(&key.0, row));
        self.compare(&audit::RULES, rules).await?;
        let endpoints = all.endpoints.iter().map(|(key, row)| expected::endpoint(&key.0, row));
        self.compare(&audit::ENDPOINTS, endpoints).await?;
        let keys = all.keys.iter().map(|(key, row)| expected::key(&key.0, row));
        self.compare(&audit::KEYS, keys).await?;
        let terms = all.payout_terms.iter().map(|(key, row)| expected_payouts::terms(&key.0, row));
        self.compare(&audit::PAYOUT_TERMS, terms).await?;
        let destinations =
            all.destinations.iter().map(|(key, row)| expected_payouts::destination(&key.0, row));
        self.compare(&audit::PAYOUT_DESTINATIONS, destinations).await
    }
}

/// Rows of a table, and the key of the next one.
struct Found {
    table: &'static Table,
    rows: Rows,
    key: Vec<u8>,
}

impl Found {
    async fn next(&mut self) -> Result<Option<&[u8]>, VerifyError> {
        let Some(row) = self.rows.peek().await? else { return Ok(None) };
        row.key(self.table, &mut self.key)?;
        Ok(Some(&self.key))
    }
}

/// A key, for people.
fn place(key: &[u8]) -> String {
    String::from_utf8_lossy(key).replace('\0', "/")
}

/// The key of a row.
fn key(table: &Table, cells: &Cells<'_>) -> Vec<u8> {
    let parts: Vec<_> = cells.iter().take(table.keys).map(|cell| cell.shown().unwrap_or_default()).collect();
    Table::key(parts.iter().map(|part| &**part))
}

fn balances(fold: &Fold) -> Vec<Cells<'static>> {
    let lines = fold.balances.lines().filter_map(|line| {
        let mut cells = vec![
            owned(line.program_id.as_str()),
            owned(line.partner_id.as_str()),
            owned(line.currency.code()),
        ];
        // Without a posting to a bucket there is no row.
        let posted = fold.posted.last(&line.program_id, &line.partner_id, line.currency)?;
        let sheet = line.sheet;
        let buckets =
            [sheet.pending, sheet.review, sheet.available, sheet.in_flight, sheet.paid_out, sheet.debt];
        cells.extend(buckets.map(|bucket| Cell::Number(bucket.0)));
        cells.push(expected::moment(posted));
        Some(cells)
    });
    lines.collect()
}

fn owned(text: &str) -> Cell<'static> {
    Cell::Text(as_stored(text).into_owned().into())
}
