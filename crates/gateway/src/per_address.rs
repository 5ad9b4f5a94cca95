//! How many connections one address may have open: slow or idle sockets from one place must not take them all.
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Open connections by address.
#[derive(Debug)]
pub(crate) struct PerAddress {
    /// 0: as many as there may be at all.
    most: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One open connection; counted until dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    of: Arc<PerAddress>,
    address: IpAddr,
}

impl PerAddress {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, open: Mutex::default() })
    }

    /// Counts a connection; `None`: its address has as many as it may.
    pub(crate) fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Counted> {
        let address = subscriber(peer);
        let mut open = self.open();
        let count = open.entry(address).or_default();
        if self.most != 0 && *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Counted { of: Arc::clone(self), address })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.of.open();
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

/// Whoever has one IPv6 address has its whole /64.
fn subscriber(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_network_of_ipv6_addresses_counts_as_one_and_what_ends_makes_room() {
        let per_address = PerAddress::new(2);
        let at = |text: &str| per_address.enter(text.parse().unwrap());
        let (first, second) = (at("2001:db8::1").unwrap(), at("2001:db8::2").unwrap());
        assert!(at("2001:db8::3").is_none());
        assert!(at("2001:db8:0:1::1").is_some());
        assert!(at("192.0.2.1").is_some());
        drop(first);
        assert!(at("2001:db8::3").is_some());
        drop(second);
        assert!(per_address.open().is_empty());
    }
}
