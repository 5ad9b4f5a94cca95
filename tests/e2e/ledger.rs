//! The ledger's second half over HTTP, with real parts: a divided sale, a lead, adjustments, holds, decisions in bulk,
//! reinstatement, suspension, release by calendar. What analysts see, what `explain` says and what `verify` finds.
use crate::installation::{Installation, LIMIT, Target};
use crate::native_api::Api;
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use testkit::load::client;
use testkit::requests::DEMO_KEY;
use tokio::time::Instant;

const PROGRAM: &str = "/prog_ledger_test";
/// Long over: the time hold of what happened then has ended when it is recorded.
const LONG_AGO: &str = "2026-01-15T12:00:00Z";
/// Held to the end of that month.
const FAR_AHEAD: &str = "2098-12-05T12:00:00Z";

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_commission_is_asked_for_over_http_and_seen_in_the_views_on_the_embedded_log()
-> Result<()> {
    ledger(Target::Embedded).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_commission_is_asked_for_over_http_and_seen_in_the_views_on_kafka() -> Result<()> {
    ledger(Target::Kafka).await
}

/// Commissions by name, and what is asked about them.
struct Case {
    api: Api,
    installation: Installation,
}

impl Case {
    async fn post(&self, resource: &str, body: &Value) -> Result<(u16, Value)> {
        self.api.told(&format!("{PROGRAM}/{resource}"), body, None).await
    }

    /// What must be applied, and its answer.
    async fn applied(&self, resource: &str, body: &Value) -> Result<Value> {
        let (status, answer) = self.post(resource, body).await?;
        if status != 200 || answer["verdict"] != "applied" {
            bail!("{resource} {body}: {status} {answer}");
        }
        Ok(answer)
    }

    async fn decide(&self, commission: &str, decision: &str, more: Value) -> Result<(u16, Value)> {
        let mut body =
            json!({"commission_id": commission, "decision": decision, "reason": "looked at", "actor": "Jo"});
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        self.post("approvals", &body).await
    }

    /// The balances of the program, as soon as they are these: (partner, pending, review, available, debt).
    async fn balances_are(&self, expected: &[(&str, i64, i64, i64, i64)]) -> Result<()> {
        let limit = Instant::now() + LIMIT;
        loop {
            let all = self.installation.setup.json(&["balances", "--json"]).await?;
            let rows = all.as_array().context("an array")?.iter();
            let found: Vec<(&str, i64, i64, i64, i64)> = rows
                .filter(|row| row["program_id"] == "prog_ledger_test")
                .map(|row| {
                    let number = |name: &str| row[name].as_i64().unwrap_or(i64::MIN);
                    let partner = row["partner_id"].as_str().unwrap_or_default();
                    (partner, number("pending"), number("review"), number("available"), number("debt"))
                })
                .collect();
            if found == expected {
                return Ok(());
            }
            if Instant::now() > limit {
                bail!("balances are {found:?}, expected {expected:?}");
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }

    /// Asks the database until it says this: rows come a little after the answer.
    async fn database_says(&self, sql: &str, expected: Value) -> Result<()> {
        let database = self.installation.database().await?;
        let limit = Instant::now() + LIMIT;
        let sql = format!("select coalesce(jsonb_agg(to_jsonb(q)), '[]') from ({sql}) q");
        loop {
            let found: Value =
                sqlx::query_scalar(sqlx::AssertSqlSafe(sql.clone())).fetch_one(&database).await?;
            if found == expected {
                return Ok(());
            }
            if Instant::now() > limit {
                bail!("{sql}: {found}, expected {expected}");
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

async fn ledger(target: Target) -> Result<()> {
    let installation = Installation::small(target, "ledger").await?;
    let running = installation.setup.start(None).await?;
    let operator = Api { http: client(), base: running.url.clone(), key: DEMO_KEY.to_owned() };
    let api = set_up(&operator).await?;
    let case = Case { api, installation };

    let parts = divided(&case).await?;
    let lead = same_id(&case).await?;
    // What people make has the program's time hold too: without this, to the end of the month.
    releases(&case, "days").await?;
    let (bonus, debit) = adjusted(&case).await?;
    releases(&case, "calendar").await?;
    held_by_hand(&case, &lead).await?;
    future(&case).await?;
    in_bulk(&case, &parts, [&lead, &bonus, &debit]).await?;
    back_again(&case, &lead).await?;
    suspended(&case).await?;

    let expected = [("anna", 200, 0, 833, 0), ("ben", 0, 0, 7, 0), ("cleo", 50, 0, 0, 0)];
    case.balances_are(&expected).await?;
    explained(&case, &parts, [&bonus, &debit]).await?;
    case.installation.verify_is_clean().await?;
    planted(&case).await?;
    case.installation.verify_is_clean().await?;
    assert!(running.terminate().await?.success());
    Ok(())
}

/// A program that releases with the month and lets people approve, with three partners and two rules.
async fn set_up(operator: &Api) -> Result<Api> {
    let pair = json!({
        "live_program_id": "prog_ledger", "test_program_id": "prog_ledger_test", "name": "Ledger", "currency": "USD",
        "manual_approval": true, "release": {"mode": "calendar", "min_hold_days": 0},
    });
    let made = operator.done("POST", "", &pair).await?;
    let test = &made["object"]["programs"][1];
    assert_eq!(test["release"], json!({"mode": "calendar", "min_hold_days": 0}), "{made}");
    let key = test["key"]["secret"].as_str().context("a key")?.to_owned();
    let api = Api { key, ..operator.clone_for() };
    for partner in ["anna", "ben", "cleo"] {
        api.done("PUT", &format!("{PROGRAM}/partners/{partner}"), &json!({})).await?;
        api.done("PUT", &format!("{PROGRAM}/codes/{partner}10"), &json!({"partner_id": partner})).await?;
    }
    api.done("PUT", &format!("{PROGRAM}/rules/rule_sales"), &json!({"percent": "10"})).await?;
    let leads = json!({
        "flat": {"amount": 500, "currency": "USD"},
        "when": {"field": "kind", "operator": "equal", "value": "lead"},
    });
    api.done("PUT", &format!("{PROGRAM}/rules/rule_leads"), &leads).await?;
    Ok(api)
}

/// Only what is created from now on is released so.
async fn releases(case: &Case, mode: &str) -> Result<()> {
    let settings =
        json!({"name": "Ledger", "currency": "USD", "manual_approval": true, "release": {"mode": mode}});
    let written = case.api.done("PUT", PROGRAM, &settings).await?;
    assert_eq!(written["object"]["release"]["mode"], json!(mode));
    Ok(())
}

/// 100 of commission in thirds and two thirds; half of it goes back.
async fn divided(case: &Case) -> Result<[String; 2]> {
    let mut sale = json!({
        "external_id": "order_1", "amount": 1_000, "currency": "USD", "occurred_at": LONG_AGO, "shares": [
            {"code": "anna10", "share_ppm": 666_667}, {"partner_id": "nobody", "share_ppm": 333_333}],
    });
    let (status, refused) = case.post("sales", &sale).await?;
    assert_eq!((status, &refused["error"]["code"]), (404, &json!("unknown_partner")), "{refused}");
    assert!(
        refused["error"]["message"].as_str().is_some_and(|said| said.starts_with("shares[1] ")),
        "{refused}"
    );
    sale["shares"][1]["partner_id"] = json!("ben");
    let answer = case.applied("sales", &sale).await?;
    assert_eq!(
        (&answer["commission"]["partner_id"], &answer["commission"]["amount"]),
        (&json!("anna"), &json!(67)),
        "the first part: {answer}"
    );
    let (_, twin) = case.post("sales", &sale).await?;
    assert_eq!((&twin["duplicate"], &twin["commission"]), (&json!(true), &answer["commission"]));
    sale["shares"][0]["share_ppm"] = json!(500_000);
    sale["shares"][1]["share_ppm"] = json!(500_000);
    assert_eq!(case.post("sales", &sale).await?.0, 409, "other shares are another sale");
    let refund = json!({
        "external_id": "re_1", "sale_external_id": "order_1", "amount": 500, "currency": "USD", "occurred_at": LONG_AGO,
    });
    case.applied("refunds", &refund).await?;
    let rows = "select partner_id, part, parts, share, share_of, gross_minor, net_minor, origin, conversion
        from tributary.commissions where external_id = 'order_1' order by part";
    let row = |partner: &str, part: i64, share: i64, gross: i64, net: i64| {
        json!({"partner_id": partner, "part": part, "parts": 2, "share": share, "share_of": 1_000_000,
            "gross_minor": gross, "net_minor": net, "origin": "conversion", "conversion": "sale"})
    };
    case.database_says(rows, json!([row("anna", 1, 666_667, 67, 33), row("ben", 2, 333_333, 33, 17)]))
        .await?;
    let first = answer["commission"]["commission_id"].as_str().context("an id")?.to_owned();
    let database = case.installation.database().await?;
    let second: String = sqlx::query_scalar(
        "select commission_id from tributary.commissions where external_id = 'order_1' and part = 2",
    )
    .fetch_one(&database)
    .await?;
    Ok([first, second])
}

/// A lead with the id of that sale is another thing, and so is a click.
async fn same_id(case: &Case) -> Result<String> {
    let lead = json!({"external_id": "order_1", "code": "anna10", "customer": {"key": "c1"}, "occurred_at": LONG_AGO});
    let answer = case.applied("leads", &lead).await?;
    assert_eq!(
        (&answer["commission"]["amount"], &answer["commission"]["status"]),
        (&json!(500), &json!("pending")),
        "{answer}"
    );
    let (_, twin) = case.post("leads", &lead).await?;
    assert_eq!((&twin["duplicate"], &twin["sale_id"]), (&json!(true), &answer["sale_id"]));
    let click = case.applied("clicks", &lead).await?;
    assert_eq!(click["commission"], Value::Null, "no rule names clicks");
    case.database_says(
        "select kind, external_id, currency, gross_minor, partner_id from tributary.conversions
         where program_id = 'prog_ledger_test' order by external_id",
        json!([
            {"kind": "click", "external_id": "click:order_1", "currency": "USD", "gross_minor": 0, "partner_id": "anna"},
            {"kind": "lead", "external_id": "lead:order_1", "currency": "USD", "gross_minor": 0, "partner_id": "anna"},
            {"kind": "sale", "external_id": "order_1", "currency": "USD", "gross_minor": 1_000, "partner_id": "anna"},
        ]),
    )
    .await?;
    // She is a customer who bought nothing yet.
    case.database_says(
        "select partner_id, sales, first_sale_at from tributary.customers where program_id = 'prog_ledger_test'",
        json!([{"partner_id": "anna", "sales": 0, "first_sale_at": null}]),
    )
    .await?;
    Ok(answer["commission"]["commission_id"].as_str().context("an id")?.to_owned())
}

/// 300 for Anna, 10 from Ben. Neither counts before it is approved.
async fn adjusted(case: &Case) -> Result<(String, String)> {
    let adjustment = |id: &str, kind: &str, partner: &str, amount: i64| {
        json!({"external_id": id, "kind": kind, "partner_id": partner, "amount": amount, "currency": "USD",
            "reason": "agreed by mail", "actor": "Jo"})
    };
    let (status, refused) = case.post("adjustments", &adjustment("bonus_1", "bonus", "anne", 300)).await?;
    assert_eq!(
        (status, &refused["error"]["code"], &refused["error"]["field"]),
        (404, &json!("unknown_partner"), &json!("partner_id")),
        "{refused}"
    );
    let bonus = case.applied("adjustments", &adjustment("bonus_1", "bonus", "anna", 300)).await?;
    let (_, twin) = case.post("adjustments", &adjustment("bonus_1", "bonus", "anna", 300)).await?;
    assert_eq!((&twin["duplicate"], &twin["commission"]), (&json!(true), &bonus["commission"]));
    let path = format!("{PROGRAM}/adjustments");
    let again = adjustment("bonus_1", "bonus", "anna", 300);
    let (status, twin) = case.api.told(&path, &again, Some("another key")).await?;
    assert_eq!(
        (status, &twin["duplicate"], &twin["commission"]),
        (200, &json!(true), &Value::Null),
        "{twin}"
    );
    assert_eq!(case.post("adjustments", &adjustment("bonus_1", "bonus", "anna", 301)).await?.0, 409);
    let debit = case.applied("adjustments", &adjustment("debit_1", "debit", "ben", -10)).await?;
    assert_eq!((&debit["commission"]["amount"], &debit["sale_id"]), (&json!(0), &Value::Null), "{debit}");
    case.database_says(
        "select origin, source, sale_id, conversion, partner_id, gross_minor, net_minor, status from tributary.commissions
         where origin <> 'conversion' order by origin",
        json!([
            {"origin": "bonus", "source": "adjustment", "sale_id": "", "conversion": null, "partner_id": "anna",
                "gross_minor": 300, "net_minor": 300, "status": "pending"},
            {"origin": "debit", "source": "adjustment", "sale_id": "", "conversion": null, "partner_id": "ben",
                "gross_minor": -10, "net_minor": 0, "status": "pending"},
        ]),
    )
    .await?;
    let id =
        |answer: &Value| answer["commission"]["commission_id"].as_str().map(str::to_owned).context("an id");
    Ok((id(&bonus)?, id(&debit)?))
}

async fn held_by_hand(case: &Case, lead: &str) -> Result<()> {
    let check = json!({"hold": "manual:check"});
    let (status, answer) = case.decide(lead, "hold", check.clone()).await?;
    assert_eq!((status, &answer["commission"]["status"]), (200, &json!("review")), "{answer}");
    let (_, twin) = case.decide(lead, "hold", check.clone()).await?;
    assert_eq!(twin["duplicate"], json!(true), "one decision, sent twice");
    let (status, answer) =
        case.decide(lead, "hold", json!({"hold": "manual:check", "idempotency_key": "again"})).await?;
    assert_eq!(status, 409, "{answer}");
    assert!(
        answer["error"]["message"].as_str().is_some_and(|said| said.contains("already_held")),
        "{answer}"
    );
    let (status, _) = case.decide(lead, "hold", json!({"hold": "fraud:velocity"})).await?;
    assert_eq!(status, 200);
    case.database_says(
        "select kind, name, net_minor from tributary.commission_holds where program_id = 'prog_ledger_test'
         and status = 'review' order by hold",
        json!([
            {"kind": "fraud", "name": "velocity", "net_minor": 500},
            {"kind": "manual", "name": "check", "net_minor": 500},
            {"kind": "time", "name": null, "net_minor": 500},
        ]),
    )
    .await?;
    let (status, answer) = case.decide(lead, "release", json!({"hold": "manual:other"})).await?;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("declined")), "{answer}");
    let (status, answer) = case.decide(lead, "release", check).await?;
    assert_eq!((status, &answer["commission"]["status"]), (200, &json!("review")), "{answer}");
    let (status, answer) = case.decide(lead, "release", json!({"hold": "fraud:velocity"})).await?;
    assert_eq!((status, &answer["commission"]["status"]), (200, &json!("pending")), "{answer}");
    // Who, and why, for good.
    case.database_says(
        "select kind, reason, split_part(actor, ' ', 2) as who from tributary.commission_events
         where kind in ('review', 'hold_released') and program_id = 'prog_ledger_test' order by seq",
        json!([
            {"kind": "review", "reason": "manual:check looked at", "who": "(Jo)"},
            {"kind": "review", "reason": "fraud:velocity looked at", "who": "(Jo)"},
            {"kind": "hold_released", "reason": "manual:check looked at", "who": "(Jo)"},
            {"kind": "hold_released", "reason": "fraud:velocity looked at", "who": "(Jo)"},
        ]),
    )
    .await
}

/// Nobody approves before the month is over.
async fn future(case: &Case) -> Result<()> {
    let sale = json!({
        "external_id": "order_2", "amount": 2_000, "currency": "USD", "code": "anna10", "occurred_at": FAR_AHEAD,
    });
    let answer = case.applied("sales", &sale).await?;
    let id = answer["commission"]["commission_id"].as_str().context("an id")?;
    let (status, refused) = case.decide(id, "approve", json!({})).await?;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("declined")), "{refused}");
    assert!(
        refused["error"]["message"].as_str().is_some_and(|said| said.contains("held_until")),
        "{refused}"
    );
    case.database_says(
        "select hold_until = '2099-01-01T00:00:00Z' as month_end, holds from tributary.commissions
         where external_id = 'order_2'",
        json!([{"month_end": true, "holds": ["time"]}]),
    )
    .await?;
    case.database_says(
        "select release_mode, min_hold_days from tributary.programs where program_id = 'prog_ledger_test'",
        json!([{"release_mode": "calendar", "min_hold_days": 0}]),
    )
    .await
}

async fn in_bulk(case: &Case, parts: &[String; 2], others: [&str; 3]) -> Result<()> {
    let mut ids: Vec<&str> = parts.iter().map(String::as_str).collect();
    ids.extend(others);
    ids.push("com_nobody");
    let decisions: Vec<Value> =
        ids.iter().map(|id| json!({"commission_id": id, "decision": "approve", "actor": "Jo"})).collect();
    let (status, answer) = case.post("approvals", &json!({"batch": decisions})).await?;
    let results = answer["results"].as_array().context("results")?;
    let seen: Vec<(&Value, &Value)> =
        results.iter().map(|one| (&one["status"], &one["body"]["commission"]["amount"])).collect();
    let ok = json!(200);
    let amounts = [json!(33), json!(17), json!(500), json!(300), json!(-10)];
    let mut expected: Vec<(&Value, &Value)> = amounts.iter().map(|amount| (&ok, amount)).collect();
    let missing = json!(404);
    expected.push((&missing, &Value::Null));
    assert_eq!((status, seen), (200, expected), "{answer}");
    case.balances_are(&[("anna", 200, 0, 833, 0), ("ben", 0, 0, 7, 0)]).await
}

/// Rejected, and brought back: approved, as it had been.
async fn back_again(case: &Case, lead: &str) -> Result<()> {
    let (status, answer) = case.decide(lead, "reinstate", json!({})).await?;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (409, &json!("declined")),
        "nothing was rejected: {answer}"
    );
    let (status, answer) = case.decide(lead, "reject", json!({})).await?;
    assert_eq!((status, &answer["commission"]["status"]), (200, &json!("rejected")), "{answer}");
    case.balances_are(&[("anna", 200, 0, 333, 0), ("ben", 0, 0, 7, 0)]).await?;
    let (status, answer) = case.decide(lead, "reinstate", json!({"idempotency_key": "after all"})).await?;
    assert_eq!((status, &answer["commission"]["status"]), (200, &json!("approved")), "{answer}");
    case.balances_are(&[("anna", 200, 0, 833, 0), ("ben", 0, 0, 7, 0)]).await
}

/// What is unpaid of a suspended partner waits.
async fn suspended(case: &Case) -> Result<()> {
    let bonus = json!({
        "external_id": "bonus_2", "kind": "bonus", "partner_id": "cleo", "amount": 50, "currency": "USD", "reason": "thanks",
    });
    let made = case.applied("adjustments", &bonus).await?;
    let id = made["commission"]["commission_id"].as_str().context("an id")?;
    let (status, refused) = case.decide(id, "approve", json!({})).await?;
    assert_eq!(
        (status, &refused["error"]["code"]),
        (409, &json!("declined")),
        "the month is not over: {refused}"
    );
    let cleo = format!("{PROGRAM}/partners/cleo");
    case.api.done("PUT", &cleo, &json!({"active": false})).await?;
    let holds = "select hold, status, net_minor from tributary.commission_holds where partner_id = 'cleo' order by hold";
    case.database_says(
        holds,
        json!([
            {"hold": "partner_suspended", "status": "review", "net_minor": 50},
            {"hold": "time", "status": "review", "net_minor": 50},
        ]),
    )
    .await?;
    let sale = json!({"external_id": "order_3", "amount": 900, "currency": "USD", "shares": [
        {"partner_id": "cleo", "share_ppm": 1_000_000}]});
    let answer = case.applied("sales", &sale).await?;
    assert_eq!(answer["commission"], Value::Null, "a suspended partner earns nothing new");
    case.api.done("PUT", &cleo, &json!({"active": true})).await?;
    case.database_says(holds, json!([{"hold": "time", "status": "pending", "net_minor": 50}])).await
}

async fn explained(case: &Case, parts: &[String; 2], [bonus, debit]: [&str; 2]) -> Result<()> {
    let explain = async |id: &str| case.installation.setup.json(&["explain", id, "--json"]).await;
    let changes = |told: &Value, commission: &str| -> Vec<Value> {
        let steps = told["steps"].as_array().cloned().unwrap_or_default();
        let events = steps.iter().flat_map(|step| step["events"].as_array().cloned().unwrap_or_default());
        events.filter(|event| event["commission_id"] == commission).collect()
    };
    // The lead, the click and the sale have one id.
    let told = explain("order_1").await?;
    let names: Vec<&Value> =
        told.as_array().context("an array")?.iter().map(|one| &one["external_ids"][0]).collect();
    assert_eq!(names, [&json!("click:order_1"), &json!("lead:order_1"), &json!("order_1")]);
    assert_eq!(told[1]["commission"]["net_minor"], 500);

    // The second part of the divided sale, from the printed numbers.
    let told = &explain(&parts[1]).await?[0];
    assert_eq!(
        (&told["commission"]["partner_id"], &told["commission"]["part"], &told["commission"]["net_minor"]),
        (&json!("ben"), &json!(2), &json!(17))
    );
    assert_eq!(told["commissions"].as_array().map(Vec::len), Some(2));
    // The first delivery named nobody and was kept aside; the second was applied.
    let verdicts: Vec<&Value> = told["steps"]
        .as_array()
        .context("steps")?
        .iter()
        .filter(|step| step["facts"][0]["kind"] == "sale" || step["verdict"]["reason"] == "unknown_partner")
        .map(|step| &step["verdict"]["verdict"])
        .collect();
    assert_eq!(verdicts, [&json!("quarantined"), &json!("applied")]);
    let decided = told["steps"].as_array().and_then(|steps| {
        steps.iter().find(|step| step["decisions"].as_array().is_some_and(|all| !all.is_empty()))
    });
    assert_eq!(
        decided.context("a decision")?["decisions"][0]["shares"],
        json!([{"partner_id": "anna", "weight": 666_667}, {"partner_id": "ben", "weight": 333_333}])
    );
    let ben = changes(told, &parts[1]);
    let kinds: Vec<&Value> = ben.iter().map(|change| &change["kind"]).collect();
    assert_eq!(kinds, [&json!("created"), &json!("refunded"), &json!("approved")]);
    assert_eq!(
        ben[0]["terms"]["split"],
        json!({"part": 2, "weights": [666_667, 333_333], "whole_minor": 100})
    );
    let division = |change: &Value| change["arithmetic"]["division"].clone();
    let divided = |net: i64, parts: [i64; 2]| json!({"whole_minor": 100, "net_minor": net, "weights": [666_667, 333_333], "parts_minor": parts, "part": 2});
    assert_eq!(division(&ben[0]), divided(100, [67, 33]));
    assert_eq!((division(&ben[1]), &ben[1]["net_minor"]), (divided(50, [33, 17]), &json!(17)));
    assert_eq!(ben[1]["arithmetic"]["rounded_minor"], 50, "what the slices come to is the whole");

    for (id, name, origin, amount, words) in [
        (bonus, "bonus_1", "bonus", 300, "terms frozen: bonus of +300 USD"),
        (debit, "debit_1", "debit", -10, "terms frozen: debit of -10 USD"),
    ] {
        let told = explain(id).await?;
        assert_eq!(told, explain(name).await?, "by the id that it was given");
        let now = &told[0]["commission"];
        assert_eq!((&now["origin"], &now["net_minor"]), (&json!(origin), &json!(amount)), "{told}");
        let changes = changes(&told[0], id);
        assert_eq!(changes.len(), 2, "created and approved: {told}");
        assert!(changes[0]["actor"].as_str().is_some_and(|actor| actor.ends_with(" (Jo)")), "{told}");
        assert_eq!(changes[0]["reason"], "agreed by mail");
        let text = case.installation.setup.run(&["explain", id]).await?;
        let text = String::from_utf8(text.stdout)?;
        assert!(text.contains(words) && text.contains(&format!("{origin}, made by a person")), "{text}");
        let key = format!("adjustments/{name}/recorded");
        let found = case.installation.setup.json(&["events", "find", &key, "--json"]).await?;
        let made = |one: &Value| one["commission_ids"] == json!([id]);
        assert!(found.as_array().is_some_and(|found| found.iter().any(made)), "{found}");
    }
    Ok(())
}

/// What is wrong with the new columns is named; then it is put right again.
async fn planted(case: &Case) -> Result<()> {
    let database = case.installation.database().await?;
    for (wrong, kind, right) in [
        (
            "update tributary.commission_rows set share = share - 1 where part = 1",
            "commission",
            "update tributary.commission_rows set share = share + 1 where part = 1",
        ),
        (
            "update tributary.commission_rows set part = 1 where part = 2",
            "commission",
            "update tributary.commission_rows set part = 2 where part = 1 and partner_id = 'ben'",
        ),
        (
            "update tributary.commission_rows set origin = 'correction' where origin = 'debit'",
            "commission",
            "update tributary.commission_rows set origin = 'debit' where origin = 'correction'",
        ),
        (
            "update tributary.sale_rows set kind = 'signup' where kind = 'click'",
            "sale",
            "update tributary.sale_rows set kind = 'click' where kind = 'signup'",
        ),
        (
            "update tributary.sale_rows set parts = 3 where parts = 2",
            "sale",
            "update tributary.sale_rows set parts = 2 where parts = 3",
        ),
        (
            "update tributary.program_rows set release_mode = 'days' where program_id = 'prog_ledger_test'",
            "program",
            "update tributary.program_rows set release_mode = 'calendar' where program_id = 'prog_ledger_test'",
        ),
        (
            "update tributary.program_rows set min_hold_days = 7 where program_id = 'prog_ledger_test'",
            "program",
            "update tributary.program_rows set min_hold_days = 0 where program_id = 'prog_ledger_test'",
        ),
        (
            "update tributary.customer_rows set first_sale_at = now() where program_id = 'prog_ledger_test'",
            "customer",
            "update tributary.customer_rows set first_sale_at = null where program_id = 'prog_ledger_test'",
        ),
    ] {
        let done = sqlx::query(wrong).execute(&database).await?;
        assert_eq!(done.rows_affected(), 1, "{wrong}");
        let output = case.installation.setup.run(&["verify", "--json"]).await?;
        let report: Value = serde_json::from_slice(&output.stdout)?;
        let problems = report["problems"].as_array().context("problems")?;
        let kinds: Vec<&Value> = problems.iter().map(|problem| &problem["kind"]).collect();
        assert_eq!((output.status.code(), kinds), (Some(1), vec![&json!(kind)]), "{wrong}: {report}");
        sqlx::query(right).execute(&database).await?;
    }
    Ok(())
}
