//! A real Postgres for a test: one that is given, else a private one; and frames to put into it.
#![allow(clippy::unwrap_used, unreachable_pub, dead_code)]
pub mod payouts;

use domain::commission::{
    Account, CommissionEvent, CommissionEventKind, CommissionStatus, CommissionsEvent, Facets, Posting,
    SaleRecorded, Slice, Terms,
};
use domain::ids::{CommissionId, EventId, Hash, ProgramId, SaleId, SourceName, SubjectId};
use domain::money::{Currency, Minor, RatePpm, Rounding};
use domain::normalization::{FactsEvent, Verdict, VerdictKind};
use domain::time::Micros;
use sqlx::{Connection, PgConnection, PgPool};
use std::sync::atomic::{AtomicU32, Ordering};
use stream::cursor::{Cursor, WriterId};
use stream::log::Partition;
use tempfile::TempDir;
use tributary_readmodel as readmodel;
use tributary_readmodel::batch::{Advance, Batch, Frame, Frames};
use tributary_readmodel::private_postgres::PrivatePostgres;

pub struct Database {
    pub pool: PgPool,
    /// The database, not the pool: for a connection of one's own.
    pub url: String,
    server: Option<(PrivatePostgres, TempDir)>,
}

impl Database {
    /// An empty, migrated database of its own.
    pub async fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let given = ["TRIBUTARY_TEST_DATABASE_URL", "DATABASE_URL"]
            .into_iter()
            .find_map(|name| std::env::var(name).ok());
        let (url, server) = match given {
            Some(given) => {
                let name =
                    format!("readmodel_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
                let mut connection = PgConnection::connect(&given).await.unwrap();
                sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
                    .execute(&mut connection)
                    .await
                    .unwrap();
                let (start, query) = given.split_once('?').map_or((given.as_str(), ""), |(a, b)| (a, b));
                let (server, _) = start.rsplit_once('/').unwrap();
                (format!("{server}/{name}?{query}"), None)
            }
            None => {
                let directory = tempfile::tempdir().unwrap();
                let server = PrivatePostgres::start(directory.path()).await.unwrap();
                (server.url().to_owned(), Some((server, directory)))
            }
        };
        let pool = readmodel::connect(&url, 4).await.unwrap();
        readmodel::migrate(&pool).await.unwrap();
        Self { pool, url, server }
    }

