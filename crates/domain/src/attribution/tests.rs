#![allow(clippy::unwrap_used)]
mod shares;

use super::*;
use crate::config::{Code, ConfigFact, ConfigObject, Coupon, Partner, Profile, Program};
use crate::facts::{CouponRef, FactBody, Identifier, Personal, Recurrence, Referral, Sale};
use crate::ids::Hash;
use crate::money::{Currency, Minor, Rounding};
use crate::normalization::FactsEvent;
use crate::tables::MemoryTables;
use crate::time::Micros;

/// Attribution in memory.
struct Attribution {
    tables: MemoryTables,
    frames: Vec<Vec<AttributedEvent>>,
}

impl Attribution {
    fn new(profile: Profile) -> Self {
        let mut attribution = Self { tables: MemoryTables::default(), frames: Vec::new() };
        attribution.configure(ConfigObject::Program(Program {
            account: "acc".into(),
            name: "Demo".into(),
            mode: crate::config::Mode::Test,
            profile,
            currency: Currency::parse("USD").unwrap(),
            rounding: Rounding::HalfEven,
            click_window_days: 30,
            hold_days: 0,
            release: crate::config::Release::default(),
            manual_approval: false,
            sale_from: None,
            referral_keys: Vec::new(),
            customer_keys: Vec::new(),
            rule_metadata_keys: Vec::new(),
        }));
        for (partner, code) in [("john", "john123"), ("mary", "mary456")] {
            attribution.partner(partner, true);
            attribution.configure(ConfigObject::Code(Code {
                code: code.into(),
                partner: partner.into(),
                active: true,
            }));
        }
        attribution.configure(ConfigObject::Coupon(Coupon {
            coupon: "SAVE20".into(),
            partner: "john".into(),
            active: true,
        }));
        attribution
    }

    fn configure(&mut self, object: ConfigObject) {
        let fact = ConfigFact { program: "prog".into(), actor: "test".into(), object, removed: false };
        self.input(vec![FactsEvent::Config(fact)]);
    }

    fn partner(&mut self, partner: &str, active: bool) {
        self.configure(ConfigObject::Partner(Partner {
            partner: partner.into(),
            name: String::new(),
            active,
            ..Partner::default()
        }));
    }

    /// Runs all steps of an input; returns the decision on it and the late ones.
    fn input(&mut self, events: Vec<FactsEvent>) -> (Option<Decision>, Vec<Decision>) {
        let events: Vec<_> = events.into_iter().map(|event| (Bytes::new(), event)).collect();
        let (mut own, mut late) = (None, Vec::new());
        for step in 0.. {
            let (decided, more) = decide(&self.tables, events.clone(), step);
            self.frames.push(decided.clone());
            evolve(&mut self.tables, self.frames.len() as u64, &decided);
            for event in decided {
                match event {
                    AttributedEvent::Passed { decision, .. } => own = own.or(decision),
                    AttributedEvent::Late { decision, .. } => late.push(decision),
                }
            }
            if !more {
                break;
            }
        }
        (own, late)
    }

    fn sale(&mut self, id: &str, customers: &[u8], claims: (Option<&str>, Option<CouponRef>)) -> Decision {
        self.sale_and_late(id, customers, claims).0
    }

    fn sale_and_late(
        &mut self,
        id: &str,
        customers: &[u8],
        (code, coupon): (Option<&str>, Option<CouponRef>),
    ) -> (Decision, Vec<Decision>) {
        let sale = Sale {
            external_id: id.into(),
            currency: Currency::parse("USD").unwrap(),
            gross: Minor(0),
            net: None,
            lines: Vec::new(),
            subscription_id: String::new(),
            recurrence: Recurrence::Unknown,
            referral: code.map(|code| Referral { code: code.into(), found_at: String::new() }),
            coupon,
            aliases: Vec::new(),
            details: crate::facts::SaleDetails::default(),
        };
        let (own, late) = self.input(vec![fact(id, customers, FactBody::Sale(sale), 1)]);
        (own.unwrap(), late)
    }

