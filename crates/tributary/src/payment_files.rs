//! `payouts export`: drafted payouts as the files that mass-payment tools take. `docs/reference/payout-exports.md` says where
//! each column comes from.
use crate::cli::{PaymentFormat, PayoutsExport};
use crate::csv::{Cell, Csv, decimal, is_formula};
use crate::database::Database;
use crate::parts::{KEYS_DIR, configure_quietly, open_master_key};
use crate::report::NOT_MIGRATED;
use crate::up::print_line;
use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use domain::facts::{Personal, SealedValue};
use domain::ids::SubjectId;
use domain::money::Currency;
use domain::payouts::destination::{Destination, RECIPIENT_TYPES};
use kit::config::Config;
use kit::master_key::MasterKey;
use readmodel::statements::{self, Chosen, Payout, SealedDestination};
use serde::Serialize;
use sqlx::PgPool;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use stream::keys::KeyStore;
use stream::keys_file::FileKeyStore;
use zeroize::Zeroizing;

/// Rows of one file that `PayPal` takes.
const PAYPAL_ROWS: usize = 5_000;
/// Transfers of one file that Wise takes.
const WISE_ROWS: usize = 1_000;

/// What `payouts export --json` prints. Nothing personal.
#[derive(Debug, Serialize)]
struct Exported {
    format: &'static str,
    file: String,
    payouts: Vec<String>,
    totals: Vec<Total>,
    /// Drafted payouts that are paid in another way, or in another currency.
    left_out: Vec<LeftOut>,
}

#[derive(Debug, Serialize)]
struct Total {
    currency: String,
    payouts: usize,
    amount_minor: i128,
}

#[derive(Debug, Serialize)]
struct LeftOut {
    payout_id: String,
    partner_id: String,
    reason: String,
}

/// A payment of the file.
#[derive(Debug)]
struct Payment {
    payout: Payout,
    currency: Currency,
    to: Destination,
}

/// `payouts export`.
pub(crate) async fn export(args: &PayoutsExport) -> anyhow::Result<()> {
    let currency = args.currency.as_deref().map(|code| known(code, "--currency")).transpose()?;
    let source = args.source_currency.as_deref().map(|code| known(code, "--source-currency")).transpose()?;
    if source.is_some() && args.format == PaymentFormat::Paypal {
        bail!("--source-currency is for Wise: PayPal takes the currency of the payments");
    }
    let config = configure_quietly(&args.place.layers(&[]))?;
    let database = Database::attach(&config).await?;
    let chosen = choose(database.pool(), args, currency).await;
    let closed = database.close().await;
    let (payouts, sealed, left_out) = chosen?;
    closed?;
    let payments = open(&config, payouts, &sealed).await?;
    let file = match args.format {
        PaymentFormat::Paypal => paypal(&payments)?,
        PaymentFormat::Wise => wise(&payments, source)?,
    };
    write(&args.out, &file)?;
    let exported = Exported {
        format: args.format.method(),
        file: args.out.display().to_string(),
        payouts: payments.iter().map(|payment| payment.payout.payout_id.clone()).collect(),
        totals: totals(&payments),
        left_out,
    };
    if args.json {
        return print_line(&serde_json::to_string_pretty(&exported)?);
    }
    for left in &exported.left_out {
        print_line(&format!("left out: {} of {}: {}", left.payout_id, left.partner_id, left.reason))?;
    }
    for total in &exported.totals {
        let code = &total.currency;
        print_line(&format!("{} payouts, {} {code} in minor units", total.payouts, total.amount_minor))?;
    }
    print_line(&format!(
        "written to {}; nothing is marked as paid: settle or fail each payout before the next file",
        exported.file
    ))
}

fn known(code: &str, flag: &str) -> anyhow::Result<Currency> {
    Currency::parse(code).ok_or_else(|| anyhow!("{flag}: `{code}` is no currency, such as EUR"))
}

type Selected = (Vec<Payout>, Vec<SealedDestination>, Vec<LeftOut>);

