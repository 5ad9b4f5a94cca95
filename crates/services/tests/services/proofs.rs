//! Hash chains: a forged link is named, a log that was rewritten with every hash is caught by a checkpoint alone, and proofs
//! hold for what they say and for nothing else.
use crate::by_hand::{Chain, project};
use crate::support::{self, Database};
use domain::chain::Head;
use domain::commission::CommissionsEvent;
use domain::ids::Hash;
use kit::master_key::MasterKey;
use kit::signing::Signer;
use std::sync::Arc;
use stream::embedded::{EmbeddedLog, EmbeddedOptions};
use stream::log::Log;
use tributary_services::proof::{self, Checkpoint, Proof, ProofError, Refused};
use tributary_services::verify::{self, KeptHead, Report, VerifyError};

/// Sales, projected.
struct Recorded {
    log: Arc<dyn Log>,
    chain: Chain,
    database: Database,
    _directory: tempfile::TempDir,
}

impl Recorded {
    /// `sales` of them; the commission of `changed` is one unit more, as if it had been so from the beginning.
    async fn new(sales: u64, changed: Option<u64>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log: Arc<dyn Log> =
            EmbeddedLog::open(EmbeddedOptions::new(directory.path().join("log"))).unwrap();
        let database = Database::new().await;
        let mut chain = Chain::new(&log).await;
        for seq in 1..=sales {
            let mut events = support::sale(seq);
            if changed == Some(seq)
                && let Some(CommissionsEvent::Commission(commission)) = events.get_mut(1)
            {
                commission.gross.0 += 1;
                commission.delta.0 += 1;
                commission.postings[0].amount.0 -= 1;
                commission.postings[1].amount.0 += 1;
            }
            chain.sold(events).await;
        }
        let it = Self { log, chain, database, _directory: directory };
        it.project().await;
        it
    }

    async fn project(&self) {
        let mut running = project(&self.log, &self.database.pool);
        running.reaches(&self.chain).await;
        running.stop().await;
    }

    async fn verify(&self, kept: Vec<KeptHead>) -> Result<Report, VerifyError> {
        verify::run_against(Arc::clone(&self.log), &self.database.pool, kept).await
    }

    async fn found(&self, kept: Vec<KeptHead>) -> Vec<(&'static str, String)> {
        let report = self.verify(kept).await.unwrap();
        report.problems.into_iter().map(|problem| (problem.kind, problem.place)).collect()
    }

    async fn change(&self, sql: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&self.database.pool).await.unwrap();
    }

    async fn checkpoint(&self) -> Checkpoint {
        proof::export(&self.log, None, &signer(1)).await.unwrap()
    }

    async fn stop(self) {
        drop((self.chain, self.log));
        self.database.stop().await;
    }
}

type Change = fn(&mut Proof);

fn signer(installation: u8) -> Signer {
    Signer::of(&MasterKey::from_bytes([installation; 64]))
}

fn heads(checkpoint: &Checkpoint) -> Vec<KeptHead> {
    proof::check(checkpoint, &signer(1).public()).unwrap()
}

/// The commission of the frame `seq`.
fn commission(seq: u64) -> String {
    let events = support::sale(seq);
    let CommissionsEvent::Commission(commission) = &events[1] else {
        unreachable!("a commission comes second")
    };
    commission.id.0.clone()
}

