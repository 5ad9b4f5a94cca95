//! What a sale's commission must come to, computed from the final set of its facts in the plainest way: no order, no
//! events, no accounts. Shares no arithmetic with the ledger.
use super::harness::{ReversalSpec, SaleSpec, Setting};
use std::collections::BTreeMap;
use tributary_domain::config::Profile;
use tributary_domain::facts::{ReversalFamily, ReversalState};
use tributary_domain::money::Rounding;

/// (G, N, end state at N = 0); `None`: no commission.
pub fn expected(
    setting: Setting,
    sale: &SaleSpec,
    reversals: &[ReversalSpec],
) -> Option<(i64, i64, Option<&'static str>)> {
    let nets = setting.profile == Profile::Native && sale.net.is_some();
    let base = i128::from(if nets { sale.net.unwrap() } else { sale.gross });
    let round = |n, d| rounded(n, d, setting.rounding);
    let gross = round(base * i128::from(setting.rate), 1_000_000);
    if sale.partner.is_none() || gross <= 0 {
        return None;
    }
    let mut objects: BTreeMap<(&str, &str), &ReversalSpec> = BTreeMap::new();
    for fact in reversals.iter().filter(|fact| fact.sale == sale.id && fact.currency == sale.currency) {
        let known = objects.entry((fact.family.name(), &fact.id)).or_insert(fact);
        if rank(fact.state) > rank(known.state) {
            *known = fact;
        }
    }
    let live = |family| {
        let of =
            objects.values().filter(move |fact| fact.family == family && fact.state == ReversalState::Live);
        of.map(|fact| {
            let net = fact.net.filter(|_| nets).or((base == i128::from(sale.gross)).then_some(fact.gross));
            (i128::from(fact.gross), net.map(i128::from))
        })
        .collect::<Vec<_>>()
    };
    let (refunds, lost, back) = (
        live(ReversalFamily::Refund),
        live(ReversalFamily::Chargeback),
        live(ReversalFamily::ChargebackReverse),
    );
    let sum = |set: &[(i128, Option<i128>)]| set.iter().map(|(gross, _)| gross).sum::<i128>();
    let lost_gross = (sum(&lost) - sum(&back)).max(0);
    let (mut known, mut pooled) = (0, 0);
    for (gross, net) in &refunds {
        match net {
            Some(net) => known += net,
            None => pooled += gross,
        }
    }
    if lost.iter().chain(&back).all(|(_, net)| net.is_some()) {
        let nets = |set: &[(i128, Option<i128>)]| set.iter().filter_map(|(_, net)| *net).sum::<i128>();
        known += (nets(&lost) - nets(&back)).max(0);
    } else {
        pooled += lost_gross;
    }
    let everything = sum(&refunds) + lost_gross;
    let taken = if everything > 0 && everything >= i128::from(sale.gross) {
        base
    } else {
        base.min(known + round(pooled * base, i128::from(sale.gross).max(1)))
    };
    let net = gross.min(round((base - taken) * i128::from(setting.rate), 1_000_000));
    let end = (net == 0).then_some(if lost_gross > 0 { "charged_back" } else { "refunded" });
    Some((gross.try_into().unwrap(), net.try_into().unwrap(), end))
}

const fn rank(state: ReversalState) -> u8 {
    match state {
        ReversalState::Pending => 0,
        ReversalState::Live => 1,
        ReversalState::Dead => 2,
    }
}

/// For amounts that are not negative.
fn rounded(n: i128, d: i128, rounding: Rounding) -> i128 {
    match rounding {
        Rounding::Floor => n / d,
        Rounding::HalfUp => (2 * n + d) / (2 * d),
        Rounding::HalfEven => {
            let up = (2 * n + d) / (2 * d);
            if (2 * n + d) % (2 * d) == 0 && up % 2 == 1 { up - 1 } else { up }
        }
    }
}
