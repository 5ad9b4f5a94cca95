//! Payouts over HTTP and on the command line, with real parts: paid once whatever is repeated, refused where it must be, paid
//! again under another id after the bank sent it back.
use crate::installation::{Installation, LIMIT, Target};
use crate::native_api::Api;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use std::process::Stdio;
use testkit::load::client;
use testkit::process::Running;
use testkit::requests::DEMO_KEY;
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

/// Long over: what happened then is payable as soon as it is recorded.
const LONG_AGO: &str = "2026-01-15T12:00:00Z";
pub(crate) const PARTNER: &str = "mary";

/// A program with one partner who earns 30 %, and what is asked about it.
pub(crate) struct Books {
    pub(crate) installation: Installation,
    pub(crate) api: Api,
    program: String,
}

/// What a balance is: available, in flight, paid out, debt.
pub(crate) type Buckets = [i64; 4];

impl Books {
    pub(crate) async fn open(target: Target, name: &str) -> Result<(Self, Running)> {
        let installation = Installation::small(target, name).await?;
        let running = installation.setup.start(None).await?;
        let operator = Api { http: client(), base: running.url.clone(), key: DEMO_KEY.to_owned() };
        let program = format!("prog_{name}_test");
        let pair = json!({
            "live_program_id": format!("prog_{name}"), "test_program_id": program, "name": name, "currency": "USD",
        });
        let made = operator.done("POST", "", &pair).await?;
        let key = made["object"]["programs"][1]["key"]["secret"].as_str().context("a key")?.to_owned();
        let api = Api { key, base: running.url.clone(), http: client() };
        let books = Self { installation, api, program };
        books.put(&format!("partners/{PARTNER}"), &json!({})).await?;
        books.put("codes/mary30", &json!({"partner_id": PARTNER})).await?;
        books.put("rules/rule_default", &json!({"percent": "30"})).await?;
        Ok((books, running))
    }

    pub(crate) fn program(&self) -> &str {
        &self.program
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.api.done("PUT", &format!("/{}/{path}", self.program), body).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value, key: Option<&str>) -> Result<(u16, Value)> {
        self.api.told(&format!("/{}/{path}", self.program), body, key).await
    }

    /// What must be applied, and its answer.
    pub(crate) async fn applied(&self, path: &str, body: &Value, key: Option<&str>) -> Result<Value> {
        let (status, answer) = self.post(path, body, key).await?;
        ensure!(status == 200, "{path} {body}: {status} {answer}");
        Ok(answer)
    }

    pub(crate) async fn sale(&self, id: &str, amount: i64) -> Result<Value> {
        let sale = json!({
            "external_id": id, "amount": amount, "currency": "USD", "code": "mary30", "occurred_at": LONG_AGO,
        });
        self.applied("sales", &sale, None).await
    }

    pub(crate) async fn refund(&self, sale: &str, amount: i64) -> Result<Value> {
        let refund = json!({
            "external_id": format!("refund of {sale}"), "sale_external_id": sale, "amount": amount, "currency": "USD",
        });
        self.applied("refunds", &refund, None).await
    }

    pub(crate) async fn draft(&self, key: &str) -> Result<(u16, Value)> {
        self.post("payouts", &json!({"partner_id": PARTNER, "currency": "USD"}), Some(key)).await
    }

    /// The payout that a draft made: its id and amount.
    pub(crate) async fn drafted(&self, key: &str) -> Result<(String, i64)> {
        let (status, answer) = self.draft(key).await?;
        ensure!(status == 200 && answer["payout"]["status"] == "drafted", "{status} {answer}");
        let id = answer["payout"]["payout_id"].as_str().context("an id")?.to_owned();
        Ok((id, answer["payout"]["amount"].as_i64().context("an amount")?))
    }

    pub(crate) async fn settle(&self, payout: &str, body: Value, key: Option<&str>) -> Result<(u16, Value)> {
        self.post(&format!("payouts/{payout}/settle"), &body, key).await
    }