fn field<T: std::fmt::Debug>(refused: Result<T, Refused>) -> String {
    refused.unwrap_err().field
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_link_or_head_is_named_with_its_program_its_position_and_its_place() {
    let it = Recorded::new(6, None).await;
    let partition = it.chain.partition.0;
    assert_eq!(it.found(Vec::new()).await, []);
    // A sale and its commission in each frame: the commission of frame 4 is the eighth event.
    let place = |seq: u64| {
        let id = commission(seq);
        let position = seq * 2;
        format!(
            "program prog_demo position {position}, commission_event_rows partition {partition} frame {seq} event 1 {id}"
        )
    };
    it.change("UPDATE tributary.commission_event_rows SET chain_link = sha256('forged') WHERE seq = 4").await;
    assert_eq!(it.found(Vec::new()).await, [("chain_link", place(4))]);
    // The first divergence is named; what follows from it is not.
    it.change("UPDATE tributary.commission_event_rows SET chain_position = 5 WHERE seq = 3").await;
    assert_eq!(it.found(Vec::new()).await, [("chain_link", place(3))]);
    it.change("UPDATE tributary.chain_rows SET root = sha256('forged')").await;
    let report = it.verify(Vec::new()).await.unwrap();
    let head = &report.problems[1];
    assert_eq!((head.kind, &*head.place), ("chain_head", "prog_demo"));
    assert!(head.expected.starts_with("root ") && !head.expected.contains("link"), "{head:?}");
    it.change("DELETE FROM tributary.chain_rows").await;
    assert_eq!(it.verify(Vec::new()).await.unwrap().problems[1].found, "no row");
    it.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_rewritten_with_every_hash_is_caught_by_a_checkpoint_and_by_nothing_else() {
    let (was, is) = (Recorded::new(6, None).await, Recorded::new(7, Some(4)).await);
    let kept = heads(&was.checkpoint().await);
    assert_eq!(was.found(kept.clone()).await, []);
    // Log, rows, heads, cursors: everything fits everything.
    assert_eq!(is.found(Vec::new()).await, []);
    let found = is.found(kept.clone()).await;
    let partition = is.chain.partition.0;
    let place = format!("program prog_demo position 12, commissions.v1/{partition} frame 6 event 1");
    assert_eq!(found, [("checkpoint", place)]);
    // A log that ends before the checkpoint was truncated.
    let later = heads(&is.checkpoint().await);
    let report = was.verify(later).await.unwrap();
    assert_eq!(report.problems.len(), 1, "{report:?}");
    assert_eq!(report.problems[0].kind, "checkpoint");
    assert!(report.problems[0].found.starts_with("12 events"), "{report:?}");
    // Heads of programs that the log has never heard of are another installation's.
    let foreign = vec![KeptHead { program: "prog_other".into(), head: kept[0].head }];
    assert!(matches!(was.verify(foreign).await, Err(VerifyError::OtherPrograms)));
    // No proof is made against a head that the log does not lead to.
    let refused = proof::prove(&is.log, &commission(2), Some(&kept)).await;
    assert!(
        matches!(&refused, Err(ProofError::Refused(refused)) if refused.field == "checkpoint.programs.root")
    );
    was.stop().await;
    is.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_is_taken_only_as_it_was_signed_by_the_key_that_is_asked_for() {
    let it = Recorded::new(3, None).await;
    let checkpoint = it.checkpoint().await;
    let key = signer(1).public();
    let read: Checkpoint = serde_json::from_str(&serde_json::to_string(&checkpoint).unwrap()).unwrap();
    assert_eq!(heads(&read)[0].head.events, 6);
    assert_eq!(field(proof::check(&checkpoint, &signer(2).public())), "checkpoint.key_id");
    let mut other = checkpoint.clone();
    other.key_id = signer(2).public().id();
    assert_eq!(field(proof::check(&other, &signer(2).public())), "checkpoint.signature");
    let changes: [fn(&mut Checkpoint); 7] = [
        |it| it.programs[0].events = 4,
        |it| it.programs[0].root = "00".repeat(32),
        |it| it.programs[0].link = "00".repeat(32),
        |it| it.programs[0].program_id = "prog_other".to_owned(),
        |it| it.log_clock_micros += 1,
        |it| it.programs.clear(),
        |it| it.signature = "00".repeat(64),
    ];
    for change in changes {
        let mut changed = checkpoint.clone();
        change(&mut changed);
        assert_eq!(field(proof::check(&changed, &key)), "checkpoint.signature", "{changed:?}");
    }
    let nobody = proof::export(&it.log, Some(&"prog_other".into()), &signer(1)).await;
    assert!(matches!(nobody, Err(ProofError::Refused(refused)) if refused.field == "program_id"));
    it.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_holds_for_the_commission_that_it_shows_and_fails_for_every_changed_byte() {
    let it = Recorded::new(7, None).await;
    let kept = heads(&it.checkpoint().await);
    let shown = proof::prove(&it.log, &commission(5), Some(&kept)).await.unwrap().unwrap();
    assert_eq!(Some(&shown), proof::prove(&it.log, &commission(5), None).await.unwrap().as_ref());
    assert_eq!(proof::prove(&it.log, "com_unknown", None).await.unwrap(), None);
    let text = serde_json::to_string(&shown).unwrap();
    let shown: Proof = serde_json::from_str(&text).unwrap();
    proof::check_proof(&shown, &kept).unwrap();
    let leaf = &shown.leaves[0];
    assert_eq!((shown.leaves.len(), leaf.position, shown.events, leaf.path.len()), (1, 10, 14, 4));
    assert_eq!((&*leaf.said.kind, leaf.said.gross_minor), ("created", 200));
    // Every byte of the event, one after the other.
    let event = hex::decode(&leaf.event).unwrap();
    for place in 0..event.len() {
        let mut changed = event.clone();
        changed[place] ^= 1;
        let mut proof = shown.clone();
        proof.leaves[0].event = hex::encode(changed);
        assert_eq!(field(proof::check_proof(&proof, &kept)), "leaves[0].path", "byte {place}");
    }
    let changes: [(&str, Change); 8] = [
        ("leaves[0].path", |it| it.leaves[0].path[2] = "00".repeat(32)),
        ("leaves[0].path", |it| it.leaves[0].position = 9),
        ("leaves[0].said", |it| it.leaves[0].said.gross_minor = 2_000),
        ("leaves[0].event", |it| it.commission_id = commission(4)),
        ("program_id", |it| it.program_id = "prog_other".to_owned()),
        ("events", |it| it.events = 13),
        ("root", |it| it.root = "00".repeat(32)),
        ("leaves", |it| it.leaves.clear()),
    ];
    for (wrong, change) in changes {
        let mut changed = shown.clone();
        change(&mut changed);
        assert_eq!(field(proof::check_proof(&changed, &kept)), wrong);
    }
    // A head from before the commission.
    let early = Head { events: 2, link: Hash::ZERO, root: Hash::ZERO };
    let early = [KeptHead { program: "prog_demo".into(), head: early }];
    assert!(proof::prove(&it.log, &commission(5), Some(&early)).await.is_err());
    it.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_an_older_generation_are_deleted_and_projected_again_with_their_links() {
    let it = Recorded::new(4, None).await;
    let clean = readmodel::dump::canonical_hash(&it.database.pool).await.unwrap();
    // As the version before chains left them.
    it.change(
        "UPDATE tributary.cursor_rows SET generation = 1;
         UPDATE tributary.commission_event_rows SET chain_position = NULL, chain_link = NULL;
         DELETE FROM tributary.chain_rows",
    )
    .await;
    assert!(matches!(it.verify(Vec::new()).await, Err(VerifyError::OlderReadModel)));
    it.project().await;
    assert_eq!(it.found(Vec::new()).await, []);
    assert_eq!(readmodel::dump::canonical_hash(&it.database.pool).await.unwrap(), clean);
    it.stop().await;
}
