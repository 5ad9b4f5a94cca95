//! Clients that look closely: how long each sale takes until it is decided, and every answer that is no 2xx.
use crate::installation::LIMIT;
use anyhow::{Context, Result};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::load::client;
use testkit::requests::DEMO_KEY;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Programs under load: enough that each process of three has some.
const PROGRAMS: usize = 8;
const PAUSE: Duration = Duration::from_millis(20);

/// A gateway, and where it says whether it is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Door {
    pub(crate) url: String,
    pub(crate) health: String,
}

/// A sale that was decided.
#[derive(Debug, Clone)]
pub(crate) struct Sold {
    pub(crate) program: String,
    pub(crate) order: String,
    /// When it was first sent.
    pub(crate) sent: Instant,
    /// From then to its decision.
    pub(crate) took: Duration,
}

/// What the clients saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) sold: Vec<Sold>,
    /// Answers that were no 2xx, and requests without an answer.
    pub(crate) refused: Vec<String>,
    /// Answers that the decision is not known yet.
    pub(crate) pending: usize,
}

/// Clients of some programs, each of which sends a sale when the one before it is decided.
pub(crate) struct Clients {
    seen: Arc<Mutex<Seen>>,
    doors: watch::Sender<Vec<Door>>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<Result<()>>,
}

impl Clients {
    /// Creates the programs, and starts. Every door is asked for its readiness, and only those that say yes get requests.
    pub(crate) async fn start(doors: Vec<Door>, pause: Duration) -> Result<Self> {
        let programs = programs(&doors.first().context("a gateway")?.url).await?;
        let (doors, _) = watch::channel(doors);
        let (ready, _) = watch::channel(Vec::new());
        let (stop, _) = watch::channel(false);
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(balance(doors.subscribe(), ready.clone(), stop.subscribe()));
        for program in programs {
            let (seen, ready, stop) = (Arc::clone(&seen), ready.subscribe(), stop.subscribe());
            tasks.spawn(sell(program, pause, ready, stop, seen));
        }
        Ok(Self { seen, doors, stop, tasks })
    }

    /// From now on these are the gateways.
    pub(crate) fn use_doors(&self, doors: Vec<Door>) {
        self.doors.send_replace(doors);
    }

    /// How many sales are decided so far.
    pub(crate) fn decided(&self) -> usize {
        self.seen.lock().unwrap().sold.len()
    }

