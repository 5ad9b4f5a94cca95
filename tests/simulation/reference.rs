//! The reference model: what every record of `ingest` must come to, and what was said of money. Plain maps, one pass in log
//! order, no code of the engine.
use crate::decisions::{LEAD, named};
use crate::earnings;
use crate::workload::{Pays, Request, Said};
use std::collections::{BTreeMap, BTreeSet};

/// What one record asks for.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    Request(Request),
    Retry(Request),
    Code { program: String, code: String, active: bool },
    Rule { program: String, version: u32, pays: Pays },
    Leads { program: String },
    Program { program: String },
    Partner { program: String, partner: String },
    Other,
}

/// A sale's name: program, source, id.
pub(crate) type Name = (String, &'static str, String);

#[derive(Debug, Default)]
pub(crate) struct Reference {
    programs: BTreeSet<String>,
    partners: BTreeSet<(String, String)>,
    codes: BTreeMap<(String, String), bool>,
    rules: BTreeMap<String, (u32, Pays)>,
    /// Programs that pay for leads.
    leads: BTreeSet<String>,
    said: BTreeMap<Name, (String, i64)>,
    /// Refunds and decisions, by program.
    ids: BTreeSet<(String, String)>,
    /// What was applied, in order.
    pub(crate) money: Vec<earnings::Said>,
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
            Asked::Leads { program } => {
                if self.programs.contains(program) {
                    self.leads.insert(program.clone());
                }
                None
            }
            Asked::Rule { program, version, pays } => {
                // Only the next version is taken: no late copy of an earlier one.
                let rule = self.rules.entry(program.clone()).or_default();
                if self.programs.contains(program) && *version == rule.0 + 1 {
                    *rule = (*version, *pays);
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
            Said::Refund { id, sale, base } => self.once(&request.program, id, || earnings::Said::Refunded {
                sale: (request.program.clone(), "paddle", named(sale)),
                base: *base,
            }),
            Said::Decide { sale, referral, part, word, key, .. } => {
                let source = if *referral { "revshare" } else { "paddle" };
                self.once(&request.program, key, || earnings::Said::Decided {
                    sale: (request.program.clone(), source, named(sale)),
                    part: *part,
                    word: *word,
                })
            }
            Said::Give { partner, amount, key } => {
                self.once(&request.program, key, || earnings::Said::Given {
                    program: request.program.clone(),
                    partner: partner.clone(),
                    amount: *amount,
                })
            }
        }
    }

    /// Something with an id of its own.
    fn once(&mut self, program: &str, id: &str, money: impl FnOnce() -> earnings::Said) -> &'static str {
        if !self.ids.insert((program.to_owned(), id.to_owned())) {
            return "duplicate";
        }
        self.money.push(money());
        "applied"
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
        let pays = self.rules.get(program).map(|(_, pays)| *pays).unwrap_or_default();
        let earns = active && (!id.starts_with(LEAD) || self.leads.contains(program));
        let name = (name.0, name.1, named(id));
        let partner = earns.then(|| code.to_owned());
        self.money.push(earnings::Said::Sold { name, partner, pays, base });
        "applied"
    }
}
