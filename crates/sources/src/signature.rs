//! Signature checks over the exact bytes that were sent. Nobody here reads a clock: `now` is an argument.
use domain::time::Micros;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

/// Signature age that is tolerated, both ways, unless the endpoint says otherwise, in seconds.
pub const DEFAULT_TOLERANCE_SECONDS: u32 = 300;
/// Signatures of one header that are looked at: a rotation sends two.
const MAX_SIGNATURES: usize = 16;

/// Why a delivery is not authentic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no signature header.
    #[error("the signature header is missing")]
    Missing,
    /// The header is not of its form.
    #[error("the signature header is malformed")]
    Malformed,
    /// A right signature of another time.
    #[error("the signature is too old, or of the future")]
    Stale,
    /// Made with another secret, or over other bytes.
    #[error("the signature does not match")]
    Mismatch,
}

/// Checks a `Paddle-Signature` header: `ts=<unix seconds>;h1=<lower-case hex>[;h1=…]`, HMAC-SHA256 over `ts:body`.
///
/// Any `h1` may match any of the `secrets`. All pairs are compared, in constant time for their number. Unknown parts of the
/// header are ignored. A `tolerance_seconds` of 0 means [`DEFAULT_TOLERANCE_SECONDS`]; it counts both ways.
///
/// # Errors
/// [`SignatureError`]. A header that is both stale and wrong is a mismatch.
pub fn verify_paddle<S: AsRef<[u8]>>(
    header: Option<&str>,
    body: &[u8],
    secrets: &[S],
    tolerance_seconds: u32,
    now: Micros,
) -> Result<(), SignatureError> {
    PADDLE.verify(header, body, secrets, tolerance_seconds, now)
}

/// The header that the provider would send: for samples and tests.
#[must_use]
pub fn sign_paddle(secret: &[u8], unix_seconds: i64, body: &[u8]) -> String {
    let timestamp = unix_seconds.to_string();
    let mac = PADDLE.mac(secret, &timestamp, body);
    format!("ts={timestamp};h1={}", hex::encode(mac))
}

/// Checks a `Stripe-Signature` header: `t=<unix seconds>,v1=<lower-case hex>[,v1=…]`, HMAC-SHA256 over `t.body`. The key is
/// the endpoint's secret as it is shown, `whsec_` and all.
///
/// Any `v1` may match any of the `secrets`. All pairs are compared, in constant time for their number. Other schemes are
/// ignored, `v0` too, which anybody can make in test mode: nobody can talk the check down to it. A `tolerance_seconds` of 0
/// means [`DEFAULT_TOLERANCE_SECONDS`]; it counts both ways.
///
/// # Errors
/// [`SignatureError`]. A header that is both stale and wrong is a mismatch.
pub fn verify_stripe<S: AsRef<[u8]>>(
    header: Option<&str>,
    body: &[u8],
    secrets: &[S],
    tolerance_seconds: u32,
    now: Micros,
) -> Result<(), SignatureError> {
    STRIPE.verify(header, body, secrets, tolerance_seconds, now)
}

/// The header that the provider would send: for samples and tests.
#[must_use]
pub fn sign_stripe(secret: &[u8], unix_seconds: i64, body: &[u8]) -> String {
    let timestamp = unix_seconds.to_string();
    let mac = STRIPE.mac(secret, &timestamp, body);
    format!("t={timestamp},v1={}", hex::encode(mac))
}

/// A header of one moment and some signatures over `<moment><joint><body>`: two providers differ in punctuation only.
struct Scheme {
    separator: char,
    moment: &'static str,
    signature: &'static str,
    joint: &'static [u8],
}

const PADDLE: Scheme = Scheme { separator: ';', moment: "ts", signature: "h1", joint: b":" };
const STRIPE: Scheme = Scheme { separator: ',', moment: "t", signature: "v1", joint: b"." };

