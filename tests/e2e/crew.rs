//! Any number of processes of each service on one installation, and clients that look closely: how long each sale takes until
//! it is decided, and every answer that is no 2xx.
use crate::installation::{Installation, LIMIT, Target};
use crate::metrics::Scrape;
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use readmodel::private_postgres::PrivatePostgres;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::load::client;
use testkit::process::Setup;
use testkit::requests::DEMO_KEY;
use tokio::process::Child;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The services whose processes share partitions.
pub(crate) const SHARING: [&str; 4] = ["normalizer", "attribution", "commission", "projector"];
const PARTITIONS: f64 = 64.0;
/// Programs under load: enough that each process of three has some.
const PROGRAMS: usize = 8;
const PAUSE: Duration = Duration::from_millis(20);

/// One process.
pub(crate) struct Member {
    service: &'static str,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// All processes of an installation, by label (`commission-2`), with its database.
pub(crate) struct Crew {
    pub(crate) installation: Installation,
    postgres: PrivatePostgres,
    variables: Vec<(String, String)>,
    pub(crate) members: BTreeMap<String, Member>,
    http: reqwest::Client,
    started: usize,
}

impl Crew {
    /// An installation with the demo's account, and no process.
    pub(crate) async fn new(name: &str) -> Result<Self> {
        let installation = Installation::new(Target::Kafka, name).await?;
        let postgres = PrivatePostgres::start(&installation.setup.data_dir).await?;
        // Keys are shared by all normalizers, and never in the database of the read models.
        let mut connection = PgConnection::connect(postgres.url()).await?;
        connection.execute("create database keys").await?;
        connection.close().await?;
        let (server, parameters) = postgres.url().split_once('?').map_or((postgres.url(), ""), |parts| parts);
        let (server, _) = server.rsplit_once('/').context("a database in the URL")?;
        let keys = format!("{server}/keys?{parameters}");
        let variables = [
            ("DATABASE_URL", postgres.url().to_owned()),
            ("TRIBUTARY_KEYS_DATABASE_URL", keys),
            ("TRIBUTARY_MASTER_KEY", "5a".repeat(64)),
        ];
        let given: Vec<(&str, &str)> = variables.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let first = installation.setup.start_with(None, &given).await?;
        assert!(first.terminate().await?.success());
        let variables = variables.map(|(key, value)| (key.to_owned(), value)).to_vec();
        let members = BTreeMap::new();
        Ok(Self { installation, postgres, variables, members, http: client(), started: 0 })
    }

    /// Starts one process of `service` and does not wait; its label.
    pub(crate) fn start(&mut self, service: &'static str) -> Result<String> {
        self.started += 1;
        let label = format!("{service}-{}", self.started);
        let place = self.installation.directory.path().join(&label);
        let setup = Setup { data_dir: place.clone(), ..self.installation.setup.clone() };
        let mut command = setup.command(&[service]);
        if service == "gateway" {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let (stdout, stderr) = (place.with_extension("stdout"), place.with_extension("stderr"));
        let child = command
            .envs(self.variables.iter().map(|(key, value)| (key, value)))
            .stdout(std::fs::File::create(&stdout)?)
            .stderr(std::fs::File::create(&stderr)?)
            .spawn()?;
        self.members.insert(label.clone(), Member { service, child, stdout, stderr });
        Ok(label)
    }

    /// Starts `count` processes of each of `services`, and waits until all are ready.
    pub(crate) async fn start_each(&mut self, services: &[&'static str], count: usize) -> Result<()> {
        for service in services {
            for _ in 0..count {
                self.start(service)?;
            }
        }
        self.ready().await
    }

    /// Waits until every process is ready.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        let http = self.http.clone();
        for (label, member) in &mut self.members {
            member.ready(&http).await.with_context(|| label.clone())?;
        }
        Ok(())
    }

    pub(crate) fn member(&mut self, label: &str) -> Result<&mut Member> {
        self.members.get_mut(label).with_context(|| format!("{label} does not run"))
    }

    /// The labels of `service`, oldest first.
    pub(crate) fn labels(&self, service: &str) -> Vec<String> {
        let mut labels: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| member.service == service)
            .map(|(label, _)| label.clone())
            .collect();
        labels.sort_by_key(|label| label.rsplit('-').next().and_then(|number| number.parse::<usize>().ok()));
        labels
    }

    /// SIGTERM, and a clean end.
    pub(crate) async fn terminate(&mut self, label: &str) -> Result<Duration> {
        let mut member = self.members.remove(label).context("it runs")?;
        let since = Instant::now();
        member.signal(Signal::SIGTERM)?;
        let status =
            tokio::time::timeout(LIMIT, member.child.wait()).await.with_context(|| member.log())??;
        anyhow::ensure!(status.success(), "{label} ended with {status}:\n{}", member.log());
        Ok(since.elapsed())
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self, label: &str) -> Result<()> {
        let mut member = self.members.remove(label).context("it runs")?;
        member.signal(Signal::SIGKILL)?;
        member.child.wait().await?;
        Ok(())
    }

