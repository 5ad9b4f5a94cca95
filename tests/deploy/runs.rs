//! Every service of the compose file as a process: its command and its environment as they stand there, with the image's own
//! environment below them. What differs is what an engine would give: names become loopback addresses, mounted secrets and
//! volumes become directories.
use crate::compose::{Compose, Service};
use crate::container::{image_environment, loopback};
use crate::{TURN, binary, repository};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use readmodel::private_postgres::PrivatePostgres;
use serde_json::{Value, json};
use sqlx::Connection as _;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use testkit::kafka::KafkaBroker;
use tokio::process::{Child, Command};
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(100);

/// What an engine would provide.
struct Engine {
    directory: tempfile::TempDir,
    kafka: KafkaBroker,
    image: BTreeMap<String, String>,
    /// Of each service.
    addresses: BTreeMap<String, IpAddr>,
}

struct Process {
    service: Service,
    child: Child,
    log: PathBuf,
}

impl Engine {
    /// Starts Kafka with the settings of the file, and makes the secrets as its first comment says.
    async fn start(compose: &Compose) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("tributary-compose-").tempdir()?;
        let open = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        std::fs::set_permissions(directory.path(), open)?;
        let secrets = directory.path().join("secrets");
        let made = Command::new(repository().join("deploy/docker/secrets")).arg(&secrets).output().await?;
        ensure!(made.status.success(), "secrets: {}", String::from_utf8_lossy(&made.stderr));
        let properties = kafka_properties(&compose.service("kafka")?.environment());
        let kafka = tokio::task::spawn_blocking(move || KafkaBroker::start_with(&properties)).await??;
        let names = compose.services()?.into_iter().map(|service| service.name);
        let addresses = names.enumerate().map(|(number, name)| (name, loopback(number))).collect();
        Ok(Self { directory, kafka, image: image_environment()?, addresses })
    }

    /// Gives the database the password that the postgres image would set up, and the URL the address that its name would have.
    async fn introduce(&self, database: &PrivatePostgres) -> Result<()> {
        let secrets = self.directory.path().join("secrets");
        let password = std::fs::read_to_string(secrets.join("postgres_password"))?;
        ensure!(
            password.len() == 48 && password.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "48 hex digits"
        );
        // One connection: another could not be opened once the password is changed.
        let mut connection = sqlx::PgConnection::connect(database.url()).await?;
        // What the postgres image does when its volume is empty.
        let statement = format!("alter role tributary password '{password}'");
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await?;
        let script = std::fs::read_to_string(repository().join("deploy/docker/keys.sql"))?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(script)).execute(&mut connection).await?;
        connection.close().await?;
        let (_, address) = database.url().rsplit_once('@').context("an address")?;
        let (address, _) = address.split_once('/').context("host and port")?;
        for name in ["database_url", "keys_database_url"] {
            let url = secrets.join(name);
            let text = std::fs::read_to_string(&url)?;
            ensure!(text.contains("@postgres/"), "{name} names the service");
            std::fs::remove_file(&url)?;
            std::fs::write(&url, text.replace("@postgres/", &format!("@{address}/")))?;
        }
        Ok(())
    }

    /// As a container of `service` would see it.
    fn value(&self, service: &str, value: &str) -> String {
        let directory = self.directory.path().display();
        value
            .replace("kafka:9092", self.kafka.bootstrap())
            .replace("/run/secrets/", &format!("{directory}/secrets/"))
            .replace("/var/lib/tributary", &format!("{directory}/volumes/{service}"))
            .replace("0.0.0.0", &self.addresses[service].to_string())
    }

    fn command(&self, service: &Service, arguments: &[String]) -> Result<Command> {
        std::fs::create_dir_all(self.directory.path().join("volumes").join(&service.name))?;
        let mut variables = self.image.clone();
        variables.extend(service.environment());
        let mut command = Command::new(binary());
        command.env_clear().args(arguments).kill_on_drop(true);
        for (name, value) in variables {
            command.env(name, self.value(&service.name, &value));
        }
        Ok(command)
    }

    /// Runs a job, or a command in the place of a tool's, to its end.
    async fn run(&self, service: &Service, arguments: &[&str]) -> Result<String> {
        let given: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        let words = if given.is_empty() { service.words("/command") } else { given };
        let output = self.command(service, &words)?.output().await?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} {words:?}: {}\n{stderr}", service.name, output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What `verify` says, whatever it finds.
    async fn verify(&self, service: &Service) -> Result<Value> {
        let words = ["verify", "--json"].map(str::to_owned);
        let output = self.command(service, &words)?.output().await?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).to_string())
    }

    /// A job, again when it fails: what `restart: on-failure` asks of the engine, for instance when a broker is slow.
    async fn until_done(&self, job: &Service) -> Result<()> {
        let limit = Instant::now() + LIMIT;
        while let Err(error) = self.run(job, &[]).await {
            ensure!(Instant::now() < limit, "{error:#}");
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    fn spawn(&self, service: Service) -> Result<Process> {
        let log = self.directory.path().join(format!("{}.log", service.name));
        let mut command = self.command(&service, &service.words("/command"))?;
        command
            .stdout(std::fs::File::create(log.with_extension("out"))?)
            .stderr(std::fs::File::create(&log)?);
        Ok(Process { child: command.spawn()?, service, log })
    }

    /// Its own health check, as the file has it, until it passes.
    async fn until_healthy(&self, process: &mut Process) -> Result<()> {
        let check = process.service.health_check()?;
        let (program, arguments) = check.split_first().context("a command")?;
        assert_eq!(program, "tributary", "the image has nothing else");
        let limit = Instant::now() + LIMIT;
        loop {
            let output = self.command(&process.service, arguments)?.output().await?;
            if output.status.success() {
                return Ok(());
            }
            let log = || std::fs::read_to_string(&process.log).unwrap_or_default();
            ensure!(process.child.try_wait()?.is_none(), "{} ended:\n{}", process.service.name, log());
            let said = String::from_utf8_lossy(&output.stdout);
            ensure!(Instant::now() < limit, "{} is unhealthy: {said}\n{}", process.service.name, log());
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Starts what is ours in the order that `depends_on` asks for; what is not ours runs already.
    async fn up(&self, compose: &Compose) -> Result<Vec<Process>> {
        let (ours, others): (Vec<_>, Vec<_>) = compose.services()?.into_iter().partition(Service::is_ours);
        let mut there: BTreeSet<String> = others.into_iter().map(|service| service.name).collect();
        let mut waiting: Vec<Service> = ours.into_iter().filter(|service| !service.is_tool()).collect();
        let mut processes = Vec::new();
        while !waiting.is_empty() {
            let next = waiting
                .iter()
                .position(|service| service.waits_for().iter().all(|(name, _)| there.contains(name)))
                .context("no service can start: their conditions wait for each other")?;
            let service = waiting.remove(next);
            for (name, condition) in service.waits_for() {
                let job = compose.service(&name)?.is_job();
                let wanted = if job { "service_completed_successfully" } else { "service_healthy" };
                assert_eq!(condition, wanted, "{} waits for {name}", service.name);
            }
            there.insert(service.name.clone());
            if service.is_job() {
                self.until_done(&service).await?;
            } else {
                let mut process = self.spawn(service)?;
                self.until_healthy(&mut process).await?;
                processes.push(process);
            }
        }
        Ok(processes)
    }

    fn url(&self, gateway: &str) -> String {
        format!("http://{}:8080", self.addresses[gateway])
    }
}

/// `server.properties` as the Kafka image makes them of its variables, less what is about addresses and places.
fn kafka_properties(environment: &BTreeMap<String, String>) -> String {
    let elsewhere = ["listeners", "voters", "advertised", "log.dirs", "listener", "heap.opts"];
    let properties = environment.iter().filter_map(|(name, value)| {
        let name = name.strip_prefix("KAFKA_")?.to_lowercase().replace('_', ".");
        (!elsewhere.iter().any(|word| name.contains(word))).then(|| format!("{name}={value}"))
    });
    properties.collect::<Vec<_>>().join("\n")
}

/// The answer to a request that must be taken.
async fn send(request: reqwest::RequestBuilder, body: &Value) -> Result<Value> {
    let answer = request.header("content-type", "application/json").body(body.to_string()).send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status == 200, "{status}: {text}");
    Ok(serde_json::from_str(&text)?)
}

/// A partner, a code, and a sale of 50.00 that names it.
async fn sell(configured: &str, sold: &str, key: &str) -> Result<()> {
    let http = reqwest::Client::builder().no_proxy().timeout(LIMIT).build()?;
    let program = "/v1/programs/prog_acme_test";
    let partner = http.put(format!("{configured}{program}/partners/ann")).bearer_auth(key);
    send(partner, &json!({"name": "Ann"})).await?;
    let code = http.put(format!("{configured}{program}/codes/ann10")).bearer_auth(key);
    send(code, &json!({"partner_id": "ann"})).await?;
    // Through the other gateway: what one was told, all know.
    let sale = http.post(format!("{sold}{program}/sales")).bearer_auth(key);
    let body = json!({"external_id": "order_1", "amount": 5_000, "currency": "EUR", "code": "ann10"});
    let answer = send(sale, &body).await?;
    assert_eq!(
        (&answer["verdict"], &answer["commission"]["amount"]),
        (&json!("applied"), &json!(625)),
        "{answer}"
    );
    Ok(())
}

/// Waits until the balance shows and every verdict is proven.
async fn proven(engine: &Engine, cli: &Service) -> Result<()> {
    let limit = Instant::now() + LIMIT;
    loop {
        let balances: Value = serde_json::from_str(&engine.run(cli, &["balances", "--json"]).await?)?;
        let row = &balances[0];
        let earned = (&row["program_id"], &row["partner_id"], &row["available"], &row["pending"]);
        if earned == (&json!("prog_acme_test"), &json!("ann"), &json!(625), &json!(0)) {
            break;
        }
        ensure!(Instant::now() < limit, "the balance does not show: {balances}");
        tokio::time::sleep(PAUSE).await;
    }
    loop {
        let report = engine.verify(cli).await?;
        if report["ok"] == true {
            assert_eq!(report["accepted"], 1, "{report}");
            return Ok(());
        }
        // Verdicts are projected from another topic than money; nothing else may be wrong.
        let problems = report["problems"].as_array().context("problems")?;
        let waits = problems.iter().all(|problem| problem["kind"] == "lag");
        ensure!(waits && Instant::now() < limit, "{report}");
        tokio::time::sleep(PAUSE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_services_of_the_compose_file_start_in_its_order_earn_a_commission_and_end_in_time() -> Result<()>
{
    let _turn = TURN.lock().await;
    let compose = Compose::read()?;
    let engine = Engine::start(&compose).await?;
    let database = PrivatePostgres::start(&engine.directory.path().join("postgres")).await?;
    engine.introduce(&database).await?;
    let processes = engine.up(&compose).await?;

    let gateway = compose.service("gateway")?;
    let made = engine
        .run(&gateway, &["init", "--account", "Acme", "--currency", "EUR", "--rate", "12.5", "--json"])
        .await?;
    let made: Value = serde_json::from_str(&made)?;
    let keys = made["operator_keys"].as_array().context("keys")?;
    let key = keys.iter().find(|key| key["mode"] == "test").context("a test key")?["secret"].as_str();
    sell(&engine.url("gateway"), &engine.url("gateway-2"), key.context("shown once")?).await?;
    proven(&engine, &compose.service("cli")?).await?;

    // As `docker compose stop` does it.
    for mut process in processes.into_iter().rev() {
        let name = process.service.name.clone();
        let grace = process.service.definition["stop_grace_period"].as_str().context("a grace period")?;
        let grace = Duration::from_secs(grace.trim_end_matches('s').parse()?);
        kill(Pid::from_raw(i32::try_from(process.child.id().context("it runs")?)?), Signal::SIGTERM)?;
        let status =
            tokio::time::timeout(grace, process.child.wait()).await.with_context(|| name.clone())??;
        ensure!(status.success(), "{name} ended with {status}:\n{}", tail(&process.log));
    }
    database.stop().await?;
    Ok(())
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
