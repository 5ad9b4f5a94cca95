//! What gives money to a partner by name: shares of a sale, commissions of their own.
use super::*;
use crate::facts::{Adjustment, Command, CommandKind, ConversionKind, ShareClaim, ShareOf};
use crate::ids::CommissionId;

fn divided(id: &str, shares: &[(ShareOf, u32)]) -> Fact {
    let mut fact = sale(id, 4900);
    let FactBody::Sale(sale) = &mut fact.body else { unreachable!() };
    sale.referral = None;
    sale.details.shares =
        shares.iter().map(|(of, weight)| ShareClaim { of: of.clone(), weight: *weight }).collect();
    fact
}

fn by_code(code: &str) -> ShareOf {
    ShareOf::Code(code.into())
}

fn by_id(partner: &str) -> ShareOf {
    ShareOf::Partner(partner.into())
}

fn bonus(id: &str, partner: &str) -> Fact {
    let command = Command {
        kind: CommandKind::Bonus,
        commission: CommissionId::default(),
        reason: "thanks".into(),
        actor: "key_1".into(),
        hold: String::new(),
        adjustment: Some(Adjustment { partner: partner.into(), amount: Minor(500), currency: Currency::USD }),
        reprice: None,
    };
    fact(id, "recorded", FactBody::Command(command))
}

fn partner(id: &str, active: bool) -> ConfigObject {
    ConfigObject::Partner(Partner { partner: id.into(), active, ..Partner::default() })
}

#[test]
fn money_is_given_to_nobody_whom_the_program_does_not_have() {
    let mut n = Normalizer::new();
    let unknown = || quarantined("unknown_partner");
    let both = [(by_code("john123"), 1), (by_id("partner_mary"), 1)];
    let sent = n.send(draft("evt_1", vec![divided("txn_1", &both)]));
    assert_eq!((sent.kind.name(), sent.reason.as_str()), ("quarantined", "unknown_partner"));
    assert!(sent.detail.starts_with("shares[1] names no partner"), "{}", sent.detail);
    assert_eq!(n.said(draft("evt_2", vec![bonus("b_1", "partner_mary")])), unknown());
    for nobody in [by_code("JOHN123"), by_code("partner_john"), by_id("john123")] {
        assert_eq!(n.said(draft("evt_3", vec![divided("txn_2", &[(nobody, 1)])])), unknown());
    }
    assert!(n.facts().is_empty());
    // Once she is there the same events are taken: what was refused reserved nothing.
    n.configure(partner("partner_mary", true), false);
    assert_eq!(n.said(draft("evt_1", vec![divided("txn_1", &both)])), applied());
    assert_eq!(n.said(draft("evt_2", vec![bonus("b_1", "partner_mary")])), applied());
    // A suspended partner is there; a removed one is not, nor is a code that was switched off.
    n.configure(partner("partner_mary", false), false);
    assert_eq!(n.said(draft("evt_4", vec![divided("txn_4", &both)])), applied());
    assert_eq!(n.said(draft("evt_5", vec![bonus("b_2", "partner_mary")])), applied());
    n.configure(partner("partner_mary", false), true);
    assert_eq!(n.said(draft("evt_6", vec![divided("txn_6", &both)])), unknown());
    n.configure(partner("partner_mary", true), false);
    n.configure(code(false), false);
    assert_eq!(n.said(draft("evt_6", vec![divided("txn_6", &both)])), unknown());
    // What was recorded is a twin, whoever is there now.
    assert_eq!(n.said(draft("evt_1", vec![divided("txn_1", &both)])), duplicate());
}

#[test]
fn the_same_sale_with_other_shares_is_a_conflict() {
    let mut n = Normalizer::new();
    n.configure(partner("partner_mary", true), false);
    let (john, mary) = (by_id("partner_john"), by_id("partner_mary"));
    let first = [(john.clone(), 600_000), (mary.clone(), 400_000)];
    assert_eq!(n.said(draft("evt_1", vec![divided("txn_1", &first)])), applied());
    assert_eq!(n.said(draft("evt_2", vec![divided("txn_1", &first)])), duplicate());
    for other in [
        vec![],
        vec![(john.clone(), 1_000_000)],
        vec![(mary.clone(), 400_000), (john.clone(), 600_000)],
        vec![(john.clone(), 500_000), (mary.clone(), 500_000)],
        vec![(by_code("john123"), 600_000), (mary, 400_000)],
    ] {
        let said = n.said(draft("evt_3", vec![divided("txn_1", &other)]));
        assert_eq!(said, quarantined("conflict"), "{other:?}");
    }
}

#[test]
fn a_lead_and_a_sale_of_the_same_id_are_two_facts() {
    let mut n = Normalizer::new();
    let mut lead = sale("1", 0);
    let FactBody::Sale(of) = &mut lead.body else { unreachable!() };
    of.details.kind = ConversionKind::Lead;
    assert_eq!(n.said(draft("sales/1", vec![sale("1", 4900)])), applied());
    assert_eq!(n.said(draft("leads/1", vec![lead.clone()])), applied());
    assert_eq!(n.said(draft("other", vec![lead])), duplicate());
}
