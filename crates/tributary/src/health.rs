//! `health`: asks a process on this machine how it is, for those who can run a command and nothing else, such as the health
//! checks of a container without a shell.
use crate::cli::Health;
use crate::up::print_line;
use anyhow::{Context as _, bail};
use kit::config::Config;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

/// The process answers, but it is not ready.
const NOT_READY: u8 = 1;
/// A process that answers later is of no use to a caller either.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Asks `/readyz`, or with `--live` `/livez`, where the process serves its metrics. Errors: nobody answers.
pub(crate) async fn health(args: &Health) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.layers())?;
    let address = reachable(config.metrics_listen);
    if address.port() == 0 {
        bail!(
            "the process took a free port for its metrics; give it one with --metrics-listen or \
             TRIBUTARY_METRICS_LISTEN, and this command the same"
        );
    }
    let url = format!("http://{address}/{}", if args.live { "livez" } else { "readyz" });
    let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_LIMIT).build()?;
    let answer = client.get(&url).send().await.with_context(|| format!("no answer from {url}"))?;
    let ready = answer.status().is_success();
    let said: Value = answer.json().await.with_context(|| format!("{url} answers something else"))?;
    print_line(&said.to_string())?;
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::from(NOT_READY) })
}

/// Where a process that listens on every address is found from the same machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_process_that_listens_everywhere_is_asked_on_loopback() {
        for (listen, asked) in
            [("0.0.0.0:9090", "127.0.0.1:9090"), ("[::]:9090", "[::1]:9090"), ("127.0.0.5:1", "127.0.0.5:1")]
        {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), asked);
        }
    }
}
