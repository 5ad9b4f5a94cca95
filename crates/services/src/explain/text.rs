//! An explanation for people. What senders wrote is shown without control characters: it must not move a terminal's cursor,
//! and a line break in a code must not write a line that looks like ours.
use super::{
    Arithmetic, Cap, Change, Considered, Decision, Event, Explanation, Fact, Leg, Standing, Step, Terms,
};

/// One paragraph per step.
pub(super) fn of(explanation: &Explanation) -> String {
    let mut out = Text::default();
    let Explanation { program_id, source, external_ids, sale_id, commission, commissions, steps } =
        explanation;
    let names = external_ids.join(", ");
    match commission {
        Some(now) => {
            out.line(0, &format!("commission {} for {} in {program_id}", now.commission_id, now.partner_id));
            let kind = explanation.kind();
            match (now.origin, sale_id) {
                ("conversion", id) => out.line(
                    0,
                    &format!("{kind} {} ({source} {names})", id.as_deref().unwrap_or("not here yet")),
                ),
                (origin, _) => out.line(0, &format!("{origin}, made by a person ({source} {names})")),
            }
            if let Some(part) = now.part {
                let others = commissions.iter().filter(|other| other.commission_id != now.commission_id);
                out.line(0, &format!("part {part} of a divided {kind}{}", parts(others)));
            }
            out.line(
                0,
                &format!(
                    "now {}: gross {} - reversed {} = net {} {} (minor units); holds: {}",
                    now.status,
                    now.gross_minor,
                    now.reversed_minor,
                    now.net_minor,
                    now.currency,
                    list(&now.holds)
                ),
            );
            out.line(0, &format!("accounts: {}", legs(&now.accounts)));
        }
        None => {
            out.line(0, &format!("no commission in {program_id} for {source} {names}"));
            out.line(0, &format!("{} {}", explanation.kind(), sale_id.as_deref().unwrap_or("not here yet")));
        }
    }
    for (number, step) in steps.iter().enumerate() {
        out.line(0, "");
        self::step(&mut out, number + 1, step, commissions.len() > 1);
    }
    out.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, indent: usize, line: &str) {
        let line: String = line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        if !line.is_empty() {
            self.0.extend(std::iter::repeat_n(' ', indent));
        }
        self.0.push_str(&line);
        self.0.push('\n');
    }
}

fn step(out: &mut Text, number: usize, step: &Step, several: bool) {
    let place = [
        ("ingest", step.place.ingest),
        ("facts", step.place.facts),
        ("attributed", step.place.attributed),
        ("commissions", step.place.commissions),
    ];
    let place: Vec<String> =
        place.iter().filter_map(|(topic, at)| Some(format!("{topic} {}", (*at)?))).collect();
    let place = place.join(" -> ");
    out.line(
        0,
        &format!("{number}. {} {} (partition {}: {place})", step.at, step.cause, step.place.partition),
    );
    if let Some(raw) = &step.raw {
        let resource = if raw.resource.is_empty() { String::new() } else { format!(" {}", raw.resource) };
        out.line(
            3,
            &format!(
                "received {} from {}{resource}, authenticated by {}, {} bytes, sha256 {}",
                raw.received_at, raw.source, raw.authenticated_by, raw.bytes, raw.sha256
            ),
        );
        if let Some(body) = &raw.body {
            for line in body.lines() {
                out.line(3, &format!("body {line}"));
            }
        }
    }
    if let Some(verdict) = &step.verdict {
        let mut line =
            format!("{}: event {} (delivery {})", verdict.verdict, verdict.event_id, verdict.delivery_key);
        for more in [&verdict.reason, &verdict.detail] {
            if !more.is_empty() {
                line.push_str(", ");
                line.push_str(more);
            }
        }
        out.line(3, &line);
    }
    step.facts.iter().for_each(|fact| self::fact(out, fact));
    step.decisions.iter().for_each(|decision| self::decision(out, decision));
    step.events.iter().for_each(|event| self::event(out, event, several));
}

fn fact(out: &mut Text, fact: &Fact) {
    let says: Vec<String> = fact.says.iter().map(|(what, value)| format!("{what} {value}")).collect();
    out.line(
        3,
        &format!(
            "fact {} {} ({}, {}): {}",
            fact.kind,
            fact.object_id,
            fact.state,
            fact.occurred_at,
            says.join(", ")
        ),
    );
}