    fn link(&mut self, customers: &[u8]) -> Vec<Decision> {
        self.input(vec![fact("link", customers, FactBody::CustomerLink, 1)]).1
    }

    fn define(&mut self, reference: &str, code: &str, occurred_at: i64) -> Vec<Decision> {
        let body = FactBody::CouponDefinition { provider_ref: reference.into(), code: code.into() };
        self.input(vec![fact(reference, &[], body, occurred_at)]).1
    }
}

fn fact(id: &str, customers: &[u8], body: FactBody, occurred_at: i64) -> FactsEvent {
    FactsEvent::Fact(Fact {
        program: "prog".into(),
        event: "evt_cause".into(),
        source: "paddle".into(),
        object_id: id.into(),
        state: String::new(),
        hash: Hash::ZERO,
        occurred_at: Micros(occurred_at),
        identifiers: customers
            .iter()
            .map(|number| Identifier {
                namespace: "customer_key".into(),
                subject: Some(SubjectId([*number; 16])),
                value: Personal::Open(String::new()),
            })
            .collect(),
        body,
    })
}

fn by_ref(reference: &str) -> Option<CouponRef> {
    Some(CouponRef::ProviderRef(reference.into()))
}

fn typed(text: &str) -> Option<CouponRef> {
    Some(CouponRef::Code(text.into()))
}

fn earned(decision: &Decision) -> Result<(&str, TouchClass), &str> {
    match &decision.outcome {
        Ok((partner, class)) => Ok((partner.as_str(), *class)),
        Err(reason) => Err(reason),
    }
}

fn lost(decision: &Decision) -> Vec<&str> {
    decision.touches.iter().map(|touch| touch.lost_because.as_str()).collect()
}

#[test]
fn a_code_beats_a_coupon_and_a_coupon_beats_a_binding() {
    let mut a = Attribution::new(Profile::Native);
    let first = a.sale("1", &[1], (Some("mary456"), typed("SAVE20")));
    assert_eq!(earned(&first), Ok(("mary", TouchClass::Code)));
    assert_eq!(lost(&first), ["", "weaker_class"]);
    assert!(first.binds);
    let second = a.sale("2", &[1], (None, typed("SAVE20")));
    assert_eq!(earned(&second), Ok(("john", TouchClass::Coupon)));
    assert!(!second.binds);
    let third = a.sale("3", &[1], (None, None));
    assert_eq!(earned(&third), Ok(("mary", TouchClass::Binding)), "the first binding stays");
    assert_eq!(earned(&a.sale("4", &[2], (None, None))), Err("no_touch"));
    assert_eq!(earned(&a.sale("5", &[], (Some("john123"), None))), Ok(("john", TouchClass::Code)));
}

#[test]
fn the_profile_says_whether_another_partners_code_beats_the_binding() {
    for (profile, winner, binding_lost) in [
        (Profile::Native, ("mary", TouchClass::Code), ["", "weaker_class"]),
        (Profile::Affonso, ("mary", TouchClass::Code), ["", "weaker_class"]),
        (Profile::Revshare, ("john", TouchClass::Binding), ["customer_bound", ""]),
        (Profile::Partnerstack, ("john", TouchClass::Binding), ["customer_bound", ""]),
    ] {
        let mut a = Attribution::new(profile);
        a.sale("1", &[1], (Some("john123"), None));
        let decision = a.sale("2", &[1], (Some("mary456"), None));
        assert_eq!((earned(&decision), lost(&decision)), (Ok(winner), binding_lost.to_vec()), "{profile:?}");
        assert_eq!(
            earned(&a.sale("3", &[1], (None, None))),
            Ok(("john", TouchClass::Binding)),
            "{profile:?}"
        );
        assert_eq!(earned(&a.sale("4", &[1], (Some("john123"), None))), Ok(("john", TouchClass::Code)));
    }
}