impl Scheme {
    fn verify<S: AsRef<[u8]>>(
        &self,
        header: Option<&str>,
        body: &[u8],
        secrets: &[S],
        tolerance_seconds: u32,
        now: Micros,
    ) -> Result<(), SignatureError> {
        let header = header.filter(|header| !header.trim().is_empty()).ok_or(SignatureError::Missing)?;
        let (timestamp, signatures) = self.parse(header)?;
        let mut matched = Choice::from(0);
        for secret in secrets {
            let expected = self.mac(secret.as_ref(), timestamp, body);
            for signature in &signatures {
                matched |= expected.as_slice().ct_eq(signature);
            }
        }
        if !bool::from(matched) {
            return Err(SignatureError::Mismatch);
        }
        let tolerance = if tolerance_seconds == 0 { DEFAULT_TOLERANCE_SECONDS } else { tolerance_seconds };
        let seconds: i64 = timestamp.parse().map_err(|_| SignatureError::Malformed)?;
        let age = now.0.div_euclid(1_000_000).abs_diff(seconds);
        if age > u64::from(tolerance) { Err(SignatureError::Stale) } else { Ok(()) }
    }

    /// The timestamp as it was written, and each signature that is 32 bytes of lower-case hex.
    fn parse<'h>(&self, header: &'h str) -> Result<(&'h str, Vec<[u8; 32]>), SignatureError> {
        let (mut timestamp, mut repeated) = (None, false);
        let mut signatures = Vec::new();
        for part in header.split(self.separator) {
            let (name, value) = part.split_once('=').ok_or(SignatureError::Malformed)?;
            if name == self.moment {
                repeated |= timestamp.replace(value).is_some();
            } else if name == self.signature && signatures.len() < MAX_SIGNATURES {
                signatures.extend(lower_hex(value));
            }
        }
        let timestamp = timestamp.ok_or(SignatureError::Malformed)?;
        let plain =
            (1..=18).contains(&timestamp.len()) && timestamp.bytes().all(|byte| byte.is_ascii_digit());
        if repeated || !plain || signatures.is_empty() {
            return Err(SignatureError::Malformed);
        }
        Ok((timestamp, signatures))
    }

    #[allow(clippy::expect_used, reason = "HMAC takes keys of any length")]
    fn mac(&self, secret: &[u8], timestamp: &str, body: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length");
        mac.update(timestamp.as_bytes());
        mac.update(self.joint);
        mac.update(body);
        mac.finalize().into_bytes().into()
    }
}

