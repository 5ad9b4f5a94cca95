//! A client that keeps its own fsynced record of every 2xx, and retries as providers do until it sees one.
use crate::model::Sent;
use crate::requests::{Request, paddle, paddle_refund, paddle_sale, put_code, referral};
use crate::stripe::{stripe, stripe_refund, stripe_refunded, stripe_sale};
use anyhow::Result;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Sends one delivery; the status and body.
///
/// # Errors
/// When no answer comes.
pub async fn send(
    client: &reqwest::Client,
    base: &str,
    request: &Request,
) -> Result<(u16, serde_json::Value), reqwest::Error> {
    let mut builder = client
        .request(request.method.parse().unwrap_or_default(), format!("{base}{}", request.path))
        .header("content-type", "application/json")
        .body(request.body.clone());
    for (name, value) in request.headers() {
        builder = builder.header(name, value);
    }
    let response = builder.send().await?;
    let status = response.status().as_u16();
    let bytes = response.bytes().await?;
    Ok((status, serde_json::from_slice(&bytes).unwrap_or(serde_json::Value::Null)))
}

/// A client for loopback with a bounded patience.
///
/// # Panics
/// When the client cannot be built.
#[must_use]
pub fn client() -> reqwest::Client {
    reqwest::Client::builder().timeout(Duration::from_secs(6)).no_proxy().build().unwrap()
}

/// What was acknowledged: written and fsynced before anything else happens.
#[derive(Debug)]
pub struct Record {
    file: Mutex<File>,
    acknowledged: Mutex<Vec<(String, Sent)>>,
}

impl Record {
    /// A new record at `path`.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(path: &Path) -> Result<Self> {
        Ok(Self { file: Mutex::new(File::create(path)?), acknowledged: Mutex::new(Vec::new()) })
    }

    fn add(&self, delivery_key: &str, sent: Sent) -> Result<()> {
        let mut file = self.file.lock().unwrap();
        writeln!(file, "{delivery_key} {sent:?}")?;
        file.sync_data()?;
        self.acknowledged.lock().unwrap().push((delivery_key.to_owned(), sent));
        Ok(())
    }

    /// Everything acknowledged so far: (delivery key, what it was).
    ///
    /// # Panics
    /// When a writer panicked.
    #[must_use]
    pub fn acknowledged(&self) -> Vec<(String, Sent)> {
        self.acknowledged.lock().unwrap().clone()
    }
}

impl Record {
    /// How many were acknowledged so far.
    ///
    /// # Panics
    /// When a writer panicked.
    #[must_use]
    pub fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// What was acknowledged so far, but for the first `known`.
    ///
    /// # Panics
    /// When a writer panicked.
    #[must_use]
    pub fn beyond(&self, known: usize) -> Vec<(String, Sent)> {
        self.acknowledged.lock().unwrap()[known..].to_vec()
    }
}

/// A load that runs until it is stopped; while the address is `None` it waits.
#[derive(Debug)]
pub struct Load {
    address: watch::Sender<Option<String>>,
    stop: watch::Sender<bool>,
    workers: JoinSet<Result<()>>,
    /// The record.
    pub record: Arc<Record>,
}

impl Load {
    /// Starts `workers` workers; each sends a sale, sometimes its refund first or after, sometimes twice.
    ///
    /// # Errors
    /// When the record cannot be created.
    pub fn start(record_path: &Path, workers: u64, pause: Duration) -> Result<Self> {
        let record = Arc::new(Record::create(record_path)?);
        let (address, _) = watch::channel(None);
        let (stop, _) = watch::channel(false);
        let next = Arc::new(AtomicU64::new(1));
        let mut set = JoinSet::new();
        for _ in 0..workers {
            let worker = Worker {
                client: client(),
                address: address.subscribe(),
                stop: stop.subscribe(),
                record: Arc::clone(&record),
                next: Arc::clone(&next),
                pause,
            };
            set.spawn(worker.run());
        }
        Ok(Self { address, stop, workers: set, record })
    }

    /// Where to send from now on.
    pub fn point_at(&self, address: Option<String>) {
        self.address.send_replace(address);
    }

    /// Lets every worker finish what it has begun (all of it is acknowledged then).
    ///
    /// # Errors
    /// What a worker met.
    pub async fn finish(mut self) -> Result<Arc<Record>> {
        self.stop.send_replace(true);
        while let Some(result) = self.workers.join_next().await {
            result??;
        }
        Ok(self.record)
    }
}

#[derive(Debug)]
struct Worker {
    client: reqwest::Client,
    address: watch::Receiver<Option<String>>,
    stop: watch::Receiver<bool>,
    record: Arc<Record>,
    next: Arc<AtomicU64>,
    pause: Duration,
}

impl Worker {
    async fn run(mut self) -> Result<()> {
        while !*self.stop.borrow() {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            if number.is_multiple_of(9) {
                // A configuration write in the load: the code that the sale below names. It is no external event, so it is
                // not recorded; were it lost, the sale would be refused.
                self.deliver(&put_code("prog_demo", &own_code(number), partner_of(number).1)).await?;
            }
            for (key, request, sent) in story(number) {
                self.deliver(&request).await?;
                self.record.add(&key, sent)?;
                if number.is_multiple_of(5) {
                    self.deliver(&request).await?;
                }
            }
            tokio::time::sleep(self.pause).await;
        }
        Ok(())
    }

