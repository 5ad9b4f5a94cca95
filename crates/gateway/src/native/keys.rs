//! API keys: made, rotated with an overlap, revoked. The log holds their hashes.
use super::configure::{Write, Written, mode_of};
use super::{Answer, Call, Operation};
use crate::app::{App, now};
use crate::directory::{Key, Owner};
use crate::refusal::Refusal;
use domain::config::{ApiKey, ConfigObject, KeyScope, Mode};
use domain::time::Micros;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sources::native::schema::Values;
use std::sync::Arc;
use zeroize::Zeroizing;

const DAY_SECONDS: u64 = 86_400;

pub(super) async fn take(
    app: &App,
    call: &Call<'_>,
    owner: &Owner,
    values: &Values,
) -> Result<Answer, Refusal> {
    match call.operation {
        Operation::CreateKey => create(app, call, owner, values).await,
        Operation::RotateKey => rotate(app, call, values).await,
        _ => revoke(app, call).await,
    }
}

/// The first key of a program that was just created: with the rights of the key that asks.
pub(super) async fn for_new_program(
    app: &App,
    call: &Call<'_>,
    program_id: &str,
    owner: &Owner,
) -> Result<(Value, Written), Refusal> {
    let key = ApiKey {
        account: owner.account_id.clone().into(),
        mode: mode_of(owner)?,
        program_bound: true,
        scopes: given(&call.key.scopes),
        ..ApiKey::default()
    };
    issue(app, call, program_id, key).await
}

async fn create(app: &App, call: &Call<'_>, owner: &Owner, values: &Values) -> Result<Answer, Refusal> {
    let publishable = values.flag("publishable").unwrap_or(false);
    let asked: Vec<KeyScope> =
        values.texts("scopes").iter().filter_map(|name| KeyScope::parse(name)).collect();
    let scopes = match (asked.is_empty(), publishable) {
        (true, true) => vec![KeyScope::Report],
        (true, false) => call.key.scopes.clone(),
        (false, _) => asked,
    };
    if !scopes.iter().all(|scope| call.key.may(*scope)) {
        return Err(Refusal::KeyTooWeak);
    }
    let key = ApiKey {
        account: owner.account_id.clone().into(),
        publishable,
        mode: mode_of(owner)?,
        name: values.owned("name"),
        program_bound: true,
        expires_at: values.moment("expires_at"),
        scopes: given(&scopes),
        ..ApiKey::default()
    };
    let (shown, written) = issue(app, call, call.program_id(), key).await?;
    Ok(written.answer(shown))
}

/// Makes the new key first: when the second write fails both work, and the same request can be sent again.
async fn rotate(app: &App, call: &Call<'_>, values: &Values) -> Result<Answer, Refusal> {
    let (old, sha256) = named(app, call).await?;
    if old.is_expired(now()) {
        return Err(Refusal::UnknownObject("key"));
    }
    let rights = |key: &Key| -> Result<ApiKey, Refusal> {
        Ok(ApiKey {
            key_id: key.key_id.clone(),
            account: key.owner.account_id.clone().into(),
            publishable: key.publishable,
            mode: mode_of(&key.owner)?,
            name: key.name.clone(),
            program_bound: key.program_bound,
            expires_at: key.expires_at,
            scopes: given(&key.scopes),
            sha256,
        })
    };
    let (mut shown, made) = issue(app, call, &old.home, rights(&old)?).await?;
    let seconds = values.number("overlap_seconds").unwrap_or(DAY_SECONDS);
    let overlap = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    let end = Micros(now().0.saturating_add(overlap));
    let end = old.expires_at.map_or(end, |already| already.min(end));
    let object = ConfigObject::ApiKey(ApiKey { expires_at: Some(end), ..rights(&old)? });
    let write = Write { program_id: &old.home, object, removed: false, create_only: false };
    let ended = write.by(app, call).await?;
    shown["rotated_key_id"] = json!(old.key_id);
    Ok(made.and(ended).answer(shown))
}

