//! A commission's events, each with the hashes that lead from it to the root of its program's tree.
use super::read::each_chained;
use super::{ProofError, Refused, parse_hash};
use crate::verify::KeptHead;
use bytes::Bytes;
use domain::chain::{PathBuilder, leaf, root_of_path};
use domain::commission::{CommissionEvent, CommissionsEvent};
use domain::ids::{Hash, ProgramId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use stream::log::Log;

/// The format that this version writes and reads.
const FORMAT: u32 = 1;

/// What `proof show` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// 1.
    pub format: u32,
    /// The commission.
    pub commission_id: String,
    /// Whose chain it is in.
    pub program_id: String,
    /// How many events the tree has.
    pub events: u64,
    /// The tree's root, as hex.
    pub root: String,
    /// The commission's events, in order.
    pub leaves: Vec<Leaf>,
    /// How many events of the commission came after the tree's last; they are not proven.
    pub later: u64,
}

/// One event and its path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// Its place in the chain, from 1.
    pub position: u64,
    /// What it says, for people. A checker makes it again from `event`.
    pub said: Said,
    /// The event as the log holds it, as hex.
    pub event: String,
    /// The hashes beside it, from the leaf upwards, as hex.
    pub path: Vec<String>,
}

/// What a commission event says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// What happened.
    pub kind: String,
    /// The status after it.
    pub status: String,
    /// Who earns.
    pub partner_id: String,
    /// The sale's source and its id there.
    pub sale: String,
    /// Of all amounts.
    pub currency: String,
    /// Amount at creation, in minor units.
    pub gross_minor: i64,
    /// Taken back, after the event.
    pub reversed_minor: i64,
    /// What the event changed.
    pub delta_minor: i64,
    /// The double entry.
    pub postings: Vec<SaidPosting>,
    /// The external event that caused it; empty: none.
    pub cause_event_id: String,
    /// Why.
    pub reason: String,
    /// Who.
    pub actor: String,
    /// What keeps it from being approved, after the event.
    pub holds: Vec<String>,
    /// The payout that it is about; empty: none.
    pub payout_id: String,
}

/// A leg.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaidPosting {
    /// The account.
    pub account: String,
    /// The currency.
    pub currency: String,
    /// Minor units; positive: into the account.
    pub amount: i64,
}

impl Said {
    fn of(event: &CommissionEvent) -> Self {
        let posting = |posting: &domain::commission::Posting| SaidPosting {
            account: posting.account.name().to_owned(),
            currency: posting.currency.code().to_owned(),
            amount: posting.amount.0,
        };
        Self {
            kind: event.kind.name().to_owned(),
            status: event.status.name().to_owned(),
            partner_id: event.partner.0.clone(),
            sale: format!("{} {}", event.sale.source, event.sale.external_id),
            currency: event.currency.code().to_owned(),
            gross_minor: event.gross.0,
            reversed_minor: event.reversed.0,
            delta_minor: event.delta.0,
            postings: event.postings.iter().map(posting).collect(),
            cause_event_id: event.cause.as_ref().map(ToString::to_string).unwrap_or_default(),
            reason: event.reason.clone(),
            actor: event.actor.clone(),
            holds: event.holds.clone(),
            payout_id: event.payout.as_ref().map(ToString::to_string).unwrap_or_default(),
        }
    }
}

/// Where a commission's events are.
#[derive(Default)]
struct Found {
    program: Option<ProgramId>,
    /// By position.
    events: BTreeMap<u64, (Said, Bytes)>,
    /// Of each program: how many there are.
    counts: BTreeMap<String, u64>,
}

/// The proof of `commission`, up to the root of `kept`, or else to the root where the log ends now. `None`: no such commission.
///
/// # Errors
/// [`ProofError`]; [`Refused`] when the log does not lead to the kept head.
pub async fn prove(
    log: &Arc<dyn Log>,
    commission: &str,
    kept: Option<&[KeptHead]>,
) -> Result<Option<Proof>, ProofError> {
    let found = find(log, commission).await?;
    let Some(program) = found.program else { return Ok(None) };
    let kept = match kept {
        None => None,
        Some(kept) => Some(head_of(kept, &program)?),
    };
    let count = found.counts.get(program.as_str()).copied().unwrap_or_default();
    let events = kept.map_or(count, |kept| kept.head.events);
    let mut builder =
        PathBuilder::new(events, found.events.keys().map(|position| position.saturating_sub(1)));
    each_chained(log, Some(&program), |chained| {
        builder.push(leaf(chained.bytes));
        Ok(())
    })
    .await?;
    let other = || {
        let reason = "the log does not lead to it; run `tributary verify` with this checkpoint";
        Refused::new("checkpoint.programs.root", reason)
    };
    let (root, mut paths) = builder.finish().ok_or_else(other)?;
    if kept.is_some_and(|kept| kept.head.root != root) {
        return Err(other().into());
    }
    let mut proof = Proof {
        format: FORMAT,
        commission_id: commission.to_owned(),
        program_id: program.0,
        events,
        root: hex::encode(root.0),
        leaves: Vec::new(),
        later: 0,
    };
    for (position, (said, bytes)) in found.events {
        match paths.remove(&position.saturating_sub(1)) {
            Some(path) => proof.leaves.push(Leaf {
                position,
                said,
                event: hex::encode(&bytes),
                path: path.iter().map(|hash| hex::encode(hash.0)).collect(),
            }),
            None => proof.later += 1,
        }
    }
    if proof.leaves.is_empty() {
        let reason = format!("ends at event {events}, before the commission; export a newer checkpoint");
        return Err(Refused::new("checkpoint.programs.events", reason).into());
    }
    Ok(Some(proof))
}

