//! Objects whose number grows with the log: what their events make of each, one object at a time.
//!
//! While the log is walked, each event that says something about an object is pushed into the sorter of its table, by the row's
//! key. At the end the events of one object lie together and are folded into it; nothing else is kept in memory. One more
//! table: a `Sorter` in [`Sorters`], a `push` in `fold.rs`, an [`Object`] here, and a line `tables.objects::<...>` in `rows.rs`.
use super::VerifyError;
use super::expected::{self, Parked, Sold, Standing, Written};
use super::runs::{Entry, Sorter};
use bytes::Bytes;
use domain::commission::{CommissionEvent, CommissionEventKind, CommissionsEvent, ParkedItem, SaleRecorded};
use domain::facts::ConversionKind;
use domain::ids::PayoutId;
use readmodel::audit::{self, Cells, Table, as_stored};
use std::io;
use stream::judge::Frame;
use stream::parked::Mark;

/// The events of one partition's objects.
#[derive(Debug)]
pub(super) struct Sorters {
    pub(super) commissions: Sorter,
    pub(super) sales: Sorter,
    pub(super) customers: Sorter,
    pub(super) parked: Sorter,
    pub(super) payouts: Sorter,
    pub(super) payout_lines: Sorter,
}

impl Sorters {
    /// Each gathers up to `limit` bytes in memory.
    pub(super) fn new(limit: usize) -> Self {
        let sorter = || Sorter::new(limit);
        Self {
            commissions: sorter(),
            sales: sorter(),
            customers: sorter(),
            parked: sorter(),
            payouts: sorter(),
            payout_lines: sorter(),
        }
    }

    /// An event of a commission, as the log has it.
    pub(super) fn commission(&mut self, frame: &Frame, id: &str, event: &Bytes) -> io::Result<()> {
        self.commissions.push(as_stored(id).as_bytes(), frame.seq, frame.clock, event)
    }

    /// A conversion record, as the log has it, and what it says about its customer.
    pub(super) fn sale(&mut self, frame: &Frame, sale: &SaleRecorded, event: &Bytes) -> io::Result<()> {
        self.sales.push(as_stored(sale.id.as_str()).as_bytes(), frame.seq, frame.clock, event)?;
        let Some(customer) = &sale.customer else { return Ok(()) };
        let key = Table::key([&*as_stored(sale.program.as_str()), &expected::hex(&customer.0)]);
        // Leads, sign-ups and clicks make somebody known, and are no purchases.
        let kind = match (sale.facets.details.kind, sale.late) {
            (ConversionKind::Sale, false) => SOLD,
            (ConversionKind::Sale, true) => SOLD_BEFORE,
            _ => "",
        };
        let partner = sale.partner.as_ref().map(|partner| as_stored(partner.as_str()));
        let value = packed([kind, partner.as_deref().unwrap_or_default()]);
        self.customers.push(&key, frame.seq, frame.clock, &value)
    }

    /// An input that was parked, or decided after all; `item`: of a tick, else empty.
    pub(super) fn mark(&mut self, frame: &Frame, mark: &Mark, item: &str) -> io::Result<()> {
        let [service, item, program, event, detail] =
            [&*mark.service, item, &mark.program, &mark.event, &mark.detail].map(as_stored);
        let key = Table::key([&*service, &mark.source.to_string(), &item]);
        let settled = if mark.settled { SETTLED } else { "" };
        let value = packed([settled, &program, &event, &detail]);
        self.parked.push(&key, frame.seq, frame.clock, &value)
    }

    /// A due item that a tick could not decide.
    pub(super) fn item(&mut self, frame: &Frame, item: &ParkedItem) -> io::Result<()> {
        let mark = Mark {
            service: "commission".to_owned(),
            source: item.source,
            program: item.program.0.clone(),
            event: String::new(),
            detail: item.detail.clone(),
            settled: item.settled,
        };
        self.mark(frame, &mark, &format!("{} {}", item.sale.source, item.sale.external_id))
    }
}

