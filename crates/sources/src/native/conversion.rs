//! Sales, leads, sign-ups and clicks.
use super::schema::{Field, Kind, Refused, Values};
use super::{Event, KEY, MOST_LINES, OCCURRED_AT, currency, event, may, money, must};
use crate::defect::reason;
use domain::facts::{
    ConversionKind, CouponRef, FactBody, Identifier, Personal, Recurrence, Referral, Sale, SaleDetails,
    SaleLine, ShareClaim, ShareOf,
};
use domain::ids::PartnerId;
use domain::money::{Currency, Minor};

/// Words of a sale's metadata, as many as Stripe takes.
const MOST_METADATA: usize = 50;
/// Most of one product on a line.
const MOST_QUANTITY: u64 = 1_000_000_000;
/// Partners of one conversion.
const MOST_SHARES: usize = 20;
/// Checks that one conversion failed.
const MOST_CHECKS: usize = 16;
/// Bytes of a check's name: it becomes part of the name of a hold.
const MOST_CHECK_BYTES: usize = 64;
/// All of it, in parts per million.
const WHOLE: u64 = 1_000_000;

const CUSTOMER: [Field; 2] = [
    may("key", Kind::Text, "the merchant's own id of the customer: one namespace over all sources"),
    may("email", Kind::Text, "compared without regard to ASCII case"),
];
const LINE: [Field; 8] = [
    may("line_id", Kind::Id, "named by refunds of this line"),
    must("net", Kind::Amount, "without tax and discount"),
    may("product_id", Kind::Id, "the product"),
    may("price_id", Kind::Id, "the price"),
    may("plan", Kind::Id, "the plan, for rules"),
    may("category", Kind::Id, "the category, for rules"),
    may("product_key", Kind::Id, "your own key of the product, for rules"),
    may("quantity", Kind::Number { least: 1, most: MOST_QUANTITY }, "how many; 1 when absent"),
];
const SHARE: [Field; 3] = [
    may("partner_id", Kind::Id, "who"),
    may("code", Kind::Text, "whom it names; exactly one of `code` and `partner_id`"),
    must(
        "share_ppm",
        Kind::Number { least: 1, most: WHOLE },
        "parts per million; all together exactly 1000000",
    ),
];
const SHARES: Kind = Kind::List { of: &SHARE, most: MOST_SHARES };
const DIVIDED: &str =
    "who earns which part, the earliest touch first; not with `code`; absent: one partner earns all";
const FRAUD: Kind = Kind::Texts { most: MOST_CHECKS };
const FAILED: &str = "checks for fraud that it failed: each holds its commission as `fraud:` and the name";
pub(super) const SALE: [Field; 18] = [
    must("external_id", Kind::Id, "the sale's id where it was made; refunds and disputes name it"),
    must("amount", Kind::Amount, "what was paid, tax included"),
    must("currency", Kind::Currency, "of all amounts in the body"),
    may("net", Kind::Amount, "without tax and after discounts; at most `amount`"),
    may("customer", Kind::Object(&CUSTOMER), "who bought; identifiers sent together are one customer"),
    may("code", Kind::Text, "a partner's referral code, exact; an unknown one is recorded and falls through"),
    may("coupon", Kind::Text, "the coupon that the customer typed, exact"),
    may("shares", SHARES, DIVIDED),
    may("lines", Kind::List { of: &LINE, most: MOST_LINES }, "their `net` must sum to the sale's `net`"),
    may("subscription_id", Kind::Id, "the subscription that it pays for"),
    may("recurrence", Kind::Word(&["first", "renewal"]), "first payment or renewal; absent: not known"),
    may("country", Kind::Country, "of the customer, for rules; ISO 3166-1"),
    may("interval", Kind::Word(&["day", "week", "month", "year", "once"]), "between two payments, for rules"),
    may(
        "metadata",
        Kind::Map { most: MOST_METADATA },
        "your own words; those that the program's `rule_metadata_keys` name are kept for rules",
    ),
    may("aliases", Kind::Texts { most: 8 }, "other ids by which refunds and disputes may name the sale"),
    may("fraud", FRAUD, FAILED),
    OCCURRED_AT,
    KEY,
];
/// Of what has no amount.
pub(super) const OTHER: [Field; 11] = [
    must("external_id", Kind::Id, "its id where it was made, apart from those of other kinds"),
    may("customer", Kind::Object(&CUSTOMER), "who it was; identifiers sent together are one customer"),
    may("code", Kind::Text, "a partner's referral code, exact; an unknown one is recorded and falls through"),
    may("coupon", Kind::Text, "the coupon that the customer typed, exact"),
    may("shares", SHARES, DIVIDED),
    may(
        "currency",
        Kind::Currency,
        "what it is shown in; absent: the program's. A commission has its reward's",
    ),
    may("country", Kind::Country, "of the customer, for rules; ISO 3166-1"),
    may(
        "metadata",
        Kind::Map { most: MOST_METADATA },
        "your own words; those that the program's `rule_metadata_keys` name are kept for rules",
    ),
    may("fraud", FRAUD, FAILED),
    OCCURRED_AT,
    KEY,
];

