//! `endpoint`: where a provider sends its webhooks, and the secrets that it signs with.
//!
//! A secret leaves this process sealed under the master key, and is never an argument: other users see those.
use crate::admin::{Admin, refused};
use crate::cli::{EndpointAdd, EndpointList, EndpointPick, EndpointRemoveSecret, EndpointRotate, SecretFrom};
use crate::init::mode_name;
use crate::parts::configure_quietly;
use crate::provider_facts::{PROVIDERS, ProviderFacts, provider};
use crate::up::print_line;
use anyhow::{Context as _, bail};
use domain::config::{ConfigFact, ConfigObject, Endpoint, Program};
use domain::ids::Hash;
use domain::normalization::validate::code;
use kit::config::Config;
use kit::master_key::{self, MasterKey};
use serde_json::{Value, json};
use std::io::Read as _;
use zeroize::Zeroizing;

/// A shorter secret protects nothing; a longer one is not one.
const LEAST_SECRET_BYTES: usize = 8;
const MOST_SECRET_BYTES: usize = 1_024;

/// Creates an endpoint and prints what to set up at the provider.
pub(crate) async fn add(args: &EndpointAdd) -> anyhow::Result<()> {
    let facts = known_provider(&args.provider)?;
    let secret = read_secret(&args.secret)?;
    let config = configure_quietly(&args.place.layers(&[]))?;
    let added = with_admin(&config, async |admin| {
        let program = program(admin, &args.program).await?;
        let endpoint_id =
            args.endpoint.clone().unwrap_or_else(|| format!("ep_{}_{}", args.program, facts.name));
        let endpoint = Endpoint {
            sealed_secrets: match &secret {
                Some(secret) => vec![seal(&config, &args.program, &endpoint_id, secret)?],
                None => Vec::new(),
            },
            endpoint_id,
            provider: facts.name.to_owned(),
            tolerance_seconds: args.tolerance_seconds.unwrap_or(0),
        };
        let changed = match write(admin, &args.program, &endpoint, true).await? {
            Ok(changed) => changed,
            Err(refusal) if refusal.code == code::ALREADY_EXISTS => bail!(
                "endpoint {} is there already, with other contents: give it another secret with `tributary endpoint rotate \
                 {} --program {}`, or make a second one with --endpoint",
                endpoint.endpoint_id,
                facts.name,
                args.program
            ),
            Err(refusal) => return Err(refused(&refusal)),
        };
        Ok(Added { facts, program, endpoint, changed })
    })
    .await?;
    let url = url(&config, args, facts);
    print_line(&if args.json {
        serde_json::to_string_pretty(&added.json(args, &url))?
    } else {
        added.text(args, &url)
    })
}

/// Gives an endpoint another secret beside those it has.
pub(crate) async fn rotate(args: &EndpointRotate) -> anyhow::Result<()> {
    let secret = read_secret(&args.secret)?
        .context("give the new secret with --secret-stdin or --secret-env VARIABLE")?;
    let pick = &args.pick;
    change(pick, |config, endpoint| {
        let sealed = seal(config, &pick.program, &endpoint.endpoint_id, &secret)?;
        // Sealing is deterministic: the same secret again is the same bytes, and nothing to change.
        if !endpoint.sealed_secrets.contains(&sealed) {
            endpoint.sealed_secrets.push(sealed);
        }
        Ok(())
    })
    .await
}

/// Takes a secret that the provider does not sign with any more.
pub(crate) async fn remove_secret(args: &EndpointRemoveSecret) -> anyhow::Result<()> {
    change(&args.pick, |_, endpoint| {
        let at = match &args.fingerprint {
            Some(wanted) => endpoint.sealed_secrets.iter().position(|sealed| fingerprint(sealed) == *wanted),
            None if endpoint.sealed_secrets.is_empty() => None,
            None => Some(0),
        };
        let at =
            at.context("the endpoint has no such secret; `tributary endpoint list` shows those it has")?;
        if endpoint.sealed_secrets.len() == 1 {
            bail!(
                "this is the endpoint's only secret, and without one every delivery is refused: rotate first"
            );
        }
        endpoint.sealed_secrets.remove(at);
        Ok(())
    })
    .await
}

/// Prints the endpoints of a program.
pub(crate) async fn list(args: &EndpointList) -> anyhow::Result<()> {
    let config = configure_quietly(&args.place.layers(&[]))?;
    let endpoints = with_admin(&config, async |admin| {
        program(admin, &args.program).await?;
        endpoints(admin, &args.program).await
    })
    .await?;
    if args.json {
        let shown: Vec<Value> = endpoints.iter().map(shown).collect();
        return print_line(&serde_json::to_string_pretty(&shown)?);
    }
    if endpoints.is_empty() {
        return print_line("no endpoints yet");
    }
    endpoints.iter().try_for_each(|endpoint| print_line(&line(endpoint)))
}

