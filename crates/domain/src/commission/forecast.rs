//! What if the rules had been others? A shadow of the ledger decides the same facts under them; where its terms give a
//! commission another N than it has, that is the forecast. Nothing is written: [`Change::command`] asks the ledger for it.
//!
//! Only terms are taken from the shadow. What a commission is now, and which refunds of its sale count, the real fold says.
use super::live::outcome;
use super::reprice::worthless;
use super::rulebook::RuleRow;
use super::state::{CommissionRow, ProgramRow, SaleRow, program_key, programs, rule_key, sale_key, sales};
use super::{
    CommissionInput, CommissionStatus, CommissionsEvent, Origin, SaleRecorded, Terms, decide, evolve,
};
use crate::attribution::{AttributedEvent, SaleKey};
use crate::config::{ConfigFact, ConfigObject, Rule};
use crate::facts::{Command, CommandKind, Fact, FactBody, Reprice};
use crate::ids::{CommissionId, Hash, PartnerId, ProgramId, RuleId, SaleId};
use crate::money::{AmountOutOfRange, Currency, Minor};
use crate::normalization::FactsEvent;
use crate::rules::RuleRef;
use crate::tables::{Key, MemoryTables, View, decode, row};
use crate::time::Micros;
use serde::Serialize;
use std::collections::BTreeMap;

/// Rows that are read at once.
const PAGE: usize = 500;

/// The rules of a program as they stand, the oldest first.
#[must_use]
pub fn rules_in_force(real: &dyn View, program: &ProgramId) -> Vec<Rule> {
    rows_of_rules(real, program).into_iter().filter_map(|(_, row)| row.rule).collect()
}

/// The programs that a fold knows.
#[must_use]
pub fn programs_of(real: &dyn View) -> Vec<ProgramId> {
    let mut found = Vec::new();
    each_row(real, &programs(), |key, _| found.extend(text_after(&programs(), key).map(ProgramId)));
    found.retain(|program| {
        let known: Option<ProgramRow> = row(real, program_key(program).bytes());
        known.is_some_and(|known| known.settings.is_some())
    });
    found
}

/// Every rule that a program ever had, by its order.
fn rows_of_rules(real: &dyn View, program: &ProgramId) -> Vec<(RuleId, RuleRow)> {
    let under = rule_key(program, &RuleId::default());
    // The key of no name ends with the end of the name.
    let under = Key::of(under.bytes().split_last().map_or(&[][..], |(_, rest)| rest));
    let mut rules = Vec::new();
    each_row(real, &under, |key, value| {
        rules.extend(text_after(&under, key).map(|id| (RuleId(id), decode::<RuleRow>(value))));
    });
    rules.sort_by_key(|(_, row)| row.order);
    rules
}

fn each_row(view: &dyn View, under: &Key, mut each: impl FnMut(&[u8], &[u8])) {
    let (mut start, end) = (under.bytes().to_vec(), under.end());
    loop {
        let page = view.range(&start, &end, PAGE);
        page.iter().for_each(|(key, value)| each(key, value));
        let Some((last, _)) = page.last().filter(|_| page.len() >= PAGE) else { return };
        start = last.to_vec();
        start.push(0);
    }
}

/// The text that follows `before` in a key.
fn text_after(before: &Key, key: &[u8]) -> Option<String> {
    let rest = key.strip_prefix(before.bytes())?;
    let text = rest.split(|byte| *byte == 0).next()?;
    String::from_utf8(text.to_vec()).ok()
}

/// Other rules in place of those in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    programs: BTreeMap<ProgramId, Replaced>,
    since: Option<Micros>,
}

/// What is other in one program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Replaced {
    /// Every rule that it ever had, in their order: between equal rules the older one wins, also in the shadow.
    known: Vec<RuleId>,
    /// What is in place of a rule's history; `None`: nothing.
    rules: BTreeMap<RuleId, Option<Rule>>,
}

impl Plan {
    /// Compares rules with those in force. Programs that `wanted` does not name stay as they are. A rule that is the same keeps
    /// its history; another one is in the place of its history from the start, or from `since` on.
    #[must_use]
    pub fn between(
        real: &dyn View,
        wanted: &BTreeMap<ProgramId, BTreeMap<RuleId, Rule>>,
        since: Option<Micros>,
    ) -> Self {
        let mut programs = BTreeMap::new();
        for (program, wanted) in wanted {
            let rows = rows_of_rules(real, program);
            let mut rules = BTreeMap::new();
            for (id, rule) in wanted {
                let before =
                    rows.iter().find(|(known, _)| known == id).and_then(|(_, row)| row.rule.as_ref());
                if before.is_none_or(|before| !says_the_same(before, rule)) {
                    // The version that it would get.
                    let version = before.map_or(0, |before| before.version).saturating_add(1);
                    rules.insert(id.clone(), Some(Rule { version, ..rule.clone() }));
                }
            }
            let gone = rows.iter().filter(|(id, row)| row.rule.is_some() && !wanted.contains_key(id));
            rules.extend(gone.map(|(id, _)| (id.clone(), None)));
            if !rules.is_empty() {
                let known = rows.into_iter().map(|(id, _)| id).collect();
                programs.insert(program.clone(), Replaced { known, rules });
            }
        }
        Self { programs, since }
    }