#[test]
fn what_names_nobody_falls_through_and_is_recorded() {
    let mut a = Attribution::new(Profile::Native);
    let decision = a.sale("1", &[1], (Some("JOHN123"), typed("SAVE20")));
    assert_eq!(earned(&decision), Ok(("john", TouchClass::Coupon)), "codes are exact");
    assert_eq!(lost(&decision), ["unknown_code", ""]);
    let decision = a.sale("2", &[1], (Some(" john123"), typed("SAVE10")));
    assert_eq!(earned(&decision), Ok(("john", TouchClass::Binding)));
    assert_eq!(lost(&decision), ["unknown_code", "coupon_of_nobody", ""]);
    assert_eq!(earned(&a.sale("3", &[2], (Some("nobody"), None))), Err("unknown_code"));
    a.configure(ConfigObject::Code(Code { code: "mary456".into(), partner: "mary".into(), active: false }));
    let decision = a.sale("4", &[2], (Some("mary456"), None));
    assert_eq!(earned(&decision), Err("inactive_code"));
    a.partner("john", false);
    assert_eq!(earned(&a.sale("5", &[1], (None, None))), Err("inactive_partner"));
}

#[test]
fn identifiers_that_come_together_are_one_customer() {
    let mut a = Attribution::new(Profile::Native);
    a.sale("1", &[1], (Some("john123"), None));
    a.link(&[1, 2]);
    a.link(&[3, 2]);
    let decision = a.sale("2", &[3], (None, None));
    assert_eq!(earned(&decision), Ok(("john", TouchClass::Binding)));
    assert_eq!(decision.customer, Some(SubjectId([1; 16])));
    assert_eq!(
        earned(&a.sale("3", &[4, 3], (None, None))),
        Ok(("john", TouchClass::Binding)),
        "also by a sale"
    );
}

#[test]
fn of_two_customers_that_become_one_the_earlier_binding_stays() {
    for ids in [[1, 2], [2, 1]] {
        let mut a = Attribution::new(Profile::Native);
        a.sale("1", &[1], (Some("john123"), None));
        a.sale("2", &[2], (Some("mary456"), None));
        a.link(&ids);
        assert_eq!(earned(&a.sale("3", &[2], (None, None))), Ok(("john", TouchClass::Binding)));
    }
}

#[test]
fn a_late_link_explains_the_earlier_sales_of_the_customer_once() {
    let mut a = Attribution::new(Profile::Native);
    a.sale("1", &[1], (None, None));
    a.sale("2", &[1], (Some("nobody"), None));
    a.sale("3", &[2], (Some("john123"), None));
    let late = a.link(&[1, 2]);
    let earned: Vec<_> = late.iter().map(|d| (d.sale.external_id.as_str(), earned(d))).collect();
    let john = Ok(("john", TouchClass::Binding));
    assert_eq!(earned, [("1", john), ("2", john)]);
    assert_eq!(late[1].touches[0].lost_because, "unknown_code");
    assert!(a.link(&[1, 2]).is_empty());
    assert!(a.link(&[2, 3]).is_empty());
}

#[test]
fn a_later_code_on_another_sale_explains_nothing_older() {
    let mut a = Attribution::new(Profile::Native);
    a.sale("1", &[1], (None, None));
    let (second, late) = a.sale_and_late("2", &[1], (Some("john123"), None));
    assert!(second.binds && late.is_empty());
    assert!(a.link(&[1, 9]).is_empty(), "a link that brings no binding explains nothing either");
}

#[test]
fn a_backlog_follows_its_customer_through_links() {
    let mut a = Attribution::new(Profile::Native);
    a.sale("1", &[1], (None, None));
    a.sale("2", &[2], (None, None));
    assert!(a.link(&[1, 2]).is_empty());
    assert!(a.link(&[3, 4, 2]).is_empty());
    a.sale("3", &[9], (Some("mary456"), None));
    let (_, late) = a.sale_and_late("4", &[9, 4], (None, None));
    let sales: Vec<_> = late.iter().map(|decision| decision.sale.external_id.as_str()).collect();
    assert_eq!(sales, ["1", "2"]);
}