/// Runs `work` over a way to the services that is closed whatever comes of it.
async fn with_admin<T>(
    config: &Config,
    work: impl AsyncFnOnce(&Admin) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let admin = Admin::open(config, false).await?;
    let done = work(&admin).await;
    let closed = admin.close().await;
    let done = done?;
    closed.map(|()| done)
}

/// Reads an endpoint, changes it, writes it, prints what it is then.
async fn change(
    pick: &EndpointPick,
    edit: impl FnOnce(&Config, &mut Endpoint) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let config = configure_quietly(&pick.place.layers(&[]))?;
    let (endpoint, changed) = with_admin(&config, async |admin| {
        program(admin, &pick.program).await?;
        let mut endpoint = picked(endpoints(admin, &pick.program).await?, pick)?;
        edit(&config, &mut endpoint)?;
        let changed =
            write(admin, &pick.program, &endpoint, false).await?.map_err(|refusal| refused(&refusal))?;
        Ok((endpoint, changed))
    })
    .await?;
    if pick.json {
        let mut value = shown(&endpoint);
        value["changed"] = changed.into();
        return print_line(&serde_json::to_string_pretty(&value)?);
    }
    print_line(&format!("{}{}", line(&endpoint), if changed { "" } else { " (nothing to change)" }))
}

fn picked(endpoints: Vec<Endpoint>, pick: &EndpointPick) -> anyhow::Result<Endpoint> {
    let fits = |endpoint: &Endpoint| {
        endpoint.provider == pick.provider
            && pick.endpoint.as_ref().is_none_or(|id| *id == endpoint.endpoint_id)
    };
    let mut found: Vec<Endpoint> = endpoints.into_iter().filter(fits).collect();
    match (found.pop(), found.is_empty()) {
        (Some(endpoint), true) => Ok(endpoint),
        (Some(_), false) => bail!(
            "program {} has several {} endpoints; name one with --endpoint (`tributary endpoint list` shows them)",
            pick.program,
            pick.provider
        ),
        (None, _) => bail!(
            "program {} has no such {} endpoint; `tributary endpoint add {}` makes one",
            pick.program,
            pick.provider,
            pick.provider
        ),
    }
}

async fn program(admin: &Admin, id: &str) -> anyhow::Result<Program> {
    let objects = admin.objects(&id.into()).await?;
    objects
        .into_iter()
        .find_map(|fact| match fact.object {
            ConfigObject::Program(program) => Some(program),
            _ => None,
        })
        .with_context(|| format!("there is no program {id}; `tributary init` creates programs"))
}

async fn endpoints(admin: &Admin, program: &str) -> anyhow::Result<Vec<Endpoint>> {
    let objects = admin.objects(&program.into()).await?;
    let endpoint = |fact: ConfigFact| match fact.object {
        ConfigObject::Endpoint(endpoint) => Some(endpoint),
        _ => None,
    };
    Ok(objects.into_iter().filter_map(endpoint).collect())
}

async fn write(
    admin: &Admin,
    program: &str,
    endpoint: &Endpoint,
    create_only: bool,
) -> anyhow::Result<Result<bool, domain::normalization::ConfigRefusal>> {
    let fact = ConfigFact {
        program: program.into(),
        actor: "cli: endpoint".to_owned(),
        object: ConfigObject::Endpoint(endpoint.clone()),
        removed: false,
    };
    Ok(admin.configure(fact, create_only).await?.map(|answer| answer.changed))
}

fn known_provider(name: &str) -> anyhow::Result<&'static ProviderFacts> {
    provider(name).with_context(|| {
        let known: Vec<&str> = PROVIDERS.iter().map(|provider| provider.name).collect();
        format!("there is no provider {name}; these are known: {}", known.join(", "))
    })
}

/// The secret, without the line break that an editor or `echo` leaves behind it.
fn read_secret(from: &SecretFrom) -> anyhow::Result<Option<Zeroizing<String>>> {
    let mut secret = Zeroizing::new(String::new());
    match &from.secret_env {
        Some(name) => {
            let value = std::env::var(name).ok().filter(|value| !value.is_empty());
            *secret = value.with_context(|| format!("the variable {name} is not set"))?;
        }
        None if from.secret_stdin => {
            let read = std::io::stdin().take(MOST_SECRET_BYTES as u64 + 2).read_to_string(&mut secret);
            read.context("the secret on stdin is not readable as text")?;
        }
        None => return Ok(None),
    }
    let text = secret.trim_end_matches(['\r', '\n']);
    if !(LEAST_SECRET_BYTES..=MOST_SECRET_BYTES).contains(&text.len()) {
        bail!(
            "a signing secret has {LEAST_SECRET_BYTES} to {MOST_SECRET_BYTES} bytes; was the right thing given?"
        );
    }
    Ok(Some(Zeroizing::new(text.to_owned())))
}