    /// Waits until the partner's balance is this, with nothing pending.
    pub(crate) async fn balance_is(&self, expected: Buckets) -> Result<()> {
        let limit = Instant::now() + LIMIT;
        loop {
            let all = self.installation.setup.json(&["balances", "--json"]).await?;
            let row = all
                .as_array()
                .context("an array")?
                .iter()
                .find(|row| row["program_id"] == self.program.as_str());
            let found = row.map(|row| {
                let number = |name: &str| row[name].as_i64().unwrap_or(i64::MIN);
                let buckets = ["available", "in_flight", "paid_out", "debt"].map(number);
                (buckets, number("pending") + number("review"))
            });
            if found == Some((expected, 0)) {
                return Ok(());
            }
            if Instant::now() > limit {
                bail!("the balance is {found:?}, expected {expected:?}");
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
}

fn refused(answer: &(u16, Value)) -> (u16, &str, &str) {
    let error = &answer.1["error"];
    (answer.0, error["code"].as_str().unwrap_or("none"), error["field"].as_str().unwrap_or("none"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_is_paid_once_and_again_under_another_id_after_its_return_on_the_embedded_log() -> Result<()>
{
    payouts(Target::Embedded).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_is_paid_once_and_again_under_another_id_after_its_return_on_kafka() -> Result<()> {
    payouts(Target::Kafka).await
}

async fn payouts(target: Target) -> Result<()> {
    let (books, running) = Books::open(target, "payouts").await?;
    books.sale("order_1", 4_900).await?;
    books.balance_is([1_470, 0, 0, 0]).await?;

    // A draft that is repeated is one payout.
    let (first, amount) = books.drafted("june").await?;
    assert_eq!(amount, 1_470);
    let (status, twin) = books.draft("june").await?;
    assert_eq!(
        (status, &twin["payout"]["payout_id"], &twin["duplicate"]),
        (200, &json!(first), &json!(true))
    );
    let again = books.draft("june once more").await?;
    assert_eq!(refused(&again), (409, "declined", "partner_id"), "{}", again.1);
    books.balance_is([0, 1_470, 0, 0]).await?;
    not_like_this(&books, &first).await?;

    // Settled once, whatever is repeated.
    let (status, settled) = books.settle(&first, json!({"amount": 1_470, "currency": "USD"}), None).await?;
    assert_eq!((status, &settled["payout"]["status"]), (200, &json!("settled")), "{settled}");
    let (status, twin) = books.settle(&first, json!({"amount": 1_470, "currency": "USD"}), None).await?;
    assert_eq!((status, &twin["duplicate"]), (200, &json!(true)), "{twin}");
    let twice = books.settle(&first, json!({}), Some("twice")).await?;
    assert_eq!(refused(&twice), (409, "declined", "payout_id"), "{}", twice.1);
    books.balance_is([0, 0, 1_470, 0]).await?;

    // The bank sends it back: the money is payable again, under another id.
    let back = json!({"reason": "account closed"});
    let returned = books.applied(&format!("payouts/{first}/return"), &back, None).await?;
    assert_eq!(returned["payout"]["status"], "returned", "{returned}");
    books.balance_is([1_470, 0, 0, 0]).await?;
    let dead = books.settle(&first, json!({}), Some("after all")).await?;
    assert_eq!(refused(&dead), (409, "declined", "payout_id"), "{}", dead.1);
    by_command_line(&books, &first).await?;
    books.installation.verify_is_clean().await?;
    assert!(running.terminate().await?.success());
    Ok(())
}

/// What is refused, with the field and the reason; nothing changes.
async fn not_like_this(books: &Books, payout: &str) -> Result<()> {
    let wrong = books.settle(payout, json!({"amount": 1_470, "currency": "EUR"}), None).await?;
    assert_eq!(refused(&wrong), (409, "declined", "currency"), "{}", wrong.1);
    let wrong = books.settle(payout, json!({"amount": 1_471}), None).await?;
    assert_eq!(refused(&wrong), (409, "declined", "amount"), "{}", wrong.1);
    let wrong = books.settle("pay_nobody", json!({}), None).await?;
    assert_eq!(refused(&wrong), (404, "unknown_payout", "payout_id"), "{}", wrong.1);
    let early = books.post(&format!("payouts/{payout}/return"), &json!({"reason": "x"}), None).await?;
    assert_eq!(refused(&early), (409, "declined", "payout_id"), "{}", early.1);
    let nobody = json!({"partner_id": "nobody", "currency": "USD"});
    let nobody = books.post("payouts", &nobody, Some("nobody")).await?;
    assert_eq!(refused(&nobody), (404, "unknown_partner", "partner_id"), "{}", nobody.1);
    for mantissa in [0, -1] {
        let rate = json!({"rate_id": "r", "from": "EUR", "to": "USD", "mantissa": mantissa, "exponent": 0});
        let rate = books.post("rates", &rate, None).await?;
        assert_eq!(refused(&rate), (400, "bad_field", "mantissa"), "{}", rate.1);
    }
    let none = json!({"currency": "USD", "reason": "nothing owed"});
    let none = books.post(&format!("partners/{PARTNER}/write-offs"), &none, Some("w1")).await?;
    assert_eq!(refused(&none), (409, "declined", "currency"), "{}", none.1);
    books.balance_is([0, 1_470, 0, 0]).await
}

/// The second payout, its terms, a rate and a destination, all from the command line.
async fn by_command_line(books: &Books, first: &str) -> Result<()> {
    let setup = &books.installation.setup;
    let program = ["--program", books.program()];
    let json = async |command: &[&str]| setup.json(&[command, &program, &["--json"]].concat()).await;
    let status = async |command: &[&str]| -> Result<(Option<i32>, String)> {
        let output = setup.run(&[command, &program].concat()).await?;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    let draft = ["payouts", "draft", "--partner", PARTNER, "--currency", "USD"];
    let terms = json(&["payout-terms", "set", "--minimum", "USD=2000"]).await?;
    assert_eq!(terms["changed"], true, "{terms}");
    let (code, said) = status(&draft).await?;
    assert!(code == Some(1) && said.contains("below_minimum"), "{said}");
    let rate = ["rates", "set", "r1", "--from", "EUR", "--to", "USD", "--rate", "1.0842"];
    assert_eq!(status(&rate).await?.0, Some(0));
    let (code, said) =
        status(&["rates", "set", "r2", "--from", "EUR", "--to", "USD", "--rate", "-1"]).await?;
    assert!(code != Some(0) && said.contains("--rate"), "{said}");

    let drafted = json(&[draft.as_slice(), &["--ignore-minimum", "--key", "july"]].concat()).await?;
    let second = drafted["payout_id"].as_str().context("an id")?.to_owned();
    assert_ne!(second, first, "what is paid again has another id");
    assert_eq!((&drafted["amount"], &drafted["status"]), (&json!(1_470), &json!("drafted")));
    let twin = json(&[draft.as_slice(), &["--ignore-minimum", "--key", "july"]].concat()).await?;
    assert_eq!((&twin["payout_id"], &twin["duplicate"]), (&json!(second), &json!(true)), "{twin}");
    let failed = json(&["payouts", "fail", &second, "--reason", "the bank refused it"]).await?;
    assert_eq!(failed["status"], "failed", "{failed}");
    books.balance_is([1_470, 0, 0, 0]).await?;
    let (code, said) = status(&["payouts", "settle", &second]).await?;
    assert!(code == Some(1) && said.contains("wrong_status"), "{said}");
    let (code, said) =
        status(&["write-off", "--partner", PARTNER, "--currency", "USD", "--reason", "x"]).await?;
    assert!(code == Some(1) && said.contains("no_debt"), "{said}");
    assert_eq!(json(&["payout-terms", "remove"]).await?["changed"], true);

    let mut command = setup.command(&["partners", "destination", "set"]);
    command.args(["--partner", PARTNER, "--method", "paypal", "--program", books.program()]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().context("its stdin")?.write_all(br#"{"email": "mary@example.com"}"#).await?;
    let output = child.wait_with_output().await?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!String::from_utf8_lossy(&output.stdout).contains("example.com"));
    assert_eq!(status(&["partners", "destination", "remove", "--partner", PARTNER]).await?.0, Some(0));
    Ok(())
}
