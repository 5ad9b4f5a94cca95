//! Named points where a test can stop the process to kill it. Without the feature `failpoints` they are nothing.

/// The named points, in the order of one event's way.
pub const POINTS: [&str; 6] = [
    "key-stored-no-frame",
    "appended-no-ack",
    "acked-not-accepted",
    "accepted-not-stored",
    "before-commit",
    "after-commit",
];

/// Stops here for ever when the test asked for it: `TRIBUTARY_FAILPOINT=<name>:<nth hit>` and
/// `TRIBUTARY_FAILPOINT_FILE=<path>`, a file that is created when the point is reached. The test then sends SIGKILL.
#[cfg(feature = "failpoints")]
pub fn hit(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    static WANTED: OnceLock<Option<(String, u64, String)>> = OnceLock::new();
    static HITS: AtomicU64 = AtomicU64::new(0);
    let wanted = WANTED.get_or_init(|| {
        let spec = std::env::var("TRIBUTARY_FAILPOINT").ok()?;
        let (point, nth) = spec.split_once(':')?;
        let file = std::env::var("TRIBUTARY_FAILPOINT_FILE").ok()?;
        Some((point.to_owned(), nth.parse().ok()?, file))
    });
    if let Some((point, nth, file)) = wanted
        && point == name
        && HITS.fetch_add(1, Ordering::SeqCst) + 1 == *nth
    {
        if let Err(error) = std::fs::write(file, name) {
            tracing::error!(%error, "failpoint file not written");
        }
        loop {
            std::thread::park();
        }
    }
}

/// Whether the next [`hit`] of `name` will stop.
#[cfg(feature = "failpoints")]
#[must_use]
pub fn next_hit_stops(name: &str) -> bool {
    std::env::var("TRIBUTARY_FAILPOINT")
        .is_ok_and(|spec| spec.split_once(':').is_some_and(|(point, _)| point == name))
}

/// Whether an operation is to fail from now on: `TRIBUTARY_FAILPOINT_FAIL=<name>` while the file that
/// `TRIBUTARY_FAILPOINT_FILE` names is there.
#[cfg(feature = "failpoints")]
#[must_use]
pub fn fails(name: &str) -> bool {
    std::env::var("TRIBUTARY_FAILPOINT_FAIL").is_ok_and(|wanted| wanted == name)
        && std::env::var("TRIBUTARY_FAILPOINT_FILE").is_ok_and(|file| std::path::Path::new(&file).exists())
}

/// Never: the feature `failpoints` is off.
#[cfg(not(feature = "failpoints"))]
#[must_use]
pub const fn fails(_name: &str) -> bool {
    false
}

/// Nothing: the feature `failpoints` is off.
#[cfg(not(feature = "failpoints"))]
pub fn hit(_name: &str) {}
