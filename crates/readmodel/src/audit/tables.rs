//! Every table that is compared, with its columns.
use super::payout_tables::{
    FX_RATES, OFFSETS, PAYOUT_DESTINATIONS, PAYOUT_EVENTS, PAYOUT_LINES, PAYOUT_TERMS, PAYOUTS, WRITE_OFFS,
};

/// How a column becomes text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    Moment,
    List,
    /// Legs as `account currency amount`, in order.
    Postings,
    /// Bytes.
    Hex,
    /// Objects of JSON as the values of these fields, in order.
    Fields(&'static [&'static str]),
    /// An object of JSON as `name value`, in order of the names.
    Map,
}

/// A column that is compared.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    pub(super) form: Form,
}

/// A table of the read model.
#[derive(Debug)]
pub struct Table {
    /// Its name in the schema.
    pub name: &'static str,
    /// What is wrong when a row of it is.
    pub kind: &'static str,
    /// Every column but the place in the log (`partition`; of history also `seq` and `ordinal`).
    pub columns: &'static [Column],
    /// How many of the columns name the row; 0: it is history, named by its place.
    pub keys: usize,
    /// How many of the last columns are compared apart from the rest of the row.
    pub apart: usize,
}

pub(super) const fn plain(name: &'static str) -> Column {
    Column { name, form: Form::Plain }
}

pub(super) const fn moment(name: &'static str) -> Column {
    Column { name, form: Form::Moment }
}

const fn list(name: &'static str) -> Column {
    Column { name, form: Form::List }
}

const fn hex(name: &'static str) -> Column {
    Column { name, form: Form::Hex }
}

/// One row per verdict.
pub const VERDICTS: Table = Table {
    name: "verdict_rows",
    kind: "verdict",
    columns: &[
        plain("position"),
        plain("program_id"),
        plain("event_id"),
        plain("source"),
        plain("delivery_key"),
        plain("verdict"),
        plain("reason"),
        plain("detail"),
        plain("retry_of"),
        moment("received_at"),
        moment("decided_at"),
    ],
    keys: 0,
    apart: 0,
};

/// One row per event of a commission.
pub const COMMISSION_EVENTS: Table = Table {
    name: "commission_event_rows",
    kind: "commission_event",
    columns: &[
        plain("commission_id"),
        plain("program_id"),
        plain("partner_id"),
        plain("sale_id"),
        plain("kind"),
        plain("status"),
        plain("currency"),
        plain("gross_minor"),
        plain("reversed_minor"),
        plain("delta_minor"),
        Column { name: "postings", form: Form::Postings },
        plain("cause_event_id"),
        plain("reason"),
        plain("actor"),
        moment("recorded_at"),
        list("holds"),
        plain("payout_id"),
        // As [`CHAIN_LINKS`] has them.
        plain("chain_position"),
        hex("chain_link"),
    ],
    keys: 0,
    apart: 2,
};

/// Where each event of a commission is in its program's hash chain: compared apart from the rest of its row, since one wrong
/// event changes every link behind it.
pub const CHAIN_LINKS: Table = Table {
    name: "commission_event_rows",
    kind: "chain_link",
    columns: &[plain("commission_id"), plain("program_id"), plain("chain_position"), hex("chain_link")],
    keys: 0,
    apart: 0,
};

/// Heads of the hash chains.
pub const CHAINS: Table = Table {
    name: "chain_rows",
    kind: "chain_head",
    columns: &[
        plain("program_id"),
        plain("events"),
        hex("link"),
        hex("root"),
        hex("peaks"),
        moment("updated_at"),
    ],
    keys: 1,
    apart: 0,
};

/// One row per reversal, each time it was taken.
pub const REVERSALS: Table = Table {
    name: "reversal_rows",
    kind: "reversal",
    columns: &[
        plain("program_id"),
        plain("source"),
        plain("sale_external_id"),
        plain("object_id"),
        plain("event_id"),
        plain("family"),
        plain("state"),
        plain("currency"),
        plain("gross_minor"),
        plain("net_minor"),
        plain("result"),
        moment("recorded_at"),
    ],
    keys: 0,
    apart: 0,
};

/// One row per sale that named a code.
pub const SALE_CODES: Table = Table {
    name: "sale_code_rows",
    kind: "sale_code",
    columns: &[
        plain("program_id"),
        plain("source"),
        plain("sale_external_id"),
        plain("event_id"),
        plain("code"),
        plain("found_at"),
        moment("recorded_at"),
    ],
    keys: 0,
    apart: 0,
};