    /// Delivers until a 2xx is seen, across restarts.
    async fn deliver(&mut self, request: &Request) -> Result<()> {
        loop {
            let base = self.address.wait_for(Option::is_some).await?.clone().unwrap_or_default();
            match send(&self.client, &base, request).await {
                Ok((status, _)) if (200..300).contains(&status) => return Ok(()),
                Ok((503 | 429, _)) | Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                Ok((status, body)) => {
                    anyhow::bail!("{} refused with {status}: {body}", request.path);
                }
            }
        }
    }
}

/// A code of its own, created right before its sale.
fn own_code(number: u64) -> String {
    format!("load_code_{number}")
}

fn partner_of(number: u64) -> (&'static str, &'static str) {
    if number.is_multiple_of(2) { ("john123", "partner_john") } else { ("mary456", "partner_mary") }
}

/// The deliveries of one sale, by its number: a mix that touches every path of the spine.
fn story(number: u64) -> Vec<(String, Request, Sent)> {
    let amount = 1_000 + i64::try_from(number % 977).unwrap_or_default() * 13;
    let (code, partner) = partner_of(number);
    if number.is_multiple_of(3) {
        let sale = format!("load_order_{number}");
        let sent = Sent::Sale { sale: sale.clone(), partner: partner.to_owned(), base_minor: amount };
        let own = own_code(number);
        let code = if number.is_multiple_of(9) { &own } else { code };
        return vec![(sale.clone(), referral("prog_demo", code, &sale, amount), sent)];
    }
    if number % 3 == 1 {
        return paddle_story(number, amount, code, partner);
    }
    stripe_story(number, amount, code, partner)
}

fn paddle_story(number: u64, amount: i64, code: &str, partner: &str) -> Vec<(String, Request, Sent)> {
    let sale = format!("load_txn_{number}");
    let event = format!("evt_sale_{number}");
    let customer = format!("ctm_{number}");
    let paid = (
        event.clone(),
        paddle("prog_demo", &paddle_sale(&event, &sale, amount, amount / 10, Some(code), &customer)),
        Sent::Sale { sale: sale.clone(), partner: partner.to_owned(), base_minor: amount },
    );
    let refunded = |part: u64, base: i64| {
        let event = format!("evt_refund_{number}_{part}");
        let refund = format!("adj_{number}_{part}");
        let body = paddle_refund(&event, &refund, &sale, base, base / 10);
        (event, paddle("prog_demo", &body), Sent::Refund { refund, sale: sale.clone(), base_minor: base })
    };
    match number % 7 {
        0 => vec![refunded(1, 333), paid],
        1 => vec![paid, refunded(1, 333), refunded(2, 334)],
        2 => vec![refunded(1, amount), paid],
        3 => vec![paid, refunded(1, amount)],
        _ => vec![paid],
    }
}

/// A charge, and its refunds as Stripe tells them: one by one, as a total, or both.
fn stripe_story(number: u64, amount: i64, code: &str, partner: &str) -> Vec<(String, Request, Sent)> {
    let charge = format!("ch_load_{number}");
    let delivery = |event: String, body: &serde_json::Value, sent| (event, stripe("prog_demo", body), sent);
    let event = format!("evt_charge_{number}");
    let paid = delivery(
        event.clone(),
        &stripe_sale(&event, &charge, amount, Some(code), None),
        Sent::Sale { sale: charge.clone(), partner: partner.to_owned(), base_minor: amount },
    );
    let single = |part: u64, base: i64, status: &str| {
        let (event, refund) = (format!("evt_re_{number}_{part}_{status}"), format!("re_{number}_{part}"));
        let body = stripe_refund(&event, &refund, &charge, base, status);
        let sale = charge.clone();
        let sent = if status == "failed" {
            Sent::RefundFailed { refund, sale, base_minor: base }
        } else {
            Sent::Refund { refund, sale, base_minor: base }
        };
        delivery(event, &body, sent)
    };
    let total = |base: i64| {
        let event = format!("evt_refunded_{number}_{base}");
        let body = stripe_refunded(&event, &charge, amount, base);
        delivery(event, &body, Sent::RefundTotal { sale: charge.clone(), base_minor: base })
    };
    match number % 7 {
        0 => vec![total(333), paid, total(667)],
        1 => vec![
            paid,
            single(1, 333, "pending"),
            total(333),
            single(1, 333, "succeeded"),
            single(2, 334, "pending"),
        ],
        2 => vec![single(1, amount, "succeeded"), total(amount), paid],
        3 => vec![total(amount), paid, single(1, amount, "pending"), single(1, amount, "failed")],
        4 => vec![single(1, 333, "failed"), paid, single(1, 333, "pending"), total(333)],
        _ => vec![paid],
    }
}
