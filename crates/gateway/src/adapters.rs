//! What the gateway asks of `sources`: signatures, well-formed JSON, and the Revshare dialect's words.
use crate::refusal::Refusal;
use axum::http::HeaderMap;
use domain::time::Micros;
use sources::json;
use sources::signature::{self, SignatureError};

const PADDLE_SIGNATURE: &str = "paddle-signature";
const STRIPE_SIGNATURE: &str = "stripe-signature";

/// The providers whose signatures this gateway can check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provider {
    Paddle,
    Stripe,
}

impl Provider {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Paddle, Self::Stripe].into_iter().find(|provider| provider.name() == name)
    }

    /// The name in URLs, endpoints and `ingest` records.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Paddle => "paddle",
            Self::Stripe => "stripe",
        }
    }
}

/// Checks the signature over exactly these bytes against every secret, in constant time for their number.
/// A `tolerance_seconds` of 0 is the provider's default.
pub(crate) fn verify(
    provider: Provider,
    headers: &HeaderMap,
    body: &[u8],
    secrets: &[impl AsRef<[u8]>],
    tolerance_seconds: u32,
    now: Micros,
) -> Result<(), Refusal> {
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let result = match provider {
        Provider::Paddle => {
            signature::verify_paddle(header(PADDLE_SIGNATURE), body, secrets, tolerance_seconds, now)
        }
        Provider::Stripe => {
            signature::verify_stripe(header(STRIPE_SIGNATURE), body, secrets, tolerance_seconds, now)
        }
    };
    result.map_err(|error| match error {
        SignatureError::Missing => Refusal::SignatureMissing,
        SignatureError::Malformed => Refusal::SignatureMalformed,
        SignatureError::Stale => Refusal::SignatureStale,
        SignatureError::Mismatch => Refusal::SignatureMismatch,
    })
}

/// Refuses what is not one JSON object of bearable depth. Nothing else is looked at.
pub(crate) fn precheck(body: &[u8]) -> Result<(), Refusal> {
    json::precheck(body, json::MAX_DEPTH).map_err(|error| Refusal::Malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    const NOW: Micros = Micros(1_700_000_000_000_000);
    const BODY: &[u8] = b"{}";

    #[test]
    fn each_provider_is_asked_for_its_own_header_and_no_other() {
        let paddle = signature::sign_paddle(b"secret", 1_700_000_000, BODY);
        let stripe = signature::sign_stripe(b"secret", 1_700_000_000, BODY);
        let check = |provider, name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.extend(HeaderValue::from_str(value).map(|value| (HeaderName::from_static(name), value)));
            verify(provider, &headers, BODY, &[b"secret"], 0, NOW)
        };
        for (provider, own, right, other, wrong) in [
            (Provider::Paddle, PADDLE_SIGNATURE, &paddle, STRIPE_SIGNATURE, &stripe),
            (Provider::Stripe, STRIPE_SIGNATURE, &stripe, PADDLE_SIGNATURE, &paddle),
        ] {
            assert_eq!(Provider::parse(provider.name()), Some(provider));
            assert_eq!(check(provider, own, right), Ok(()));
            assert_eq!(check(provider, own, wrong), Err(Refusal::SignatureMalformed));
            assert_eq!(check(provider, other, right), Err(Refusal::SignatureMissing));
            assert_eq!(check(provider, own, "\u{e9}"), Err(Refusal::SignatureMalformed));
        }
        assert_eq!(Provider::parse("Stripe"), None);
    }
}
