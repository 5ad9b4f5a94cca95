//! The demo programs, fixed so that documentation, tests and first tries agree. Their keys and secrets are public.
use anyhow::{Context as _, bail};
use bytes::Bytes;
use domain::config::{
    ApiKey, Code, ConfigFact, ConfigObject, Coupon, Endpoint, Mode, Partner, Profile, Program, Reward, Rule,
};
use domain::ids::ProgramId;
use domain::money::{Currency, RatePpm, Rounding};
use kit::master_key::MasterKey;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use stream::log::{Log, NewRecord, Topic, partition_of};
use wire::ingest::IngestRecord;

/// The demo account's secret key.
pub(crate) const SECRET_KEY: &str = "sk_demo_tributary";
/// The demo account's publishable key: may only report.
const PUBLISHABLE_KEY: &str = "pk_demo_tributary";
/// Every webhook secret of the demo.
pub(crate) const WEBHOOK_SECRET: &str = "whsec_demo_tributary";
/// The demo's programs.
pub(crate) const PROGRAM_IDS: [&str; 2] = ["prog_demo", "prog_demo_eighth"];
const ACCOUNT: &str = "acct_demo";
/// The providers whose signed webhooks each demo program takes. What a later version adds goes last: the last endpoint tells
/// whether an older installation has everything.
pub(crate) const PROVIDERS: [&str; 2] = ["paddle", "stripe"];
/// From the facts' append to their way through the normalizer.
const PROVISIONING_LIMIT: Duration = Duration::from_secs(60);
/// Records read at once, at most.
const READ_RECORDS: usize = 1_000;
const READ_BYTES: usize = 1 << 20;

struct DemoProgram {
    program: &'static str,
    name: &'static str,
    rate: RatePpm,
    john_code: &'static str,
    mary_code: &'static str,
    coupon: Option<&'static str>,
    /// Keys are the account's; one program is their home.
    holds_keys: bool,
}

const PROGRAMS: [DemoProgram; 2] = [
    DemoProgram {
        program: PROGRAM_IDS[0],
        name: "Demo, 20 percent",
        rate: RatePpm(200_000),
        john_code: "john123",
        mary_code: "mary456",
        coupon: Some("SAVE20"),
        holds_keys: true,
    },
    DemoProgram {
        program: PROGRAM_IDS[1],
        name: "Demo, 12.5 percent",
        rate: RatePpm(125_000),
        john_code: "john8",
        mary_code: "mary8",
        coupon: None,
        holds_keys: false,
    },
];

/// Appends the demo's configuration where it is not known yet, and waits until gateways can know it.
///
/// # Errors
/// When the log refuses, or the normalizer does not take it in time.
pub(crate) async fn provision(log: &Arc<dyn Log>, master_key: &MasterKey) -> anyhow::Result<()> {
    for demo in &PROGRAMS {
        let facts = facts(demo, master_key)?;
        // Endpoints come last, so a gateway that knows the last one knows that everything before it was accepted.
        let last = facts.last().context("a demo program without facts")?.clone();
        if known(log, &last, Duration::ZERO).await? {
            tracing::info!(program_id = demo.program, "demo program is there already");
            continue;
        }
        let partition = partition_of(demo.program, log.partition_count());
        let records = facts.into_iter().map(|fact| record(&fact)).collect();
        log.appender().await?.append(Topic::Ingest, partition, records).await?;
        if !known(log, &last, PROVISIONING_LIMIT).await? {
            bail!(
                "the demo program {} was not taken within {PROVISIONING_LIMIT:?}; see the log above",
                demo.program
            );
        }
        tracing::info!(program_id = demo.program, "demo program created");
    }
    Ok(())
}

fn record(fact: &ConfigFact) -> NewRecord {
    NewRecord {
        key: Bytes::copy_from_slice(fact.program.as_str().as_bytes()),
        value: wire::ingest::encode(&IngestRecord::Config(fact.clone())),
    }
}

