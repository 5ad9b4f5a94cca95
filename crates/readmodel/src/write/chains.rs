//! The hash chain of each program, taken further: from the heads that are there, over the batch's leaves.
use super::{Places, column};
use crate::rows::{At, LeafRow};
use crate::text::{bigint, clean};
use domain::chain::Chain;
use domain::ids::Hash;
use sqlx::PgConnection;
use std::collections::BTreeMap;

/// Where an event is in its program's chain.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Linked {
    /// From 1.
    pub(super) position: i64,
    pub(super) link: Hash,
}

/// Takes the chains further and returns where each leaf is in its own.
///
/// The cursor rows of the partitions are locked, and a program has one partition: nobody else moves these heads.
pub(super) async fn advance(
    connection: &mut PgConnection,
    leaves: &[LeafRow<'_>],
) -> Result<Vec<Linked>, sqlx::Error> {
    if leaves.is_empty() {
        return Ok(Vec::new());
    }
    let mut chains: BTreeMap<&str, (Option<At>, Chain)> =
        leaves.iter().map(|row| (row.program.as_str(), (None, Chain::default()))).collect();
    resume(connection, &mut chains).await?;
    let mut linked = Vec::with_capacity(leaves.len());
    for row in leaves {
        let (at, chain) = chains.entry(row.program.as_str()).or_default();
        *at = Some(row.at);
        chain.push_leaf(row.leaf);
        linked.push(Linked { position: bigint(chain.events()), link: chain.link() });
    }
    keep(connection, &chains).await?;
    Ok(linked)
}

/// Continues where the database stands.
async fn resume(
    connection: &mut PgConnection,
    chains: &mut BTreeMap<&str, (Option<At>, Chain)>,
) -> Result<(), sqlx::Error> {
    // As the rows hold them; an id that Postgres cannot hold as it is still finds its row.
    let ids = column(chains.keys(), |id| clean(id));
    let rows = sqlx::query!(
        "SELECT program_id, events, link, peaks FROM tributary.chain_rows WHERE program_id = ANY($1)",
        &ids
    )
    .fetch_all(connection)
    .await?;
    let mut rows: BTreeMap<String, _> =
        rows.into_iter().map(|row| (row.program_id, (row.events, row.link, row.peaks))).collect();
    for (id, (_, chain)) in chains {
        let Some((events, link, peaks)) = rows.remove(&clean(id)) else { continue };
        let peaks: Vec<Hash> = peaks.chunks(32).map(hash).collect();
        *chain = Chain::resume(events.cast_unsigned(), hash(&link), peaks)
            .ok_or_else(|| sqlx::Error::Decode(format!("the chain of {id} is damaged").into()))?;
    }
    Ok(())
}

async fn keep(
    connection: &mut PgConnection,
    chains: &BTreeMap<&str, (Option<At>, Chain)>,
) -> Result<(), sqlx::Error> {
    let at = Places::of(chains.values().filter_map(|(at, _)| at.as_ref()));
    let all = || chains.values().map(|(_, chain)| chain);
    sqlx::query!(
        "INSERT INTO tributary.chain_rows AS t (program_id, events, link, root, peaks, partition, updated_at)
         SELECT program_id, events, link, root, peaks, partition, tributary.moment(clock)
         FROM UNNEST($1::text[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[], $6::int[], $7::bigint[])
            AS u (program_id, events, link, root, peaks, partition, clock)
         ON CONFLICT (program_id) DO UPDATE SET events = excluded.events, link = excluded.link, root = excluded.root,
            peaks = excluded.peaks, updated_at = excluded.updated_at",
        &column(chains.keys(), |id| clean(id)),
        &column(all(), |chain| bigint(chain.events())),
        &column(all(), |chain| chain.link().0.to_vec()),
        &column(all(), |chain| chain.tree().root().0.to_vec()),
        &column(all(), |chain| chain.tree().peaks().iter().flat_map(|peak| peak.0).collect::<Vec<u8>>()),
        &at.partition,
        &at.clock,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A hash as Postgres holds it; of a wrong length: zeros, which fit no chain.
fn hash(bytes: &[u8]) -> Hash {
    Hash(bytes.try_into().unwrap_or_default())
}
