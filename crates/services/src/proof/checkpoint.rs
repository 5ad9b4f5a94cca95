//! Heads of the chains at one moment, signed by the installation.
use super::read::each_chained;
use super::{ProofError, Refused, parse_hash};
use crate::verify::KeptHead;
use domain::chain::{Chain, Head};
use domain::ids::ProgramId;
use kit::signing::{PublicKey, Signer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use stream::log::Log;

/// The format that this version writes and reads.
const FORMAT: u32 = 1;

/// What `checkpoint export` writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// 1.
    pub format: u32,
    /// The log's clock at the newest event, in microseconds since 1970.
    pub log_clock_micros: i64,
    /// Heads, by program.
    pub programs: Vec<ProgramHead>,
    /// Which key signed: its short name.
    pub key_id: String,
    /// Ed25519 over [`Checkpoint::signed_text`], as hex.
    pub signature: String,
}

/// The head of one program's chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramHead {
    /// Whose chain.
    pub program_id: String,
    /// How many events it has.
    pub events: u64,
    /// The link after the last one, as hex.
    pub link: String,
    /// The root of the tree over all of them, as hex.
    pub root: String,
    /// Where the last one is in `commissions.v1`.
    pub partition: u32,
    /// The frame there.
    pub frame: u64,
}

impl Checkpoint {
    /// What is signed: lines of plain text, so that anybody can write them down from the fields.
    #[must_use]
    pub fn signed_text(&self) -> String {
        let mut text = format!("tributary checkpoint {}\nlog clock {}\n", self.format, self.log_clock_micros);
        for head in &self.programs {
            let ProgramHead { program_id, events, link, root, partition, frame } = head;
            // Writing to a String cannot fail.
            _ = writeln!(text, "{events} {link} {root} {partition} {frame} {program_id}");
        }
        text
    }

    /// The head of `program`.
    #[must_use]
    pub fn head_of(&self, program: &ProgramId) -> Option<&ProgramHead> {
        self.programs.iter().find(|head| head.program_id == program.as_str())
    }
}

/// Heads of all programs, or of `only` one, where the log ends now.
///
/// # Errors
/// [`ProofError`]; [`Refused`] when `only` has no event.
pub async fn export(
    log: &Arc<dyn Log>,
    only: Option<&ProgramId>,
    signer: &Signer,
) -> Result<Checkpoint, ProofError> {
    let mut chains: BTreeMap<String, (Chain, u32, u64)> = BTreeMap::new();
    let mut log_clock_micros = 0;
    each_chained(log, only, |chained| {
        if !chains.contains_key(chained.program.as_str()) {
            chains.insert(chained.program.0.clone(), (Chain::default(), chained.partition.0, 0));
        }
        if let Some((chain, _, frame)) = chains.get_mut(chained.program.as_str()) {
            chain.push(chained.bytes);
            *frame = chained.frame;
        }
        log_clock_micros = log_clock_micros.max(chained.clock.0);
        Ok(())
    })
    .await?;
    if let Some(program) = only.filter(|_| chains.is_empty()) {
        return Err(Refused::new("program_id", format!("{program} has no event in this log")).into());
    }
    let programs = chains.into_iter().map(|(program_id, (chain, partition, frame))| {
        let head = chain.head();
        let (link, root) = (hex::encode(head.link.0), hex::encode(head.root.0));
        ProgramHead { program_id, events: head.events, link, root, partition, frame }
    });
    let mut checkpoint = Checkpoint {
        format: FORMAT,
        log_clock_micros,
        programs: programs.collect(),
        key_id: signer.public().id(),
        signature: String::new(),
    };
    checkpoint.signature = signer.sign(checkpoint.signed_text().as_bytes());
    Ok(checkpoint)
}

/// The heads of a checkpoint, once its signature fits `key`.
///
/// # Errors
/// [`Refused`].
pub fn check(checkpoint: &Checkpoint, key: &PublicKey) -> Result<Vec<KeptHead>, Refused> {
    if checkpoint.format != FORMAT {
        let reason = format!("is {}; this version reads {FORMAT}", checkpoint.format);
        return Err(Refused::new("checkpoint.format", reason));
    }
    if checkpoint.key_id != key.id() {
        let reason = format!(
            "was signed by key {}, and the key here is {}: another installation's, or its master key was another one",
            checkpoint.key_id,
            key.id()
        );
        return Err(Refused::new("checkpoint.key_id", reason));
    }
    key.check(checkpoint.signed_text().as_bytes(), &checkpoint.signature)
        .map_err(|error| Refused::new("checkpoint.signature", error.to_string()))?;
    let kept = |head: &ProgramHead| {
        Ok(KeptHead {
            program: head.program_id.as_str().into(),
            head: Head {
                events: head.events,
                link: parse_hash("checkpoint.programs.link", &head.link)?,
                root: parse_hash("checkpoint.programs.root", &head.root)?,
            },
        })
    };
    checkpoint.programs.iter().map(kept).collect()
}