fn lower_hex(text: &str) -> Option<[u8; 32]> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let mut out = [0; 32];
    hex::decode_to_slice(text, &mut out).ok()?;
    Some(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SECRET: &str = "pdl_ntfset_docs_only_secret";
    const BODY: &[u8] = br#"{"event_id":"evt_test_1","event_type":"transaction.completed"}"#;
    const H1: &str = "e7a7965d9fc834785d677a10289dca534c8a6f15a0204fad1a21a130b28967cd";
    const AT: i64 = 1_700_000_000;

    fn check(header: &str, body: &[u8], secrets: &[&str], seconds: i64) -> Result<(), SignatureError> {
        verify_paddle(Some(header), body, secrets, 0, Micros(seconds * 1_000_000 + 999_999))
    }

    #[test]
    fn the_vector_of_the_fact_sheet_is_reproduced_and_accepted() {
        let header = format!("ts={AT};h1={H1}");
        assert_eq!(sign_paddle(SECRET.as_bytes(), AT, BODY), header);
        assert_eq!(check(&header, BODY, &[SECRET], AT), Ok(()));
    }

    #[test]
    fn one_signature_and_one_secret_of_several_are_enough() {
        let other = "0".repeat(64);
        let header = format!("v2=x;h1={other};ts={AT};h1={H1};h1={other}");
        assert_eq!(check(&header, BODY, &["old", SECRET], AT), Ok(()));
        assert_eq!(check(&header, BODY, &["old"], AT), Err(SignatureError::Mismatch));
        assert_eq!(check(&header, BODY, &[], AT), Err(SignatureError::Mismatch));
    }

    #[test]
    fn the_tolerance_counts_both_ways_and_each_endpoint_sets_its_own() {
        let header = format!("ts={AT};h1={H1}");
        for (seconds, expected) in [
            (AT + 300, Ok(())),
            (AT - 300, Ok(())),
            (AT + 301, Err(SignatureError::Stale)),
            (AT - 301, Err(SignatureError::Stale)),
        ] {
            assert_eq!(check(&header, BODY, &[SECRET], seconds), expected, "{seconds}");
        }
        let now = Micros((AT + 6) * 1_000_000);
        assert_eq!(verify_paddle(Some(&header), BODY, &[SECRET], 5, now), Err(SignatureError::Stale));
    }

    #[test]
    fn a_header_that_is_not_of_its_form_is_refused() {
        use SignatureError::{Malformed, Mismatch, Missing};
        assert_eq!(verify_paddle::<&str>(None, BODY, &[], 0, Micros(0)), Err(Missing));
        assert_eq!(check("", BODY, &[SECRET], AT), Err(Missing));
        let upper = H1.to_uppercase();
        for header in [
            format!("h1={H1}"),
            format!("ts={AT}"),
            format!("ts=;h1={H1}"),
            format!("ts=-5;h1={H1}"),
            format!("ts=1e9;h1={H1}"),
            format!("ts={AT};ts={AT};h1={H1}"),
            format!("ts={AT};h1={upper}"),
            format!("ts={AT};h1={}", &H1[..62]),
            format!("ts=99999999999999999999;h1={H1}"),
        ] {
            assert_eq!(check(&header, BODY, &[SECRET], AT), Err(Malformed), "{header}");
        }
        let other_body = [BODY, b"\n"].concat();
        assert_eq!(check(&format!("ts={AT};h1={H1}"), &other_body, &[SECRET], AT), Err(Mismatch));
        assert_eq!(check(&format!("ts=0{AT};h1={H1}"), BODY, &[SECRET], AT), Err(Mismatch));
    }

    const STRIPE_SECRET: &str = "whsec_test_secret_for_docs_only";
    const STRIPE_BODY: &[u8] = br#"{"id":"evt_test_1","object":"event","type":"charge.succeeded"}"#;
    const V1: &str = "af4fb3d5f76738259dfa2ea000dc988927b122b0cc31d20ce3efd1b07eb66151";
    const ROTATED_V1: &str = "bedfb66a78e9ab3bb8dd98bf654da3fdce4b1f0153731fc1028223493ffc11c9";

    fn check_stripe(header: &str, secrets: &[&str], seconds: i64) -> Result<(), SignatureError> {
        verify_stripe(Some(header), STRIPE_BODY, secrets, 0, Micros(seconds * 1_000_000 + 999_999))
    }

    #[test]
    fn stripe_vectors_are_reproduced_and_any_live_secret_is_enough() {
        let header = format!("t={AT},v1={V1}");
        assert_eq!(sign_stripe(STRIPE_SECRET.as_bytes(), AT, STRIPE_BODY), header);
        let rotated = "whsec_rotated_in_second_secret";
        assert_eq!(sign_stripe(rotated.as_bytes(), AT, STRIPE_BODY), format!("t={AT},v1={ROTATED_V1}"));
        let both = format!("t={AT},v1={ROTATED_V1},v1={V1},v0=6ffbb59b,v9=x");
        for secrets in [&[STRIPE_SECRET][..], &[rotated], &["whsec_gone", STRIPE_SECRET]] {
            assert_eq!(check_stripe(&both, secrets, AT + 300), Ok(()));
            assert_eq!(check_stripe(&both, secrets, AT - 301), Err(SignatureError::Stale));
        }
        assert_eq!(check_stripe(&header, &[rotated], AT), Err(SignatureError::Mismatch));
        // The key is the text, not what its base64 says.
        assert_eq!(check_stripe(&header, &["test_secret_for_docs_only"], AT), Err(SignatureError::Mismatch));
    }

    /// Nothing but the header itself is accepted: each bit of each byte flipped, each byte left out, each one doubled, a byte
    /// put in before each, two neighbours swapped, each end cut off, and the tricks that parsers fall for.
    fn accepted_mutants(header: &str, tricks: &[String], accepts: impl Fn(&str) -> bool) -> Vec<String> {
        assert!(accepts(header));
        let mut mutants = tricks.to_vec();
        for at in 0..header.len() {
            for bit in 0..8 {
                let mut bytes = header.as_bytes().to_vec();
                bytes[at] ^= 1 << bit;
                mutants.extend(String::from_utf8(bytes));
            }
            let (before, after) = header.split_at(at);
            mutants.push(format!("{before}{}", &after[1..]));
            mutants.push(format!("{before}{}{after}", &after[..1]));
            mutants.extend(["0", "f", " ", "\0", ",", ";", "="].map(|put| format!("{before}{put}{after}")));
            mutants.push(before.to_owned());
            mutants.push(after.to_owned());
            if after.len() > 1 {
                mutants.push(format!("{before}{}{}{}", &after[1..2], &after[..1], &after[2..]));
            }
        }
        mutants.retain(|mutant| mutant != header);
        assert!(mutants.len() > 1_300, "{}", mutants.len());
        mutants.retain(|mutant| accepts(mutant));
        mutants
    }

    /// What may be tried with a right signature: other schemes, other forms, another moment. `sep` stands between the parts.
    fn tricks(moment: &str, scheme: &str, right: &str, sep: char) -> Vec<String> {
        let at = format!("{moment}={AT}");
        let mut out: Vec<String> = ["v0", "v2", "h0", "h2", "V1", "H1", "sha1", "md5", "none", ""]
            .iter()
            .map(|other| format!("{at}{sep}{other}={right}"))
            .collect();
        let upper = right.to_uppercase();
        for value in ["", "none", "null", "true", "*", &upper, &format!("0x{right}"), &right[..62]] {
            out.push(format!("{at}{sep}{scheme}={value}"));
        }
        for sign in ["-", "+", "0", " ", "0x"] {
            out.push(format!("{moment}={sign}{AT}{sep}{scheme}={right}"));
        }
        out.extend([
            format!("{at}.0{sep}{scheme}={right}"),
            format!("{at}{sep}{at}{sep}{scheme}={right}"),
            format!("{at}{sep}{moment}={}{sep}{scheme}={right}", AT + 1),
            format!("{moment}={}{sep}{scheme}={right}", AT + 1),
            format!("{at}{sep} {scheme}={right}"),
            format!("{at}{sep}{scheme}={right}{sep}"),
            format!("{scheme}={right}"),
            at.clone(),
            format!("{at}{sep}{scheme}"),
            format!("{at}{sep}{scheme}={}", "0".repeat(64)),
        ]);
        out
    }

    #[test]
    fn no_mutation_of_a_stripe_header_is_accepted() {
        let mut tried = tricks("t", "v1", V1, ',');
        tried.extend([format!("t={AT};v1={V1}"), format!("ts={AT},h1={V1}")]);
        let header = format!("t={AT},v1={V1}");
        let accepted =
            accepted_mutants(&header, &tried, |mutant| check_stripe(mutant, &[STRIPE_SECRET], AT).is_ok());
        assert_eq!(accepted, Vec::<String>::new());
    }

    #[test]
    fn no_mutation_of_a_paddle_header_is_accepted() {
        let mut tried = tricks("ts", "h1", H1, ';');
        tried.extend([format!("ts={AT},h1={H1}"), format!("t={AT};v1={H1}")]);
        let header = format!("ts={AT};h1={H1}");
        let accepted = accepted_mutants(&header, &tried, |mutant| check(mutant, BODY, &[SECRET], AT).is_ok());
        assert_eq!(accepted, Vec::<String>::new());
    }
}
