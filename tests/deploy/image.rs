//! The image's last stage, built by buildah from the Dockerfile as it is, and a service started in its file system: as the
//! image's user, with a root that cannot be written, and a broker that it must find by name and believe by certificate.
use crate::{TURN, binary, repository};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;
use testkit::secure::SecureBroker;
use tokio::process::Command;
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(60);
const NAME: &str = "localhost/tributary-test";
const BROKER: &str = "kafka.tributary.test";
const USER: u32 = 65_532;

/// What an engine does before it starts a container: the root read-only, volume and secrets where they belong, the image's user.
const START: &str = r#"
set -eu
root=$1 outside=$2; shift 2
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount --bind "$outside/volume" "$root/var/lib/tributary"
for file in etc/hosts etc/ssl/certs/ca-certificates.crt; do
    mount --bind "$outside/$file" "$root/$file"
    mount -o remount,bind,ro "$root/$file"
done
mount --bind "$outside/secrets" "$root/run/secrets"
exec chroot --userspec=65532:65532 "$root" "$@"
"#;

/// buildah with a store of its own.
struct Buildah {
    arguments: Vec<String>,
}

impl Buildah {
    fn below(directory: &Path) -> Self {
        let place = |name: &str| directory.join(name).display().to_string();
        let words = ["--storage-driver", "vfs", "--root", &place("store"), "--runroot", &place("run")];
        Self { arguments: words.map(str::to_owned).to_vec() }
    }

    async fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new("buildah").args(&self.arguments).args(arguments).output().await;
        let output = output.context("buildah is not installed; scripts/test installs it")?;
        succeeded(&format!("buildah {arguments:?}"), output)
    }

    async fn build(&self) -> Result<()> {
        let output = Command::new(repository().join("deploy/docker/build"))
            .arg(binary())
            .arg(NAME)
            .env("BUILDAH_ARGUMENTS", self.arguments.join(" "))
            .output()
            .await?;
        succeeded("deploy/docker/build", output).map(drop)
    }
}

fn succeeded(what: &str, output: Output) -> Result<String> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what}: {}\n{stderr}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// A container that an engine would have made of the image.
struct Container {
    root: PathBuf,
    /// What is mounted into it.
    outside: PathBuf,
    config: Value,
    bootstrap: String,
}

impl Container {
    /// A command of its entrypoint, with the image's environment and what tells it where Kafka is.
    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let entrypoint = self.config["Entrypoint"][0].as_str().context("an entrypoint")?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "bash", "-c", START, "start"]);
        command.arg(&self.root).arg(&self.outside).arg(entrypoint).args(arguments).kill_on_drop(true);
        let path = std::env::var_os("PATH").context("PATH")?;
        command.env_clear();
        for variable in self.config["Env"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let (name, value) = variable.split_once('=').context("a variable")?;
            command.env(name, value.replace("0.0.0.0", &crate::container::loopback(200).to_string()));
        }
        // For unshare and mount; the entrypoint is named whole.
        command
            .env("PATH", path)
            .env("TRIBUTARY_KAFKA_BROKERS", &self.bootstrap)
            .env("TRIBUTARY_KAFKA_SECURITY_PROTOCOL", "sasl_ssl")
            .env("TRIBUTARY_KAFKA_SASL_USERNAME", "admin")
            .env("TRIBUTARY_KAFKA_SASL_PASSWORD_FILE", "/run/secrets/password");
        Ok(command)
    }

    async fn run(&self, arguments: &[&str]) -> Result<Output> {
        Ok(tokio::time::timeout(LIMIT, self.command(arguments)?.output()).await??)
    }
}

/// Everything in the image that its user could write.
fn writable(directory: &Path, root: &Path, found: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let metadata = path.symlink_metadata()?;
        let mode = metadata.permissions().mode();
        if metadata.uid() == USER || (mode & 0o002 != 0 && !metadata.is_symlink()) {
            found.push(path.strip_prefix(root)?.display().to_string());
        }
        if metadata.is_dir() {
            writable(&path, root, found)?;
        }
    }
    Ok(())
}

