//! What a partner's payout destination holds, open: what a merchant says, and what files for mass payments are made of.
//! In the log it is only sealed.
use serde::{Deserialize, Serialize};

/// Who is paid through `PayPal`: one of `email`, `phone` and `payer_id`.
pub const PAYPAL: &str = "paypal";
/// Who is paid through Wise: `recipient_id`, or `email` of somebody who gives the bank details to Wise; and `name`.
pub const WISE: &str = "wise";
/// What a recipient at Wise can be; the first where nothing is said.
pub const RECIPIENT_TYPES: [&str; 2] = ["person", "institution"];

/// Longest e-mail address (RFC 5321).
const EMAIL_BYTES: usize = 254;
/// Longest name and longest id.
const NAME_BYTES: usize = 100;
const ID_BYTES: usize = 64;
/// All fields together, as they stand in JSON: sealed and in hexadecimal it must still be an identifier, of 1,024 bytes.
const ALL_BYTES: usize = 380;
/// Digits of a telephone number (E.164), and the fewest that any country has.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// Where a partner is paid. Fields that its method does not take are empty. It is sealed as JSON: this structure, without what
/// is empty.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// One of [`super::PAYOUT_METHODS`].
    pub method: String,
    /// The name on the recipient's bank account.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// An e-mail address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub email: String,
    /// A mobile telephone number: digits, perhaps after a plus.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub phone: String,
    /// `PayPal`'s id of the recipient.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub payer_id: String,
    /// Wise's id of a recipient that is saved there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub recipient_id: String,
    /// One of [`RECIPIENT_TYPES`]; empty: the first.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub recipient_type: String,
}

impl std::fmt::Debug for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the fields: debug output ends in logs.
        f.debug_struct("Destination").field("method", &self.method).finish_non_exhaustive()
    }
}

/// Why a destination cannot be paid to. Holds no value: values are personal data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadDestination {
    /// The field.
    pub field: &'static str,
    /// It must be there, and is not.
    pub missing: bool,
    /// What is expected.
    pub message: &'static str,
}

const fn bad(field: &'static str, message: &'static str) -> BadDestination {
    BadDestination { field, missing: false, message }
}

const fn missing(field: &'static str, message: &'static str) -> BadDestination {
    BadDestination { field, missing: true, message }
}

