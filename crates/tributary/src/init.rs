//! `init`: an account, a live program with its test twin, their first rule, and the keys of whoever runs it.
use crate::admin::{Admin, refused};
use crate::cli::Init;
use crate::parts::configure_quietly;
use crate::up::print_line;
use anyhow::{Context as _, bail};
use domain::config::{
    Account, ApiKey, ConfigFact, ConfigObject, Mode, Profile, Program, Release, ReleaseMode, Reward, Rule,
};
use domain::money::{Currency, RatePpm, Rounding};
use domain::normalization::validate::code;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use zeroize::Zeroizing;

/// The rule that every new program starts with.
const RULE: &str = "rule_default";
/// Parts per million in one percent.
const PPM_OF_PERCENT: i64 = 10_000;

/// Creates what the flags say, or what of it is missing, and prints the keys that it made.
pub(crate) async fn init(args: &Init) -> anyhow::Result<()> {
    let config = configure_quietly(&args.place.layers(&[]))?;
    let plan = Plan::of(args)?;
    let admin = Admin::open(&config, true).await?;
    let made = plan.write(&admin, args.new_key).await;
    let closed = admin.close().await;
    let made = made?;
    // The keys first: they cannot be shown again.
    print_line(&if args.json { serde_json::to_string_pretty(&made.json(&plan))? } else { made.text(&plan) })?;
    closed
}

/// What is to be there.
#[derive(Debug)]
struct Plan {
    account_id: String,
    account_name: String,
    /// Live, then test.
    programs: [(String, Program); 2],
    rate: RatePpm,
}

impl Plan {
    fn of(args: &Init) -> anyhow::Result<Self> {
        let account_id = match &args.account_id {
            Some(id) => id.clone(),
            None => format!("acct_{}", slug(&args.account, "--account-id")?),
        };
        let name = args.program.as_ref().unwrap_or(&args.account);
        let program_id = match &args.program_id {
            Some(id) => id.clone(),
            None => format!("prog_{}", slug(name, "--program-id")?),
        };
        let profile = Profile::parse(&args.profile).with_context(
            || "--profile must be one of native, revshare, affonso, partnerstack, refvenue, affihub",
        )?;
        let rounding = match &args.rounding {
            Some(name) => Rounding::parse(name).context("--rounding must be half_even, half_up or floor")?,
            None => profile.rounding(),
        };
        let currency = Currency::parse(&args.currency)
            .with_context(|| format!("--currency: {} is no ISO 4217 code that we know", args.currency))?;
        let mode = ReleaseMode::parse(&args.release).context("--release must be days or calendar")?;
        let release = Release { mode, min_hold_days: args.min_hold_days };
        let program = |mode| Program {
            account: account_id.as_str().into(),
            name: name.clone(),
            mode,
            profile,
            currency,
            rounding,
            click_window_days: args.click_window_days.unwrap_or_else(|| profile.click_window_days()),
            hold_days: args.hold_days,
            release,
            manual_approval: args.manual_approval.unwrap_or_else(|| profile.manual_approval()),
            sale_from: None,
            referral_keys: Vec::new(),
            customer_keys: Vec::new(),
            rule_metadata_keys: Vec::new(),
        };
        Ok(Self {
            programs: [
                (program_id.clone(), program(Mode::Live)),
                (format!("{program_id}_test"), program(Mode::Test)),
            ],
            rate: rate(&args.rate)?,
            account_name: args.account.clone(),
            account_id,
        })
    }

    /// Each write is one of its own: running it again goes on where it stopped.
    async fn write(&self, admin: &Admin, new_key: bool) -> anyhow::Result<Made> {
        let create = async |home: &str, object: ConfigObject| -> anyhow::Result<bool> {
            let written = admin.configure(fact(home, object), true).await?;
            Ok(written.map_err(|refusal| refused(&refusal))?.changed)
        };
        let account = Account { account: self.account_id.as_str().into(), name: self.account_name.clone() };
        let mut made = Made {
            account: create(&self.account_id, ConfigObject::Account(account)).await?,
            ..Made::default()
        };
        for (id, program) in &self.programs {
            made.programs.push(create(id, ConfigObject::Program(program.clone())).await?);
            let rule =
                Rule { rule: RULE.into(), version: 1, reward: Reward::Percent(self.rate), ..Rule::default() };
            create(id, ConfigObject::Rule(rule)).await?;
        }
        for mode in [Mode::Live, Mode::Test] {
            made.keys.push(self.key(admin, mode, new_key).await?);
        }
        Ok(made)
    }

    /// An operator key: lives in the account, speaks for all its programs of one mode.
    async fn key(&self, admin: &Admin, mode: Mode, new_key: bool) -> anyhow::Result<MadeKey> {
        let text = new_key_text(mode);
        let mut key_id = format!("key_operator_{}", mode_name(mode));
        if new_key {
            let _infallible = write!(key_id, "_{}", hex::encode(rand::random::<[u8; 4]>()));
        }
        let key = ApiKey {
            key_id: key_id.clone(),
            sha256: Sha256::digest(text.as_bytes()).into(),
            account: self.account_id.as_str().into(),
            mode,
            name: "operator, made by tributary init".to_owned(),
            ..ApiKey::default()
        };
        let written = admin.configure(fact(&self.account_id, ConfigObject::ApiKey(key)), true).await?;
        match written {
            Ok(_) => Ok(MadeKey { key_id, mode, text: Some(text) }),
            // There from an earlier run: its text is known to nobody but who read it then.
            Err(refusal) if refusal.code == code::ALREADY_EXISTS || refusal.code == code::REVOKED => {
                Ok(MadeKey { key_id, mode, text: None })
            }
            Err(refusal) => Err(refused(&refusal)),
        }
    }
}

