//! The tables of payouts, rates, offsets, write-offs, terms and destinations.
use super::tables::{Column, Form, Table, moment, plain};
/// Payouts as they stand.
pub const PAYOUTS: Table = Table {
    name: "payout_rows",
    kind: "payout",
    columns: &[
        plain("payout_id"),
        plain("program_id"),
        plain("partner_id"),
        plain("status"),
        plain("currency"),
        plain("total_minor"),
        plain("paid_currency"),
        plain("paid_minor"),
        plain("rate_id"),
        plain("seq"),
        moment("created_at"),
        moment("updated_at"),
    ],
    keys: 1,
    apart: 0,
};

/// One row per event of a payout.
pub const PAYOUT_EVENTS: Table = Table {
    name: "payout_event_rows",
    kind: "payout_event",
    columns: &[
        plain("payout_id"),
        plain("program_id"),
        plain("partner_id"),
        plain("kind"),
        plain("currency"),
        plain("total_minor"),
        plain("paid_currency"),
        plain("paid_minor"),
        plain("rate_id"),
        Column { name: "postings", form: Form::Postings },
        plain("cause_event_id"),
        plain("reference"),
        plain("reason"),
        plain("actor"),
        moment("recorded_at"),
    ],
    keys: 0,
    apart: 0,
};

/// What payouts pay for each commission.
pub const PAYOUT_LINES: Table = Table {
    name: "payout_line_rows",
    kind: "payout_line",
    columns: &[
        plain("payout_id"),
        plain("commission_id"),
        plain("line"),
        plain("amount_minor"),
        plain("paid_minor"),
        plain("further"),
    ],
    keys: 2,
    apart: 0,
};

/// One row per offset, and per offset that was undone.
pub const OFFSETS: Table = Table {
    name: "offset_rows",
    kind: "debt_offset",
    columns: &[
        plain("program_id"),
        plain("partner_id"),
        plain("currency"),
        plain("commission_id"),
        plain("debt_commission_id"),
        plain("amount_minor"),
        plain("cause_event_id"),
        moment("recorded_at"),
    ],
    keys: 0,
    apart: 0,
};

/// One row per debt that was given up.
pub const WRITE_OFFS: Table = Table {
    name: "write_off_rows",
    kind: "write_off",
    columns: &[
        plain("program_id"),
        plain("partner_id"),
        plain("currency"),
        plain("amount_minor"),
        Column { name: "claims", form: Form::Fields(&["commission_id", "amount_minor"]) },
        Column { name: "postings", form: Form::Postings },
        plain("cause_event_id"),
        plain("reason"),
        plain("actor"),
        moment("recorded_at"),
    ],
    keys: 0,
    apart: 0,
};

/// One row per rate of exchange.
pub const FX_RATES: Table = Table {
    name: "fx_rate_rows",
    kind: "fx_rate",
    columns: &[
        plain("program_id"),
        plain("rate_id"),
        plain("from_currency"),
        plain("to_currency"),
        plain("mantissa"),
        plain("exponent"),
        plain("spread_ppm"),
        plain("event_id"),
        plain("actor"),
        moment("recorded_at"),
    ],
    keys: 0,
    apart: 0,
};

/// When and how partners are paid.
pub const PAYOUT_TERMS: Table = Table {
    name: "payout_terms_rows",
    kind: "payout_terms",
    columns: &[
        plain("program_id"),
        plain("partner_id"),
        plain("schedule"),
        plain("day"),
        Column { name: "minimums", form: Form::Map },
        plain("pay_in"),
        plain("removed"),
        moment("created_at"),
        moment("updated_at"),
    ],
    keys: 2,
    apart: 0,
};

/// Where partners are paid, sealed.
pub const PAYOUT_DESTINATIONS: Table = Table {
    name: "payout_destination_rows",
    kind: "payout_destination",
    columns: &[
        plain("program_id"),
        plain("partner_id"),
        plain("method"),
        plain("subject"),
        plain("key_id"),
        plain("ciphertext"),
        plain("removed"),
        moment("created_at"),
        moment("updated_at"),
    ],
    keys: 2,
    apart: 0,
};
