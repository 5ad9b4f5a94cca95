//! What if, and as of, from outside: the rules in force change nothing, another rate is forecast, accepted and proven.
use crate::installation::{Installation, LIMIT, Target};
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

const PROGRAM: &str = "prog_demo";
/// After everything.
const LATER: &str = "2999-01-01T00:00:00Z";

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_forecast_is_what_the_balances_are_on_the_embedded_log() -> Result<()> {
    an_accepted_forecast_is_what_the_balances_are(Target::Embedded).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_forecast_is_what_the_balances_are_on_kafka() -> Result<()> {
    an_accepted_forecast_is_what_the_balances_are(Target::Kafka).await
}

async fn an_accepted_forecast_is_what_the_balances_are(target: Target) -> Result<()> {
    let installation = Installation::small(target, "whatif").await?;
    let running = installation.setup.start(None).await?;
    installation.settled(PROGRAM).await?;
    let case = Case { installation };

    let exported = case.exported().await?;
    let same = case.file("same.toml", &exported)?;
    let unchanged = case.what_if(&same, &[]).await?;
    assert_eq!((&unchanged["changed"], &unchanged["rules"]), (&json!(0), &json!([])), "{unchanged}");
    assert!(unchanged["compared"].as_u64() > Some(0), "{unchanged}");

    let halved = exported.replace("rate_ppm = 200000", "rate_ppm = 100000");
    assert_ne!(halved, exported, "{exported}");
    let other = case.file("other.toml", &halved)?;
    let forecast = case.what_if(&other, &[]).await?;
    assert!(forecast["changed"].as_u64() > Some(0) && forecast["accepted"].is_null(), "{forecast}");
    let before = case.balances(&[]).await?;
    assert_eq!(case.balances(&["--as-of", LATER]).await?, before, "nothing is decided meanwhile");
    assert_eq!(case.balances(&["--as-of", "2000-01-01T00:00:00Z"]).await?, json!([]));
    let moment = last_change(&case.installation).await?;

    let accepted = case.what_if(&other, &["--accept", "--actor", "Jo"]).await?;
    assert_eq!(accepted["accepted"]["taken"], forecast["changed"], "{accepted}");
    assert_eq!((&accepted["accepted"]["skipped"], &accepted["deltas"]), (&json!([]), &forecast["deltas"]));
    let expected = with_deltas(&before, &forecast["deltas"])?;
    case.balances_are(&expected).await?;
    for file in [&other, &same] {
        let again = case.what_if(file, &[]).await?;
        assert_eq!(again["changed"], json!(0), "{again}");
    }
    assert_eq!(case.balances(&["--as-of", &moment]).await?, before, "what was is not rewritten");
    let all_known = case.balances(&["--as-of", LATER, "--known-at", LATER]).await?;
    assert_eq!(nets(&all_known)?, expected);
    let commission = forecast["commissions"][0]["commission_id"].as_str().context("an id")?.to_owned();
    let told = case.installation.setup.run(&["explain", &commission]).await?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("priced again by an accepted what-if") && told.contains("(Jo)"), "{told}");

    case.refuses(&["balances", "--as-of", &moment, "--known-at", "2000-01-01T00:00:00Z"], "--known-at")
        .await?;
    let slip = case.file("slip.toml", &exported.replace("rate_ppm", "rate"))?;
    case.refuses(&["replay", "--what-if", &slip], "rate: there is no such field").await?;
    let unkept = format!(
        "{exported}\n[programs.{PROGRAM}.rules.extra]\npercent = \"5\"\n\
         [[programs.{PROGRAM}.rules.extra.when.all]]\nfield = \"metadata.plan\"\noperator = \"equal\"\nvalue = \"pro\"\n"
    );
    let unkept = case.file("unkept.toml", &unkept)?;
    let says = "rules.extra.when.all[0].field: the program keeps no metadata under `plan`";
    case.refuses(&["replay", "--what-if", &unkept, "--accept"], says).await?;
    let nobody = case.file("nobody.toml", "[programs.prog_nobody]")?;
    case.refuses(&["replay", "--what-if", &nobody], "programs.prog_nobody: there is no such program").await?;
    case.installation.verify_is_clean().await?;

    running.terminate().await?;
    assert_eq!(case.what_if(&other, &[]).await?["changed"], json!(0), "without a running `up`");
    assert_eq!(case.balances(&["--as-of", &moment]).await?, before);
    Ok(())
}

struct Case {
    installation: Installation,
}

impl Case {
    async fn exported(&self) -> Result<String> {
        let output = self.installation.setup.run(&["replay", "--export-rules", "--program", PROGRAM]).await?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    fn file(&self, name: &str, text: &str) -> Result<String> {
        let path = self.installation.directory.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path.to_string_lossy().into_owned())
    }

    async fn what_if(&self, file: &str, more: &[&str]) -> Result<Value> {
        let arguments = [&["replay", "--what-if", file, "--json"], more].concat();
        self.installation.setup.json(&arguments).await
    }

    async fn balances(&self, more: &[&str]) -> Result<Value> {
        self.installation.setup.json(&[&["balances", "--json"], more].concat()).await
    }

    /// Rows come a little after the answers.
    async fn balances_are(&self, expected: &BTreeMap<(String, String), i64>) -> Result<()> {
        let limit = Instant::now() + LIMIT;
        loop {
            let found = nets(&self.balances(&[]).await?)?;
            if found == *expected {
                return Ok(());
            }
            if Instant::now() > limit {
                bail!("{found:?}, not {expected:?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn refuses(&self, arguments: &[&str], says: &str) -> Result<()> {
        let output = self.installation.setup.run(arguments).await?;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(says), "{arguments:?}: {error}");
        Ok(())
    }
}

/// What is earned in all, by program and partner: all is in one currency here.
fn nets(balances: &Value) -> Result<BTreeMap<(String, String), i64>> {
    let rows = balances.as_array().context("a list")?.iter().map(|row| {
        let number = |name: &str| row[name].as_i64().context("a number");
        let text = |name: &str| anyhow::Ok(row[name].as_str().context("a text")?.to_owned());
        let earned = ["pending", "review", "available", "in_flight", "paid_out"];
        let sum = earned.into_iter().map(number).sum::<Result<i64>>()?;
        Ok(((text("program_id")?, text("partner_id")?), sum - number("debt")?))
    });
    rows.collect()
}

fn with_deltas(before: &Value, deltas: &Value) -> Result<BTreeMap<(String, String), i64>> {
    let mut nets = nets(before)?;
    for delta in deltas.as_array().context("a list")? {
        let name = |name: &str| delta[name].as_str().unwrap_or_default().to_owned();
        let net = nets.get_mut(&(name("program_id"), name("partner_id"))).context("a known partner")?;
        *net += delta["delta_minor"].as_i64().context("a number")?;
    }
    Ok(nets)
}

/// When the last commission changed, by the log's clock.
async fn last_change(installation: &Installation) -> Result<String> {
    let database = installation.database().await?;
    let sql = "select to_char(max(updated_at) at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') from tributary.commissions";
    let moment: String = sqlx::query_scalar(sql).fetch_one(&database).await?;
    database.close().await;
    Ok(moment)
}