/// One row per sale that named its coupon by the provider's id.
pub const COUPONS_OF_SALES: Table = Table {
    name: "coupon_rows",
    kind: "sale_coupon",
    columns: &[plain("program_id"), plain("source"), plain("sale_external_id"), plain("reference")],
    keys: 0,
    apart: 0,
};

/// Current commissions.
pub const COMMISSIONS: Table = Table {
    name: "commission_rows",
    kind: "commission",
    columns: &[
        plain("commission_id"),
        plain("program_id"),
        plain("partner_id"),
        plain("sale_id"),
        plain("source"),
        plain("external_id"),
        plain("status"),
        plain("currency"),
        plain("gross_minor"),
        plain("reversed_minor"),
        plain("rule_id"),
        plain("rule_version"),
        moment("hold_until"),
        plain("seq"),
        moment("created_at"),
        moment("updated_at"),
        list("holds"),
        plain("uncapped_minor"),
        plain("origin"),
        plain("part"),
        plain("parts"),
        plain("share"),
        plain("share_of"),
        plain("payout_id"),
        plain("rounding"),
        Column { name: "slices", form: Form::Fields(&["line_id", "base_minor", "rate_ppm"]) },
        plain("flat_minor"),
    ],
    keys: 1,
    apart: 0,
};

/// Conversion records.
pub const SALES: Table = Table {
    name: "sale_rows",
    kind: "sale",
    columns: &[
        plain("sale_id"),
        plain("program_id"),
        plain("source"),
        plain("external_id"),
        plain("event_id"),
        plain("partner_id"),
        plain("reason"),
        plain("customer_id"),
        plain("subscription_id"),
        plain("currency"),
        plain("gross_minor"),
        plain("base_minor"),
        moment("occurred_at"),
        plain("seq"),
        moment("created_at"),
        moment("updated_at"),
        plain("kind"),
        plain("parts"),
    ],
    keys: 1,
    apart: 0,
};

/// Balances.
pub const BALANCES: Table = Table {
    name: "balance_rows",
    kind: "balance",
    columns: &[
        plain("program_id"),
        plain("partner_id"),
        plain("currency"),
        plain("pending"),
        plain("review"),
        plain("available"),
        plain("in_flight"),
        plain("paid_out"),
        plain("debt"),
        moment("updated_at"),
    ],
    keys: 3,
    apart: 0,
};

/// Customers.
pub const CUSTOMERS: Table = Table {
    name: "customer_rows",
    kind: "customer",
    columns: &[
        plain("program_id"),
        plain("customer_id"),
        plain("partner_id"),
        plain("sales"),
        moment("first_sale_at"),
        moment("last_sale_at"),
    ],
    keys: 2,
    apart: 0,
};

/// Programs.
pub const PROGRAMS: Table = Table {
    name: "program_rows",
    kind: "program",
    columns: &[
        plain("program_id"),
        plain("account_id"),
        plain("name"),
        plain("mode"),
        plain("profile"),
        plain("currency"),
        plain("hold_days"),
        plain("click_window_days"),
        plain("manual_approval"),
        plain("release_mode"),
        plain("min_hold_days"),
        plain("removed"),
        moment("created_at"),
        moment("updated_at"),
    ],
    keys: 1,
    apart: 0,
};

/// Partners.
pub const PARTNERS: Table = Table {
    name: "partner_rows",
    kind: "partner",
    columns: &[
        plain("program_id"),
        plain("partner_id"),
        plain("name"),
        plain("active"),
        plain("partner_group"),
        plain("removed"),
        moment("created_at"),
        moment("updated_at"),
    ],
    keys: 2,
    apart: 0,
};

/// Accounts.
pub const ACCOUNTS: Table = Table {
    name: "account_rows",
    kind: "account",
    columns: &[
        plain("account_id"),
        plain("name"),
        plain("removed"),
        moment("created_at"),
        moment("updated_at"),
    ],
    keys: 1,
    apart: 0,
};

/// Codes.
pub const CODES: Table = Table {
    name: "code_rows",
    kind: "code",
    columns: &[
        plain("program_id"),
        plain("code"),
        plain("partner_id"),
        plain("active"),
        plain("removed"),
        moment("created_at"),
        moment("updated_at"),
    ],
    keys: 2,
    apart: 0,
};

/// Coupons.
pub const COUPONS: Table = Table {
    name: "partner_coupon_rows",
    kind: "coupon",
    columns: &[
        plain("program_id"),
        plain("coupon"),
        plain("partner_id"),
        plain("active"),
        plain("removed"),
        moment("created_at"),
        moment("updated_at"),
    ],
    keys: 2,
    apart: 0,
};

