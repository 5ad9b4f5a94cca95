//! A TCP proxy before one broker that understands just enough of Kafka's framing to delay, lose or change single requests and
//! answers of one client. A broker announces the proxy's address as its own (`advertised.listeners`), so nobody gets around it.
//!
//! What a network and a broker do by chance is done here on purpose, to real records on a real broker.
use anyhow::{Context, Result, bail};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The API key of Produce requests.
const PRODUCE: i16 = 0;
/// From this version on, Produce answers have compact arrays and tagged fields.
const COMPACT_PRODUCE: i16 = 9;
/// No request is larger.
const MOST_BYTES: usize = 16 << 20;

/// What happens to a Produce request of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It reaches the broker when the rule is lifted, whether or not its client still waits; what the client sends on the
    /// same connection later waits behind it.
    Late,
    /// It never reaches the broker, and the connection breaks.
    Lost,
    /// The broker has it; the connection breaks before its answer.
    AnswerLost,
    /// The broker has it; its answer carries this error code instead of success.
    Answered(i16),
}

/// A rule in force: what happens to Produce requests of one client, until it is lifted or used up.
#[derive(Debug, Clone)]
pub struct Rule {
    client: String,
    fate: Fate,
    left: Arc<Mutex<usize>>,
    met: watch::Sender<usize>,
    lifted: watch::Sender<bool>,
}

impl Rule {
    /// Waits until it has met `count` requests.
    pub async fn met(&self, count: usize) {
        let mut met = self.met.subscribe();
        // The sender is `self`: it cannot be gone.
        met.wait_for(|met| *met >= count).await.map(drop).unwrap_or_default();
    }

    /// How many requests it has met.
    #[must_use]
    pub fn count(&self) -> usize {
        *self.met.borrow()
    }

    /// Ends it. What it holds goes on.
    pub fn lift(&self) {
        *self.left.lock().unwrap() = 0;
        self.lifted.send_replace(true);
    }

    fn takes(&self, client: &str) -> bool {
        let mut left = self.left.lock().unwrap();
        let takes = *left > 0 && self.client == client;
        *left -= usize::from(takes);
        takes
    }

    fn note(&self) {
        self.met.send_modify(|met| *met += 1);
    }
}

#[derive(Debug, Default)]
struct Shared {
    broker: Mutex<Option<String>>,
    rules: Mutex<Vec<Rule>>,
}

