//! Stripe: one payment told up to five times is one commission, and what goes back is counted once.
use crate::installation::{Installation, LIMIT, Target};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use domain::config::{ConfigFact, ConfigObject, Mode, Profile, Program, SaleFrom};
use domain::ids::ProgramId;
use domain::money::{Currency, Rounding};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use stream::embedded::{EmbeddedLog, EmbeddedOptions};
use stream::kafka::{KafkaLog, KafkaOptions};
use stream::log::{Log, NewRecord, Topic, partition_of};
use testkit::load::{client, send};
use testkit::requests::{Request, referral};
use testkit::stripe::{
    stripe, stripe_charge, stripe_customer, stripe_dispute, stripe_event, stripe_refund, stripe_refunded,
    stripe_sale,
};
use tokio::time::Instant;

/// 12.5%: ties can be seen.
const PROGRAM: &str = "prog_demo_eighth";

#[tokio::test(flavor = "multi_thread")]
async fn stripe_payments_become_balances_once_on_the_embedded_log() -> Result<()> {
    payments(Target::Embedded).await
}

#[tokio::test(flavor = "multi_thread")]
async fn stripe_payments_become_balances_once_on_kafka() -> Result<()> {
    payments(Target::Kafka).await
}

async fn payments(target: Target) -> Result<()> {
    let installation = Installation::small(target, "stripe").await?;
    let mut running = installation.setup.start(None).await?;
    let case = Case { installation: &installation, http: client() };
    case.refunds_of_both_families(&running.url).await?;
    assert!(running.terminate().await?.success());
    running = installation.setup.start(None).await?;
    case.disputes(&running.url).await?;
    case.captures(&running.url).await?;
    case.a_customer_that_is_linked_late(&running.url).await?;
    // John: 1,876 after a refund of each kind and 1,876 by its intent, 1,000 from the referral, 1,000 by the late link.
    // Mary: 2,500 whose refund failed, 2,500 whose dispute was won, nothing of the one that was lost, 625 of a capture.
    let by_charge = BTreeMap::from([("partner_john".to_owned(), 5_752), ("partner_mary".to_owned(), 5_625)]);
    installation.wait_for_balances(PROGRAM, &by_charge).await?;
    case.published_bodies(&running.url).await?;
    assert!(running.terminate().await?.success());

    installation.set_sale_from(SaleFrom::CheckoutAndInvoice).await?;
    let running = installation.setup.start(None).await?;
    case.invoices_and_checkouts(&running.url).await?;
    // 625 of an invoice half refunded, 1,000 of a checkout.
    let by_invoice = BTreeMap::from([("partner_john".to_owned(), 6_377), ("partner_mary".to_owned(), 6_625)]);
    installation.wait_for_balances(PROGRAM, &by_invoice).await?;
    installation.verify_is_clean().await?;
    assert!(running.terminate().await?.success());
    Ok(())
}

struct Case<'a> {
    installation: &'a Installation,
    http: reqwest::Client,
}