/// Lays out what is mounted: an empty volume of the user's, the password, a bundle that holds the test's authority as well, and
/// the one name.
fn mounts(outside: &Path, root: &Path, broker: &SecureBroker) -> Result<()> {
    let bundle = "etc/ssl/certs/ca-certificates.crt";
    for directory in ["volume", "secrets", "etc/ssl/certs"] {
        std::fs::create_dir_all(outside.join(directory))?;
    }
    std::os::unix::fs::chown(outside.join("volume"), Some(USER), Some(USER))?;
    std::fs::set_permissions(outside.join("volume"), std::fs::Permissions::from_mode(0o700))?;
    std::fs::copy(broker.file("admin.password"), outside.join("secrets/password"))?;
    std::fs::set_permissions(outside.join("secrets/password"), std::fs::Permissions::from_mode(0o444))?;
    std::fs::copy(root.join(bundle), outside.join(bundle))?;
    std::fs::write(outside.join("etc/hosts"), format!("127.0.0.1 {BROKER}\n"))?;
    // An engine makes the places that it mounts on.
    std::fs::create_dir_all(root.join("run/secrets"))?;
    std::fs::write(root.join("etc/hosts"), "")?;
    Ok(())
}

fn trust(outside: &Path, authority: &Path) -> Result<()> {
    let bundle = outside.join("etc/ssl/certs/ca-certificates.crt");
    let mut text = std::fs::read_to_string(&bundle)?;
    text.push_str(&std::fs::read_to_string(authority)?);
    // Written in place: it is mounted by its inode.
    Ok(std::fs::write(bundle, text)?)
}

async fn serves_until_told_to_end(container: &Container) -> Result<()> {
    let log = container.outside.join("commission.log");
    let mut command = container.command(&["commission"])?;
    let mut service = command.stderr(std::fs::File::create(&log)?).spawn()?;
    let limit = Instant::now() + LIMIT;
    while !container.run(&["health"]).await?.status.success() {
        let said = std::fs::read_to_string(&log)?;
        ensure!(service.try_wait()?.is_none() && Instant::now() < limit, "not healthy:\n{said}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let pid = nix::unistd::Pid::from_raw(i32::try_from(service.id().context("it runs")?)?);
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    assert!(status.contains("\nUid:\t65532\t65532\t65532\t65532\n"), "{status}");
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
    let ended = tokio::time::timeout(LIMIT, service.wait()).await??;
    ensure!(ended.success(), "{ended}\n{}", std::fs::read_to_string(&log)?);
    // It kept its state in the volume, and nobody else may read it.
    let state = container.outside.join("volume/state-commission").metadata()?;
    assert_eq!((state.uid(), state.mode() & 0o077), (USER, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_runs_as_nobody_on_a_root_it_cannot_write_and_reaches_a_named_broker_over_tls() -> Result<()>
{
    let _turn = TURN.lock().await;
    ensure!(
        nix::unistd::geteuid().is_root(),
        "mounting and changing the root needs root; run this test as root"
    );
    let directory = tempfile::Builder::new().prefix("tributary-image-").tempdir()?;
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755))?;
    let buildah = Buildah::below(directory.path());
    buildah.build().await?;
    let inspected: Value = serde_json::from_str(&buildah.run(&["inspect", "--type", "image", NAME]).await?)?;
    let config = inspected["OCIv1"]["config"].clone();
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Volumes"], serde_json::json!({"/var/lib/tributary": {}}));

    let made = buildah.run(&["from", "--pull-never", NAME]).await?;
    let version =
        buildah.run(&["run", "--isolation", "chroot", &made, "/usr/bin/tributary", "--version"]).await?;
    assert_eq!(version, format!("tributary {}", env!("CARGO_PKG_VERSION")));
    let root = PathBuf::from(buildah.run(&["mount", &made]).await?);
    let mut found = Vec::new();
    writable(&root, &root, &mut found)?;
    assert_eq!(found, ["var/lib/tributary"], "nothing else may belong to its user");

    // Its clients are told a name of which only the container knows the address.
    let broker = tokio::task::spawn_blocking(|| SecureBroker::start_named(BROKER, &["tributary"])).await??;
    let outside = directory.path().join("outside");
    mounts(&outside, &root, &broker)?;
    let bootstrap = broker.bootstrap().to_owned();
    assert!(bootstrap.starts_with(BROKER), "{bootstrap}");
    let container = Container { root, outside, config, bootstrap };

    let refused = container.run(&["topics"]).await?;
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("certificate"),
        "no authority that it knows signed that: {said}"
    );
    trust(&container.outside, &broker.file("ca.pem"))?;
    succeeded("topics", container.run(&["topics"]).await?)?;
    serves_until_told_to_end(&container).await
}