/// A purchase.
const SOLD: &str = "sold";
/// A purchase that was counted when it was recorded first.
const SOLD_BEFORE: &str = "sold before";
const SETTLED: &str = "settled";

/// A row as its events leave it.
pub(super) trait Object: Sized {
    /// Where it is.
    const TABLE: &'static Table;

    /// After its first event.
    ///
    /// # Errors
    /// When a temporary file gives something else than was written.
    fn first(entry: &Entry) -> Result<Self, VerifyError>;

    /// After one more.
    ///
    /// # Errors
    /// When a temporary file gives something else than was written.
    fn then(&mut self, entry: &Entry) -> Result<(), VerifyError>;

    /// What its row must say.
    fn cells(&self) -> Cells<'_>;
}

/// A commission.
#[derive(Debug)]
pub(super) struct Commission {
    pub(super) standing: Standing,
    /// It began as commissions do.
    pub(super) created: bool,
    /// The payout whose money is in flight.
    live: Option<PayoutId>,
    /// It was in two of them at a time.
    pub(super) twice: bool,
}

impl Commission {
    fn look(&mut self) {
        let event = &self.standing.last;
        match event.kind {
            CommissionEventKind::Locked => {
                self.twice |= self.live.is_some();
                self.live.clone_from(&event.payout);
            }
            CommissionEventKind::Paid | CommissionEventKind::PayoutFailed => self.live = None,
            _ => {}
        }
    }
}

impl Object for Commission {
    const TABLE: &'static Table = &audit::COMMISSIONS;

    fn first(entry: &Entry) -> Result<Self, VerifyError> {
        let mut last = commission(entry)?;
        let (created, terms) = (last.kind == CommissionEventKind::Created, last.terms.take());
        let (payout, seq, written) = (last.payout.clone(), entry.seq, written(entry));
        let standing = Standing { last, terms, payout, seq, written };
        let mut commission = Self { standing, created, live: None, twice: false };
        commission.look();
        Ok(commission)
    }

    fn then(&mut self, entry: &Entry) -> Result<(), VerifyError> {
        self.standing.last = commission(entry)?;
        let last = &mut self.standing.last;
        self.standing.terms = last.terms.take().or_else(|| self.standing.terms.take());
        self.standing.payout = last.payout.clone().or_else(|| self.standing.payout.take());
        self.created |= self.standing.last.kind == CommissionEventKind::Created;
        self.standing.seq = entry.seq;
        self.standing.written.updated = entry.clock;
        self.look();
        Ok(())
    }

    fn cells(&self) -> Cells<'_> {
        expected::commission(&self.standing)
    }
}

impl Object for Sold {
    const TABLE: &'static Table = &audit::SALES;

    fn first(entry: &Entry) -> Result<Self, VerifyError> {
        Ok(Self { sale: sale(entry)?, seq: entry.seq, written: written(entry) })
    }

    fn then(&mut self, entry: &Entry) -> Result<(), VerifyError> {
        let mut sale = sale(entry)?;
        // The event that brought it stays; a late decision may name another.
        std::mem::swap(&mut sale.event, &mut self.sale.event);
        self.sale = sale;
        self.seq = entry.seq;
        self.written.updated = entry.clock;
        Ok(())
    }

    fn cells(&self) -> Cells<'_> {
        expected::sale(self)
    }
}

/// A customer.
#[derive(Debug)]
pub(super) struct Customer {
    /// Program and id.
    key: [String; 2],
    partner: Option<String>,
    sales: i64,
    /// Log clocks of the first and the last sale.
    sold: Option<Written>,
}

impl Object for Customer {
    const TABLE: &'static Table = &audit::CUSTOMERS;

    fn first(entry: &Entry) -> Result<Self, VerifyError> {
        let key = unpacked(&entry.key)?.map(str::to_owned);
        let mut customer = Self { key, partner: None, sales: 0, sold: None };
        customer.then(entry)?;
        Ok(customer)
    }

