//! The read model against the fold: row by row where rows have names, as ordered digests where they are history.
use super::fold::{Digest, Fold};
use super::{Findings, VerifyError};
use domain::commission::balances::CommissionLine;
use readmodel::audit::{CommissionFound, Snapshot, as_stored};
use std::collections::BTreeMap;
use std::fmt::Debug;

/// Compares one partition.
pub(super) async fn compare(
    snapshot: &mut Snapshot,
    fold: Fold,
    findings: &mut Findings,
) -> Result<(), VerifyError> {
    balances(snapshot, &fold, findings).await?;
    verdicts(snapshot, &fold, findings).await?;
    history(snapshot, &fold, findings).await?;
    let commissions =
        fold.ledger.commissions().map(|line| (as_stored(line.commission_id.as_str()), expected(line)));
    let mut commissions: BTreeMap<String, CommissionFound> = commissions.collect();
    snapshot
        .commissions(fold.partition, |id, found| {
            matched("commission", id, &found, &mut commissions, findings)
        })
        .await?;
    missing("commission", commissions, findings);
    let mut sales = fold.sales;
    snapshot.sales(fold.partition, |id, found| matched("sale", id, &found, &mut sales, findings)).await?;
    missing("sale", sales, findings);
    Ok(())
}

fn expected(line: &CommissionLine) -> CommissionFound {
    CommissionFound {
        program: as_stored(line.program_id.as_str()),
        partner: as_stored(line.partner_id.as_str()),
        sale: as_stored(line.sale_id.as_str()),
        source: as_stored(line.source.as_str()),
        external_id: as_stored(&line.external_id),
        status: line.status.name().to_owned(),
        currency: line.currency.code().to_owned(),
        gross: line.gross_minor.0,
        reversed: line.reversed_minor.0,
    }
}

fn matched<T: PartialEq + Debug>(
    kind: &'static str,
    id: String,
    found: &T,
    expected: &mut BTreeMap<String, T>,
    findings: &mut Findings,
) {
    match expected.remove(&id) {
        Some(expected) if expected == *found => {}
        Some(expected) => findings.problem(kind, id, format!("{expected:?}"), format!("{found:?}")),
        None => findings.problem(kind, id, "no row", format!("{found:?}")),
    }
}

fn missing<T: Debug>(kind: &'static str, expected: BTreeMap<String, T>, findings: &mut Findings) {
    for (id, expected) in expected {
        findings.problem(kind, id, format!("{expected:?}"), "no row");
    }
}

async fn balances(snapshot: &mut Snapshot, fold: &Fold, findings: &mut Findings) -> Result<(), VerifyError> {
    let lines = fold.ledger.balances.lines().map(|line| {
        let key = (
            as_stored(line.program_id.as_str()),
            as_stored(line.partner_id.as_str()),
            line.currency.code().to_owned(),
        );
        let sheet = line.sheet;
        let buckets =
            [sheet.pending, sheet.review, sheet.available, sheet.in_flight, sheet.paid_out, sheet.debt];
        (key, buckets.map(|bucket| bucket.0))
    });
    let mut lines: BTreeMap<_, [i64; 6]> = lines.collect();
    let name = |key: &(String, String, String)| format!("{}/{}/{}", key.0, key.1, key.2);
    for found in snapshot.balances(fold.partition).await? {
        let expected = lines.remove(&found.key).unwrap_or_default();
        if expected != found.buckets {
            findings.problem(
                "balance",
                name(&found.key),
                format!("{expected:?}"),
                format!("{:?}", found.buckets),
            );
        }
    }
    for (key, expected) in lines {
        if expected != [0; 6] {
            findings.problem("balance", name(&key), format!("{expected:?}"), "no row");
        }
    }
    Ok(())
}

async fn verdicts(snapshot: &mut Snapshot, fold: &Fold, findings: &mut Findings) -> Result<(), VerifyError> {
    let mut found = Digest::default();
    snapshot
        .verdicts(fold.partition, |row| {
            found.add(&[
                &row.place.0.to_le_bytes(),
                &i64::from(row.place.1).to_le_bytes(),
                row.event.as_bytes(),
                row.verdict.as_bytes(),
                row.reason.as_bytes(),
                &[u8::from(row.retry)],
            ]);
        })
        .await?;
    if found != fold.verdicts {
        findings.problem("verdicts", format!("partition {}", fold.partition.0), fold.verdicts, found);
    }
    Ok(())
}

async fn history(snapshot: &mut Snapshot, fold: &Fold, findings: &mut Findings) -> Result<(), VerifyError> {
    let mut found = Digest::default();
    snapshot
        .history(fold.partition, |row| {
            found.add(&[
                &row.place.0.to_le_bytes(),
                &i64::from(row.place.1).to_le_bytes(),
                row.commission.as_bytes(),
                row.kind.as_bytes(),
                &row.delta.to_le_bytes(),
                &row.posted.to_le_bytes(),
            ]);
        })
        .await?;
    if found != fold.history {
        findings.problem("commission_events", format!("partition {}", fold.partition.0), fold.history, found);
    }
    Ok(())
}
