//! A program from nothing to an approved commission, over HTTP alone; each step uses what the one before has just made.
use crate::installation::{Installation, LIMIT, Target};
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use testkit::load::client;
use testkit::requests::{DEMO_KEY, paddle_event, paddle_signature};
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_set_up_and_used_over_http_on_the_embedded_log() -> Result<()> {
    native_api(Target::Embedded).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_set_up_and_used_over_http_on_kafka() -> Result<()> {
    native_api(Target::Kafka).await
}

/// Calls below one program with one key.
pub(crate) struct Api {
    pub(crate) http: reqwest::Client,
    pub(crate) base: String,
    pub(crate) key: String,
}

impl Api {
    pub(crate) async fn call(&self, method: &str, path: &str, body: &Value) -> Result<(u16, Value)> {
        self.call_as(method, path, body, None).await
    }

    async fn call_as(
        &self,
        method: &str,
        path: &str,
        body: &Value,
        key: Option<&str>,
    ) -> Result<(u16, Value)> {
        let url = format!("{}/v1/programs{path}", self.base);
        let mut request = self.http.request(method.parse()?, url).bearer_auth(&self.key);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let response = request.body(body.to_string()).send().await?;
        Ok((response.status().as_u16(), response.json().await?))
    }

    /// What must be done, and done now.
    pub(crate) async fn done(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let (status, answer) = self.call(method, path, body).await?;
        if status != 200 {
            bail!("{method} {path}: {status} {answer}");
        }
        Ok(answer)
    }

    /// Asks until the outcome is known: repeating is what a caller does.
    pub(crate) async fn told(&self, path: &str, body: &Value, key: Option<&str>) -> Result<(u16, Value)> {
        let limit = Instant::now() + LIMIT;
        loop {
            let (status, answer) = self.call_as("POST", path, body, key).await?;
            if !matches!(status, 202 | 503) || Instant::now() > limit {
                return Ok((status, answer));
            }
        }
    }
}

const PROGRAM: &str = "/prog_native_test";

async fn native_api(target: Target) -> Result<()> {
    let installation = Installation::small(target, "native").await?;
    let running = installation.setup.start(None).await?;
    let operator = Api { http: client(), base: running.url.clone(), key: DEMO_KEY.to_owned() };
    let api = set_up(&operator).await?;
    let first = sale(&api, "order_1", 10_000).await?;
    assert_eq!((&first["amount"], &first["status"]), (&json!(1_250), &json!("pending")));
    money_goes_back(&api).await?;
    people_decide(&api, &first).await?;
    webhooks_work_at_once(&api, &running.url).await?;
    let expected = BTreeMap::from([("partner_anna".to_owned(), 1_250 + 625)]);
    installation.wait_for_balances("prog_native_test", &expected).await?;
    installation.verify_is_clean().await?;
    assert!(running.terminate().await?.success());
    Ok(())
}

/// Program, partner, code, rule and key; the key's calls.
async fn set_up(operator: &Api) -> Result<Api> {
    let pair = json!({
        "live_program_id": "prog_native", "test_program_id": "prog_native_test", "name": "Native", "currency": "USD",
        "manual_approval": true,
    });
    let made = operator.done("POST", "", &pair).await?;
    assert_eq!(made["changed"], true, "{made}");
    let programs = made["object"]["programs"].as_array().context("programs")?;
    assert_eq!((&programs[0]["mode"], &programs[1]["mode"]), (&json!("live"), &json!("test")));
    let secret = |program: &Value| program["key"]["secret"].as_str().map(str::to_owned).context("a key");
    let live = Api { key: secret(&programs[0])?, ..operator.clone_for() };
    let api = Api { key: secret(&programs[1])?, ..operator.clone_for() };
    // The same pair again is there already, and its keys are shown no second time.
    let again = operator.done("POST", "", &pair).await?;
    assert_eq!((&again["changed"], &again["object"]["programs"][0]["key"]), (&json!(false), &Value::Null));
    // Live and test never meet.
    assert_eq!(api.call("PUT", "/prog_native/partners/p", &json!({})).await?.0, 404);
    assert_eq!(live.call("PUT", "/prog_native/partners/p", &json!({})).await?.0, 200);

    let code = format!("{PROGRAM}/codes/anna");
    let (status, refused) = api.call("PUT", &code, &json!({"partner_id": "partner_anna"})).await?;
    assert_eq!((status, &refused["error"]["code"]), (404, &json!("unknown_partner")), "{refused}");
    api.done("PUT", &format!("{PROGRAM}/partners/partner_anna"), &json!({"name": "Anna"})).await?;
    api.done("PUT", &code, &json!({"partner_id": "partner_anna"})).await?;
    let rule = format!("{PROGRAM}/rules/rule_default");
    assert_eq!(api.done("PUT", &rule, &json!({"percent": "10"})).await?["changed"], true);
    assert_eq!(api.done("PUT", &rule, &json!({"percent": "12.5"})).await?["changed"], true);
    assert_eq!(api.done("PUT", &rule, &json!({"rate_ppm": 125_000})).await?["changed"], false);
    let (status, refused) = api.call("PUT", &rule, &json!({"percent": "15", "version": 9})).await?;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("version_conflict")));

    let key = api.done("POST", &format!("{PROGRAM}/keys"), &json!({"name": "shop"})).await?;
    let key = key["object"]["secret"].as_str().context("a key")?.to_owned();
    Ok(Api { key, ..operator.clone_for() })
}

impl Api {
    pub(crate) fn clone_for(&self) -> Self {
        Self { http: self.http.clone(), base: self.base.clone(), key: self.key.clone() }
    }
}

