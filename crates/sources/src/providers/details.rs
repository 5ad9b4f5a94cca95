//! What only rules ask of a sale. It never refuses a body: what is not said clearly is unknown, and no rule is worth a sale
//! that counts for nothing.
use super::metadata::Metadata;
use crate::json::{Object, Raw, string};
use domain::facts::SaleDetails;
use serde::Deserialize;

/// An object with an address in it.
#[derive(Deserialize)]
pub(super) struct Addressed<'a> {
    #[serde(borrow, default)]
    pub(super) address: Object<Address<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Address<'a> {
    #[serde(borrow, default)]
    country: Raw<'a>,
}

/// How often a price is paid.
#[derive(Deserialize)]
pub(super) struct Cycle<'a> {
    #[serde(borrow, default)]
    interval: Raw<'a>,
    /// Stripe's word for how many intervals, and Paddle's.
    #[serde(alias = "frequency", borrow, default)]
    interval_count: Raw<'a>,
}

/// The country of an address, in capitals; empty: unknown.
pub(super) fn country(address: &Object<Address<'_>>) -> String {
    let text = address.get().and_then(|address| string("country", address.country).ok()?);
    let text = text.filter(|text| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic()));
    text.map(|text| text.to_ascii_uppercase()).unwrap_or_default()
}

/// The interval of a sale from those of its prices; `None` among them: a price that is paid once.
///
/// What is bought beside a subscription does not change how often that is paid. Prices that disagree, a word that is none of
/// ours and every second month are unknown.
pub(super) fn interval<'a>(
    prices: impl Iterator<Item = Option<&'a Cycle<'a>>>,
    subscription_id: &str,
) -> &'static str {
    let mut found = "";
    for cycle in prices {
        let one = match cycle {
            None => "once",
            Some(cycle) if cycle.interval_count.is_none_or(|count| count.get() == "1") => {
                let word = string("interval", cycle.interval).ok().flatten().unwrap_or_default();
                let known = ["day", "week", "month", "year"].into_iter().find(|known| *known == word);
                let Some(known) = known else { return "" };
                known
            }
            Some(_) => return "",
        };
        match (found, one) {
            ("" | "once", one) => found = one,
            (_, "once") => {}
            (found, one) if found == one => {}
            _ => return "",
        }
    }
    // A subscription is not paid once, whatever else is on its bill.
    if found == "once" && !subscription_id.is_empty() { "" } else { found }
}

/// All of it, with what the metadata objects hold for rules, the first that has a key.
pub(super) fn details<'a, 'm: 'a>(
    country: String,
    interval: &str,
    metadata: impl Iterator<Item = &'a Metadata<'m>>,
) -> SaleDetails {
    let mut details = SaleDetails { country, interval: interval.to_owned(), ..SaleDetails::default() };
    metadata.for_each(|metadata| metadata.keep(&mut details.metadata));
    details
}
