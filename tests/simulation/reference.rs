//! The reference model: what every record of `ingest` must come to, and what partners must then have earned. Plain maps,
//! one pass in log order, no code of the engine.
use crate::versions::whole_units;
use crate::workload::{Request, Said};
use std::collections::{BTreeMap, BTreeSet};

/// What one record asks for.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    Request(Request),
    Retry(Request),
    Code { program: String, code: String, active: bool },
    Rule { program: String, version: u32, rate_ppm: i64 },
    Program { program: String },
    Partner { program: String, partner: String },
    Other,
}

/// A sale that was applied.
#[derive(Debug, Clone)]
struct Sold {
    partner: Option<String>,
    rate_ppm: i64,
    base: i64,
}

/// A sale's name: program, source, id.
pub(crate) type Name = (String, &'static str, String);

#[derive(Debug, Default)]
pub(crate) struct Reference {
    programs: BTreeSet<String>,
    partners: BTreeSet<(String, String)>,
    codes: BTreeMap<(String, String), bool>,
    rules: BTreeMap<String, (u32, i64)>,
    said: BTreeMap<Name, (String, i64)>,
    sold: BTreeMap<Name, Sold>,
    refunds: BTreeMap<Name, BTreeMap<String, i64>>,
    refund_ids: BTreeSet<(String, String)>,
}

impl Reference {
    /// What becomes of the next record, which was decided by `version`: the verdict's word, none for configuration.
    pub(crate) fn next(&mut self, asked: &Asked, version: u32) -> Option<&'static str> {
        match asked {
            Asked::Request(request) | Asked::Retry(request) => Some(self.request(request, version)),
            Asked::Partner { program, partner } => {
                if self.programs.contains(program) {
                    self.partners.insert((program.clone(), partner.clone()));
                }
                None
            }
            Asked::Code { program, code, active } => {
                // A code of the same name as its partner, who must be there.
                let name = (program.clone(), code.clone());
                if self.partners.contains(&name) {
                    self.codes.insert(name, *active);
                }
                None
            }
            Asked::Rule { program, version, rate_ppm } => {
                // Only the next version is taken: no late copy of an earlier one.
                let rule = self.rules.entry(program.clone()).or_default();
                if self.programs.contains(program) && *version == rule.0 + 1 {
                    *rule = (*version, *rate_ppm);
                }
                None
            }
            Asked::Program { program } => {
                self.programs.insert(program.clone());
                None
            }
            Asked::Other => None,
        }
    }

    fn request(&mut self, request: &Request, version: u32) -> &'static str {
        match &request.said {
            Said::Defect { for_ever, .. } if *for_ever || version < 2 => "quarantined",
            _ if !self.programs.contains(&request.program) => "quarantined",
            Said::Sale { id, code, base, referral } => {
                self.sale(&request.program, id, code, *base, *referral)
            }
            Said::Defect { id, code, base, .. } => self.sale(&request.program, id, code, *base, true),
            Said::Refund { id, sale, base } => {
                if !self.refund_ids.insert((request.program.clone(), id.clone())) {
                    return "duplicate";
                }
                let sale = (request.program.clone(), "paddle", sale.clone());
                self.refunds.entry(sale).or_default().insert(id.clone(), *base);
                "applied"
            }
        }
    }

    fn sale(&mut self, program: &str, id: &str, code: &str, base: i64, referral: bool) -> &'static str {
        let name = (program.to_owned(), if referral { "revshare" } else { "paddle" }, id.to_owned());
        let active = self.codes.get(&(program.to_owned(), code.to_owned())).copied().unwrap_or_default();
        let said = (code.to_owned(), base);
        match self.said.get(&name) {
            Some(before) if *before == said => return "duplicate",
            _ if referral && !active => return "ignored",
            Some(_) => return "quarantined",
            None => self.said.insert(name.clone(), said),
        };
        let rate_ppm = self.rules.get(program).map_or(0, |(_, rate)| *rate);
        self.sold.insert(name, Sold { partner: active.then(|| code.to_owned()), rate_ppm, base });
        "applied"
    }

    /// What each partner has in all, by (program, partner), when `version_of` says which logic computed a sale.
    pub(crate) fn balances(
        &self,
        version_of: impl Fn(&Name) -> Option<u32>,
    ) -> Result<BTreeMap<(String, String), i128>, String> {
        let mut balances = BTreeMap::new();
        for (name, sold) in &self.sold {
            let version = version_of(name).ok_or_else(|| format!("sale {name:?} was never recorded"))?;
            let Some(partner) = &sold.partner else { continue };
            let base = if version > 1 { whole_units(sold.base) } else { sold.base };
            let refunded: i64 = self.refunds.get(name).map_or(0, |refunds| refunds.values().sum());
            let left = i128::from((base - refunded).max(0));
            let earned = half_even(left * i128::from(sold.rate_ppm));
            *balances.entry((name.0.clone(), partner.clone())).or_default() += earned;
        }
        balances.retain(|_, earned| *earned != 0);
        Ok(balances)
    }
}

/// `millionths / 1,000,000`, ties to even.
const fn half_even(millionths: i128) -> i128 {
    let (whole, rest) = (millionths / 1_000_000, millionths % 1_000_000);
    if rest > 500_000 || (rest == 500_000 && whole % 2 == 1) { whole + 1 } else { whole }
}
