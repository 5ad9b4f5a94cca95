//! The answer of `replay --what-if`, for people and for machines.
use super::accept::Accepted;
use crate::report::table;
use domain::commission::forecast::{Change, Left};
use domain::rules::RuleRef;
use serde::Serialize;
use services::shadow::{Answer, WhatIf};

/// Commissions that are listed for people; machines get all.
const SHOWN: usize = 50;

/// A stable form: fields are only added.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    program_ids: Vec<String>,
    since: Option<String>,
    /// Rules that are other than in force.
    rules: Vec<OtherRule>,
    /// Commissions that were compared.
    compared: u64,
    /// Of these, those whose N would be other.
    changed: usize,
    deltas: Vec<PartnerDelta>,
    commissions: Vec<Changed>,
    /// What the rules would change, and what stays as it is all the same.
    left: Vec<LeftOut>,
    accepted: Option<Accepted>,
}

#[derive(Debug, Serialize)]
struct OtherRule {
    program_id: String,
    rule_id: String,
    /// The version that it would get; none: it is removed.
    version: Option<u32>,
}

#[derive(Debug, Serialize)]
struct PartnerDelta {
    program_id: String,
    partner_id: String,
    currency: String,
    commissions: u64,
    from_minor: i128,
    to_minor: i128,
    delta_minor: i128,
}

#[derive(Debug, Serialize)]
struct Changed {
    commission_id: String,
    program_id: String,
    sale_id: String,
    source: String,
    external_id: String,
    partner_id: String,
    currency: String,
    /// None: it is not there yet.
    status: Option<&'static str>,
    from_minor: i64,
    to_minor: i64,
    delta_minor: i128,
    rule_from: Option<Named>,
    rule_to: Option<Named>,
    /// Why no rule would pay it.
    why: String,
}

#[derive(Debug, Serialize)]
struct Named {
    rule_id: String,
    version: u32,
}

#[derive(Debug, Serialize)]
struct LeftOut {
    program_id: String,
    commission_id: String,
    why: &'static str,
}

impl Report {
    pub(super) fn of(answer: &Answer, asked: &WhatIf, accepted: Option<Accepted>) -> Self {
        let forecast = &answer.forecast;
        let rules = answer.rules.iter().map(|change| OtherRule {
            program_id: change.program.0.clone(),
            rule_id: change.rule.0.clone(),
            version: change.version,
        });
        let deltas = forecast.deltas().into_iter().map(|delta| PartnerDelta {
            program_id: delta.program.0,
            partner_id: delta.partner.0,
            currency: delta.currency.code().to_owned(),
            commissions: delta.commissions,
            from_minor: delta.from,
            to_minor: delta.to,
            delta_minor: delta.delta,
        });
        let left = forecast.left.iter().map(|Left { program, commission, why }| LeftOut {
            program_id: program.0.clone(),
            commission_id: commission.0.clone(),
            why,
        });
        Self {
            program_ids: asked.rules.keys().map(|program| program.0.clone()).collect(),
            since: asked.since.and_then(sources::moment::written),
            rules: rules.collect(),
            compared: forecast.compared,
            changed: forecast.changes.len(),
            deltas: deltas.collect(),
            commissions: forecast.changes.iter().map(changed).collect(),
            left: left.collect(),
            accepted,
        }
    }

    pub(super) fn to_text(&self) -> String {
        let mut out = vec![self.about_rules(), String::new()];
        if self.deltas.is_empty() {
            out.push(format!("nothing would change in {} commissions", self.compared));
        } else {
            out.push(table(&self.lines_of_deltas(), 3));
            out.push(String::new());
            out.push(table(&self.lines_of_commissions(), 7));
            if self.commissions.len() > SHOWN {
                let more = self.commissions.len() - SHOWN;
                out.push(format!("(and {more} more; --json has all)"));
            }
            let (changed, compared) = (self.changed, self.compared);
            out.push(format!("{changed} of {compared} commissions would change (amounts in minor units)"));
        }
        for left in &self.left {
            out.push(format!("stays as it is: {} ({})", left.commission_id, left.why));
        }
        match &self.accepted {
            None if self.deltas.is_empty() => {}
            None => out.push("nothing was written; --accept asks the ledger for it".to_owned()),
            Some(accepted) => {
                out.push(format!("accepted: {} taken, {} skipped", accepted.taken, accepted.skipped.len()));
                let skipped = accepted.skipped.iter();
                out.extend(
                    skipped.map(|skipped| format!("skipped: {} ({})", skipped.commission_id, skipped.why)),
                );
            }
        }
        out.join("\n")
    }

    fn about_rules(&self) -> String {
        if self.rules.is_empty() {
            return "the rules are those in force".to_owned();
        }
        let named = self.rules.iter().map(|rule| match rule.version {
            Some(version) => format!("{}/{} version {version}", rule.program_id, rule.rule_id),
            None => format!("{}/{} removed", rule.program_id, rule.rule_id),
        });
        let since =
            self.since.as_ref().map_or_else(|| "from the start".to_owned(), |since| format!("since {since}"));
        format!("other rules, {since}: {}", named.collect::<Vec<_>>().join(", "))
    }

    fn lines_of_deltas(&self) -> Vec<Vec<String>> {
        let head = ["program", "partner", "currency", "commissions", "from", "to", "delta"];
        let rows = self.deltas.iter().map(|delta| {
            vec![
                delta.program_id.clone(),
                delta.partner_id.clone(),
                delta.currency.clone(),
                delta.commissions.to_string(),
                delta.from_minor.to_string(),
                delta.to_minor.to_string(),
                format!("{:+}", delta.delta_minor),
            ]
        });
        std::iter::once(head.map(str::to_owned).to_vec()).chain(rows).collect()
    }

    fn lines_of_commissions(&self) -> Vec<Vec<String>> {
        let head = [
            "commission",
            "sale",
            "partner",
            "status",
            "rule",
            "rule then",
            "currency",
            "from",
            "to",
            "delta",
        ];
        let rule = |rule: &Option<Named>, none: &str| match rule {
            Some(Named { rule_id, version }) => format!("{rule_id} {version}"),
            None => none.to_owned(),
        };
        let rows = self.commissions.iter().take(SHOWN).map(|one| {
            vec![
                one.commission_id.clone(),
                one.external_id.clone(),
                one.partner_id.clone(),
                one.status.unwrap_or("new").to_owned(),
                rule(&one.rule_from, "-"),
                rule(&one.rule_to, if one.why.is_empty() { "-" } else { &one.why }),
                one.currency.clone(),
                one.from_minor.to_string(),
                one.to_minor.to_string(),
                format!("{:+}", one.delta_minor),
            ]
        });
        std::iter::once(head.map(str::to_owned).to_vec()).chain(rows).collect()
    }
}

fn changed(change: &Change) -> Changed {
    let reprice = &change.reprice;
    let named = |rule: &RuleRef| Named { rule_id: rule.rule.0.clone(), version: rule.version };
    Changed {
        commission_id: change.commission.0.clone(),
        program_id: change.program.0.clone(),
        sale_id: change.sale_id.0.clone(),
        source: reprice.sale.source.0.clone(),
        external_id: reprice.sale.external_id.clone(),
        partner_id: reprice.partner.0.clone(),
        currency: reprice.currency.code().to_owned(),
        status: change.status.map(domain::commission::CommissionStatus::name),
        from_minor: reprice.expected_net.0,
        to_minor: reprice.net.0,
        delta_minor: change.delta(),
        rule_from: change.was.as_ref().map(named),
        rule_to: change.will.as_ref().map(named),
        why: change.why.clone(),
    }
}
