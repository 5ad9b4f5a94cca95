//! What a sale's commission must come to, computed from the final set of its facts in the plainest way: no order, no
//! events, no accounts. Shares no arithmetic with the ledger.
use super::specs::{ReversalSpec, SaleSpec, Setting};
use std::collections::{BTreeMap, BTreeSet};
use tributary_domain::config::{FlatRefund, Profile};
use tributary_domain::facts::{ReversalFamily, ReversalState};
use tributary_domain::money::Rounding;
use tributary_domain::time::Micros;

/// (G, N, end state at N = 0); `None`: no commission.
pub fn expected(
    setting: Setting,
    sale: &SaleSpec,
    reversals: &[ReversalSpec],
) -> Option<(i64, i64, Option<&'static str>)> {
    let base = i128::from(base(setting.profile, sale));
    let round = |n, d| rounded(n, d, setting.rounding);
    let gross = match setting.flat {
        Some((amount, _, _)) => i128::from(amount) * i128::from(u8::from(base > 0)),
        None => round(base * i128::from(setting.rate), 1_000_000),
    };
    if sale.partner.is_none() || gross <= 0 {
        return None;
    }
    let taken = taken(setting.profile, setting.rounding, sale, reversals);
    let net = match setting.flat {
        None => gross.min(round((base - taken.base) * i128::from(setting.rate), 1_000_000)),
        Some(_) if taken.base == base => 0,
        Some((_, _, FlatRefund::FullOnly)) => gross,
        Some((_, _, FlatRefund::Any)) => gross * i128::from(u8::from(!taken.is_any)),
        Some((_, _, FlatRefund::Proportional)) => round(gross * (base - taken.base), base),
    };
    let end = (net == 0).then_some(if taken.lost_gross > 0 { "charged_back" } else { "refunded" });
    Some((gross.try_into().unwrap(), net.try_into().unwrap(), end))
}

/// B.
pub fn base(profile: Profile, sale: &SaleSpec) -> i64 {
    sale.net.filter(|_| profile == Profile::Native).unwrap_or(sale.gross)
}

/// What reversals take from a sale.
#[derive(Debug)]
pub struct Taken<'fact> {
    /// r: of the base.
    pub base: i128,
    /// Lost disputes, as paid.
    pub lost_gross: i128,
    /// Any part of the base went back, however small.
    pub is_any: bool,
    /// What live objects say of lines.
    #[allow(dead_code, reason = "only the laws have lines of different rates")]
    pub lines: Vec<(&'fact str, i128)>,
}