/// Rules, by version.
pub const RULES: Table = Table {
    name: "rule_rows",
    kind: "rule",
    columns: &[
        plain("program_id"),
        plain("rule_id"),
        plain("version"),
        plain("reward"),
        plain("rate_ppm"),
        plain("amount_minor"),
        plain("currency"),
        plain("on_refund"),
        plain("priority"),
        plain("removed"),
        moment("created_at"),
        moment("updated_at"),
    ],
    keys: 3,
    apart: 0,
};

/// Endpoints.
pub const ENDPOINTS: Table = Table {
    name: "endpoint_rows",
    kind: "endpoint",
    columns: &[
        plain("program_id"),
        plain("endpoint_id"),
        plain("provider"),
        plain("secrets"),
        plain("tolerance_seconds"),
        plain("removed"),
        moment("created_at"),
        moment("updated_at"),
    ],
    keys: 2,
    apart: 0,
};

/// Keys.
pub const KEYS: Table = Table {
    name: "key_rows",
    kind: "key",
    columns: &[
        plain("program_id"),
        plain("key_id"),
        plain("account_id"),
        plain("name"),
        plain("mode"),
        plain("publishable"),
        plain("program_bound"),
        list("scopes"),
        moment("expires_at"),
        plain("removed"),
        moment("created_at"),
        moment("updated_at"),
    ],
    keys: 2,
    apart: 0,
};

/// Parked inputs, also settled ones.
pub const PARKED: Table = Table {
    name: "parked_rows",
    kind: "parked",
    columns: &[
        plain("service"),
        plain("position"),
        plain("item"),
        plain("seq"),
        plain("program_id"),
        plain("event_id"),
        plain("detail"),
        plain("attempts"),
        moment("parked_at"),
        moment("updated_at"),
        moment("settled_at"),
    ],
    keys: 3,
    apart: 0,
};

/// Every table that `verify` compares.
pub const TABLES: [&Table; 27] = [
    &VERDICTS,
    &COMMISSION_EVENTS,
    &REVERSALS,
    &SALE_CODES,
    &COUPONS_OF_SALES,
    &COMMISSIONS,
    &SALES,
    &BALANCES,
    &CUSTOMERS,
    &PROGRAMS,
    &PARTNERS,
    &ACCOUNTS,
    &CODES,
    &COUPONS,
    &RULES,
    &ENDPOINTS,
    &KEYS,
    &PARKED,
    &CHAINS,
    &PAYOUTS,
    &PAYOUT_EVENTS,
    &PAYOUT_LINES,
    &OFFSETS,
    &WRITE_OFFS,
    &FX_RATES,
    &PAYOUT_TERMS,
    &PAYOUT_DESTINATIONS,
];

impl Table {
    /// What names a row among the objects: its first cells, joined by a byte that no stored text has and that is below all
    /// others. So the keys' byte order is that of the columns one after another.
    #[must_use]
    pub fn key<'a>(parts: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
        let mut key = Vec::new();
        for (place, part) in parts.into_iter().enumerate() {
            if place > 0 {
                key.push(0);
            }
            key.extend_from_slice(part.as_bytes());
        }
        key
    }

    /// How many columns come before those that are compared: of history the place in the partition.
    pub(super) const fn places(&self) -> usize {
        if self.keys == 0 { 2 } else { 0 }
    }

    /// Its columns, as they are selected.
    pub(super) fn selected(&self) -> String {
        let places: &[&str] = if self.keys == 0 { &["seq", "ordinal"] } else { &[] };
        let places = places.iter().map(|column| format!("t.{column}"));
        let columns = self.columns.iter().map(|column| match column.form {
            // One form less to read, and no more work for Postgres.
            Form::List => format!("array_to_string(t.{}, ', ', 'null')", column.name),
            _ => format!("t.{}", column.name),
        });
        places.chain(columns).collect::<Vec<_>>().join(", ")
    }

    /// What its rows are sorted by. A database's own order of texts depends on its language: keys go by their bytes.
    pub(super) fn order(&self) -> String {
        if self.keys == 0 {
            return "t.seq, t.ordinal".to_owned();
        }
        let keys = self.columns.iter().take(self.keys);
        keys.map(|key| format!("t.{}::text COLLATE \"C\"", key.name)).collect::<Vec<_>>().join(", ")
    }
}