impl Case<'_> {
    async fn deliver(&self, url: &str, request: &Request) -> Result<()> {
        let (status, body) = send(&self.http, url, request).await?;
        anyhow::ensure!(status == 200, "{}: {status} {body}", request.path);
        Ok(())
    }

    /// Delivers each body to `program` and waits for its verdict.
    async fn tell(&self, url: &str, program: &str, bodies: &[Value]) -> Result<()> {
        for body in bodies {
            self.deliver(url, &stripe(program, body)).await?;
        }
        let keys: Vec<String> =
            bodies.iter().map(|body| body["id"].as_str().unwrap_or_default().to_owned()).collect();
        self.installation.wait_for_verdicts(&keys).await
    }

    async fn refunds_of_both_families(&self, url: &str) -> Result<()> {
        let sale = stripe_sale("evt_a", "ch_a", 20_004, Some("john8"), None);
        // Charge, intent and invoice tell the same money: one sale.
        let again = stripe_event(
            "evt_a2",
            "payment_intent.succeeded",
            json!({"id": "pi_ch_a", "latest_charge": "ch_a"}),
        );
        let invoice = json!({"id": "in_a", "charge": "ch_a", "payment_intent": "pi_ch_a", "total": 20_004, "currency": "usd"});
        self.tell(
            url,
            PROGRAM,
            &[
                sale.clone(),
                sale.clone(),
                again,
                stripe_event("evt_a3", "invoice.paid", invoice),
                stripe_refund("evt_a4", "re_a", "ch_a", 5_000, "pending"),
                stripe_refunded("evt_a5", "ch_a", 20_004, 5_000),
                stripe_refund("evt_a6", "re_a", "ch_a", 5_000, "succeeded"),
                sale,
            ],
        )
        .await?;
        // 20,004 at 12.5% is 2,500.5 and 15,004 is 1,875.5: ties go to even.
        self.installation.becomes("ch_a", "approved", 2_500, 1_876).await?;
        for (key, verdict) in
            [("evt_a", "applied"), ("evt_a2", "applied"), ("evt_a3", "applied"), ("evt_a6", "applied")]
        {
            self.installation.has_verdict(key, verdict, "").await?;
        }

        // A total that waits for its sale; the refund behind it fails.
        self.tell(
            url,
            PROGRAM,
            &[
                stripe_refunded("evt_b1", "ch_b", 20_004, 20_004),
                stripe_sale("evt_b", "ch_b", 20_004, Some("mary8"), None),
            ],
        )
        .await?;
        self.installation.becomes("ch_b", "refunded", 2_500, 0).await?;
        self.tell(url, PROGRAM, &[stripe_refund("evt_b2", "re_b", "ch_b", 20_004, "failed")]).await?;
        self.installation.becomes("ch_b", "approved", 2_500, 2_500).await?;

        // A refund that names only the intent.
        let mut by_intent = stripe_refund("evt_e1", "re_e", "ch_e", 5_000, "succeeded");
        by_intent["data"]["object"]["charge"] = Value::Null;
        let sale = stripe_sale("evt_e", "ch_e", 20_004, Some("john8"), None);
        self.tell(url, PROGRAM, &[by_intent, sale]).await?;
        self.installation.becomes("ch_e", "approved", 2_500, 1_876).await
    }

    async fn disputes(&self, url: &str) -> Result<()> {
        for (charge, end, status, net) in
            [("ch_c", "lost", "charged_back", 0), ("ch_d", "won", "approved", 2_500)]
        {
            let dispute = |moment: &str, status: &str| {
                let (event, dispute) = (format!("evt_{charge}_{moment}"), format!("dp_{charge}"));
                stripe_dispute(&event, &dispute, charge, 20_004, moment, status)
            };
            let sale = stripe_sale(&format!("evt_{charge}"), charge, 20_004, Some("mary8"), None);
            self.tell(url, PROGRAM, &[sale, dispute("created", "warning_needs_response")]).await?;
            self.installation.becomes(charge, "review", 2_500, 2_500).await?;
            self.tell(url, PROGRAM, &[dispute("funds_withdrawn", "needs_response")]).await?;
            self.installation.becomes(charge, "review", 2_500, 2_500).await?;
            self.tell(url, PROGRAM, &[dispute("closed", end)]).await?;
            self.installation.becomes(charge, status, 2_500, net).await?;
        }
        Ok(())
    }

    /// Authorized for 20,004, captured for 10,000; what was never captured is in the cumulative refund and was no sale.
    async fn captures(&self, url: &str) -> Result<()> {
        let charge = |captured: i64, refunded: i64| {
            let mut charge = stripe_charge("ch_f", 20_004, refunded, Some("mary8"), None);
            charge["captured"] = json!(captured > 0);
            charge["amount_captured"] = json!(captured);
            charge
        };
        self.tell(
            url,
            PROGRAM,
            &[
                stripe_event("evt_f1", "charge.succeeded", charge(0, 0)),
                stripe_event("evt_f2", "charge.captured", charge(10_000, 10_004)),
                stripe_event("evt_f3", "charge.refunded", charge(10_000, 10_004)),
                stripe_event("evt_f4", "charge.refunded", charge(10_000, 15_004)),
            ],
        )
        .await?;
        self.installation.has_verdict("evt_f1", "ignored", "not_money_event").await?;
        self.installation.has_verdict("evt_f3", "ignored", "not_money_event").await?;
        self.installation.becomes("ch_f", "approved", 1_250, 625).await
    }

    async fn a_customer_that_is_linked_late(&self, url: &str) -> Result<()> {
        let mut order = referral(PROGRAM, "john8", "order_stripe_late", 8_000);
        let mut body: Value = serde_json::from_slice(&order.body)?;
        body["customer_id"] = json!("key-late");
        order.body = body.to_string().into_bytes();
        self.deliver(url, &order).await?;
        self.installation.becomes("order_stripe_late", "approved", 1_000, 1_000).await?;
        self.tell(
            url,
            PROGRAM,
            &[
                stripe_customer("evt_l1", "cus_late", None),
                stripe_sale("evt_l2", "ch_late", 8_000, None, Some("cus_late")),
            ],
        )
        .await?;
        self.installation.has_verdict("evt_l1", "ignored", "not_money_event").await?;
        self.tell(url, PROGRAM, &[stripe_customer("evt_l3", "cus_late", Some("key-late"))]).await?;
        self.installation.becomes("ch_late", "approved", 1_000, 1_000).await
    }

    /// Where invoices and checkouts are money, charges are not, and refunds still find their sale.
    async fn invoices_and_checkouts(&self, url: &str) -> Result<()> {
        let invoice = json!({
            "id": "in_1", "currency": "usd", "total": 11_000, "total_excluding_tax": 10_000, "customer": "cus_inv",
            "billing_reason": "subscription_create", "parent": {"subscription_details": {
                "subscription": "sub_1", "metadata": {"ref_code": "john8"}}},
        });
        let payment = json!({"id": "inpay_1", "invoice": "in_1", "payment": {"type": "payment_intent", "payment_intent": "pi_ch_inv"}});
        let checkout = |id: &str, mode: &str, total: i64| {
            json!({"id": id, "mode": mode, "payment_status": "paid", "currency": "usd", "amount_total": total,
                   "total_details": {"amount_tax": 0, "amount_shipping": 0}, "payment_intent": format!("pi_{id}"),
                   "client_reference_id": "mary8", "metadata": {}})
        };
        self.tell(
            url,
            PROGRAM,
            &[
                stripe_refund("evt_i1", "re_inv", "ch_inv", 5_500, "succeeded"),
                stripe_sale("evt_i2", "ch_inv", 11_000, Some("john8"), None),
                stripe_event("evt_i3", "invoice.paid", invoice.clone()),
                stripe_event("evt_i4", "invoice.payment_succeeded", invoice),
                stripe_event("evt_i5", "invoice_payment.paid", payment),
                stripe_event(
                    "evt_i6",
                    "checkout.session.completed",
                    checkout("cs_sub", "subscription", 11_000),
                ),
                stripe_event("evt_i7", "checkout.session.completed", checkout("cs_one", "payment", 8_000)),
            ],
        )
        .await?;
        for (key, verdict, reason) in [
            ("evt_i2", "ignored", "not_money_event"),
            ("evt_i3", "applied", ""),
            ("evt_i4", "duplicate", ""),
            ("evt_i5", "applied", ""),
            ("evt_i6", "ignored", "not_money_event"),
            ("evt_i7", "applied", ""),
        ] {
            self.installation.has_verdict(key, verdict, reason).await?;
        }
        // Half of what was paid is half of the base.
        self.installation.becomes("in_1", "approved", 1_250, 625).await?;
        self.installation.becomes("cs_one", "approved", 1_000, 1_000).await
    }

    /// Bodies that the provider's libraries publish, where a checkout has them: given ids, a code and a customer's key.
    async fn published_bodies(&self, url: &str) -> Result<()> {
        let Some(folder) = published_folder() else {
            eprintln!(
                "no published bodies here: set TRIBUTARY_FIXTURES to a folder that has providers/stripe"
            );
            return Ok(());
        };
        let read = |name: &str| -> Result<Value> {
            Ok(serde_json::from_slice(&std::fs::read(folder.join(format!("{name}.json")))?)?)
        };
        // (file without its envelope's id, the type of what has no envelope, what is put into the object)
        let completed = |event: &str, file: &str, event_type: &str, changes: Value| -> Result<Value> {
            let mut body = match file.split_once('.') {
                Some(("object_only", _)) => stripe_event(event, event_type, read(file)?),
                Some(("data_only", _)) => stripe_event(event, event_type, read(file)?["object"].clone()),
                _ => read(file)?,
            };
            body["id"] = json!(event);
            for (key, value) in changes.as_object().context("changes")? {
                body["data"]["object"][key] = value.clone();
            }
            Ok(body)
        };
        let ids = |charge: &str| json!({"id": charge, "payment_intent": format!("pi_{charge}"), "metadata": {"ref_code": "john123"}});
        let mut larger = ids("ch_pub_2");
        larger["amount"] = json!(1_500);
        larger["amount_captured"] = json!(1_500);
        let bodies = [
            completed(
                "evt_p1",
                "charge.refund.updated",
                "",
                json!({"id": "re_pub_1", "charge": "ch_pub_1"}),
            )?,
            completed("evt_p2", "charge.succeeded", "", ids("ch_pub_1"))?,
            completed(
                "evt_p3",
                "payment_intent.succeeded",
                "",
                json!({"id": "pi_ch_pub_1", "charges": {}, "latest_charge": "ch_pub_1"}),
            )?,
            completed(
                "evt_p4",
                "invoice.paid",
                "",
                json!({"id": "in_pub_1", "charge": "ch_pub_1", "payment_intent": "pi_ch_pub_1"}),
            )?,
            completed("evt_p5", "charge.succeeded", "", larger)?,
            completed(
                "evt_p6",
                "data_only.charge.refunded.partial",
                "charge.refunded",
                json!({"id": "ch_pub_2", "payment_intent": "pi_ch_pub_2"}),
            )?,
            completed("evt_p7", "charge.succeeded", "", ids("ch_pub_3"))?,
            completed(
                "evt_p8",
                "object_only.latest_api.dispute",
                "charge.dispute.created",
                json!({"id": "dp_pub", "charge": "ch_pub_3"}),
            )?,
            completed(
                "evt_p9",
                "customer.updated",
                "",
                json!({"id": "cus_pub", "metadata": {"customer_key": "key-pub"}}),
            )?,
            completed("evt_p10", "customer.subscription.deleted", "", json!({"id": "sub_pub"}))?,
            completed(
                "evt_p11",
                "checkout.session.completed",
                "",
                json!({"id": "cs_pub", "customer": null}),
            )?,
            completed("evt_p12", "charge.failed", "", json!({"id": "ch_pub_4"}))?,
        ];
        self.tell(url, "prog_demo", &bodies).await?;
        for key in ["evt_p1", "evt_p2", "evt_p3", "evt_p4", "evt_p6", "evt_p8", "evt_p9", "evt_p10"] {
            self.installation.has_verdict(key, "applied", "").await?;
        }
        self.installation.has_verdict("evt_p11", "ignored", "not_money_event").await?;
        self.installation.has_verdict("evt_p12", "ignored", "charge.failed").await?;
        // 2,000 less 100, and 1,500 less 500, at 20%.
        self.installation.becomes("ch_pub_1", "approved", 400, 380).await?;
        self.installation.becomes("ch_pub_2", "approved", 300, 200).await?;
        self.installation.becomes("ch_pub_3", "review", 400, 400).await?;
        let closed = json!({"id": "dp_pub", "charge": "ch_pub_3"});
        self.tell(url, "prog_demo", &[completed("evt_p13", "charge.dispute.closed", "", closed)?]).await?;
        self.installation.becomes("ch_pub_3", "approved", 400, 400).await
    }
}