/// A listening proxy. Dropping it breaks every connection through it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free port. Until [`Proxy::lead_to`] is called, connections are closed.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn listen() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, _accepting: accepting })
    }

    /// `host:port` of the proxy.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Where the broker really listens.
    ///
    /// # Panics
    /// When a connection's task panicked.
    pub fn lead_to(&self, broker: &str) {
        *self.shared.broker.lock().unwrap() = Some(broker.to_owned());
    }

    /// From now on, the next `times` Produce requests of `client` (its `client.id`) meet `fate`.
    ///
    /// # Panics
    /// When a connection's task panicked.
    #[must_use]
    pub fn on_produce(&self, client: &str, fate: Fate, times: usize) -> Rule {
        let rule = Rule {
            client: client.to_owned(),
            fate,
            left: Arc::new(Mutex::new(times)),
            met: watch::Sender::new(0),
            lifted: watch::Sender::new(false),
        };
        self.shared.rules.lock().unwrap().push(rule.clone());
        rule
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with the proxy: every connection ends then.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            if let Err(error) = carry(client, &shared).await {
                eprintln!("proxy: {error:#}");
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Answers of one connection that do not pass as they are, by correlation id: the rule, and the request's version.
type Marked = Mutex<BTreeMap<i32, (Rule, i16)>>;

async fn carry(client: TcpStream, shared: &Shared) -> Result<()> {
    let Some(broker) = shared.broker.lock().unwrap().clone() else { return Ok(()) };
    // A broker that is away: the client's connection closes, as it would without a proxy.
    let Ok(broker) = TcpStream::connect(broker).await else { return Ok(()) };
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_broker, to_broker) = broker.into_split();
    let marked = Marked::default();
    // Both directions end when either does. A request that is held outlives its client: see `Fate::Late`.
    tokio::select! {
        ended = requests(from_client, to_broker, shared, &marked) => ended,
        ended = answers(from_broker, to_client, &marked) => ended,
    }
}

/// The next whole message; `None` at the end of the stream.
async fn message(from: &mut OwnedReadHalf) -> Result<Option<BytesMut>> {
    let Ok(size) = from.read_u32().await else { return Ok(None) };
    let size = usize::try_from(size)?;
    if size > MOST_BYTES {
        bail!("a message of {size} bytes");
    }
    let mut body = BytesMut::zeroed(size);
    Ok(from.read_exact(&mut body).await.is_ok().then_some(body))
}

async fn pass_on(to: &mut OwnedWriteHalf, body: &[u8]) -> bool {
    let mut framed = BytesMut::with_capacity(body.len() + 4);
    framed.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
    framed.put_slice(body);
    to.write_all(&framed).await.is_ok()
}

async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shared: &Shared,
    marked: &Marked,
) -> Result<()> {
    while let Some(body) = message(&mut from).await? {
        if let Some((client, version, correlation)) = produce_header(&body) {
            let rule = shared.rules.lock().unwrap().iter().find(|rule| rule.takes(&client)).cloned();
            match rule {
                None => {}
                Some(rule) => match rule.fate {
                    Fate::Lost => {
                        rule.note();
                        return Ok(());
                    }
                    Fate::Late => {
                        rule.note();
                        let mut lifted = rule.lifted.subscribe();
                        lifted.wait_for(|lifted| *lifted).await?;
                    }
                    Fate::AnswerLost | Fate::Answered(_) => {
                        marked.lock().unwrap().insert(correlation, (rule, version));
                    }
                },
            }
        }
        if !pass_on(&mut to, &body).await {
            break;
        }
    }
    Ok(())
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, marked: &Marked) -> Result<()> {
    while let Some(mut body) = message(&mut from).await? {
        let correlation = body.get(..4).map_or(0, |mut head| head.get_i32());
        let rule = marked.lock().unwrap().remove(&correlation);
        if let Some((rule, version)) = rule {
            if let Fate::Answered(code) = rule.fate {
                answer_with(&mut body, version, code)?;
                rule.note();
            } else {
                rule.note();
                return Ok(());
            }
        }
        if !pass_on(&mut to, &body).await {
            break;
        }
    }
    Ok(())
}

/// (client id, version, correlation id) of a Produce request.
fn produce_header(body: &[u8]) -> Option<(String, i16, i32)> {
    let mut head = body;
    if head.remaining() < 10 || head.get_i16() != PRODUCE {
        return None;
    }
    let (version, correlation) = (head.get_i16(), head.get_i32());
    let length = usize::try_from(head.get_i16()).ok()?;
    let client = String::from_utf8(head.get(..length)?.to_vec()).ok()?;
    Some((client, version, correlation))
}

/// Writes `code` where the answer has the error of its first partition.
fn answer_with(body: &mut BytesMut, version: i16, code: i16) -> Result<()> {
    let mut rest = Bytes::copy_from_slice(body);
    let whole = rest.remaining();
    rest.advance(4);
    if version >= COMPACT_PRODUCE {
        // The header's tagged fields, the topics, the name, the partitions.
        uvarint(&mut rest)?;
        uvarint(&mut rest)?;
        let name = uvarint(&mut rest)?.saturating_sub(1);
        rest.advance(name);
        uvarint(&mut rest)?;
    } else {
        rest.advance(4);
        let name = usize::try_from(rest.get_i16())?;
        rest.advance(name + 4);
    }
    let at = whole - rest.remaining() + 4;
    // With an error there is no offset.
    let mut error = code.to_be_bytes().to_vec();
    error.extend_from_slice(&(-1_i64).to_be_bytes());
    body.get_mut(at..at + error.len()).context("an answer without a partition")?.copy_from_slice(&error);
    Ok(())
}

fn uvarint(from: &mut Bytes) -> Result<usize> {
    let mut value = 0;
    for shift in (0..32).step_by(7) {
        if !from.has_remaining() {
            break;
        }
        let byte = from.get_u8();
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    bail!("not a number of variable length")
}