/// The payouts of the file, where their partners are paid, and which drafted ones are not in it.
async fn choose(pool: &PgPool, args: &PayoutsExport, currency: Option<Currency>) -> anyhow::Result<Selected> {
    let wanted: BTreeSet<&String> = args.payout.iter().collect();
    let ids: Vec<String> = wanted.iter().map(|id| (*id).clone()).collect();
    let status = ids.is_empty().then_some("drafted");
    let chosen = Chosen { program: args.program.as_deref(), status, ids: &ids, ..Chosen::default() };
    let found = statements::payouts(pool, chosen).await.context(NOT_MIGRATED)?;
    let there: BTreeSet<&String> = found.iter().map(|payout| &payout.payout_id).collect();
    if let Some(unknown) = wanted.iter().find(|id| !there.contains(**id)) {
        bail!("there is no payout {unknown}; `tributary payouts list` prints all");
    }
    if let Some(other) = found.iter().find(|payout| payout.status != "drafted") {
        bail!(
            "payout {} is {}: only drafted payouts are exported, so that none is paid twice",
            other.payout_id,
            other.status
        );
    }
    let all: Vec<String> = found.iter().map(|payout| payout.payout_id.clone()).collect();
    let sealed = statements::destinations(pool, &all).await?;
    let (mut taken, mut left_out, mut nowhere) = (Vec::new(), Vec::new(), BTreeSet::new());
    for payout in found {
        let mut leave = |reason: String, payout: &Payout| {
            left_out.push(LeftOut {
                payout_id: payout.payout_id.clone(),
                partner_id: payout.partner_id.clone(),
                reason,
            });
        };
        let of = |place: &&SealedDestination| {
            place.program_id == payout.program_id && place.partner_id == payout.partner_id
        };
        if currency.is_some_and(|currency| currency.code() != payout.paid_currency) {
            leave(format!("it is paid in {}", payout.paid_currency), &payout);
            continue;
        }
        match sealed.iter().find(of) {
            None => drop(nowhere.insert(payout.partner_id.clone())),
            Some(place) if place.method == args.format.method() => taken.push(payout),
            Some(place) if ids.is_empty() => {
                leave(format!("its partner is paid by {}", place.method), &payout)
            }
            Some(place) => bail!(
                "payout {}: partner {} is paid by {}, not by {}",
                payout.payout_id,
                payout.partner_id,
                place.method,
                args.format.method()
            ),
        }
    }
    if !nowhere.is_empty() {
        let partners = nowhere.into_iter().collect::<Vec<_>>().join(", ");
        bail!(
            "no payout destination is known of: {partners}; set it with PUT \
             /v1/programs/PROGRAM/partners/PARTNER/payout-destination, or name other payouts with --payout"
        );
    }
    if taken.is_empty() {
        bail!("there is nothing to export: no drafted payout is paid this way");
    }
    Ok((taken, sealed, left_out))
}

/// Opens where each is paid: with the partner's key, then with the master key.
async fn open(
    config: &Config,
    payouts: Vec<Payout>,
    sealed: &[SealedDestination],
) -> anyhow::Result<Vec<Payment>> {
    let keys: Arc<dyn KeyStore> = match &config.keys_database_url {
        Some(url) => Arc::new(keystore::open(url.expose()).await?),
        None => Arc::new(FileKeyStore::open_read_only(&config.data_dir.join(KEYS_DIR))?),
    };
    let master_key = open_master_key(config).await?;
    let mut opened: BTreeMap<(&str, &str), Destination> = BTreeMap::new();
    for place in sealed {
        let needed = payouts
            .iter()
            .any(|payout| payout.program_id == place.program_id && payout.partner_id == place.partner_id);
        if needed {
            let destination = open_one(keys.as_ref(), &master_key, place).await?;
            opened.insert((&place.program_id, &place.partner_id), destination);
        }
    }
    let payment = |payout: Payout| {
        let to = opened.get(&(payout.program_id.as_str(), payout.partner_id.as_str())).cloned();
        let currency = Currency::parse(&payout.paid_currency);
        let (Some(to), Some(currency)) = (to, currency) else {
            bail!("payout {} cannot be read; run `tributary verify`", payout.payout_id);
        };
        Ok(Payment { payout, currency, to })
    };
    payouts.into_iter().map(payment).collect()
}

async fn open_one(
    keys: &dyn KeyStore,
    master_key: &MasterKey,
    place: &SealedDestination,
) -> anyhow::Result<Destination> {
    let partner = &place.partner_id;
    let unreadable = || {
        format!(
            "the payout destination of partner {partner} cannot be read; run `tributary verify`, or set it again"
        )
    };
    let mut subject = SubjectId([0; 16]);
    let mut key_id = [0; 16];
    hex::decode_to_slice(&place.subject, &mut subject.0).with_context(unreadable)?;
    hex::decode_to_slice(&place.key_id, &mut key_id).with_context(unreadable)?;
    let ciphertext = Bytes::from(hex::decode(&place.ciphertext).with_context(unreadable)?);
    let mut value = Personal::Sealed(SealedValue { key_id, ciphertext });
    let known = keys.load(&[subject]).await?;
    stream::seal::open(known.get(subject), subject, &mut value)
        .with_context(|| format!("the payout destination of partner {partner}"))?;
    let Personal::Open(text) = value else {
        bail!("the payout destination of partner {partner} is erased: its key was destroyed; set another");
    };
    let text = Zeroizing::new(text);
    let sealed = hex::decode(text.as_bytes()).with_context(unreadable)?;
    let plain = master_key
        .open_payout_destination(&place.program_id, partner, &sealed)
        .with_context(|| format!("the payout destination of partner {partner}"))?;
    // The error of the parser would show what it read.
    let destination: Destination = serde_json::from_slice(&plain).map_err(|_| anyhow!(unreadable()))?;
    destination.check().with_context(|| format!("the payout destination of partner {partner}"))?;
    Ok(destination)
}

