//! How far readers of the log are behind: in records, and in seconds.
use crate::log::{Log, LogError, Offset, Partition, Topic};
use domain::time::Micros;
use std::collections::BTreeMap;

/// Measures, again and again. It remembers where each reader stood, to tell one that is slow from one that stands.
#[derive(Debug, Default)]
pub struct Lag {
    stood: BTreeMap<(Topic, Partition), u64>,
}

impl Lag {
    /// How far the readers are behind, by topic: records over all partitions, and the seconds of the one that is furthest
    /// behind. `places`: topic, partition, the next offset to be worked off, and the clock of what is worked off before it.
    ///
    /// A reader that moves is as far behind as its clock; of one that stands, the record that it stands before tells. What the
    /// log does not tell counts nothing: whoever reads says so aloud.
    pub async fn measure(
        &mut self,
        log: &dyn Log,
        places: impl IntoIterator<Item = (Topic, Partition, u64, Micros)>,
        now: Micros,
    ) -> BTreeMap<Topic, (u64, f64)> {
        let mut behind: BTreeMap<Topic, (u64, f64)> = BTreeMap::new();
        for (topic, partition, next, clock) in places {
            let stands = self.stood.insert((topic, partition), next) == Some(next);
            let since = (!stands).then_some(clock);
            match one(log, topic, partition, next, since).await {
                Ok((records, oldest)) => {
                    let seconds = oldest.map_or(0.0, |oldest| age(oldest, now));
                    let all = behind.entry(topic).or_default();
                    *all = (all.0 + records, all.1.max(seconds));
                }
                Err(error) => {
                    tracing::debug!(topic = topic.name(), partition = partition.0, %error, "lag not known")
                }
            }
        }
        behind
    }
}

/// Records that wait, and since when the oldest does: `since` when it is given, else as the log says.
async fn one(
    log: &dyn Log,
    topic: Topic,
    partition: Partition,
    next: u64,
    since: Option<Micros>,
) -> Result<(u64, Option<Micros>), LogError> {
    let bounds = log.bounds(topic, partition).await?;
    let records = bounds.end.0.saturating_sub(next);
    if records == 0 || since.is_some_and(|clock| clock.0 > 0) {
        return Ok((records, since.filter(|_| records > 0)));
    }
    let oldest = log.record_at(topic, partition, Offset(next.max(bounds.start.0))).await?;
    Ok((records, oldest.map(|record| record.appended_at)))
}

fn age(since: Micros, now: Micros) -> f64 {
    now.0.saturating_sub(since.0).max(0) as f64 / 1e6
}
