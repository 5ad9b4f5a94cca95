//! What a person sets up at a provider, so that `endpoint add` can say it. The rest is in `docs/providers`.
use domain::config::SaleFrom;

/// A provider, for the person who creates the webhook there.
#[derive(Debug)]
pub(crate) struct ProviderFacts {
    /// As in URLs and endpoints.
    pub(crate) name: &'static str,
    /// As people call it.
    pub(crate) title: &'static str,
    /// Where its webhooks are created.
    pub(crate) place: &'static str,
    /// How its signing secrets begin.
    pub(crate) secret_prefix: &'static str,
    /// Where the referral code goes.
    pub(crate) metadata: &'static str,
    /// Events to select whatever is money.
    always: &'static [&'static str],
    /// Events that are money, by the program's setting; `None`: for every setting.
    money: &'static [(Option<SaleFrom>, &'static [&'static str])],
}

const INVOICES: &[&str] =
    &["invoice.paid", "invoice_payment.paid", "promotion_code.created", "promotion_code.updated"];

/// All that [`domain::config::PROVIDERS`] names.
pub(crate) const PROVIDERS: [ProviderFacts; 2] = [
    ProviderFacts {
        name: "paddle",
        title: "Paddle",
        place: "Developer tools > Notifications > New destination, type URL",
        secret_prefix: "pdl_ntfset_",
        metadata: "custom_data of the transaction or checkout",
        always: &[
            "adjustment.created",
            "adjustment.updated",
            "customer.created",
            "customer.updated",
            "discount.created",
            "discount.updated",
            "subscription.canceled",
        ],
        money: &[(None, &["transaction.completed"])],
    },
    ProviderFacts {
        name: "stripe",
        title: "Stripe",
        place: "Developers > Webhooks > Add endpoint",
        secret_prefix: "whsec_",
        metadata: "payment_intent_data.metadata of the checkout (charges), subscription_data.metadata (invoices)",
        always: &[
            "refund.created",
            "refund.updated",
            "refund.failed",
            "charge.refunded",
            "charge.dispute.created",
            "charge.dispute.funds_withdrawn",
            "charge.dispute.closed",
            "customer.created",
            "customer.updated",
            "customer.subscription.deleted",
        ],
        money: &[
            (Some(SaleFrom::Charge), &["charge.succeeded", "charge.captured"]),
            (Some(SaleFrom::Invoice), INVOICES),
            (Some(SaleFrom::CheckoutAndInvoice), INVOICES),
            (
                Some(SaleFrom::CheckoutAndInvoice),
                &["checkout.session.completed", "checkout.session.async_payment_succeeded"],
            ),
        ],
    },
];

/// The provider of that name.
pub(crate) fn provider(name: &str) -> Option<&'static ProviderFacts> {
    PROVIDERS.iter().find(|provider| provider.name == name)
}

impl ProviderFacts {
    /// The events to select for a program with this setting, money first.
    pub(crate) fn events(&self, sale_from: SaleFrom) -> Vec<&'static str> {
        let money =
            self.money.iter().filter(|(setting, _)| setting.is_none_or(|setting| setting == sale_from));
        money.flat_map(|(_, events)| events.iter()).chain(self.always).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_provider_is_known_and_each_event_is_in_its_page() {
        let names = PROVIDERS.each_ref().map(|provider| provider.name);
        assert_eq!(names, domain::config::PROVIDERS);
        for name in names {
            let request = sources::SourceRequest {
                program: &"prog".into(),
                source: name,
                body: b"{}",
                headers: &[],
                query: "",
                clock: domain::time::Micros(0),
                settings: &domain::config::SourceSettings::default(),
                resource: "",
                authenticated_by: "",
            };
            let reading = format!("{:?}", sources::normalize(&request).reading);
            assert!(!reading.contains(sources::reason::UNKNOWN_SOURCE), "{name} has an adapter");
        }
        let pages = [
            include_str!("../../../docs/providers/paddle.md"),
            include_str!("../../../docs/providers/stripe.md"),
        ];
        for (provider, page) in PROVIDERS.iter().zip(pages) {
            assert!(page.contains(provider.secret_prefix), "{}", provider.name);
            for sale_from in [SaleFrom::Charge, SaleFrom::Invoice, SaleFrom::CheckoutAndInvoice] {
                let events = provider.events(sale_from);
                assert!(events.len() > provider.always.len(), "money is among them");
                for event in events {
                    assert!(page.contains(&format!("`{event}`")), "{}: {event}", provider.name);
                }
            }
        }
    }
}
