//! The metrics page of the manual against a live scrape: nothing undocumented, nothing that is not there.
use crate::installation::{Installation, Target};
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::time::Duration;
use testkit::load::{client, send};
use testkit::requests::{paddle, paddle_sale, referral};
use tokio::time::Instant;

const PAGE: &str = include_str!("../../docs/reference/metrics.md");
/// Present only on Kafka, or only with the embedded log.
const LIMIT: Duration = Duration::from_secs(30);

/// One scrape.
#[derive(Debug)]
pub(crate) struct Scrape(String);

impl Scrape {
    pub(crate) async fn of(metrics_url: &str) -> Result<Self> {
        Ok(Self(client().get(format!("{metrics_url}/metrics")).send().await?.text().await?))
    }

    /// The sum of a metric's samples whose labels contain all of `labels`.
    pub(crate) fn value(&self, name: &str, labels: &[&str]) -> f64 {
        self.samples(name, labels).sum()
    }

    fn samples<'scrape>(
        &'scrape self,
        name: &'scrape str,
        labels: &'scrape [&'scrape str],
    ) -> impl Iterator<Item = f64> {
        self.0.lines().filter_map(move |line| {
            let (sample, value) = line.rsplit_once(' ')?;
            let (found, given) = sample.split_once('{').unwrap_or((sample, ""));
            (found == name && labels.iter().all(|label| given.contains(label))).then(|| value.parse().ok())?
        })
    }

    /// The names of all metrics that have samples, histograms and summaries by their base name.
    fn names(&self) -> BTreeSet<String> {
        let types = self.0.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

/// Scrapes until `wanted` holds.
pub(crate) async fn wait_for(
    metrics_url: &str,
    what: &str,
    wanted: impl Fn(&Scrape) -> bool,
) -> Result<Scrape> {
    let limit = Instant::now() + LIMIT;
    loop {
        let scrape = Scrape::of(metrics_url).await?;
        if wanted(&scrape) {
            return Ok(scrape);
        }
        if Instant::now() > limit {
            bail!("never: {what}\n{}", scrape.text());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The names that the page documents: the first cell of each row of its tables.
fn documented() -> BTreeSet<String> {
    PAGE.lines()
        .filter_map(|line| line.strip_prefix("| `tributary_")?.split('`').next())
        .map(|name| format!("tributary_{name}"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_page_names_exactly_what_a_scrape_shows() -> Result<()> {
    let installation = Installation::new(Target::Embedded, "metrics").await?;
    let running = installation.setup.start(None).await?;
    let metrics = running.metrics_url()?;
    let http = client();
    // One of each: applied, duplicate, ignored, quarantined, refused, an outcome.
    let sale = paddle("prog_demo", &paddle_sale("evt_m_1", "txn_m_1", 1_000, 0, Some("john123"), "ctm_m"));
    let ignored =
        testkit::requests::paddle_event("evt_m_2", "product.created", serde_json::json!({"id": "pro_1"}));
    let conflict = paddle_sale("evt_m_3", "txn_m_1", 2_000, 0, Some("john123"), "ctm_m");
    for request in [&sale, &sale, &paddle("prog_demo", &ignored), &paddle("prog_demo", &conflict)] {
        assert_eq!(send(&http, &running.url, request).await?.0, 200);
    }
    assert_eq!(send(&http, &running.url, &referral("prog_demo", "john123", "order_m", 1_000)).await?.0, 200);
    assert_eq!(http.get(format!("{}/nowhere", running.url)).send().await?.status(), 404);
    let verdict = |scrape: &Scrape, kind: &str| {
        scrape
            .value("tributary_events_total", &["service=\"normalizer\"", &format!("kind=\"verdict_{kind}\"")])
    };
    let scrape = wait_for(&metrics, "each kind of verdict is counted, and all are projected", |scrape| {
        ["applied", "duplicate", "ignored", "quarantined"].iter().all(|kind| verdict(scrape, kind) >= 1.0)
            && scrape.value("tributary_projector_lag_records", &[]) == 0.0
            && scrape.value("tributary_watermark_age_seconds", &["service=\"normalizer\""]) > 0.0
    })
    .await?;
    assert!(
        scrape.value("tributary_gateway_requests_total", &["route=\"webhook\"", "status=\"200\""]) >= 4.0
    );
    assert!(scrape.value("tributary_gateway_request_seconds_count", &["route=\"webhook\""]) >= 4.0);
    for service in ["normalizer", "attribution", "commission"] {
        let label = format!("service=\"{service}\"");
        assert!(scrape.value("tributary_frames_accepted_total", &[&label]) >= 1.0, "{service}");
        assert!(scrape.value("tributary_append_seconds_count", &[&label]) >= 1.0, "{service}");
        assert!(scrape.value("tributary_watermark_age_seconds", &[&label]) < 120.0, "{service}");
    }
    let (shown, documented) = (scrape.names(), documented());
    let undocumented: Vec<_> = shown.difference(&documented).collect();
    let missing: Vec<_> = documented.difference(&shown).collect();
    assert!(undocumented.is_empty(), "not in docs/reference/metrics.md: {undocumented:?}");
    assert!(missing.is_empty(), "documented, not in a scrape: {missing:?}");
    // Labels are bounded: nothing of a request is one.
    for word in ["txn_m_1", "evt_m", "ctm_m", "order_m", "prog_demo", "nowhere"] {
        assert!(!scrape.text().contains(word), "{word} is in a scrape");
    }
    running.signal(nix::sys::signal::Signal::SIGTERM).context("it runs")?;
    assert!(running.ended().await?.success());
    Ok(())
}