fn decision(out: &mut Text, decision: &Decision) {
    let late = if decision.late { "late " } else { "" };
    match (&decision.partner_id, decision.by) {
        (Some(partner), Some(by)) => out.line(3, &format!("{late}attribution: {partner} earns, by {by}")),
        _ => out.line(3, &format!("{late}attribution: nobody earns, {}", decision.reason)),
    }
    for (place, share) in decision.shares.iter().enumerate() {
        let all: u64 = decision.shares.iter().map(|share| u64::from(share.weight)).sum();
        out.line(5, &format!("share {}: {} has {} of {all}", place + 1, share.partner_id, share.weight));
    }
    if let Some(customer) = &decision.customer_id {
        let bound = if decision.binds { ", bound to the partner by this sale" } else { "" };
        out.line(5, &format!("customer {customer}{bound}"));
    }
    for touch in &decision.touches {
        let names = touch.partner_id.as_deref().unwrap_or("nobody");
        let result = if touch.won { "won".to_owned() } else { format!("lost: {}", touch.lost_because) };
        let reference =
            if touch.reference.is_empty() { String::new() } else { format!(" {}", touch.reference) };
        out.line(5, &format!("touch {}{reference} -> {names}: {result}", touch.class));
    }
}

fn event(out: &mut Text, event: &Event, several: bool) {
    match event {
        Event::Sale { kind, partner_id, reason, currency, gross_minor, base_minor } => {
            let earns =
                partner_id.as_deref().map_or_else(|| format!("nobody earns: {reason}"), str::to_owned);
            out.line(
                3,
                &format!("{kind} recorded: paid {gross_minor} {currency}, base {base_minor}, {earns}"),
            );
        }
        Event::Reversal { family, object_id, state, currency, gross_minor, net_minor, result } => {
            let net = net_minor.map_or_else(String::new, |net| format!(", net {net}"));
            out.line(
                3,
                &format!("{family} {object_id} recorded: {state}, {gross_minor} {currency}{net}, {result}"),
            );
        }
        Event::Link { aliases } => out.line(3, &format!("also known as {}", aliases.join(", "))),
        Event::Cancelled { subscription_id, ended_at } => {
            out.line(3, &format!("subscription {subscription_id} ended {ended_at}"));
        }
        Event::Commission(change) => self::change(out, change, several),
    }
}

fn change(out: &mut Text, change: &Change, is_one_of_several: bool) {
    let whose = if is_one_of_several { format!(" of {}", change.partner_id) } else { String::new() };
    if let Some(terms) = &change.terms {
        let approval = if terms.manual_approval { "by a person" } else { "automatic" };
        let what = match terms.origin {
            "conversion" => {
                format!("rule {} version {}, rounding {}", terms.rule_id, terms.rule_version, terms.rounding)
            }
            origin => format!("{origin} of {:+} {}", change.gross_minor, change.currency),
        };
        let how = match change.kind.as_str() {
            "repriced" => "priced again by an accepted what-if",
            _ => "terms frozen",
        };
        out.line(3, &format!("{how}: {what}, hold until {}, approval {approval}", terms.hold_until));
        if let Some(split) = &terms.split {
            out.line(
                5,
                &format!(
                    "part {} of {}, by weights {}, of the whole {} {}",
                    split.part,
                    split.weights.len(),
                    weights(&split.weights),
                    split.whole_minor,
                    change.currency
                ),
            );
        }
        self::terms(out, terms, change);
    }
    if let Some(arithmetic) = &change.arithmetic {
        self::arithmetic(out, arithmetic, &change.currency);
    }
    let cause = change.cause_event_id.as_deref().unwrap_or("the clock");
    let reason =
        if change.reason.is_empty() { String::new() } else { format!(", because {}", change.reason) };
    out.line(
        3,
        &format!(
            "commission {}{whose}: delta {:+} {} -> net {}, {}, by {} ({cause}){reason}",
            change.kind, change.delta_minor, change.currency, change.net_minor, change.status, change.actor
        ),
    );
    for (what, holds) in [("added", &change.holds_added), ("released", &change.holds_released)] {
        if !holds.is_empty() {
            out.line(5, &format!("holds {what}: {}", holds.join(", ")));
        }
    }
    if !change.postings.is_empty() {
        out.line(5, &format!("postings: {}", legs(&change.postings)));
    }
}

