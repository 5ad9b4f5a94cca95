//! Balances of another time, from the log alone.
use super::frames::{each_frame, events, place};
use super::{Progress, ShadowError};
use domain::commission::CommissionInput;
use domain::commission::as_of::{Known, fold};
use domain::commission::balances::Balances;
use domain::defect::panic_text;
use domain::time::Micros;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use stream::log::{Log, Partition, Topic};

/// The balances as they were: all that was decided until `at`, by the log's clock.
///
/// # Errors
/// [`ShadowError`].
pub async fn balances_as_of(
    log: &Arc<dyn Log>,
    at: Micros,
    progress: Progress<'_>,
) -> Result<Balances, ShadowError> {
    let mut balances = Balances::default();
    for partition in (0..log.partition_count()).map(Partition) {
        each_frame(log, Topic::Commissions, partition, progress, |frame| {
            // A partition's clock never goes back.
            if frame.clock > at {
                return Ok(false);
            }
            let decided = events(&frame, Topic::Commissions, wire::commissions::decode)?;
            fold(&mut balances, &decided)
                .map_err(|_| ShadowError::OutOfRange(place(Topic::Commissions, &frame)))?;
            Ok(true)
        })
        .await?;
    }
    Ok(balances)
}

/// The balances as they would have been at `at`, had all been there that is known by `known_at`.
///
/// # Errors
/// [`ShadowError`].
pub async fn balances_known(
    log: &Arc<dyn Log>,
    at: Micros,
    known_at: Micros,
    progress: Progress<'_>,
) -> Result<Balances, ShadowError> {
    let mut balances = Balances::default();
    for partition in (0..log.partition_count()).map(Partition) {
        let mut known = Known::new(at);
        each_frame(log, Topic::Attributed, partition, progress, |frame| {
            if frame.clock > known_at {
                return Ok(false);
            }
            let given = events(&frame, Topic::Attributed, wire::attributed::decode)?;
            let input = CommissionInput { source: frame.seq, clock: frame.clock, events: &given };
            catch_unwind(AssertUnwindSafe(|| known.frame(&input))).map_err(|panic| ShadowError::Defect {
                place: place(Topic::Attributed, &frame),
                detail: panic_text(panic.as_ref()),
            })?;
            Ok(true)
        })
        .await?;
        let of = known.finish().map_err(|_| ShadowError::OutOfRange(format!("partition {}", partition.0)))?;
        balances.add(of);
    }
    Ok(balances)
}