/// A sale.
pub(super) fn sale(values: &Values) -> Result<Event, Refused> {
    let (gross, net) = money(values)?;
    let lines: Vec<SaleLine> = values.list("lines").iter().map(sale_line).collect();
    if !lines.is_empty() {
        let sum = lines.iter().try_fold(Minor::ZERO, |sum, line| sum.plus(line.net)).ok();
        if sum.is_none() || sum != net {
            let message = "the lines' net must sum to net, which must be there when there are lines";
            return Err(Refused::new(reason::CONTRADICTORY, "net", message));
        }
    }
    let external_id = values.owned("external_id");
    let body = FactBody::Sale(Sale {
        external_id: external_id.clone(),
        currency: currency(values)?,
        gross,
        net,
        lines,
        subscription_id: values.owned("subscription_id"),
        recurrence: match values.text("recurrence") {
            Some("first") => Recurrence::First,
            Some("renewal") => Recurrence::Renewal,
            _ => Recurrence::Unknown,
        },
        referral: referral(values),
        coupon: values.text("coupon").map(|code| CouponRef::Code(code.to_owned())),
        aliases: values.texts("aliases").to_vec(),
        details: details(values, ConversionKind::Sale)?,
    });
    Ok(Event {
        identifiers: values.object("customer").map(identifiers).unwrap_or_default(),
        ..event(external_id, "recorded", body)
    })
}

/// A lead, a sign-up or a click. What it has of a sale is its customer and who brought it.
pub(super) fn other(values: &Values, kind: ConversionKind) -> Result<Event, Refused> {
    let external_id = values.owned("external_id");
    let currency = values.currency("currency");
    let body = FactBody::Sale(Sale {
        external_id: external_id.clone(),
        // Without one it is the program's, as soon as the program is known.
        currency: currency.unwrap_or(Currency::USD),
        gross: Minor::ZERO,
        net: None,
        lines: Vec::new(),
        subscription_id: String::new(),
        recurrence: Recurrence::Unknown,
        referral: referral(values),
        coupon: values.text("coupon").map(|code| CouponRef::Code(code.to_owned())),
        aliases: Vec::new(),
        details: details(values, kind)?,
    });
    Ok(Event {
        identifiers: values.object("customer").map(identifiers).unwrap_or_default(),
        takes_program_currency: currency.is_none(),
        ..event(external_id, "recorded", body)
    })
}

fn referral(values: &Values) -> Option<Referral> {
    let code = values.text("code")?;
    Some(Referral { code: code.to_owned(), found_at: "code".to_owned() })
}

fn details(values: &Values, kind: ConversionKind) -> Result<SaleDetails, Refused> {
    let fraud = values.texts("fraud").to_vec();
    if let Some(place) = fraud.iter().position(|check| check.len() > MOST_CHECK_BYTES) {
        let message = format!("the name of a check has at most {MOST_CHECK_BYTES} bytes");
        return Err(Refused::new(reason::BAD_TEXT, format!("fraud[{place}]"), message));
    }
    Ok(SaleDetails {
        country: values.owned("country"),
        interval: values.owned("interval"),
        metadata: values.map("metadata").to_vec(),
        fraud,
        kind,
        shares: shares(values)?,
        // Who vouches for it does not stand in a body.
        publishable: false,
    })
}

/// Who earns which part: all parts together are the whole.
fn shares(values: &Values) -> Result<Vec<ShareClaim>, Refused> {
    if !values.has("shares") {
        return Ok(Vec::new());
    }
    let contradictory = |field: String, message| Err(Refused::new(reason::CONTRADICTORY, field, message));
    if values.has("code") {
        return contradictory("shares".to_owned(), "a sale has a code or shares: put the code into a share");
    }
    let mut claims = Vec::with_capacity(values.list("shares").len());
    let mut sum = 0_u64;
    for (place, share) in values.list("shares").iter().enumerate() {
        let of = match (share.text("partner_id"), share.text("code")) {
            (Some(partner), None) => ShareOf::Partner(PartnerId::from(partner)),
            (None, Some(code)) => ShareOf::Code(code.to_owned()),
            _ => {
                let message = "a share has exactly one of code and partner_id";
                return contradictory(format!("shares[{place}]"), message);
            }
        };
        let ppm = share.number("share_ppm").unwrap_or_default();
        sum = sum.saturating_add(ppm);
        claims.push(ShareClaim { of, weight: u32::try_from(ppm).unwrap_or(u32::MAX) });
    }
    if sum != WHOLE {
        let message = "the shares' share_ppm must sum to 1000000, the whole";
        return contradictory("shares".to_owned(), message);
    }
    Ok(claims)
}

fn sale_line(line: &Values) -> SaleLine {
    SaleLine {
        line_id: line.owned("line_id"),
        net: line.amount("net").unwrap_or_default(),
        product_id: line.owned("product_id"),
        price_id: line.owned("price_id"),
        quantity: line.number("quantity").and_then(|number| u32::try_from(number).ok()).unwrap_or(1),
        plan: line.owned("plan"),
        category: line.owned("category"),
        product_key: line.owned("product_key"),
    }
}

fn identifiers(customer: &Values) -> Vec<Identifier> {
    let identifier = |namespace: &str, value: String| Identifier {
        namespace: namespace.to_owned(),
        subject: None,
        value: Personal::Open(value),
    };
    let key = customer.text("key").map(|key| identifier("customer_key", key.to_owned()));
    let email = customer.text("email").map(|email| identifier("email", email.to_ascii_lowercase()));
    key.into_iter().chain(email).collect()
}