    /// The rules that are other: program, rule, and what it would be; `None`: removed.
    pub fn changes(&self) -> impl Iterator<Item = (&ProgramId, &RuleId, Option<&Rule>)> {
        self.programs.iter().flat_map(|(program, replaced)| {
            replaced.rules.iter().map(move |(id, rule)| (program, id, rule.as_ref()))
        })
    }

    fn replaces(&self, fact: &ConfigFact) -> bool {
        let ConfigObject::Rule(rule) = &fact.object else { return false };
        self.programs.get(&fact.program).is_some_and(|replaced| replaced.rules.contains_key(&rule.rule))
    }
}

fn says_the_same(one: &Rule, other: &Rule) -> bool {
    one.reward == other.reward && one.tiers == other.tiers && one.clauses == other.clauses
}

/// The ledger as it would be under the rules of a plan.
#[derive(Debug)]
pub struct Shadow<'plan> {
    plan: &'plan Plan,
    tables: MemoryTables,
    is_pinned: bool,
    is_placed: bool,
}

impl<'plan> Shadow<'plan> {
    /// Before the first frame.
    #[must_use]
    pub fn new(plan: &'plan Plan) -> Self {
        Self { plan, tables: MemoryTables::default(), is_pinned: false, is_placed: false }
    }

    /// Its fold so far.
    #[must_use]
    pub const fn tables(&self) -> &MemoryTables {
        &self.tables
    }

    /// Decides and folds one frame of `attributed`, all its steps.
    pub fn frame(&mut self, input: &CommissionInput<'_>) {
        self.place(input.clock);
        let is_other = |event: &AttributedEvent| match event {
            AttributedEvent::Passed { event: FactsEvent::Config(fact), .. } => {
                self.is_placed && self.plan.replaces(fact)
            }
            AttributedEvent::Passed { event: FactsEvent::Fact(fact), .. } => self.is_overruled(fact),
            _ => false,
        };
        if input.events.iter().any(is_other) {
            let events: Vec<_> = input.events.iter().filter(|event| !is_other(event)).cloned().collect();
            decided(&mut self.tables, &CommissionInput { events: &events, ..*input }, |_| ());
        } else {
            decided(&mut self.tables, input, |_| ());
        }
    }

    /// Whether a fact prices a commission again that another rule prices here: the plan is asked, not what was accepted before.
    fn is_overruled(&self, fact: &Fact) -> bool {
        let (FactBody::Command(command), Some(replaced)) =
            (&fact.body, self.plan.programs.get(&fact.program))
        else {
            return false;
        };
        let Some(reprice) = &command.reprice else { return false };
        let sale: Option<SaleRow> = row(&self.tables, sale_key(&fact.program, &reprice.sale).bytes());
        let terms = sale.as_ref().and_then(|sale| sale.commission(&command.commission)).map(|row| &row.terms);
        terms.is_some_and(|terms| {
            let slices = terms.slices.iter().filter_map(|slice| slice.rule.as_ref()).map(|named| &named.rule);
            slices.chain([&terms.rule]).any(|rule| replaced.rules.contains_key(rule))
        })
    }

    /// Sets the plan's rules once their time has come.
    fn place(&mut self, clock: Micros) {
        let plan = self.plan;
        if !self.is_pinned {
            self.is_pinned = true;
            for (program, replaced) in &plan.programs {
                for id in &replaced.known {
                    let rule = Rule { rule: id.clone(), ..Rule::default() };
                    self.set(program, &rule, false, clock);
                    self.set(program, &rule, true, clock);
                }
            }
        }
        if self.is_placed || plan.since.is_some_and(|since| clock < since) {
            return;
        }
        self.is_placed = true;
        for (program, id, rule) in plan.changes() {
            match rule {
                Some(rule) => self.set(program, rule, false, clock),
                None => self.set(program, &Rule { rule: id.clone(), ..Rule::default() }, true, clock),
            }
        }
    }