/// The commission of a new sale with Anna's code.
async fn sale(api: &Api, id: &str, amount: i64) -> Result<Value> {
    let body = json!({"external_id": id, "amount": amount, "currency": "USD", "code": "anna", "customer": {"key": id}});
    let path = format!("{PROGRAM}/sales");
    let (status, answer) = api.told(&path, &body, None).await?;
    assert_eq!(status, 200, "{answer}");
    let (_, twin) = api.told(&path, &body, None).await?;
    assert_eq!(
        (&twin["duplicate"], &twin["event_id"], &twin["commission"]),
        (&json!(true), &answer["event_id"], &answer["commission"])
    );
    let mut other = body;
    other["amount"] = json!(amount + 1);
    let (status, conflict) = api.told(&path, &other, None).await?;
    assert_eq!((status, &conflict["error"]["code"]), (409, &json!("conflict")), "{conflict}");
    Ok(answer["commission"].clone())
}

/// A refund in two states, and a dispute that is won.
async fn money_goes_back(api: &Api) -> Result<()> {
    sale(api, "order_2", 10_000).await?;
    let refund = |state: &str| json!({"external_id": "re_1", "sale_external_id": "order_2", "amount": 5_000, "currency": "USD", "state": state});
    for state in ["pending", "live"] {
        let (status, answer) = api.told(&format!("{PROGRAM}/refunds"), &refund(state), None).await?;
        assert_eq!(status, 200, "{answer}");
    }
    let dispute = |state: &str| json!({"external_id": "dp_1", "sale_external_id": "order_1", "amount": 10_000, "currency": "USD", "state": state});
    for state in ["open", "lost", "won"] {
        let (status, answer) = api.told(&format!("{PROGRAM}/disputes"), &dispute(state), None).await?;
        assert_eq!(status, 200, "{answer}");
    }
    let batch = json!({"batch": [refund("live"), refund("failed"), {"external_id": "re_2"}]});
    let mut unlucky = batch.clone();
    unlucky["batch"][1]["external_id"] = json!("re_3");
    let (status, answer) = api.told(&format!("{PROGRAM}/refunds"), &unlucky, None).await?;
    let statuses: Vec<&Value> =
        answer["results"].as_array().context("results")?.iter().map(|one| &one["status"]).collect();
    assert_eq!((status, statuses), (200, vec![&json!(200), &json!(200), &json!(400)]), "{answer}");
    assert_eq!(answer["results"][0]["body"]["duplicate"], true);
    Ok(())
}

/// Nothing is approved by itself here.
async fn people_decide(api: &Api, first: &Value) -> Result<()> {
    let path = format!("{PROGRAM}/approvals");
    let second = sale(api, "order_3", 800).await?;
    let decide = |commission: &Value, decision: &str| json!({"commission_id": commission["commission_id"], "decision": decision, "reason": "seen", "actor": "Jo"});
    let (status, answer) = api.told(&path, &decide(first, "approve"), Some("approve_1")).await?;
    assert_eq!(status, 200, "{answer}");
    let (_, again) = api.told(&path, &decide(first, "approve"), Some("approve_1")).await?;
    assert_eq!(again["duplicate"], true, "{again}");
    let (status, refused) = api.told(&path, &decide(first, "approve"), Some("approve_2")).await?;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("declined")), "{refused}");
    let (status, answer) = api.told(&path, &decide(&second, "reject"), None).await?;
    assert_eq!(status, 200, "{answer}");
    let unknown = json!({"commission_id": "com_nobody", "decision": "approve"});
    let (status, refused) = api.told(&path, &unknown, None).await?;
    assert_eq!((status, &refused["error"]["code"]), (404, &json!("unknown_commission")), "{refused}");
    // The half that was refunded is gone, the other half is Anna's.
    let refunded = json!({
        "external_id": "order_2", "amount": 10_000, "currency": "USD", "code": "anna", "customer": {"key": "order_2"},
    });
    let (_, twin) = api.told(&format!("{PROGRAM}/sales"), &refunded, None).await?;
    let (status, answer) = api.told(&path, &decide(&twin["commission"], "approve"), None).await?;
    assert_eq!(status, 200, "{answer}");
    Ok(())
}

/// An endpoint takes its first delivery right after it was made, and none once it is gone.
async fn webhooks_work_at_once(api: &Api, url: &str) -> Result<()> {
    let secret = "whsec_native_e2e";
    let made = api
        .done("POST", &format!("{PROGRAM}/endpoints"), &json!({"provider": "paddle", "secret": secret}))
        .await?;
    let (path, id) = (
        made["object"]["path"].as_str().context("a path")?,
        made["object"]["endpoint_id"].as_str().context("an id")?,
    );
    let body = paddle_event("evt_native_1", "customer.updated", json!({"id": "ctm_1"})).to_string();
    let deliver = async || -> Result<u16> {
        let signature = paddle_signature(secret, testkit::requests::now_seconds(), body.as_bytes());
        let request =
            api.http.post(format!("{url}{path}")).header("paddle-signature", signature).body(body.clone());
        Ok(request.send().await?.status().as_u16())
    };
    assert_eq!(deliver().await?, 200);
    api.done("DELETE", &format!("{PROGRAM}/endpoints/{id}"), &json!({})).await?;
    let limit = Instant::now() + LIMIT;
    // Other gateways hear of it within moments; this one has.
    while deliver().await? != 404 {
        if Instant::now() > limit {
            bail!("the endpoint is still there");
        }
    }
    Ok(())
}