/// What a text of the file must not be: what a spreadsheet computes. It is refused and not changed, for the file pays to it.
fn plain<'a>(text: &'a str, payment: &Payment, field: &str) -> anyhow::Result<Cell<'a>> {
    if is_formula(text) {
        bail!(
            "the payout destination of partner {}: {field} begins like a formula; set it again",
            payment.payout.partner_id
        );
    }
    Ok(Cell::Exact(text))
}

/// Recipient, amount, currency, customer id, note, wallet; without a header.
fn paypal(payments: &[Payment]) -> anyhow::Result<String> {
    let currencies: BTreeSet<&str> = payments.iter().map(|payment| payment.currency.code()).collect();
    if currencies.len() > 1 {
        let all = currencies.into_iter().collect::<Vec<_>>().join(", ");
        bail!("PayPal takes one currency in a file, and these are paid in {all}; choose one with --currency");
    }
    if payments.len() > PAYPAL_ROWS {
        bail!("PayPal takes {PAYPAL_ROWS} payments in a file, and these are {}", payments.len());
    }
    let mut csv = Csv::default();
    for payment in payments {
        let recipient = payment.to.paypal_recipient();
        // The plus of a telephone number is no formula: only digits follow.
        let recipient = if payment.to.phone == recipient {
            Cell::Exact(recipient)
        } else {
            plain(recipient, payment, "the recipient")?
        };
        let (amount, id) =
            (decimal(payment.payout.paid_minor, payment.currency), payment.payout.payout_id.as_str());
        let note = format!("Payout {id}");
        csv.row([
            recipient,
            Cell::Exact(&amount),
            Cell::Exact(payment.currency.code()),
            Cell::Exact(id),
            Cell::Exact(&note),
            Cell::Exact("PAYPAL"),
        ]);
    }
    Ok(csv.into_text())
}

/// To saved recipients, when all have an id there; else by e-mail.
fn wise(payments: &[Payment], source: Option<Currency>) -> anyhow::Result<String> {
    if payments.len() > WISE_ROWS {
        bail!("Wise takes {WISE_ROWS} transfers in a file, and these are {}", payments.len());
    }
    let saved = payments.iter().all(|payment| !payment.to.recipient_id.is_empty());
    let mut csv = Csv::default();
    let header: &[&str] = if saved {
        &[
            "recipientId",
            "name",
            "recipientEmail",
            "recipientDetail",
            "sourceCurrency",
            "targetCurrency",
            "amountCurrency",
            "amount",
            "paymentReference",
            "receiverType",
        ]
    } else {
        &[
            "name",
            "recipientEmail",
            "paymentReference",
            "receiverType",
            "amountCurrency",
            "amount",
            "sourceCurrency",
            "targetCurrency",
            "type",
        ]
    };
    csv.row(header.iter().copied().map(Cell::Exact));
    for payment in payments {
        let (to, payout) = (&payment.to, &payment.payout);
        if !saved && to.email.is_empty() {
            bail!(
                "partner {} has a recipient_id and no email, and others have no recipient_id: Wise takes one kind in a file; \
                 export them apart with --payout",
                payout.partner_id
            );
        }
        let kind = to.recipient_type.as_str();
        let kind = if kind.is_empty() { RECIPIENT_TYPES[0] } else { kind }.to_ascii_uppercase();
        let (name, email) = (plain(&to.name, payment, "name")?, plain(&to.email, payment, "email")?);
        let amount = decimal(payout.paid_minor, payment.currency);
        let target = Cell::Exact(payment.currency.code());
        let from = source.unwrap_or(payment.currency);
        let from = Cell::Exact(from.code());
        let reference = Cell::Exact(&payout.payout_id);
        let (amount, kind) = (Cell::Exact(&amount), Cell::Exact(&kind));
        // The recipient gets exactly the amount; fees are the sender's.
        let exact = Cell::Exact("target");
        if saved {
            let id = Cell::Exact(&to.recipient_id);
            csv.row([id, name, email, Cell::Empty, from, target, exact, amount, reference, kind]);
        } else {
            csv.row([name, email, reference, kind, exact, amount, from, target, Cell::Exact("EMAIL")]);
        }
    }
    Ok(csv.into_text())
}

