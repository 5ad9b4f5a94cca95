//! The program that the services are told of.
use domain::config::{ConfigObject, Mode, Profile, Program, Release};
use domain::money::{Currency, Rounding};

/// In USD, nothing held, nobody asked.
pub(crate) fn program(account: &str, name: &str) -> ConfigObject {
    ConfigObject::Program(Program {
        account: account.into(),
        name: name.into(),
        mode: Mode::Test,
        profile: Profile::Native,
        currency: Currency::parse("USD").unwrap(),
        rounding: Rounding::HalfEven,
        click_window_days: 30,
        hold_days: 0,
        release: Release::default(),
        manual_approval: false,
        sale_from: None,
        referral_keys: Vec::new(),
        customer_keys: Vec::new(),
        rule_metadata_keys: Vec::new(),
    })
}