#[test]
fn a_coupons_definition_explains_the_sales_that_waited_for_it() {
    let mut a = Attribution::new(Profile::Native);
    assert_eq!(earned(&a.sale("1", &[1], (Some("nobody"), by_ref("dsc_1")))), Err("coupon_unknown"));
    assert_eq!(earned(&a.sale("2", &[], (None, by_ref("dsc_1")))), Err("coupon_unknown"));
    assert_eq!(earned(&a.sale("3", &[], (None, by_ref("dsc_2")))), Err("coupon_unknown"));
    let late = a.define("dsc_1", "SAVE20", 5);
    let earned_late: Vec<_> =
        late.iter().map(|d| (d.sale.external_id.as_str(), earned(d), d.binds)).collect();
    let john = Ok(("john", TouchClass::Coupon));
    assert_eq!(earned_late, [("1", john, true), ("2", john, false)]);
    assert_eq!(earned(&a.sale("4", &[1], (None, None))), Ok(("john", TouchClass::Binding)));
    assert_eq!(earned(&a.sale("5", &[], (None, by_ref("dsc_1")))), john);
    assert!(a.define("dsc_1", "OLD", 4).is_empty());
    assert_eq!(earned(&a.sale("6", &[], (None, by_ref("dsc_1")))), john, "the newest definition stands");
    assert!(a.define("dsc_2", "SOMETHING", 5).is_empty());
}

#[test]
fn many_late_decisions_are_spread_over_steps() {
    let mut a = Attribution::new(Profile::Native);
    let many = LATE_PER_STEP * 2 + 5;
    for number in 0..many {
        a.sale(&format!("{number}"), &[1], (None, by_ref("dsc_1")));
    }
    a.sale("bound", &[2], (Some("mary456"), None));
    let before = a.frames.len();
    assert_eq!(a.define("dsc_1", "SAVE20", 1).len(), many);
    assert_eq!(a.frames.len() - before, 3);
    assert!(a.frames.iter().all(|frame| frame.len() <= LATE_PER_STEP + 1));
    assert!(a.link(&[1, 2]).is_empty(), "nothing is left of them");
}

#[test]
fn one_frame_with_a_definition_and_its_sale_decides_with_it() {
    let mut a = Attribution::new(Profile::Native);
    let (_, _) = a.input(Vec::new());
    let definition = FactBody::CouponDefinition { provider_ref: "dsc_1".into(), code: "SAVE20".into() };
    let sale = Sale {
        external_id: "1".into(),
        currency: Currency::parse("USD").unwrap(),
        gross: Minor(1),
        net: None,
        lines: Vec::new(),
        subscription_id: String::new(),
        recurrence: Recurrence::Unknown,
        referral: None,
        coupon: by_ref("dsc_1"),
        aliases: Vec::new(),
        details: crate::facts::SaleDetails::default(),
    };
    let frame = vec![fact("dsc_1", &[], definition, 1), fact("1", &[], FactBody::Sale(sale), 1)];
    assert_eq!(earned(&a.input(frame).0.unwrap()), Ok(("john", TouchClass::Coupon)));
}

#[test]
fn state_is_the_fold_of_the_own_frames() {
    let mut a = Attribution::new(Profile::Revshare);
    for number in 0..30_u8 {
        let code = [None, Some("john123"), Some("nobody"), Some("mary456")][usize::from(number % 4)];
        let coupon = if number % 5 == 0 { by_ref("dsc_1") } else { None };
        a.sale(&format!("{number}"), &[number % 7, number % 11], (code, coupon));
    }
    a.define("dsc_1", "SAVE20", 1);
    let mut rebuilt = MemoryTables::default();
    for (seq, frame) in (1..).zip(&a.frames) {
        evolve(&mut rebuilt, seq, frame);
    }
    assert_eq!(rebuilt, a.tables);
}
