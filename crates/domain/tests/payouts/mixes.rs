//! Random mixes of everything that moves what is payable. The harness checks the invariants after each frame.
use crate::harness::{ReversalSpec, World, refund, sale};
use crate::support::{JOHN, command, draft, payout_events, world};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use tributary_domain::commission::{Account, CommissionsEvent};
use tributary_domain::facts::{CommandKind, ReversalFamily, ReversalState};
use tributary_domain::ids::{CommissionId, PayoutId};
use tributary_domain::payouts::{PayoutAct, PayoutCommand};

/// What is known beside the ledger.
#[derive(Debug, Default)]
struct Known {
    sales: Vec<String>,
    refunds: Vec<ReversalSpec>,
    payouts: Vec<PayoutId>,
}

/// What each commission has elsewhere: paid, held, or given for debts of others; less what others and the program paid for it.
fn elsewhere(world: &World) -> BTreeMap<CommissionId, i64> {
    let mut all = BTreeMap::new();
    let mut add = |id: &CommissionId, amount: i64| *all.entry(id.clone()).or_insert(0) += amount;
    for event in world.log.iter().flat_map(|(_, events)| events) {
        match event {
            CommissionsEvent::Offset(offset) => {
                add(&offset.commission, offset.amount.0);
                add(&offset.debt_of, -offset.amount.0);
            }
            CommissionsEvent::WrittenOff(event) => {
                event.claims.iter().for_each(|(id, amount)| add(id, -amount.0));
            }
            CommissionsEvent::Commission(event) => {
                let counts =
                    |account| matches!(account, Account::PaidOut | Account::Pending | Account::Review);
                let paid = event.postings.iter().filter(|posting| counts(posting.account));
                paid.for_each(|posting| add(&event.id, posting.amount.0));
            }
            _ => {}
        }
    }
    all
}

/// A draft takes all that is available, and of each commission N less what it has elsewhere.
fn drafts(world: &mut World) -> Option<PayoutId> {
    let in_flight = world.sheet(JOHN).in_flight.0;
    let (answer, events) = world.payout(draft());
    let payout = payout_events(&events).first().map(|payout| (*payout).clone())?;
    assert_eq!(answer.declined, "");
    if in_flight == 0 {
        assert_eq!((world.sheet(JOHN).available.0, world.sheet(JOHN).in_flight), (0, payout.total));
        let elsewhere = elsewhere(world);
        for line in &payout.lines {
            let net = world.ledger.commission(&line.commission).unwrap().net_minor.0;
            assert_eq!(line.amount.0, net - elsewhere.get(&line.commission).copied().unwrap_or_default());
        }
    }
    Some(payout.id)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mix_of_payouts_and_refunds_breaks_the_books(
        steps in vec((0..18_u8, 1..=1_000_i64, any::<prop::sample::Index>()), 1..60),
    ) {
        let (mut world, mut known) = (world(), Known::default());
        for (number, (step, amount, which)) in steps.into_iter().enumerate() {
            world.clock.0 += i64::from(step % 2);
            let one = known.sales.get(which.index(known.sales.len().max(1))).cloned().unwrap_or_default();
            let payout = known.payouts.get(which.index(known.payouts.len().max(1))).cloned();
            let payout = payout.unwrap_or_default();
            match step {
                0..=2 => {
                    let id = format!("txn_{number}");
                    world.sale(&sale(&id, amount));
                    known.sales.push(id);
                    world.tick();
                }
                3 | 4 => {
                    let family =
                        if amount % 3 == 0 { ReversalFamily::Chargeback } else { ReversalFamily::Refund };
                    let state = if amount % 5 == 0 { ReversalState::Pending } else { ReversalState::Live };
                    let spec =
                        ReversalSpec { family, state, ..refund(&one, &format!("adj_{number}"), amount) };
                    world.reversal(&spec);
                    known.refunds.push(spec);
                }
                5 | 6 => {
                    let spec = known.refunds.get(which.index(known.refunds.len().max(1))).cloned();
                    if let Some(spec) = spec {
                        world.reversal(&ReversalSpec { state: ReversalState::Dead, ..spec });
                    }
                }
                7 | 8 => known.payouts.extend(drafts(&mut world)),
                9 | 10 => drop(world.ends(PayoutAct::Settle, &payout)),
                11 => drop(world.ends(PayoutAct::Fail, &payout)),
                12 => drop(world.ends(PayoutAct::Return, &payout)),
                13 if world.commission(&one).is_some() => {
                    drop(world.hold(CommandKind::Hold, &one, "manual"));
                }
                14 if world.commission(&one).is_some() => {
                    drop(world.hold(CommandKind::Release, &one, "manual"));
                }
                15 => drop(world.command(
                    if amount % 2 == 0 { CommandKind::Reject } else { CommandKind::Reinstate },
                    &one,
                )),
                16 => {
                    world.adjust(CommandKind::Debit, JOHN, -amount);
                    world.tick();
                }
                17 if amount % 2 == 0 => drop(world.gives_up(Some(amount / 4), "gone")),
                _ => world.partner(JOHN, amount % 3 > 0),
            }
        }
        world.partner(JOHN, true);
        world.tick();
        for payout in &known.payouts {
            world.payout(PayoutCommand { payout: payout.clone(), ..command(PayoutAct::Fail) });
        }
        drafts(&mut world);
        world.assert_rebuild_is_identical();
    }
}
