//! What the image brings along, and where its services are found on this machine.
use crate::repository;
use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// A loopback address of its own for each service, so that all can have the ports that the image has.
pub(crate) fn loopback(number: usize) -> IpAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 1 + high % 250, low, 1 + u8::try_from(number).unwrap_or(u8::MAX)).into()
}

/// The variables that the Dockerfile's last stage sets.
pub(crate) fn image_environment() -> Result<BTreeMap<String, String>> {
    let dockerfile = std::fs::read_to_string(repository().join("deploy/docker/Dockerfile"))?;
    let joined = dockerfile.replace("\\\n", " ");
    let variables: BTreeMap<String, String> = joined
        .lines()
        .filter_map(|line| line.strip_prefix("ENV "))
        .flat_map(str::split_whitespace)
        .filter_map(|word| word.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    ensure!(variables.contains_key("TRIBUTARY_METRICS_LISTEN"), "the image says where health is asked for");
    Ok(variables)
}