fn totals(payments: &[Payment]) -> Vec<Total> {
    let mut totals: BTreeMap<&str, (usize, i128)> = BTreeMap::new();
    for payment in payments {
        let (count, sum) = totals.entry(payment.currency.code()).or_default();
        *count += 1;
        *sum = sum.saturating_add(i128::from(payment.payout.paid_minor));
    }
    let total = |(currency, (payouts, amount_minor)): (&str, (usize, i128))| Total {
        currency: currency.to_owned(),
        payouts,
        amount_minor,
    };
    totals.into_iter().map(total).collect()
}

/// For its owner alone, and never over another file.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.with_context(|| format!("{}; the file must be new", path.display()))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn payment(to: Destination, paid_minor: i64, currency: &str) -> Payment {
        let payout = Payout {
            payout_id: "pay_0000000000000000000000000".to_owned(),
            program_id: "prog_acme".to_owned(),
            partner_id: "mary".to_owned(),
            status: "drafted".to_owned(),
            currency: currency.to_owned(),
            total_minor: paid_minor,
            paid_currency: currency.to_owned(),
            paid_minor,
            rate_id: None,
            rate_mantissa: None,
            rate_exponent: None,
            rate_spread_ppm: None,
            drafted_at: String::new(),
            settled_at: None,
            reference: None,
            line_count: 1,
        };
        Payment { payout, currency: Currency::parse(currency).unwrap(), to }
    }

    fn to(method: &str, email: &str) -> Destination {
        Destination { method: method.to_owned(), email: email.to_owned(), ..Destination::default() }
    }

    #[test]
    fn a_file_for_paypal_has_six_columns_no_header_and_one_currency() {
        let by_phone = Destination { phone: "+15551234567".to_owned(), ..to("paypal", "") };
        let payments = [payment(to("paypal", "mary@example.com"), 1470, "USD"), payment(by_phone, 5, "USD")];
        assert_eq!(
            paypal(&payments).unwrap(),
            "mary@example.com,14.70,USD,pay_0000000000000000000000000,Payout pay_0000000000000000000000000,PAYPAL\r\n\
             +15551234567,0.05,USD,pay_0000000000000000000000000,Payout pay_0000000000000000000000000,PAYPAL\r\n"
        );
        let mixed =
            [payment(to("paypal", "a@b.example"), 1, "USD"), payment(to("paypal", "a@b.example"), 1, "EUR")];
        assert!(paypal(&mixed).unwrap_err().to_string().contains("EUR, USD"));
        let formula = [payment(to("paypal", "=cmd@b.example"), 1, "USD")];
        let error = paypal(&formula).unwrap_err().to_string();
        assert!(error.contains("mary") && !error.contains("cmd"), "{error}");
    }

    #[test]
    fn a_file_for_wise_goes_to_saved_recipients_when_all_are_saved_and_by_email_otherwise() {
        let named = |email: &str, id: &str| Destination {
            name: "Mary, Ltd".to_owned(),
            recipient_id: id.to_owned(),
            recipient_type: "institution".to_owned(),
            ..to("wise", email)
        };
        let saved = wise(&[payment(named("", "4711"), 1000, "JPY")], Some(Currency::parse("EUR").unwrap()));
        assert_eq!(
            saved.unwrap(),
            "recipientId,name,recipientEmail,recipientDetail,sourceCurrency,targetCurrency,amountCurrency,amount,paymentReference,receiverType\r\n\
             4711,\"Mary, Ltd\",,,EUR,JPY,target,1000,pay_0000000000000000000000000,INSTITUTION\r\n"
        );
        let by_email = wise(&[payment(named("mary@example.com", ""), 1470, "EUR")], None).unwrap();
        assert_eq!(
            by_email,
            "name,recipientEmail,paymentReference,receiverType,amountCurrency,amount,sourceCurrency,targetCurrency,type\r\n\
             \"Mary, Ltd\",mary@example.com,pay_0000000000000000000000000,INSTITUTION,target,14.70,EUR,EUR,EMAIL\r\n"
        );
        let mixed = [payment(named("mary@example.com", ""), 1, "EUR"), payment(named("", "4711"), 1, "EUR")];
        assert!(wise(&mixed, None).is_err_and(|error| error.to_string().contains("mary")));
    }
}
