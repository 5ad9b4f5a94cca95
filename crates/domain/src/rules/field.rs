//! What conditions may look at, and how.
use super::RuleError;
use serde::{Deserialize, Serialize};

/// A property of a conversion, of its customer and partner, or of one of its lines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Field {
    /// `click`, `lead`, `signup`, `sale` or `renewal`.
    Kind,
    /// A line's product.
    Product,
    /// A line's price.
    Price,
    /// A line's plan.
    Plan,
    /// A line's category.
    Category,
    /// The merchant's own key of a line's product.
    ProductKey,
    /// Who earns.
    Partner,
    /// The group that the partner is in.
    PartnerGroup,
    /// The coupon's code.
    Coupon,
    /// Of the customer, two capital letters (ISO 3166-1).
    Country,
    /// `new` before the customer's first purchase, `recurring` after it.
    Customer,
    /// Whole months since the first payment of the subscription.
    SubscriptionAgeMonths,
    /// The base, in minor units of the conversion's currency.
    Amount,
    /// Of the conversion, three capital letters (ISO 4217).
    Currency,
    /// Between two payments: `day`, `week`, `month`, `year`, or `once`.
    Interval,
    /// A value of the source's metadata, as text.
    Metadata(String),
}

/// How a field is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Operator {
    /// The same.
    Equal,
    /// Another, or none at all.
    NotEqual,
    /// One of several.
    In,
    /// A smaller number.
    Less,
    /// A larger number.
    Greater,
    /// The text has this part.
    Contains,
    /// The text begins so.
    StartsWith,
}

impl Operator {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Equal, Self::NotEqual, Self::In, Self::Less, Self::Greater, Self::Contains, Self::StartsWith];

    /// The word in configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::NotEqual => "not_equal",
            Self::In => "in",
            Self::Less => "less",
            Self::Greater => "greater",
            Self::Contains => "contains",
            Self::StartsWith => "starts_with",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operator| operator.name() == name)
    }
}

/// What a field's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// Any text, compared byte by byte.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number.
    Number,
}

impl FieldType {
    /// The word in messages and in the reference.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Word(_) => "word",
            Self::Number => "number",
        }
    }

    /// Whether values of this type can be compared so.
    #[must_use]
    pub const fn takes(self, operator: Operator) -> bool {
        match operator {
            Operator::Equal | Operator::NotEqual | Operator::In => true,
            Operator::Less | Operator::Greater => matches!(self, Self::Number),
            Operator::Contains | Operator::StartsWith => matches!(self, Self::Text),
        }
    }
}

/// Texts of so many capital letters.
pub(super) struct Form {
    letters: usize,
    pub(super) about: &'static str,
}

impl Form {
    /// Whether a value, or with `contains` and `starts_with` a part of one, can be of this form.
    pub(super) fn holds(&self, text: &str, whole: bool) -> bool {
        let fits = if whole { text.len() == self.letters } else { text.len() <= self.letters };
        fits && text.bytes().all(|byte| byte.is_ascii_uppercase())
    }
}

/// What begins the name of a metadata field.
const METADATA: &str = "metadata.";
/// Longest metadata key, in bytes.
pub const MAX_KEY_BYTES: usize = 64;

impl Field {
    /// All but metadata, which has as many as there are keys.
    pub const NAMED: [Self; 15] = [
        Self::Kind,
        Self::Product,
        Self::Price,
        Self::Plan,
        Self::Category,
        Self::ProductKey,
        Self::Partner,
        Self::PartnerGroup,
        Self::Coupon,
        Self::Country,
        Self::Customer,
        Self::SubscriptionAgeMonths,
        Self::Amount,
        Self::Currency,
        Self::Interval,
    ];

    /// The name in configuration: `product`, or `metadata.` and a key.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Kind => "kind",
            Self::Product => "product",
            Self::Price => "price",
            Self::Plan => "plan",
            Self::Category => "category",
            Self::ProductKey => "product_key",
            Self::Partner => "partner",
            Self::PartnerGroup => "partner_group",
            Self::Coupon => "coupon",
            Self::Country => "country",
            Self::Customer => "customer",
            Self::SubscriptionAgeMonths => "subscription_age_months",
            Self::Amount => "amount",
            Self::Currency => "currency",
            Self::Interval => "interval",
            Self::Metadata(key) => return format!("{METADATA}{key}"),
        }
        .to_owned()
    }

    /// The field of that name; `at`: where it stands, for the error.
    ///
    /// # Errors
    /// There is no such field, or the metadata key is empty or longer than 64 bytes.
    pub fn parse(name: &str, at: &str) -> Result<Self, RuleError> {
        if let Some(key) = name.strip_prefix(METADATA) {
            if key.is_empty() || key.len() > MAX_KEY_BYTES {
                return Err(RuleError::new(at, format!("a metadata key has 1 to {MAX_KEY_BYTES} bytes")));
            }
            return Ok(Self::Metadata(key.to_owned()));
        }
        Self::NAMED.into_iter().find(|field| field.name() == name).ok_or_else(|| {
            let names: Vec<String> = Self::NAMED.iter().map(Self::name).collect();
            RuleError::new(
                at,
                format!("no field `{name}`; there are {}, and {METADATA}KEY", names.join(", ")),
            )
        })
    }

    /// What its values are.
    #[must_use]
    pub const fn field_type(&self) -> FieldType {
        match self {
            Self::Kind => FieldType::Word(&["click", "lead", "signup", "sale", "renewal"]),
            Self::Customer => FieldType::Word(&["new", "recurring"]),
            Self::Interval => FieldType::Word(&["day", "week", "month", "year", "once"]),
            Self::SubscriptionAgeMonths | Self::Amount => FieldType::Number,
            Self::Product
            | Self::Price
            | Self::Plan
            | Self::Category
            | Self::ProductKey
            | Self::Partner
            | Self::PartnerGroup
            | Self::Coupon
            | Self::Country
            | Self::Currency
            | Self::Metadata(_) => FieldType::Text,
        }
    }

    /// What its texts look like, where they all look alike: what does not would be equal to none.
    pub(super) const fn form(&self) -> Option<Form> {
        match self {
            Self::Country => Some(Form { letters: 2, about: "two capital letters (ISO 3166-1)" }),
            Self::Currency => Some(Form { letters: 3, about: "three capital letters (ISO 4217)" }),
            _ => None,
        }
    }

    /// Lines have it, each its own; the others are of the whole conversion.
    #[must_use]
    pub const fn is_of_line(&self) -> bool {
        matches!(self, Self::Product | Self::Price | Self::Plan | Self::Category | Self::ProductKey)
    }

    /// How narrow a condition on it is taken to be: the sum over a rule's required fields is its specificity.
    #[must_use]
    pub const fn weight(&self) -> u32 {
        match self {
            Self::Product | Self::Price | Self::ProductKey | Self::Partner | Self::Coupon => 100,
            Self::Plan | Self::Category | Self::PartnerGroup | Self::Metadata(_) => 30,
            Self::Country | Self::Interval | Self::SubscriptionAgeMonths | Self::Amount => 10,
            Self::Kind | Self::Customer | Self::Currency => 3,
        }
    }
}