/// The live refunds and lost disputes of a sale, from the final set of its facts.
pub fn taken<'fact>(
    profile: Profile,
    rounding: Rounding,
    sale: &SaleSpec,
    reversals: &'fact [ReversalSpec],
) -> Taken<'fact> {
    let nets = profile == Profile::Native && sale.net.is_some();
    let base = i128::from(base(profile, sale));
    let is_whole = base == i128::from(sale.gross);
    let by_line = |fact: &ReversalSpec| {
        (!fact.lines.is_empty()).then(|| fact.lines.iter().map(|(_, net)| net).sum::<i64>())
    };
    let mut objects: BTreeMap<(&str, &str), &ReversalSpec> = BTreeMap::new();
    for fact in reversals.iter().filter(|fact| fact.sale == sale.id && fact.currency == sale.currency) {
        let known = objects.entry((fact.family.name(), &fact.id)).or_insert(fact);
        let is_total = fact.family == ReversalFamily::RefundTotal;
        if rank(fact.state) > rank(known.state) || is_total && fact.gross > known.gross {
            *known = fact;
        }
    }
    let live = |family| {
        let of =
            objects.values().filter(move |fact| fact.family == family && fact.state == ReversalState::Live);
        of.map(|fact| {
            let net = fact.net.or(by_line(fact)).filter(|_| nets).or(is_whole.then_some(fact.gross));
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
    // What totals know of beyond the single objects.
    let totals = sum(&live(ReversalFamily::RefundTotal));
    let dead =
        |fact: &&&ReversalSpec| fact.family == ReversalFamily::Refund && fact.state == ReversalState::Dead;
    let dead: i128 = objects.values().filter(dead).map(|fact| i128::from(fact.gross)).sum();
    let unseen = (totals - dead - sum(&refunds)).max(0);
    if is_whole {
        known += unseen;
    } else {
        pooled += unseen;
    }
    if sum(&back) == 0 {
        // Nothing came back: each by its own part, as refunds.
        known += lost.iter().filter_map(|(_, net)| *net).sum::<i128>();
        pooled += lost.iter().filter(|(_, net)| net.is_none()).map(|(gross, _)| gross).sum::<i128>();
    } else if lost.iter().chain(&back).all(|(gross, net)| net.is_some() || *gross == 0) {
        // (An object of nothing is the same part of the base however it is told.)
        let nets = |set: &[(i128, Option<i128>)]| set.iter().filter_map(|(_, net)| *net).sum::<i128>();
        known += (nets(&lost) - nets(&back)).max(0);
    } else {
        pooled += lost_gross;
    }
    let everything = sum(&refunds) + unseen + lost_gross;
    let base = if everything > 0 && everything >= i128::from(sale.gross) {
        base
    } else {
        base.min(known + rounded(pooled * base, i128::from(sale.gross).max(1), rounding))
    };
    let lines = objects.values().filter(|fact| {
        fact.state == ReversalState::Live
            && matches!(fact.family, ReversalFamily::Refund | ReversalFamily::Chargeback)
    });
    let lines = lines.flat_map(|fact| fact.lines.iter().map(|(line, net)| (*line, i128::from(*net))));
    Taken { base, lost_gross, is_any: known + pooled > 0, lines: lines.collect() }
}

/// What holds the commission beside time, while it is unpaid and nobody has decided about it.
pub fn expected_holds(sale: &SaleSpec, reversals: &[ReversalSpec], ends: &[Micros]) -> BTreeSet<String> {
    let of = |family, state| {
        let facts = reversals.iter().filter(move |fact| {
            fact.sale == sale.id
                && fact.currency == sale.currency
                && fact.family == family
                && fact.state == state
        });
        facts.map(|fact| fact.id.clone()).collect::<BTreeSet<_>>()
    };
    use ReversalFamily::{Chargeback, ChargebackReverse, ChargebackWarning};
    use ReversalState::{Dead, Live, Pending};
    let [lost, won] = [Live, Dead].map(|state| of(Chargeback, state));
    let open = of(Chargeback, Pending).into_iter().filter(|id| !lost.contains(id) && !won.contains(id));
    let mut holds: BTreeSet<String> = open.map(|id| format!("dispute:{id}")).collect();
    let over = of(ChargebackWarning, Dead);
    let warned = &of(ChargebackWarning, Live) | &of(ChargebackWarning, Pending);
    let warned = &warned - &over;
    let decided = lost.iter().any(|id| !won.contains(id))
        || of(ChargebackReverse, Live).iter().any(|id| !of(ChargebackReverse, Dead).contains(id));
    if !decided && warned.len() > over.len() {
        holds.extend(warned.iter().map(|id| format!("dispute:{id}")));
    }
    holds.extend(sale.fraud.iter().map(|check| format!("fraud:{check}")));
    if !sale.subscription.is_empty() && ends.iter().any(|end| sale.at.unwrap() <= *end) {
        holds.insert(format!("cancelled_subscription:{}", sale.subscription));
    }
    holds
}

const fn rank(state: ReversalState) -> u8 {
    match state {
        ReversalState::Pending => 0,
        ReversalState::Live => 1,
        ReversalState::Dead => 2,
    }
}

/// For amounts that are not negative.
pub fn rounded(n: i128, d: i128, rounding: Rounding) -> i128 {
    match rounding {
        Rounding::Floor => n / d,
        Rounding::HalfUp => (2 * n + d) / (2 * d),
        Rounding::HalfEven => {
            let up = (2 * n + d) / (2 * d);
            if (2 * n + d) % (2 * d) == 0 && up % 2 == 1 { up - 1 } else { up }
        }
    }
}
