//! Programs, sales and reversals as tests write them.
use tributary_domain::config::{ConfigObject, FlatRefund, Mode, Profile, Program, Release};
use tributary_domain::facts::{ConversionKind, ReversalFamily, ReversalState};
use tributary_domain::money::{Currency, Rounding};
use tributary_domain::time::Micros;

pub const PROGRAM: &str = "prog_test";
pub const SOURCE: &str = "paddle";

pub fn currency(code: &str) -> Currency {
    Currency::parse(code).unwrap()
}

/// A sale as a test writes it.
#[derive(Debug, Clone)]
pub struct SaleSpec {
    pub id: String,
    pub partner: Option<String>,
    pub currency: &'static str,
    pub gross: i64,
    pub net: Option<i64>,
    pub lines: Vec<(&'static str, i64)>,
    pub subscription: &'static str,
    /// When it happened; `None`: some time before the log saw it.
    pub at: Option<Micros>,
    pub aliases: Vec<String>,
    /// Of each line; may be shorter.
    pub products: Vec<&'static str>,
    /// Who bought; `None`: nobody knows.
    pub customer: Option<u8>,
    pub country: &'static str,
    /// Who earns which part; empty: `partner` all.
    pub shares: Vec<(&'static str, u32)>,
    pub kind: ConversionKind,
    /// Failed checks.
    pub fraud: Vec<&'static str>,
    /// Reported with a key that everybody may see.
    pub publishable: bool,
}

/// A refund or chargeback as a test writes it.
#[derive(Debug, Clone)]
pub struct ReversalSpec {
    pub sale: String,
    pub id: String,
    pub family: ReversalFamily,
    pub state: ReversalState,
    pub currency: &'static str,
    pub gross: i64,
    pub net: Option<i64>,
    pub lines: Vec<(&'static str, i64)>,
    pub aliases: Vec<String>,
}

pub fn sale(id: &str, gross: i64) -> SaleSpec {
    SaleSpec {
        id: id.to_owned(),
        partner: Some("partner_john".to_owned()),
        currency: "USD",
        gross,
        net: None,
        lines: vec![],
        subscription: "",
        at: None,
        aliases: vec![],
        products: vec![],
        customer: None,
        country: "",
        shares: vec![],
        kind: ConversionKind::Sale,
        fraud: vec![],
        publishable: false,
    }
}

pub fn refund(sale: &str, id: &str, gross: i64) -> ReversalSpec {
    ReversalSpec {
        sale: sale.to_owned(),
        id: id.to_owned(),
        family: ReversalFamily::Refund,
        state: ReversalState::Live,
        currency: "USD",
        gross,
        net: None,
        lines: vec![],
        aliases: vec![],
    }
}

/// Everything refunded so far of a charge.
pub fn refund_total(sale: &str, charge: &str, total: i64) -> ReversalSpec {
    ReversalSpec { family: ReversalFamily::RefundTotal, ..refund(sale, charge, total) }
}

/// The program's settings of a test.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub profile: Profile,
    pub rounding: Rounding,
    pub hold_days: u32,
    pub release: Release,
    pub manual: bool,
    pub rate: i64,
    /// A flat reward instead of the rate: amount and currency.
    pub flat: Option<(i64, &'static str, FlatRefund)>,
}

impl Setting {
    pub fn program(&self, code: &str) -> ConfigObject {
        ConfigObject::Program(Program {
            account: "acct".into(),
            name: "Test".to_owned(),
            mode: Mode::Test,
            profile: self.profile,
            currency: currency(code),
            rounding: self.rounding,
            click_window_days: 30,
            hold_days: self.hold_days,
            release: self.release,
            manual_approval: self.manual,
            sale_from: None,
            referral_keys: Vec::new(),
            customer_keys: Vec::new(),
            rule_metadata_keys: Vec::new(),
        })
    }
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            profile: Profile::Native,
            rounding: Rounding::HalfEven,
            hold_days: 0,
            release: Release::default(),
            manual: false,
            rate: 300_000,
            flat: None,
        }
    }
}