    /// Waits until the processes of `service` have all partitions among them, and each has some; how many each has.
    pub(crate) async fn shared(&mut self, service: &str) -> Result<Vec<f64>> {
        let limit = Instant::now() + LIMIT;
        loop {
            let mut owned = Vec::new();
            for label in self.labels(service) {
                let metrics = self.member(&label)?.metrics().await?;
                let scrape = Scrape::of(&metrics).await?;
                owned.push(scrape.value("tributary_partitions_owned", &[&format!("service=\"{service}\"")]));
            }
            if owned.iter().sum::<f64>() == PARTITIONS && owned.iter().all(|count| *count > 0.0) {
                return Ok(owned);
            }
            anyhow::ensure!(Instant::now() < limit, "{service} does not share: {owned:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until every sharing service does.
    pub(crate) async fn all_shared(&mut self) -> Result<()> {
        for service in SHARING {
            println!("{service} has {:?} partitions", self.shared(service).await?);
        }
        Ok(())
    }

    /// The addresses of the gateways, and of their readiness.
    pub(crate) async fn doors(&mut self) -> Result<Vec<Door>> {
        let mut doors = Vec::new();
        for label in self.labels("gateway") {
            let member = self.member(&label)?;
            doors.push(Door { url: member.url().await?, health: member.metrics().await? });
        }
        Ok(doors)
    }

    /// Nothing lost, nothing twice: `verify` is clean, and each acknowledged sale has exactly one commission.
    pub(crate) async fn is_whole(&self, sold: &[(String, String)]) -> Result<()> {
        let (programs, orders): (Vec<_>, Vec<_>) = sold.iter().cloned().unzip();
        let mut database = PgConnection::connect(self.postgres.url()).await?;
        let limit = Instant::now() + LIMIT;
        loop {
            let wrong: Vec<(String, i64)> = sqlx::query_as(
                "select wanted.sale, count(c.commission_id) from unnest($1::text[], $2::text[]) as wanted(program, sale)
                 left join tributary.commissions c on c.program_id = wanted.program and c.external_id = wanted.sale
                 group by wanted.program, wanted.sale having count(c.commission_id) <> 1",
            )
            .bind(&programs)
            .bind(&orders)
            .fetch_all(&mut database)
            .await?;
            if wrong.is_empty() {
                break;
            }
            let doubled = wrong.iter().find(|(_, count)| *count > 1);
            anyhow::ensure!(doubled.is_none(), "twice: {doubled:?}");
            anyhow::ensure!(Instant::now() < limit, "{} not projected: {:?}", wrong.len(), wrong.first());
            tokio::time::sleep(PAUSE).await;
        }
        loop {
            let variables = self.variables.iter().map(|(key, value)| (key, value));
            let output =
                self.installation.setup.command(&["verify", "--json"]).envs(variables).output().await?;
            let report: Value = serde_json::from_slice(&output.stdout)
                .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
            if output.status.success() && report["ok"] == true {
                println!("verify: {report}");
                return Ok(());
            }
            let problems = report["problems"].as_array();
            let only_lag = problems.is_some_and(|all| all.iter().all(|problem| problem["kind"] == "lag"));
            anyhow::ensure!(only_lag && Instant::now() < limit, "verify: {report:#}");
            tokio::time::sleep(PAUSE * 5).await;
        }
    }

    /// Ends everything in order, the gateways first.
    pub(crate) async fn end(mut self) -> Result<()> {
        for service in ["gateway", "normalizer", "attribution", "commission", "projector"] {
            for label in self.labels(service) {
                self.terminate(&label).await?;
            }
        }
        Ok(self.postgres.stop().await?)
    }
}

impl Member {
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.child.id().context("it has ended")?;
        Ok(kill(Pid::from_raw(i32::try_from(pid)?), signal)?)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    async fn said(&mut self, place: PathBuf, prefix: &str) -> Result<String> {
        let limit = Instant::now() + LIMIT;
        loop {
            let text = std::fs::read_to_string(&place)?;
            let found =
                text.split_inclusive('\n').find_map(|line| line.strip_prefix(prefix)?.strip_suffix('\n'));
            if let Some(found) = found {
                return Ok(found.to_owned());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("ended with {status}:\n{}", self.log());
            }
            anyhow::ensure!(Instant::now() < limit, "says nothing:\n{}", self.log());
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Where its metrics and readiness are.
    pub(crate) async fn metrics(&mut self) -> Result<String> {
        let said = self.said(self.stderr.clone(), "tributary: metrics at ").await?;
        Ok(said.strip_suffix("/metrics").context("a path")?.to_owned())
    }

    /// A gateway's address.
    pub(crate) async fn url(&mut self) -> Result<String> {
        self.said(self.stdout.clone(), "tributary ready: ").await
    }

    pub(crate) async fn ready(&mut self, http: &reqwest::Client) -> Result<()> {
        let url = self.metrics().await?;
        let limit = Instant::now() + LIMIT;
        loop {
            let answer = http.get(format!("{url}/readyz")).send().await?;
            if answer.status() == 200 {
                return Ok(());
            }
            let waiting = answer.text().await?;
            anyhow::ensure!(Instant::now() < limit, "not ready: {waiting}\n{}", self.log());
            tokio::time::sleep(PAUSE).await;
        }
    }
}

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
                let going: std::collections::BTreeSet<_> = seen
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