impl Destination {
    /// Whether a payment can be made with it.
    ///
    /// # Errors
    /// [`BadDestination`], the first in the order of the fields.
    pub fn check(&self) -> Result<(), BadDestination> {
        match self.method.as_str() {
            PAYPAL => self.check_paypal()?,
            WISE => self.check_wise()?,
            _ => return Err(bad("method", "method must be one of paypal, wise")),
        }
        if !self.email.is_empty() && !is_email(&self.email) {
            return Err(bad("email", "email must be an e-mail address"));
        }
        if !self.phone.is_empty() && !is_phone(&self.phone) {
            return Err(bad(
                "phone",
                "phone must have 7 to 15 digits, perhaps after a plus, and nothing else",
            ));
        }
        for (field, id) in [("payer_id", &self.payer_id), ("recipient_id", &self.recipient_id)] {
            if id.len() > ID_BYTES || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
                return Err(bad(field, "an id must be of up to 64 letters, digits and dashes"));
            }
        }
        let texts = [&self.name, &self.email, &self.phone, &self.payer_id, &self.recipient_id];
        // Quotes and backslashes are two bytes in JSON.
        let bytes = texts.iter().flat_map(|text| text.bytes());
        let written = bytes
            .fold(0_usize, |sum, byte| sum.saturating_add(if matches!(byte, b'"' | b'\\') { 2 } else { 1 }));
        if written > ALL_BYTES {
            return Err(bad("name", "the fields are too long together"));
        }
        Ok(())
    }

    /// The one of `email`, `phone` and `payer_id` that `PayPal` takes.
    #[must_use]
    pub fn paypal_recipient(&self) -> &str {
        [&self.email, &self.phone, &self.payer_id]
            .into_iter()
            .find(|text| !text.is_empty())
            .map_or("", String::as_str)
    }

    fn check_paypal(&self) -> Result<(), BadDestination> {
        let given =
            [&self.email, &self.phone, &self.payer_id].into_iter().filter(|text| !text.is_empty()).count();
        if given != 1 {
            let message = "give exactly one of email, phone and payer_id";
            return Err(if given == 0 { missing("email", message) } else { bad("email", message) });
        }
        self.without(&[
            ("name", &self.name),
            ("recipient_id", &self.recipient_id),
            ("recipient_type", &self.recipient_type),
        ])
    }

    fn check_wise(&self) -> Result<(), BadDestination> {
        if self.name.trim().is_empty() {
            return Err(missing("name", "name is missing: the one on the recipient's bank account"));
        }
        if self.name.len() > NAME_BYTES || self.name.chars().any(char::is_control) {
            return Err(bad("name", "name must have 1 to 100 bytes without control characters"));
        }
        if self.email.is_empty() && self.recipient_id.is_empty() {
            return Err(missing("email", "give email, recipient_id, or both"));
        }
        if !self.recipient_type.is_empty() && !RECIPIENT_TYPES.contains(&self.recipient_type.as_str()) {
            return Err(bad("recipient_type", "recipient_type must be one of person, institution"));
        }
        self.without(&[("phone", &self.phone), ("payer_id", &self.payer_id)])
    }

    /// What another method takes is a slip of the pen: the payment would go where nobody looked.
    fn without(&self, others: &[(&'static str, &String)]) -> Result<(), BadDestination> {
        match others.iter().find(|(_, text)| !text.is_empty()) {
            Some((field, _)) => Err(bad(field, "this method does not take that field")),
            None => Ok(()),
        }
    }
}

/// Enough to find slips of the pen; whether somebody reads it only a letter can tell.
fn is_email(text: &str) -> bool {
    let plain = text.len() <= EMAIL_BYTES
        && !text.chars().any(|letter| letter.is_control() || letter.is_whitespace());
    let Some((name, host)) = text.split_once('@') else { return false };
    plain
        && !name.is_empty()
        && !host.contains('@')
        && host.contains('.')
        && host.split('.').all(|part| !part.is_empty())
}

fn is_phone(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    PHONE_DIGITS.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn paypal(email: &str) -> Destination {
        Destination { method: PAYPAL.to_owned(), email: email.to_owned(), ..Destination::default() }
    }

    #[test]
    fn each_method_takes_its_own_fields_and_no_others() {
        assert_eq!(paypal("ada@example.com").check(), Ok(()));
        assert_eq!(paypal("ada@example.com").paypal_recipient(), "ada@example.com");
        for email in
            ["ada", "@example.com", "ada@", "a da@example.com", "a@b@c.example", "ada@example", "ada@.com"]
        {
            assert_eq!(paypal(email).check().unwrap_err().field, "email", "{email}");
        }
        assert!(paypal("").check().unwrap_err().missing);
        let both = Destination { phone: "+15551234567".to_owned(), ..paypal("ada@example.com") };
        assert_eq!(both.check().unwrap_err().field, "email");
        let wise =
            Destination { method: WISE.to_owned(), name: "Ada".to_owned(), ..paypal("ada@example.com") };
        assert_eq!(wise.check(), Ok(()));
        assert_eq!(Destination { name: String::new(), ..wise.clone() }.check().unwrap_err().field, "name");
        assert_eq!(
            Destination { payer_id: "X".to_owned(), ..wise.clone() }.check().unwrap_err().field,
            "payer_id"
        );
        assert_eq!(Destination { method: "cash".to_owned(), ..wise }.check().unwrap_err().field, "method");
    }

    #[test]
    fn nothing_of_it_is_in_debug_output() {
        assert!(!format!("{:?}", paypal("ada@example.com")).contains("ada"));
    }
}
