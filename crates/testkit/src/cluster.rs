//! Three brokers with copies of everything on each, for tests that kill one or two of them. Small heaps: together they take
//! about 1.2 GiB.
use crate::kafka::obtain;
use anyhow::{Context, Result, bail};
use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Brokers, each also a controller.
pub const BROKERS: usize = 3;
const HEAP: [&str; 4] = ["-Xms96m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
const LIMIT: Duration = Duration::from_secs(90);
/// Any cluster id will do; it is 16 bytes in base64.
const ID: &str = "VHJpYnV0YXJ5LXRlc3QtMw";
/// The line that follows a broker's registration: from then on it serves.
const SERVES: &str = "Kafka Server started";

/// A running cluster. Dropping it kills every broker.
#[derive(Debug)]
pub struct Cluster {
    home: tempfile::TempDir,
    jars: String,
    ports: [u16; BROKERS],
    running: [Option<Child>; BROKERS],
    /// Kills what is left when this process ends without dropping the cluster.
    guards: Vec<Child>,
}

impl Cluster {
    /// Starts all brokers. Blocks for some seconds.
    ///
    /// # Errors
    /// When Kafka cannot be obtained, or a broker does not start; the error holds its log.
    pub fn start() -> Result<Self> {
        let jars = obtain()?;
        let home = tempfile::Builder::new().prefix("tributary-kafka3-").tempdir()?;
        let (clients, controllers) = ports()?;
        let voters: Vec<String> =
            controllers.iter().zip(1..).map(|(port, node)| format!("{node}@127.0.0.1:{port}")).collect();
        let mut cluster =
            Self { home, jars, ports: clients, running: [None, None, None], guards: Vec::new() };
        for (index, port) in controllers.iter().enumerate() {
            cluster.format(index, *port, &voters.join(","))?;
        }
        // A majority must be there before any of them serves.
        for index in 0..BROKERS {
            cluster.launch(index)?;
        }
        for index in 0..BROKERS {
            cluster.until_it_serves(index)?;
        }
        Ok(cluster)
    }

    /// `host:port` of all brokers, with commas.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.ports.map(|port| format!("127.0.0.1:{port}")).join(",")
    }

    /// Ends a broker with SIGKILL.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self, index: usize) -> Result<()> {
        let mut broker = self.running[index].take().context("it does not run")?;
        broker.kill()?;
        broker.wait()?;
        Ok(())
    }

    /// Starts a broker again and does not wait for it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn restart(&mut self, index: usize) -> Result<()> {
        self.launch(index)
    }

    /// Blocks until a broker serves.
    ///
    /// # Errors
    /// When it ends, or does not serve in time; the error holds its log.
    pub fn until_it_serves(&mut self, index: usize) -> Result<()> {
        let log = self.directory(index).join("broker.log");
        let limit = Instant::now() + LIMIT;
        loop {
            let text = std::fs::read_to_string(&log)?;
            if text.contains(SERVES) {
                return Ok(());
            }
            let ended = self.running[index].as_mut().context("it does not run")?.try_wait()?;
            if ended.is_some() || Instant::now() > limit {
                let lines: Vec<_> = text.lines().collect();
                let tail = lines[lines.len().saturating_sub(20)..].join("\n");
                bail!("broker {} does not serve ({ended:?}):\n{tail}", index + 1);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn directory(&self, index: usize) -> PathBuf {
        self.home.path().join(format!("broker{}", index + 1))
    }

    fn format(&self, index: usize, controller: u16, voters: &str) -> Result<()> {
        let directory = self.directory(index);
        std::fs::create_dir_all(&directory)?;
        let properties = directory.join("server.properties");
        std::fs::write(&properties, self.properties(index, controller, voters, &directory))?;
        let output = Command::new("java")
            .args(HEAP)
            .args(["-cp", &self.jars, "kafka.tools.StorageTool", "format", "-t", ID, "-c"])
            .arg(&properties)
            .output()
            .context("java")?;
        if !output.status.success() {
            bail!("broker {} not formatted: {}", index + 1, String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    fn properties(&self, index: usize, controller: u16, voters: &str, directory: &Path) -> String {
        let port = self.ports[index];
        let mut text = format!(
            "process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
",
            node = index + 1,
            data = directory.join("data").display(),
        );
        for (name, value) in [
            ("auto.create.topics.enable", "false"),
            ("unclean.leader.election.enable", "false"),
            ("default.replication.factor", "3"),
            ("min.insync.replicas", "2"),
            ("offsets.topic.replication.factor", "3"),
            ("offsets.topic.num.partitions", "1"),
            ("transaction.state.log.replication.factor", "3"),
            ("transaction.state.log.min.isr", "2"),
            ("group.initial.rebalance.delay.ms", "0"),
            ("group.min.session.timeout.ms", "3000"),
            // A dead broker is noticed, and a follower that lags is left out, within seconds.
            ("broker.session.timeout.ms", "3000"),
            ("broker.heartbeat.interval.ms", "500"),
            ("replica.lag.time.max.ms", "3000"),
            ("controller.quorum.election.timeout.ms", "500"),
            ("controller.quorum.fetch.timeout.ms", "1000"),
            ("num.network.threads", "2"),
            ("num.io.threads", "2"),
            ("log.index.size.max.bytes", "1048576"),
        ] {
            writeln!(text, "{name}={value}").unwrap();
        }
        text
    }

    fn launch(&mut self, index: usize) -> Result<()> {
        let directory = self.directory(index);
        let log = std::fs::File::create(directory.join("broker.log"))?;
        let broker = Command::new("java")
            .args(HEAP)
            .args(["-cp", &self.jars, "kafka.Kafka"])
            .arg(directory.join("server.properties"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("java")?;
        let watch = "while kill -0 \"$0\" 2>/dev/null; do sleep 1; done; kill -9 \"$1\" 2>/dev/null";
        let guard = Command::new("bash")
            .args(["-c", watch, &std::process::id().to_string(), &broker.id().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        self.guards.push(guard);
        self.running[index] = Some(broker);
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The guards first: a broker's id may be somebody else's once it has ended.
        for child in self.guards.iter_mut().chain(self.running.iter_mut().flatten()) {
            if let Err(error) = child.kill().and_then(|()| child.wait()) {
                eprintln!("not stopped: {error}");
            }
        }
    }
}

/// Free ports for clients and for controllers: all bound at once, so that they differ.
fn ports() -> Result<([u16; BROKERS], [u16; BROKERS])> {
    let mut held = Vec::new();
    let mut found = Vec::new();
    while found.len() < 2 * BROKERS {
        // Below the range that the system takes ports for outgoing connections from: none is taken until the brokers bind.
        let port = rand::random_range(20_000_u16..32_000);
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            held.push(listener);
            found.push(port);
        }
    }
    Ok((found[..BROKERS].try_into()?, found[BROKERS..].try_into()?))
}