    fn set(&mut self, program: &ProgramId, rule: &Rule, removed: bool, clock: Micros) {
        let object = ConfigObject::Rule(rule.clone());
        let fact = ConfigFact { program: program.clone(), actor: String::new(), object, removed };
        evolve(&mut self.tables, clock, &[CommissionsEvent::Config(fact)]);
    }
}

/// Decides and folds all steps of a frame, and shows each step's events.
pub(super) fn decided(
    tables: &mut MemoryTables,
    input: &CommissionInput<'_>,
    mut each: impl FnMut(&[CommissionsEvent]),
) {
    for step in 0..=u32::MAX {
        let (events, more) = decide(tables, input, step);
        evolve(tables, input.clock, &events);
        each(&events);
        if !more {
            return;
        }
    }
}

/// A commission whose N would be other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Whose program.
    pub program: ProgramId,
    /// The commission; one that is not there yet has the id that it would get.
    pub commission: CommissionId,
    /// Its conversion record.
    pub sale_id: SaleId,
    /// Where it stands; `None`: it is not there yet.
    pub status: Option<CommissionStatus>,
    /// When it last moved, by the log.
    pub moved_at: Micros,
    /// The rule that pays it now.
    pub was: Option<RuleRef>,
    /// The rule that would; `None`: none.
    pub will: Option<RuleRef>,
    /// Why none would.
    pub why: String,
    /// What it would be.
    pub reprice: Reprice,
}

impl Change {
    /// By how much N would change.
    #[must_use]
    pub fn delta(&self) -> i128 {
        i128::from(self.reprice.net.0).saturating_sub(i128::from(self.reprice.expected_net.0))
    }

    /// What asks the ledger for it.
    #[must_use]
    pub fn command(&self, reason: &str, actor: &str) -> Command {
        Command {
            kind: CommandKind::Reprice,
            commission: self.commission.clone(),
            reason: reason.to_owned(),
            actor: actor.to_owned(),
            hold: String::new(),
            adjustment: None,
            reprice: Some(Box::new(self.reprice.clone())),
        }
    }

    /// Names the change: the same one of the same commission as it stands has the same name, so that to ask twice is to ask
    /// once. A commission that moved, even back to the same N, is another one.
    ///
    /// # Panics
    /// Never in practice: rows are plain data.
    #[must_use]
    #[allow(clippy::expect_used, reason = "plain data always encodes")]
    pub fn name(&self) -> String {
        let bytes = postcard::to_allocvec(&(&self.commission, self.moved_at, &self.reprice));
        let hash = Hash::of(&bytes.expect("plain data encodes"));
        let digits: String = hash.0.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("reprice/{digits}")
    }
}

/// A commission that the rules would change, and that stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// Whose program.
    pub program: ProgramId,
    /// The commission.
    pub commission: CommissionId,
    /// `other_currency`: the rules would pay it in another one. `amount_out_of_range`.
    pub why: &'static str,
}

/// What one partner gains or loses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delta {
    /// Whose program.
    pub program: ProgramId,
    /// Which partner.
    pub partner: PartnerId,
    /// Of all amounts.
    pub currency: Currency,
    /// How many commissions change.
    pub commissions: u64,
    /// Their N now, together.
    pub from: i128,
    /// Their N then.
    pub to: i128,
    /// The difference.
    pub delta: i128,
}

/// What would change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// Commissions that were compared.
    pub compared: u64,
    /// By program and sale.
    pub changes: Vec<Change>,
    /// What stays although the rules would change it.
    pub left: Vec<Left>,
}

impl Forecast {
    /// By program, partner and currency.
    #[must_use]
    pub fn deltas(&self) -> Vec<Delta> {
        let mut deltas: BTreeMap<_, Delta> = BTreeMap::new();
        for change in &self.changes {
            let Reprice { partner, currency, expected_net, net, .. } = &change.reprice;
            let of = (change.program.clone(), partner.clone(), *currency);
            let delta = deltas.entry(of).or_insert_with(|| Delta {
                program: change.program.clone(),
                partner: partner.clone(),
                currency: *currency,
                commissions: 0,
                from: 0,
                to: 0,
                delta: 0,
            });
            delta.commissions = delta.commissions.saturating_add(1);
            delta.from = delta.from.saturating_add(i128::from(expected_net.0));
            delta.to = delta.to.saturating_add(i128::from(net.0));
            delta.delta = delta.delta.saturating_add(change.delta());
        }
        deltas.into_values().collect()
    }

    /// Adds another one's findings.
    pub fn add(&mut self, other: Self) {
        self.compared = self.compared.saturating_add(other.compared);
        self.changes.extend(other.changes);
        self.left.extend(other.left);
    }
}

