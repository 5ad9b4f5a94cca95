//! Samples of decisions who earns.
use super::{event, facts, sale_key, shares};
use domain::attribution::{AttributedEvent, Decision, Touch, TouchClass};
use domain::ids::SubjectId;

fn decision(outcome: Result<(domain::ids::PartnerId, TouchClass), String>) -> Decision {
    Decision {
        program: "prog_demo".into(),
        sale: sale_key(),
        outcome,
        customer: Some(SubjectId([3; 16])),
        touches: vec![
            Touch {
                class: TouchClass::Code,
                reference: "john123".into(),
                partner: Some("ptn_john".into()),
                lost_because: String::new(),
            },
            Touch {
                class: TouchClass::Binding,
                reference: String::new(),
                partner: None,
                lost_because: "weaker".into(),
            },
        ],
        binds: true,
        shares: Vec::new(),
    }
}

pub(crate) fn attributed() -> Vec<(&'static str, AttributedEvent)> {
    let passed = |at: usize, decision| {
        let event = facts().remove(at).1;
        AttributedEvent::Passed { bytes: wire::facts::encode(&event).unwrap(), event, decision }
    };
    let won = decision(Ok(("ptn_john".into(), TouchClass::Code)));
    vec![
        ("passed_sale", passed(1, Some(won.clone()))),
        ("passed_nobody", passed(2, Some(decision(Err("unknown_code".into()))))),
        ("passed_tick", passed(7, None)),
        ("late", AttributedEvent::Late { decision: won.clone(), cause: event() }),
        ("passed_shared", passed(1, Some(Decision { shares: shares(), ..won }))),
    ]
}