fn seal(config: &Config, program: &str, endpoint_id: &str, secret: &str) -> anyhow::Result<Vec<u8>> {
    Ok(master_key_of(config)?.seal_endpoint_secret(program, endpoint_id, secret.as_bytes())?)
}

/// The gateways' master key, to seal under. Beside an embedded log it is in the same directory; on Kafka nobody can know whether
/// one that is made here would be theirs.
pub(crate) fn master_key_of(config: &Config) -> anyhow::Result<MasterKey> {
    if config.kafka.brokers.is_some() && !MasterKey::is_given(&config.data_dir) {
        bail!(
            "this must be sealed under the master key of the gateways: set {} or {}, or name the data directory \
             that holds it with --data-dir",
            master_key::VARIABLE,
            master_key::FILE_VARIABLE
        );
    }
    Ok(MasterKey::load_or_create(&config.data_dir)?)
}

/// Names a sealed secret, as the native API does. Of the sealed bytes: of the secret it would let others try secrets out.
fn fingerprint(sealed: &[u8]) -> String {
    hex::encode(&Hash::of(sealed).0[..8])
}

fn fingerprints(endpoint: &Endpoint) -> Vec<String> {
    endpoint.sealed_secrets.iter().map(|sealed| fingerprint(sealed)).collect()
}

fn shown(endpoint: &Endpoint) -> Value {
    json!({
        "endpoint_id": endpoint.endpoint_id,
        "provider": endpoint.provider,
        "tolerance_seconds": endpoint.tolerance_seconds,
        "secrets": fingerprints(endpoint),
    })
}

fn line(endpoint: &Endpoint) -> String {
    let secrets = fingerprints(endpoint);
    let secrets = if secrets.is_empty() { "none yet".to_owned() } else { secrets.join(", ") };
    format!("{}  {}  secrets (oldest first): {secrets}", endpoint.endpoint_id, endpoint.provider)
}

fn url(config: &Config, args: &EndpointAdd, facts: &ProviderFacts) -> String {
    let base = match &args.public_url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("http://{}", config.listen),
    };
    format!("{base}/webhooks/{}?program_id={}", facts.name, encoded(&args.program))
}

/// An id as it stands in a URL's query.
fn encoded(id: &str) -> String {
    id.bytes().fold(String::with_capacity(id.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([byte]));
        }
        out
    })
}

/// What `add` says.
struct Added {
    facts: &'static ProviderFacts,
    program: Program,
    endpoint: Endpoint,
    changed: bool,
}

impl Added {
    fn text(&self, args: &EndpointAdd, url: &str) -> String {
        let Self { facts, program, endpoint, changed } = self;
        let settings = program.source_settings();
        let mut lines = vec![
            format!(
                "endpoint {} {} (program {}, {})",
                endpoint.endpoint_id,
                if *changed { "created" } else { "there already" },
                args.program,
                mode_name(program.mode)
            ),
            format!("At {}: {}", facts.title, facts.place),
            format!("  URL       {url}"),
        ];
        if args.public_url.is_none() {
            lines.push(
                "            (the gateway's own address: give the one that others reach with --public-url)"
                    .to_owned(),
            );
        }
        for (at, event) in facts.events(settings.sale_from).into_iter().enumerate() {
            lines.push(format!("  {:<9} {event}", if at == 0 { "events" } else { "" }));
        }
        let first = |keys: &[String]| keys.first().cloned().unwrap_or_default();
        lines.push(format!(
            "  metadata  {}: the referral code as {:?}, your own id of the customer as {:?}",
            facts.metadata,
            first(&settings.referral_keys),
            first(&settings.customer_keys)
        ));
        if endpoint.sealed_secrets.is_empty() {
            lines.push(format!(
                "Then give the secret that it shows ({}…) to `tributary endpoint rotate {} --program {} --secret-stdin`; \
                 deliveries before that are refused, and come again.",
                facts.secret_prefix, facts.name, args.program
            ));
        }
        lines.join("\n")
    }

    fn json(&self, args: &EndpointAdd, url: &str) -> Value {
        let settings = self.program.source_settings();
        let mut value = shown(&self.endpoint);
        value["program_id"] = args.program.as_str().into();
        value["mode"] = mode_name(self.program.mode).into();
        value["url"] = url.into();
        value["url_is_public"] = args.public_url.is_some().into();
        value["events"] = self.facts.events(settings.sale_from).into();
        value["metadata"] = json!({
            "place": self.facts.metadata,
            "referral_key": settings.referral_keys.first(),
            "customer_key": settings.customer_keys.first(),
        });
        value["created"] = self.changed.into();
        value
    }
}
