//! Sales that come with who earns which part.
use super::*;
use crate::facts::{SaleDetails, ShareClaim, ShareOf};

fn divided(
    attribution: &mut Attribution,
    id: &str,
    customers: &[u8],
    shares: &[(ShareOf, u32)],
    coupon: Option<CouponRef>,
) -> Decision {
    let shares = shares.iter().map(|(of, weight)| ShareClaim { of: of.clone(), weight: *weight }).collect();
    let sale = Sale {
        external_id: id.into(),
        currency: Currency::USD,
        gross: Minor(0),
        net: None,
        lines: Vec::new(),
        subscription_id: String::new(),
        recurrence: Recurrence::Unknown,
        referral: None,
        coupon,
        aliases: Vec::new(),
        details: SaleDetails { shares, ..SaleDetails::default() },
    };
    attribution.input(vec![fact(id, customers, FactBody::Sale(sale), 1)]).0.unwrap()
}

fn code(code: &str) -> ShareOf {
    ShareOf::Code(code.into())
}

fn partner(id: &str) -> ShareOf {
    ShareOf::Partner(id.into())
}

fn shares(decision: &Decision) -> Vec<(&str, u32)> {
    decision.shares.iter().map(|share| (share.partner.as_str(), share.weight)).collect()
}

#[test]
fn shares_stand_over_every_touch_in_every_profile() {
    for profile in [Profile::Native, Profile::Revshare] {
        let mut a = Attribution::new(profile);
        a.sale("1", &[1], (Some("john123"), None));
        let both = [(code("mary456"), 700_000), (partner("john"), 300_000)];
        let decision = divided(&mut a, "2", &[1], &both, typed("SAVE20"));
        assert_eq!(earned(&decision), Ok(("mary", TouchClass::Code)), "{profile:?}");
        assert_eq!(shares(&decision), [("mary", 700_000), ("john", 300_000)]);
        assert_eq!(lost(&decision), ["", "", "weaker_class", "weaker_class"]);
        assert!(!decision.binds);
        let later = a.sale("3", &[1], (None, None));
        assert_eq!(earned(&later), Ok(("john", TouchClass::Binding)), "the first binding stays");
    }
}

#[test]
fn the_first_share_binds_a_new_customer_unless_its_partner_is_suspended() {
    let mut a = Attribution::new(Profile::Native);
    let both = [(partner("john"), 1), (partner("mary"), 1)];
    assert!(divided(&mut a, "1", &[1], &both, None).binds);
    assert_eq!(earned(&a.sale("2", &[1], (None, None))), Ok(("john", TouchClass::Binding)));
    a.partner("john", false);
    let decision = divided(&mut a, "3", &[2], &both, None);
    assert_eq!((shares(&decision), decision.binds), (vec![("john", 1), ("mary", 1)], false));
}

#[test]
fn should_a_share_name_nobody_then_nobody_earns_rather_than_others_more() {
    let mut a = Attribution::new(Profile::Native);
    for nobody in [code("nobody"), partner("mary456")] {
        let decision = divided(&mut a, "1", &[], &[(partner("john"), 1), (nobody, 1)], None);
        assert_eq!((earned(&decision), shares(&decision)), (Err("unknown_partner"), Vec::new()));
        assert_eq!(lost(&decision), ["", "unknown_partner"]);
    }
}