/// Compares the real fold with a shadow's; of `program` only where one is named.
#[must_use]
pub fn forecast(real: &dyn View, shadow: &dyn View, program: Option<&ProgramId>) -> Forecast {
    let mut found = Forecast::default();
    let under = program.map_or_else(sales, |program| sales().text(program.as_str()));
    each_row(real, &under, |key, value| {
        let now: SaleRow = decode(value);
        // A name of another payment: nothing is earned under it.
        let Some(sale) = now.sale.as_ref().filter(|_| now.root.is_none()) else { return };
        let then: SaleRow = row(shadow, key).unwrap_or_default();
        for commission in &now.commissions {
            if commission.terms.origin == Origin::Conversion {
                found.compared = found.compared.saturating_add(1);
                let other = then.commission(&commission.id);
                let why = then.sale.as_ref().map_or("", |sale| sale.reason.as_str());
                known(&mut found, sale, &now, commission, other.ok_or(why));
            }
        }
        for commission in then.commissions.iter().filter(|then| now.commission(&then.id).is_none()) {
            found.compared = found.compared.saturating_add(1);
            new(&mut found, sale, &now, commission);
        }
    });
    found
}

/// A commission that is there. What was rejected stays so.
fn known(
    found: &mut Forecast,
    sale: &SaleRecorded,
    row: &SaleRow,
    now: &CommissionRow,
    then: Result<&CommissionRow, &str>,
) {
    if now.status == CommissionStatus::Rejected {
        return;
    }
    let (gross, terms) = match then {
        Ok(then) if then.currency != now.currency => return left(found, sale, &now.id, "other_currency"),
        // Its time stays its own.
        Ok(CommissionRow { terms, gross, .. }) => {
            let Terms { hold_until, manual_approval, .. } = now.terms;
            (*gross, Terms { hold_until, manual_approval, ..terms.clone() })
        }
        Err(_) => (Minor::ZERO, worthless(&now.terms)),
    };
    let priced = CommissionRow { gross, terms, ..now.clone() };
    match nets(sale, row, now, &priced) {
        Err(AmountOutOfRange) => left(found, sale, &now.id, "amount_out_of_range"),
        Ok((from, to)) if from == to => {}
        Ok((from, to)) => found.changes.push(Change {
            program: sale.program.clone(),
            commission: now.id.clone(),
            sale_id: sale.id.clone(),
            status: Some(now.status),
            moved_at: now.changed_at,
            was: Some(rule_of(&now.terms)),
            will: then.is_ok().then(|| rule_of(&priced.terms)),
            why: then.err().unwrap_or_default().to_owned(),
            reprice: reprice(&sale.sale, priced, (from, to)),
        }),
    }
}

/// A commission that the sale would have earned.
fn new(found: &mut Forecast, sale: &SaleRecorded, row: &SaleRow, then: &CommissionRow) {
    match outcome(sale, then, &row.reversals) {
        Err(AmountOutOfRange) => left(found, sale, &then.id, "amount_out_of_range"),
        Ok(set) if set.net == Minor::ZERO => {}
        Ok(set) => found.changes.push(Change {
            program: sale.program.clone(),
            commission: then.id.clone(),
            sale_id: sale.id.clone(),
            status: None,
            moved_at: sale.recorded_at,
            was: None,
            will: Some(rule_of(&then.terms)),
            why: String::new(),
            reprice: reprice(&sale.sale, then.clone(), (Minor::ZERO, set.net)),
        }),
    }
}

fn nets(
    sale: &SaleRecorded,
    row: &SaleRow,
    now: &CommissionRow,
    then: &CommissionRow,
) -> Result<(Minor, Minor), AmountOutOfRange> {
    Ok((now.gross.minus(now.reversed)?, outcome(sale, then, &row.reversals)?.net))
}

/// Which rules did not win belongs to the decision of that time, not to a later one about it.
fn reprice(sale: &SaleKey, priced: CommissionRow, (from, to): (Minor, Minor)) -> Reprice {
    let terms = Terms { considered: Vec::new(), considered_more: 0, ..priced.terms };
    Reprice {
        sale: sale.clone(),
        partner: priced.partner,
        currency: priced.currency,
        expected_net: from,
        net: to,
        gross: priced.gross,
        terms,
    }
}

fn rule_of(terms: &Terms) -> RuleRef {
    RuleRef { rule: terms.rule.clone(), version: terms.rule_version }
}

fn left(found: &mut Forecast, sale: &SaleRecorded, commission: &CommissionId, why: &'static str) {
    let (program, commission) = (sale.program.clone(), commission.clone());
    found.left.push(Left { program, commission, why });
}
