//! Objects of the read model against the fold, row by row; then what frames without any row mean.
use super::expected;
use super::fold::{Absent, Fold};
use super::{Findings, VerifyError};
use domain::time::Micros;
use readmodel::audit::{self, Cells, Snapshot, Table, as_stored, moment_as_stored};
use std::collections::{BTreeMap, BTreeSet};
use stream::log::Partition;

/// Compares one partition's objects.
pub(super) async fn compare(
    snapshot: &mut Snapshot,
    mut fold: Fold,
    findings: &mut Findings,
) -> Result<(), VerifyError> {
    let partition = fold.partition;
    let mut broken = Broken { wanted: wanted(&fold.absent), found: BTreeSet::new() };
    let commissions = std::mem::take(&mut fold.commissions);
    let rows = commissions.values().map(expected::commission);
    let mut tables = Tables { snapshot, partition, findings, broken: &mut broken };
    tables.compare(&audit::COMMISSIONS, rows).await?;
    drop(commissions);
    tables.compare(&audit::SALES, fold.sales.values().map(expected::sale)).await?;
    tables.compare(&audit::BALANCES, balances(&fold)).await?;
    tables.compare(&audit::CUSTOMERS, customers(&fold)).await?;
    tables.configuration(&fold.configuration).await?;
    tables.compare(&audit::PARKED, fold.parked.iter().map(|(key, row)| expected::parked(key, row))).await?;
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

/// Objects of absent frames that are missing or differ.
struct Broken {
    wanted: BTreeSet<(&'static str, String)>,
    found: BTreeSet<(&'static str, String)>,
}

fn wanted(absent: &[Absent]) -> BTreeSet<(&'static str, String)> {
    absent.iter().flat_map(|frame| frame.objects.iter().cloned()).collect()
}

struct Tables<'a> {
    snapshot: &'a mut Snapshot,
    partition: Partition,
    findings: &'a mut Findings,
    broken: &'a mut Broken,
}

impl Tables<'_> {
    async fn compare(
        &mut self,
        table: &'static Table,
        rows: impl Iterator<Item = Cells>,
    ) -> Result<(), VerifyError> {
        let mut expected: BTreeMap<Vec<Option<String>>, Cells> =
            rows.map(|cells| (cells[..table.keys].to_vec(), cells)).collect();
        let (findings, broken) = (&mut *self.findings, &mut *self.broken);
        let mut differs = |place: &str| {
            let object = (table.kind, place.to_owned());
            if broken.wanted.contains(&object) {
                broken.found.insert(object);
            }
        };
        self.snapshot
            .objects(table, self.partition, |found| {
                let key = &found[..table.keys];
                let place = place(key);
                match expected.remove(key) {
                    Some(expected) if expected == found => {}
                    Some(expected) => {
                        differs(&place);
                        findings.compare(table, place, &expected, &found);
                    }
                    None => {
                        let shown = super::shown(table, &found, |_| true);
                        findings.problem(table.kind, place, "no row", shown);
                    }
                }
            })
            .await?;
        for (key, cells) in expected {
            let place = place(&key);
            differs(&place);
            findings.problem(table.kind, place, super::shown(table, &cells, |_| true), "no row");
        }
        Ok(())
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
        self.compare(&audit::KEYS, keys).await
    }
}

fn place(key: &[Option<String>]) -> String {
    key.iter().flatten().map(String::as_str).collect::<Vec<_>>().join("/")
}

fn balances(fold: &Fold) -> impl Iterator<Item = Cells> {
    fold.ledger.balances.lines().filter_map(|line| {
        let key = (
            as_stored(line.program_id.as_str()),
            as_stored(line.partner_id.as_str()),
            line.currency.code().to_owned(),
        );
        // Without a posting to a bucket there is no row.
        let posted = fold.posted.get(&key)?;
        let sheet = line.sheet;
        let buckets =
            [sheet.pending, sheet.review, sheet.available, sheet.in_flight, sheet.paid_out, sheet.debt];
        let mut cells = vec![Some(key.0), Some(key.1), Some(key.2)];
        cells.extend(buckets.map(|bucket| Some(bucket.0.to_string())));
        cells.push(moment(*posted));
        Some(cells)
    })
}

fn customers(fold: &Fold) -> impl Iterator<Item = Cells> {
    fold.customers.iter().map(|((program, id), customer)| {
        vec![
            Some(program.clone()),
            Some(id.clone()),
            customer.partner.clone(),
            Some(customer.sales.to_string()),
            customer.sold.and_then(|sold| moment(sold.created)),
            customer.sold.and_then(|sold| moment(sold.updated)),
        ]
    })
}

fn moment(at: Micros) -> Option<String> {
    Some(moment_as_stored(at).to_string())
}