fn published_folder() -> Option<PathBuf> {
    let root = std::env::var_os("TRIBUTARY_FIXTURES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures"),
        PathBuf::from,
    );
    let folder = root.join("providers/stripe");
    folder.is_dir().then_some(folder)
}

impl Installation {
    /// Waits until the sale has exactly one commission, in this state: (status, gross, net).
    async fn becomes(&self, external_id: &str, status: &str, gross: i64, net: i64) -> Result<()> {
        let limit = Instant::now() + LIMIT;
        loop {
            let found = self.commissions(external_id).await?;
            let [(_, now, g, n)] = found.as_slice() else { bail!("{external_id}: {found:?}") };
            if (now.as_str(), *g, *n) == (status, gross, net) {
                return Ok(());
            }
            if Instant::now() > limit {
                bail!("{external_id}: {found:?}, expected {status}, {gross}, {net}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The first verdict of a delivery that has one already.
    async fn has_verdict(&self, key: &str, verdict: &str, reason: &str) -> Result<()> {
        let found: (String, String) = sqlx::query_as(
            "select verdict, reason from tributary.verdicts where delivery_key = $1 order by position limit 1",
        )
        .bind(key)
        .fetch_one(&self.database().await?)
        .await?;
        assert_eq!((found.0.as_str(), found.1.as_str()), (verdict, reason), "{key}");
        Ok(())
    }

    /// Changes which family is money in the second demo program, while no process runs.
    async fn set_sale_from(&self, sale_from: SaleFrom) -> Result<()> {
        let program = Program {
            account: "acct_demo".into(),
            name: "Demo, 12.5 percent".to_owned(),
            mode: Mode::Test,
            profile: Profile::Native,
            currency: Currency::parse("USD").context("a currency")?,
            rounding: Rounding::HalfEven,
            click_window_days: 30,
            hold_days: 0,
            release: domain::config::Release::default(),
            manual_approval: false,
            sale_from: Some(sale_from),
            referral_keys: Vec::new(),
            customer_keys: Vec::new(),
            rule_metadata_keys: Vec::new(),
        };
        let fact = ConfigFact {
            program: ProgramId::from(PROGRAM),
            actor: "test".to_owned(),
            object: ConfigObject::Program(program),
            removed: false,
        };
        let record = NewRecord {
            key: Bytes::from_static(PROGRAM.as_bytes()),
            value: wire::ingest::encode(&wire::ingest::IngestRecord::Config(fact)),
        };
        let log: std::sync::Arc<dyn Log> = match &self.setup.kafka {
            None => {
                let mut options = EmbeddedOptions::new(self.setup.data_dir.join("log"));
                options.partitions = self.setup.partitions.unwrap_or(options.partitions);
                EmbeddedLog::open(options)?
            }
            Some((brokers, prefix)) => {
                let mut options = KafkaOptions::new(brokers);
                options.topic_prefix.clone_from(prefix);
                options.partitions = self.setup.partitions.unwrap_or(options.partitions);
                KafkaLog::connect(options).await?
            }
        };
        let partition = partition_of(PROGRAM, log.partition_count());
        log.appender().await?.append(Topic::Ingest, partition, vec![record]).await?;
        Ok(())
    }
}