fn facts(demo: &DemoProgram, master_key: &MasterKey) -> anyhow::Result<Vec<ConfigFact>> {
    let code = |code: &str, partner: &str| {
        ConfigObject::Code(Code { code: code.to_owned(), partner: partner.into(), active: true })
    };
    let partner = |id: &str, name: &str| {
        ConfigObject::Partner(Partner {
            partner: id.into(),
            name: name.to_owned(),
            active: true,
            ..Partner::default()
        })
    };
    let mut objects = vec![
        ConfigObject::Program(Program {
            account: ACCOUNT.into(),
            name: demo.name.to_owned(),
            mode: Mode::Test,
            profile: Profile::Native,
            currency: Currency::parse("USD").context("USD is a currency")?,
            rounding: Rounding::HalfEven,
            click_window_days: 30,
            hold_days: 0,
            release: domain::config::Release::default(),
            manual_approval: false,
            sale_from: None,
            referral_keys: Vec::new(),
            customer_keys: Vec::new(),
            rule_metadata_keys: Vec::new(),
        }),
        ConfigObject::Rule(Rule {
            rule: "rule_default".into(),
            version: 1,
            reward: Reward::Percent(demo.rate),
            ..Rule::default()
        }),
        partner("partner_john", "John"),
        partner("partner_mary", "Mary"),
        code(demo.john_code, "partner_john"),
        code(demo.mary_code, "partner_mary"),
    ];
    objects.extend(demo.coupon.map(|coupon| {
        ConfigObject::Coupon(Coupon {
            coupon: coupon.to_owned(),
            partner: "partner_john".into(),
            active: true,
        })
    }));
    if demo.holds_keys {
        objects.push(api_key("key_demo_secret", SECRET_KEY, false));
        objects.push(api_key("key_demo_publishable", PUBLISHABLE_KEY, true));
    }
    for provider in PROVIDERS {
        objects.push(endpoint(demo.program, provider, master_key)?);
    }
    Ok(objects.into_iter().map(|object| fact(demo.program, object)).collect())
}

fn fact(program: &str, object: ConfigObject) -> ConfigFact {
    ConfigFact { program: ProgramId::from(program), actor: "demo".to_owned(), object, removed: false }
}

fn api_key(key_id: &str, key: &str, publishable: bool) -> ConfigObject {
    ConfigObject::ApiKey(ApiKey {
        key_id: key_id.to_owned(),
        sha256: Sha256::digest(key.as_bytes()).into(),
        account: ACCOUNT.into(),
        publishable,
        mode: Mode::Test,
        ..ApiKey::default()
    })
}

fn endpoint(program: &str, provider: &str, master_key: &MasterKey) -> anyhow::Result<ConfigObject> {
    let endpoint_id = format!("ep_{program}_{provider}");
    // Sealing is deterministic, so the same master key gives the same fact at every start.
    let sealed = master_key.seal_endpoint_secret(program, &endpoint_id, WEBHOOK_SECRET.as_bytes())?;
    Ok(ConfigObject::Endpoint(Endpoint {
        endpoint_id,
        provider: provider.to_owned(),
        sealed_secrets: vec![sealed],
        tolerance_seconds: 0,
    }))
}

/// Whether `gateway-config` has `wanted` as its object's newest version, waiting for it up to `limit`.
async fn known(log: &Arc<dyn Log>, wanted: &ConfigFact, limit: Duration) -> anyhow::Result<bool> {
    let partition = partition_of(wanted.program.as_str(), log.partition_count());
    let deadline = tokio::time::Instant::now() + limit;
    let bounds = log.bounds(Topic::GatewayConfig, partition).await?;
    let mut reader = log.reader(Topic::GatewayConfig, partition, bounds.start).await?;
    let mut newest: BTreeMap<String, (u64, bool)> = BTreeMap::new();
    let mut next = bounds.start.0;
    loop {
        let records = if next < bounds.end.0 {
            reader.next(READ_RECORDS, READ_BYTES).await?
        } else {
            if newest.get(&wanted.key()).is_some_and(|(_, same)| *same) {
                return Ok(true);
            }
            match tokio::time::timeout_at(deadline, reader.next(READ_RECORDS, READ_BYTES)).await {
                Ok(records) => records?,
                Err(_) => return Ok(false),
            }
        };
        for record in records {
            next = record.offset.0 + 1;
            let Ok(config) = wire::config::decode_gateway(&record.value) else { continue };
            let version = newest.entry(config.key).or_default();
            if config.version >= version.0 {
                *version = (config.version, config.fact == *wanted);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_same_master_key_gives_the_same_demo_at_every_start() {
        let key = MasterKey::from_bytes([7; 64]);
        for demo in &PROGRAMS {
            let facts = facts(demo, &key).unwrap();
            assert_eq!(facts, super::facts(demo, &key).unwrap());
            assert!(facts.last().unwrap().concerns_gateway());
            let text = format!("{facts:?}");
            assert!(
                !text.contains(WEBHOOK_SECRET) && !text.contains(SECRET_KEY),
                "secrets travel hashed or sealed"
            );
        }
    }
}