    pub async fn connection(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    pub async fn stop(self) {
        self.pool.close().await;
        if let Some((server, _directory)) = self.server {
            server.stop().await.unwrap();
        }
    }
}

pub const PARTITION: Partition = Partition(7);

pub fn cursor(seq: u64) -> Cursor {
    if seq == 0 {
        return Cursor::START;
    }
    Cursor {
        offset: seq + 1,
        anchor: Hash::of(&seq.to_le_bytes()),
        epoch: 1,
        writer: WriterId([1; 16]),
        seq,
        head: Hash::of(format!("head {seq}").as_bytes()),
        logic_version: 1,
        clock: clock(seq),
    }
}

fn clock(seq: u64) -> Micros {
    Micros(1_800_000_000_000_000 + seq.cast_signed() * 1_000)
}

fn advance(seqs: std::ops::Range<u64>, frames: Frames) -> Advance {
    Advance { partition: PARTITION, before: cursor(seqs.start - 1), after: cursor(seqs.end - 1), frames }
}

/// Bytes for events of which only the hashes matter.
pub fn as_bytes<E: std::fmt::Debug>(events: &[E]) -> Vec<bytes::Bytes> {
    events.iter().map(|event| bytes::Bytes::from(format!("{event:?}"))).collect()
}

/// One sale with its commission in each frame of `commissions`.
pub fn commissions(seqs: std::ops::Range<u64>) -> Advance {
    let frames = seqs.clone().map(|seq| Frame {
        seq,
        source: seq,
        clock: clock(seq),
        marks: Vec::new(),
        bytes: as_bytes(&sale(seq)),
        events: sale(seq),
    });
    advance(seqs, Frames::Commissions(frames.collect()))
}

/// One verdict in each frame of `facts`.
pub fn facts(seqs: std::ops::Range<u64>, kind: VerdictKind, reason: &str) -> Advance {
    let frames = seqs.clone().map(|seq| Frame {
        seq,
        source: seq + 100,
        clock: clock(seq),
        marks: Vec::new(),
        bytes: Vec::new(),
        events: vec![FactsEvent::Verdict(verdict(seq, kind, reason))],
    });
    advance(seqs, Frames::Facts(frames.collect()))
}

pub fn batch(advances: impl IntoIterator<Item = Advance>) -> Batch {
    let mut batch = Batch::default();
    for advance in advances {
        batch.push(advance).unwrap();
    }
    batch
}

fn program() -> ProgramId {
    "prog_demo".into()
}

fn source() -> SourceName {
    "paddle".into()
}

pub fn event_id(seq: u64) -> EventId {
    EventId::derive(&program(), &source(), &format!("evt_{seq}"))
}

pub fn verdict(seq: u64, kind: VerdictKind, reason: &str) -> Verdict {
    Verdict {
        program: program(),
        event: event_id(seq),
        source: source(),
        delivery_key: format!("evt_{seq}"),
        kind,
        reason: reason.to_owned(),
        detail: String::new(),
        received_at: clock(seq),
        reply_to: None,
        retry_of: None,
        reserves_key: kind == VerdictKind::Applied,
    }
}

/// 20% of 1000, for one of ten partners.
pub fn sale(seq: u64) -> Vec<CommissionsEvent> {
    let usd = Currency::parse("USD").unwrap();
    let key = domain::attribution::SaleKey { source: source(), external_id: format!("txn_{seq}") };
    let id = SaleId::derive(&program(), &source(), &key.external_id);
    let partner = format!("partner_{}", seq % 10).into();
    let slices =
        vec![Slice { line_id: String::new(), base: Minor(1000), rate: RatePpm(200_000), ..Slice::default() }];
    let commission = CommissionEvent {
        id: CommissionId::derive(&id, &partner, 0),
        program: program(),
        partner: partner.clone(),
        sale_id: id.clone(),
        sale: key.clone(),
        kind: CommissionEventKind::Created,
        status: CommissionStatus::Pending,
        currency: usd,
        gross: Minor(200),
        reversed: Minor(0),
        delta: Minor(200),
        postings: vec![
            Posting { account: Account::Expense, currency: usd, amount: Minor(-200) },
            Posting { account: Account::Pending, currency: usd, amount: Minor(200) },
        ],
        cause: Some(event_id(seq)),
        reason: String::new(),
        actor: "system".to_owned(),
        terms: Some(Terms {
            rule: "rule_1".into(),
            rule_version: 1,
            rounding: Rounding::HalfEven,
            slices: slices.clone(),
            hold_until: clock(seq),
            manual_approval: false,
            flat: None,
            caps: Vec::new(),
            uncapped: Minor(200),
            considered: Vec::new(),
            considered_more: 0,
            split: None,
            origin: domain::commission::Origin::Conversion,
        }),
        holds: vec!["time".to_owned()],
        payout: None,
    };
    let sale = SaleRecorded {
        id,
        program: program(),
        sale: key,
        event: event_id(seq),
        currency: usd,
        gross: Minor(1200),
        base: Minor(1000),
        base_is_net: true,
        slices,
        partner: Some(partner),
        reason: String::new(),
        customer: Some(SubjectId([(seq % 251) as u8; 16])),
        subscription_id: String::new(),
        occurred_at: clock(seq),
        recorded_at: clock(seq),
        late: false,
        facets: Facets::default(),
        purchase: None,
        subscription_since: None,
        shares: Vec::new(),
    };
    vec![CommissionsEvent::Sale(sale), CommissionsEvent::Commission(commission)]
}

/// Any events, one frame of `commissions` for each list.
pub fn frames_of(first: u64, frames: Vec<Vec<CommissionsEvent>>) -> Advance {
    let end = first + frames.len() as u64;
    let frame = |(seq, events): (u64, Vec<CommissionsEvent>)| Frame {
        seq,
        source: seq,
        clock: clock(seq),
        marks: Vec::new(),
        bytes: as_bytes(&events),
        events,
    };
    advance(first..end, Frames::Commissions((first..).zip(frames).map(frame).collect()))
}

/// Any events of `facts`, in one frame.
pub fn facts_of(seq: u64, events: Vec<FactsEvent>) -> Advance {
    let frame =
        Frame { seq, source: seq, clock: clock(seq), marks: Vec::new(), bytes: as_bytes(&events), events };
    advance(seq..seq + 1, Frames::Facts(vec![frame]))
}