async fn find(log: &Arc<dyn Log>, commission: &str) -> Result<Found, ProofError> {
    let mut found = Found::default();
    each_chained(log, None, |chained| {
        match found.counts.get_mut(chained.program.as_str()) {
            Some(count) => *count = chained.position,
            None => {
                found.counts.insert(chained.program.0.clone(), chained.position);
            }
        }
        if let CommissionsEvent::Commission(event) = chained.event
            && event.id.as_str() == commission
        {
            found.program = Some(chained.program.clone());
            found.events.insert(chained.position, (Said::of(event), chained.bytes.clone()));
        }
        Ok(())
    })
    .await?;
    Ok(found)
}

fn head_of<'kept>(kept: &'kept [KeptHead], program: &ProgramId) -> Result<&'kept KeptHead, Refused> {
    kept.iter().find(|kept| kept.program == *program).ok_or_else(|| {
        let programs: Vec<&str> = kept.iter().map(|kept| kept.program.as_str()).collect();
        let reason = format!("{program} is not in the checkpoint, which is of {}", programs.join(", "));
        Refused::new("program_id", reason)
    })
}

/// Checks a proof against heads that a signature stands for. Needs nothing else: no log, no database, no key of a person.
///
/// # Errors
/// [`Refused`], with the first field that is wrong.
pub fn check_proof(proof: &Proof, kept: &[KeptHead]) -> Result<(), Refused> {
    if proof.format != FORMAT {
        return Err(Refused::new("format", format!("is {}; this version reads {FORMAT}", proof.format)));
    }
    let head = head_of(kept, &proof.program_id.as_str().into())?.head;
    if proof.events != head.events {
        let reason =
            format!("is {}; the checkpoint has {}: show the proof for it", proof.events, head.events);
        return Err(Refused::new("events", reason));
    }
    if parse_hash("root", &proof.root)? != head.root {
        return Err(Refused::new("root", "is not that of the checkpoint"));
    }
    if proof.leaves.is_empty() {
        return Err(Refused::new("leaves", "is empty: nothing is proven"));
    }
    let mut last = 0;
    for (index, leaf) in proof.leaves.iter().enumerate() {
        let field = |name: &str| format!("leaves[{index}].{name}");
        if leaf.position <= last {
            return Err(Refused::new(field("position"), "is not after the one before it"));
        }
        last = leaf.position;
        check_leaf(proof, leaf, &head.root)
            .map_err(|refused| Refused::new(field(&refused.field), refused.reason))?;
    }
    Ok(())
}

fn check_leaf(proof: &Proof, given: &Leaf, root: &Hash) -> Result<(), Refused> {
    let bytes = hex::decode(&given.event).map_err(|_| Refused::new("event", "is not hex"))?;
    let bytes = Bytes::from(bytes);
    let path: Result<Vec<Hash>, Refused> = given.path.iter().map(|hash| parse_hash("path", hash)).collect();
    let place = given.position.saturating_sub(1);
    if root_of_path(proof.events, place, &leaf(&bytes), &path?) != Some(*root) {
        let reason = "does not lead to the root: the event, its position or its path was changed";
        return Err(Refused::new("path", reason));
    }
    let event = wire::commissions::decode(&bytes)
        .map_err(|error| Refused::new("event", format!("{error}; a newer version may know it")))?;
    let CommissionsEvent::Commission(event) = event else {
        return Err(Refused::new("event", "is no event of a commission"));
    };
    if (event.id.as_str(), event.program.as_str()) != (&*proof.commission_id, &*proof.program_id) {
        let reason = format!("is of commission {} of program {}", event.id, event.program);
        return Err(Refused::new("event", reason));
    }
    if Said::of(&event) != given.said {
        return Err(Refused::new("said", "is not what the event says"));
    }
    Ok(())
}