async fn revoke(app: &App, call: &Call<'_>) -> Result<Answer, Refusal> {
    let shown = json!({"key_id": call.parameters.get("key_id")});
    let (key, sha256) = match named(app, call).await {
        Ok(found) => found,
        // It was revoked before, or never was: either way it is not there now.
        Err(Refusal::UnknownObject(_)) => return Ok(Written { changed: Some(false) }.answer(shown)),
        Err(refusal) => return Err(refusal),
    };
    let object = ConfigObject::ApiKey(ApiKey {
        key_id: key.key_id.clone(),
        sha256,
        account: key.owner.account_id.clone().into(),
        mode: mode_of(&key.owner)?,
        ..ApiKey::default()
    });
    let write = Write { program_id: &key.home, object, removed: true, create_only: false };
    Ok(write.by(app, call).await?.answer(shown))
}

/// The key of the path: of the program, or, for who speaks for the account, of the account itself.
///
/// Whose it is is checked on the key: its home is only a place.
async fn named(app: &App, call: &Call<'_>) -> Result<(Arc<Key>, [u8; 32]), Refusal> {
    let key_id = call.parameters.get("key_id");
    let asking = &call.key;
    let homes = [call.program_id(), &asking.owner.account_id];
    let homes = if asking.program_bound { &homes[..1] } else { &homes[..] };
    let found = app.known(|directory| homes.iter().find_map(|home| directory.key_named(home, key_id))).await;
    let (key, sha256) =
        found.filter(|(key, _)| key.owner == asking.owner).ok_or(Refusal::UnknownObject("key"))?;
    let stronger =
        (asking.program_bound && !key.program_bound) || !key.scopes.iter().all(|scope| asking.may(*scope));
    if stronger { Err(Refusal::KeyTooWeak) } else { Ok((key, sha256)) }
}

/// An empty list says everything, and stays true when a scope is added.
fn given(scopes: &[KeyScope]) -> Vec<KeyScope> {
    if scopes.len() == crate::directory::SCOPES.len() { Vec::new() } else { scopes.to_vec() }
}

/// Writes a new key with the rights of `like`; its text is in what is shown, and nowhere else.
async fn issue(
    app: &App,
    call: &Call<'_>,
    program_id: &str,
    like: ApiKey,
) -> Result<(Value, Written), Refusal> {
    let text = new_text(&like);
    let key_id = format!("key_{}", hex::encode(rand::random::<[u8; 10]>()));
    let scopes = if like.publishable { &[KeyScope::Report][..] } else { &like.scopes };
    let scopes = if scopes.is_empty() { &crate::directory::SCOPES[..] } else { scopes };
    let scopes: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
    let shown = json!({
        "key_id": key_id,
        "secret": text.as_str(),
        "program_id": program_id,
        "name": like.name,
        "publishable": like.publishable,
        "scopes": scopes,
        "expires_at": like.expires_at.and_then(rfc3339),
    });
    let sha256 = Sha256::digest(text.as_bytes()).into();
    let object = ConfigObject::ApiKey(ApiKey { key_id, sha256, ..like });
    let write = Write { program_id, object, removed: false, create_only: true };
    Ok((shown, write.by(app, call).await?))
}

/// 256 random bits behind a prefix that says what it is, for people and for scanners of leaked keys.
fn new_text(key: &ApiKey) -> Zeroizing<String> {
    let kind = if key.publishable { "pk" } else { "sk" };
    let mode = if key.mode == Mode::Live { "live" } else { "test" };
    let random = Zeroizing::new(rand::random::<[u8; 32]>());
    Zeroizing::new(format!("{kind}_{mode}_{}", hex::encode(random.as_slice())))
}

fn rfc3339(at: Micros) -> Option<String> {
    let nanos = i128::from(at.0) * 1_000;
    let moment = time::OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?;
    moment.format(&time::format_description::well_known::Rfc3339).ok()
}