    fn then(&mut self, entry: &Entry) -> Result<(), VerifyError> {
        let [kind, partner] = unpacked(&entry.value)?;
        self.sales += i64::from(kind == SOLD);
        if kind == SOLD || kind == SOLD_BEFORE {
            let created = self.sold.map_or(entry.clock, |sold| sold.created);
            self.sold = Some(Written { created, updated: entry.clock });
        }
        if self.partner.is_none() && !partner.is_empty() {
            self.partner = Some(partner.to_owned());
        }
        Ok(())
    }

    fn cells(&self) -> Cells<'_> {
        let [program, id] = &self.key;
        vec![
            expected::text(program),
            expected::text(id),
            expected::some_text(self.partner.as_deref()),
            expected::number(self.sales),
            expected::some_moment(self.sold.map(|sold| sold.created)),
            expected::some_moment(self.sold.map(|sold| sold.updated)),
        ]
    }
}

/// A parked input.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Service, position in its input, item of a tick.
    key: (String, u64, String),
    parked: Parked,
}

impl Object for Waiting {
    const TABLE: &'static Table = &audit::PARKED;

    fn first(entry: &Entry) -> Result<Self, VerifyError> {
        let [service, source, item] = unpacked(&entry.key)?;
        let source: u64 = source.parse().map_err(|_| broken())?;
        // Program and event are those of the first mark.
        let [_, program, event, _] = unpacked(&entry.value)?;
        let last = Mark {
            service: service.to_owned(),
            source,
            program: program.to_owned(),
            event: event.to_owned(),
            detail: String::new(),
            settled: false,
        };
        let parked = Parked { last, detail: String::new(), attempts: 0, seq: 0, written: written(entry) };
        let mut waiting = Self { key: (service.to_owned(), source, item.to_owned()), parked };
        waiting.then(entry)?;
        Ok(waiting)
    }

    fn then(&mut self, entry: &Entry) -> Result<(), VerifyError> {
        let [settled, _, _, detail] = unpacked(&entry.value)?;
        let row = &mut self.parked;
        row.last.settled = settled == SETTLED;
        if !row.last.settled {
            row.attempts += 1;
            detail.clone_into(&mut row.detail);
        }
        row.seq = entry.seq;
        row.written.updated = entry.clock;
        Ok(())
    }

    fn cells(&self) -> Cells<'_> {
        expected::parked(&self.key, &self.parked)
    }
}

pub(super) const fn written(entry: &Entry) -> Written {
    Written { created: entry.clock, updated: entry.clock }
}

fn commission(entry: &Entry) -> Result<CommissionEvent, VerifyError> {
    match decoded(entry)? {
        CommissionsEvent::Commission(event) => Ok(event),
        _ => Err(broken()),
    }
}

fn sale(entry: &Entry) -> Result<SaleRecorded, VerifyError> {
    match decoded(entry)? {
        CommissionsEvent::Sale(sale) => Ok(sale),
        _ => Err(broken()),
    }
}

/// The event that was pushed: it was decoded before.
pub(super) fn decoded(entry: &Entry) -> Result<CommissionsEvent, VerifyError> {
    wire::commissions::decode(&entry.value).map_err(|_| broken())
}

/// Stored texts, none of which has a byte 0.
pub(super) fn packed<const N: usize>(parts: [&str; N]) -> Vec<u8> {
    Table::key(parts)
}

pub(super) fn unpacked<const N: usize>(bytes: &[u8]) -> Result<[&str; N], VerifyError> {
    let text = std::str::from_utf8(bytes).map_err(|_| broken())?;
    let mut parts = text.split('\0');
    let mut all = [""; N];
    for part in &mut all {
        *part = parts.next().ok_or_else(broken)?;
    }
    Ok(all)
}

pub(super) fn broken() -> VerifyError {
    VerifyError::Files(io::Error::other("a temporary file gave something else than was written"))
}