/// The rules that were passed over, and what caps left of it.
fn terms(out: &mut Text, terms: &Terms, change: &Change) {
    for passed in &terms.considered {
        let Considered { rule_id, rule_version, why, .. } = passed;
        let condition = |(field, operator)| format!(": {field} {operator} is false");
        let false_one = passed.field.as_ref().zip(passed.operator.as_ref()).map(condition);
        let false_one = false_one.unwrap_or_default();
        out.line(5, &format!("rule {rule_id} version {rule_version} did not win, by {why}{false_one}"));
    }
    if terms.considered_more > 0 {
        out.line(5, &format!("{} more rules did not win", terms.considered_more));
    }
    for cap in &terms.caps {
        let whose = if cap.of.is_empty() { String::new() } else { format!(" {}", cap.of) };
        let Cap { rule_id, scope, period, limit_minor, currency, .. } = cap;
        out.line(
            5,
            &format!("cap of rule {rule_id} for {scope}{whose}, {period}: at most {limit_minor} {currency}"),
        );
    }
    if terms.uncapped_minor != change.gross_minor {
        out.line(
            5,
            &format!(
                "without caps {}, with them gross {} {}",
                terms.uncapped_minor, change.gross_minor, change.currency
            ),
        );
    }
}

fn arithmetic(out: &mut Text, numbers: &Arithmetic, currency: &str) {
    out.line(3, "arithmetic:");
    if let Some(flat) = &numbers.flat {
        out.line(
            5,
            &format!(
                "flat reward {} {}; {} of base {} {} taken back, rule {} -> net {}",
                flat.amount_minor,
                flat.currency,
                flat.taken_minor,
                flat.base_minor,
                numbers.base_currency,
                flat.on_refund,
                numbers.division.as_ref().map_or(numbers.net_minor, |division| division.net_minor)
            ),
        );
        division(out, numbers, currency);
        return;
    }
    let several = numbers.slices.iter().any(|slice| Some(slice.rule_id.as_str()) != first_rule(numbers));
    for slice in &numbers.slices {
        let mut name = if slice.line_id.is_empty() {
            "whole sale".to_owned()
        } else {
            format!("line {}", slice.line_id)
        };
        if slice.higher_band {
            name.push_str(", next band");
        }
        if several {
            name.push_str(&format!(", rule {} version {}", slice.rule_id, slice.rule_version));
        }
        out.line(
            5,
            &format!(
                "{name}: base {} - taken {} = {} {} x {} ppm = {}",
                slice.base_minor,
                slice.taken_minor,
                slice.left_minor,
                numbers.base_currency,
                slice.rate_ppm,
                i128::from(slice.left_minor) * i128::from(slice.rate_ppm)
            ),
        );
    }
    out.line(
        5,
        &format!(
            "sum {} / {} rounded {} = {}",
            numbers.sum, numbers.divisor, numbers.rounding, numbers.rounded_minor
        ),
    );
    match &numbers.division {
        Some(_) => division(out, numbers, currency),
        None => out.line(
            5,
            &format!("at most gross {} -> net {} {currency}", numbers.gross_minor, numbers.net_minor),
        ),
    }
}

/// How the whole is divided, and which part this is.
fn division(out: &mut Text, numbers: &Arithmetic, currency: &str) {
    let Some(division) = &numbers.division else { return };
    let parts: Vec<String> = division.parts_minor.iter().map(ToString::to_string).collect();
    out.line(
        5,
        &format!(
            "at most the whole {} -> {} {currency}, divided by weights {} into {}",
            division.whole_minor,
            division.net_minor,
            weights(&division.weights),
            parts.join(", ")
        ),
    );
    out.line(
        5,
        &format!(
            "part {}, at most gross {} -> net {} {currency}",
            division.part, numbers.gross_minor, numbers.net_minor
        ),
    );
}

fn weights(weights: &[u32]) -> String {
    let weights: Vec<String> = weights.iter().map(ToString::to_string).collect();
    weights.join(", ")
}

/// The other parts, by their commissions.
fn parts<'a>(others: impl Iterator<Item = &'a Standing>) -> String {
    let others: Vec<String> =
        others.map(|other| format!("{} for {}", other.commission_id, other.partner_id)).collect();
    if others.is_empty() { String::new() } else { format!("; the others: {}", others.join(", ")) }
}

fn first_rule(numbers: &Arithmetic) -> Option<&str> {
    numbers.slices.first().map(|slice| slice.rule_id.as_str())
}

fn legs(legs: &[Leg]) -> String {
    let legs: Vec<String> =
        legs.iter().map(|leg| format!("{} {:+} {}", leg.account, leg.amount_minor, leg.currency)).collect();
    if legs.is_empty() { "none".to_owned() } else { legs.join(", ") }
}

fn list(holds: &[String]) -> String {
    if holds.is_empty() { "none".to_owned() } else { holds.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sender_wrote_stays_on_its_line() {
        let mut out = Text::default();
        out.line(3, "touch code A\r\n   postings: available +9 USD\u{1b}[1A -> nobody");
        assert_eq!(
            out.0,
            "   touch code A\u{fffd}\u{fffd}   postings: available +9 USD\u{fffd}[1A -> nobody\n"
        );
    }
}