fn fact(home: &str, object: ConfigObject) -> ConfigFact {
    ConfigFact { program: home.into(), actor: "cli: init".to_owned(), object, removed: false }
}

/// What was made; `false`: it was there already.
#[derive(Debug, Default)]
struct Made {
    account: bool,
    programs: Vec<bool>,
    keys: Vec<MadeKey>,
}

struct MadeKey {
    key_id: String,
    mode: Mode,
    /// `None`: made by an earlier run.
    text: Option<Zeroizing<String>>,
}

impl std::fmt::Debug for MadeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MadeKey").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// How the time of a hold is counted, where it is not by days alone.
fn counted(release: Release) -> String {
    let mut words = match release.mode {
        ReleaseMode::Days => String::new(),
        ReleaseMode::Calendar => " to the end of the month".to_owned(),
    };
    if release.min_hold_days > 0 {
        words.push_str(&format!(", at least {} days after acceptance", release.min_hold_days));
    }
    words
}

const fn was(made: bool) -> &'static str {
    if made { "created" } else { "there already" }
}

impl Made {
    fn text(&self, plan: &Plan) -> String {
        let percent = percent(plan.rate);
        let mut lines = vec![format!("account {} {}", plan.account_id, was(self.account))];
        for ((id, program), made) in plan.programs.iter().zip(&self.programs) {
            lines.push(format!(
                "program {id} {}: {}, {}, profile {}, {RULE} pays {percent}%, hold {} days{}, {} approval",
                was(*made),
                mode_name(program.mode),
                program.currency.code(),
                program.profile.name(),
                program.hold_days,
                counted(program.release),
                if program.manual_approval { "manual" } else { "automatic" },
            ));
        }
        let (new, old): (Vec<_>, Vec<_>) = self.keys.iter().partition(|key| key.text.is_some());
        if !new.is_empty() {
            lines.push("operator keys, shown this once; keep them like passwords:".to_owned());
        }
        lines.extend(
            new.iter().filter_map(|key| {
                Some(format!("  {}  {}", mode_name(key.mode), key.text.as_ref()?.as_str()))
            }),
        );
        lines.extend(old.iter().map(|key| {
            format!(
                "operator key {} was made before and cannot be shown again; --new-key makes another",
                key.key_id
            )
        }));
        let test = &plan.programs[1].0;
        lines.push(format!(
            "next: `tributary up`, and `tributary endpoint add stripe --program {test}` (or paddle) for its webhooks"
        ));
        lines.join("\n")
    }

    fn json(&self, plan: &Plan) -> Value {
        let programs = plan.programs.iter().zip(&self.programs).map(|((id, program), created)| {
            json!({
                "program_id": id,
                "mode": mode_name(program.mode),
                "currency": program.currency.code(),
                "profile": program.profile.name(),
                "rule_id": RULE,
                "rate_ppm": plan.rate.0,
                "created": created,
            })
        });
        let keys = self.keys.iter().map(|key| {
            let secret = key.text.as_ref().map(|text| text.as_str());
            json!({ "key_id": key.key_id, "mode": mode_name(key.mode), "secret": secret })
        });
        json!({
            "account_id": plan.account_id,
            "created": self.account,
            "programs": programs.collect::<Vec<_>>(),
            "operator_keys": keys.collect::<Vec<_>>(),
        })
    }
}

/// 256 random bits behind a prefix that says what it is, for people and for scanners of leaked keys.
fn new_key_text(mode: Mode) -> Zeroizing<String> {
    let random = Zeroizing::new(rand::random::<[u8; 32]>());
    Zeroizing::new(format!("sk_{}_{}", mode_name(mode), hex::encode(random.as_slice())))
}

/// `live` or `test`.
pub(crate) const fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Live => "live",
        Mode::Test => "test",
    }
}

/// A name as part of an id: the same name gives the same id.
fn slug(name: &str, flag: &str) -> anyhow::Result<String> {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let slug = words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("_");
    if slug.is_empty() {
        bail!("no id can be made of the name {name:?}; choose one with {flag}");
    }
    Ok(slug.chars().take(60).collect())
}

/// Percent as people write it, with up to four decimals.
fn rate(text: &str) -> anyhow::Result<RatePpm> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = if whole.is_empty() || !digits(whole) || !digits(decimals) || decimals.len() > 4 {
        None
    } else {
        let decimals = format!("{decimals:0<4}").parse::<i64>().ok();
        whole.parse::<i64>().ok().and_then(|whole| whole.checked_mul(PPM_OF_PERCENT)?.checked_add(decimals?))
    };
    match parsed {
        Some(ppm) if (1..=100 * PPM_OF_PERCENT).contains(&ppm) => Ok(RatePpm(ppm)),
        _ => bail!("--rate is a percentage above 0 and up to 100, with up to four decimals: 20 or 12.5"),
    }
}

fn percent(rate: RatePpm) -> String {
    let text = format!("{}.{:04}", rate.0 / PPM_OF_PERCENT, rate.0 % PPM_OF_PERCENT);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rates_are_exact_and_names_become_ids() {
        for (text, ppm) in [("20", 200_000), ("12.5", 125_000), ("0.0001", 1), ("100", 1_000_000)] {
            assert_eq!(rate(text).unwrap().0, ppm);
            assert_eq!(percent(RatePpm(ppm)), text);
        }
        for text in ["", "0", "-1", "+5", "100.0001", "1e1", "12.50000", ".5", "99999999999999999999"] {
            assert!(rate(text).is_err(), "{text}");
        }
        assert_eq!(slug("Acme & Sons, Ltd.", "").unwrap(), "acme_sons_ltd");
        assert!(slug("Ω", "--account-id").unwrap_err().to_string().contains("--account-id"));
    }
}