    /// Waits until every program has a sale decided that was sent after this call.
    pub(crate) async fn all_go_on(&self) -> Result<()> {
        let (since, limit) = (Instant::now(), Instant::now() + LIMIT);
        loop {
            let going = {
                let seen = self.seen.lock().unwrap();
                let going: BTreeSet<_> = seen
                    .sold
                    .iter()
                    .filter(|sold| sold.sent > since)
                    .map(|sold| sold.program.clone())
                    .collect();
                going.len()
            };
            if going == PROGRAMS {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < limit, "only {going} programs go on");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The longest that a sale took which was under way between two moments, and its program.
    pub(crate) fn longest(&self, from: Instant, to: Instant) -> (Duration, String) {
        let seen = self.seen.lock().unwrap();
        let during = seen.sold.iter().filter(|sold| sold.sent <= to && sold.sent + sold.took >= from);
        during.map(|sold| (sold.took, sold.program.clone())).max().unwrap_or_default()
    }

    /// From `moment` until every program had a sale decided that was sent after it: that of the one which came last.
    pub(crate) fn first_after(&self, moment: Instant) -> Duration {
        let seen = self.seen.lock().unwrap();
        let mut first: BTreeMap<&str, Duration> = BTreeMap::new();
        for sold in seen.sold.iter().filter(|sold| sold.sent >= moment) {
            let after = sold.sent + sold.took - moment;
            let known = first.entry(&sold.program).or_insert(after);
            *known = after.min(*known);
        }
        first.into_values().max().unwrap_or_default()
    }

    /// Lets every client finish its sale; what they saw.
    pub(crate) async fn finish(mut self) -> Result<Seen> {
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(std::mem::take(&mut self.seen.lock().unwrap()))
    }
}

impl Seen {
    /// Program and order of each sale.
    pub(crate) fn orders(&self) -> Vec<(String, String)> {
        self.sold.iter().map(|sold| (sold.program.clone(), sold.order.clone())).collect()
    }

    /// Sales a second, and the median time to a decision.
    pub(crate) fn print(&self) {
        let mut took: Vec<_> = self.sold.iter().map(|sold| sold.took).collect();
        took.sort_unstable();
        let at = |part: usize| took.get(took.len() * part / 100).copied().unwrap_or_default();
        println!(
            "{} sales decided, p50 {:?}, p99 {:?}, longest {:?}; {} answers pending, {} refused",
            took.len(),
            at(50),
            at(99),
            took.last(),
            self.pending,
            self.refused.len()
        );
    }
}

/// As a load balancer does: asks each door again and again, and publishes those that are ready.
async fn balance(
    doors: watch::Receiver<Vec<Door>>,
    ready: watch::Sender<Vec<String>>,
    stop: watch::Receiver<bool>,
) -> Result<()> {
    let http = client();
    while !*stop.borrow() || ready.receiver_count() > 0 {
        let asked = doors.borrow().clone();
        let mut answers = Vec::new();
        for door in asked {
            let answer = http.get(format!("{}/readyz", door.health)).send().await;
            if answer.is_ok_and(|answer| answer.status() == 200) {
                answers.push(door.url);
            }
        }
        ready.send_if_modified(|known| {
            let differs = *known != answers;
            *known = answers;
            differs
        });
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

async fn sell(
    program: String,
    pause: Duration,
    mut ready: watch::Receiver<Vec<String>>,
    stop: watch::Receiver<bool>,
    seen: Arc<Mutex<Seen>>,
) -> Result<()> {
    let http = client();
    for number in 0.. {
        if *stop.borrow() {
            return Ok(());
        }
        let order = format!("order_{number}");
        let body = json!({"external_id": order, "amount": 10_000, "currency": "USD", "code": "anna", "customer": {"key": order}});
        let sent = Instant::now();
        loop {
            let doors = ready.wait_for(|ready| !ready.is_empty()).await?.clone();
            let door = &doors[number % doors.len()];
            let request = http.post(format!("{door}/v1/programs/{program}/sales")).bearer_auth(DEMO_KEY);
            let answer = request.body(body.to_string()).send().await;
            let said = match answer {
                Ok(answer) if answer.status() == 200 => break,
                Ok(answer) if answer.status() == 202 => None,
                Ok(answer) => {
                    Some(format!("{}: {}", answer.status(), answer.text().await.unwrap_or_default()))
                }
                Err(error) => Some(format!("{door}: {error:?}")),
            };
            match said {
                None => seen.lock().unwrap().pending += 1,
                Some(refusal) => seen.lock().unwrap().refused.push(refusal),
            }
            anyhow::ensure!(sent.elapsed() < LIMIT, "{program} {order} is not decided");
        }
        seen.lock().unwrap().sold.push(Sold { program: program.clone(), order, sent, took: sent.elapsed() });
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

/// Programs with a partner, a code and a rule each; their ids.
async fn programs(url: &str) -> Result<Vec<String>> {
    let http = client();
    let mut programs = Vec::new();
    for number in 0..PROGRAMS {
        let program = format!("prog_crew_{number}_test");
        let pair = json!({
            "live_program_id": format!("prog_crew_{number}"), "test_program_id": program, "name": "Crew",
            "currency": "USD",
        });
        let steps = [
            ("POST", String::new(), pair),
            ("PUT", format!("/{program}/partners/partner_anna"), json!({"name": "Anna"})),
            ("PUT", format!("/{program}/codes/anna"), json!({"partner_id": "partner_anna"})),
            ("PUT", format!("/{program}/rules/rule_default"), json!({"percent": "10"})),
        ];
        for (method, path, body) in steps {
            let url = format!("{url}/v1/programs{path}");
            let limit = Instant::now() + LIMIT;
            loop {
                let request =
                    http.request(method.parse()?, &url).bearer_auth(DEMO_KEY).body(body.to_string());
                let answer = request.send().await?;
                let (status, text) = (answer.status().as_u16(), answer.text().await?);
                if status == 200 {
                    break;
                }
                // The decision is not known yet: repeating is what a caller does.
                anyhow::ensure!(status == 202 && Instant::now() < limit, "{method} {url}: {status} {text}");
            }
        }
        programs.push(program);
    }
    Ok(programs)
}
