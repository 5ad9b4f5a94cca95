//! The verdict on one `ingest` record.
use super::fold::{code_earns, code_partner, config_row, has_partner, index_row, indexed, mode, tick_counts};
use super::names::{Comparison, Names};
use super::{
    ConfigOutcome, Draft, FactsEvent, InputKind, NormalizerInput, Reading, ReplyAddress, Request, Verdict,
    VerdictKind, hash, text, validate,
};
use crate::config::{ConfigFact, ConfigObject, Mode};
use crate::facts::{Command, Fact, FactBody, Personal, ShareClaim, ShareOf};
use crate::ids::{EventId, Hash, PartnerId, ProgramId, SourceName, SubjectId};
use crate::payouts::{PayoutAct, PayoutCommand, PayoutDestination, WriteOff};
use crate::tables::{Key, View};
use crate::time::Micros;

/// Decides one `ingest` record. `None`: a tick that changes nothing leaves no frame.
///
/// The frame of an external request begins with its verdict; the facts that it applied follow.
#[must_use]
pub fn decide(view: &dyn View, index_key: &[u8; 32], input: NormalizerInput) -> Option<Vec<FactsEvent>> {
    match input.kind {
        InputKind::Tick => tick_counts(view, input.clock).then(|| vec![FactsEvent::Tick]),
        InputKind::Config(fact) => {
            Some(if changes(view, &fact) { vec![FactsEvent::Config(fact)] } else { Vec::new() })
        }
        InputKind::ConfigWrite { fact, reply_to, create_only } => {
            Some(configure(view, fact, reply_to, create_only))
        }
        InputKind::DefectRetry(retry) => Some(vec![FactsEvent::DefectRetry(retry)]),
        // Somebody else wrote to `ingest`: it belongs to no program, and is kept and shown like everything else.
        InputKind::Undecodable(detail) => {
            let (program, source) = (ProgramId::default(), SourceName::from("ingest"));
            let verdict = Verdict::on_unread(program, source, &input.source_head, "undecodable", detail);
            Some(vec![FactsEvent::Verdict(verdict)])
        }
        InputKind::Request(request) => Some(judge(view, index_key, &input.source_head, request, None)),
        InputKind::Retry { of_position, request } => {
            Some(judge(view, index_key, &input.source_head, request, Some(of_position)))
        }
    }
}

/// The change, when it is one, and in any case what became of it.
fn configure(
    view: &dyn View,
    fact: ConfigFact,
    reply_to: Option<ReplyAddress>,
    create_only: bool,
) -> Vec<FactsEvent> {
    let (program, key, actor) = (fact.program.clone(), fact.key(), fact.actor.clone());
    let (change, refused) = match validate::write(view, fact, create_only) {
        Ok(change) => (change, None),
        Err(refusal) => (None, Some(refusal)),
    };
    let changed = change.is_some();
    let outcome = ConfigOutcome { program, key, refused, changed, actor, reply_to };
    let change = change.map(FactsEvent::Config);
    change.into_iter().chain([FactsEvent::ConfigOutcome(outcome)]).collect()
}

/// Whether a configuration fact is acceptable and says something new. A program has one mode for life.
fn changes(view: &dyn View, fact: &ConfigFact) -> bool {
    if !text::config(fact) {
        return false;
    }
    let Some(known) = config_row(view, &fact.key()) else { return !fact.removed };
    if let (ConfigObject::Program(before), ConfigObject::Program(after)) = (&known.fact.object, &fact.object)
        && before.mode != after.mode
    {
        return false;
    }
    known.fact.removed != fact.removed || (!fact.removed && known.fact.object != fact.object)
}

impl Verdict {
    /// The verdict on a record that no adapter has read: its own hash stands for the delivery key.
    #[must_use]
    pub fn on_unread(
        program: ProgramId,
        source: SourceName,
        source_head: &Hash,
        reason: &str,
        detail: String,
    ) -> Self {
        let delivery_key = hex(source_head);
        Self {
            event: EventId::derive(&program, &source, &delivery_key),
            program,
            source,
            delivery_key,
            kind: VerdictKind::Quarantined,
            reason: reason.to_owned(),
            detail,
            received_at: Micros(0),
            reply_to: None,
            retry_of: None,
            reserves_key: false,
        }
    }
}

fn hex(hash: &Hash) -> String {
    hash.0.iter().fold(String::with_capacity(64), |mut out, byte| {
        for nibble in [byte >> 4, byte & 15] {
            out.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
        }
        out
    })
}

/// What a request comes to; an error is the reason why nothing is applied.
enum Judged {
    Applied(Vec<Fact>),
    Duplicate,
    Ignored(String),
    Quarantined(&'static str, String),
    QuarantinedByAdapter(String, String),
}

fn judge(
    view: &dyn View,
    index_key: &[u8; 32],
    source_head: &Hash,
    request: Request,
    retry_of: Option<u64>,
) -> Vec<FactsEvent> {
    let Request { program, source, received_at, reply_to, draft } = request;
    let Draft { delivery_key, reading, livemode, refuse_unknown_code } = draft;
    let event = EventId::derive(&program, &source, &delivery_key);
    let mut verdict = Verdict {
        program,
        event,
        source,
        delivery_key,
        kind: VerdictKind::Applied,
        reason: String::new(),
        detail: String::new(),
        received_at,
        reply_to,
        retry_of,
        reserves_key: false,
    };
    let judged = Judge { view, index_key, source_head, verdict: &verdict }.reading(
        reading,
        livemode,
        refuse_unknown_code,
    );
    let facts = match judged {
        Judged::Applied(facts) => facts,
        Judged::Duplicate => {
            verdict.kind = VerdictKind::Duplicate;
            Vec::new()
        }
        Judged::Ignored(reason) => {
            (verdict.kind, verdict.reason) = (VerdictKind::Ignored, reason);
            Vec::new()
        }
        Judged::Quarantined(reason, detail) => {
            (verdict.kind, verdict.reason, verdict.detail) =
                (VerdictKind::Quarantined, reason.to_owned(), detail);
            Vec::new()
        }
        Judged::QuarantinedByAdapter(reason, detail) => {
            (verdict.kind, verdict.reason, verdict.detail) = (VerdictKind::Quarantined, reason, detail);
            Vec::new()
        }
    };
    verdict.reserves_key = verdict.kind == VerdictKind::Applied;
    let mut events = Vec::with_capacity(1 + facts.len());
    events.push(FactsEvent::Verdict(verdict));
    events.extend(facts.into_iter().map(FactsEvent::Fact));
    events
}

struct Judge<'a> {
    view: &'a dyn View,
    index_key: &'a [u8; 32],
    source_head: &'a Hash,
    verdict: &'a Verdict,
}

impl Judge<'_> {
    fn reading(&self, reading: Reading, livemode: Option<bool>, refuse_unknown_code: bool) -> Judged {
        let program = &self.verdict.program;
        if let Err(bad) = text::id("the delivery's id", &self.verdict.delivery_key) {
            return Judged::Quarantined("bad_text", bad.detail());
        }
        let Some(mode) = mode(self.view, program) else {
            return Judged::Quarantined(
                "unknown_program",
                "no such program here; create it, then retry".to_owned(),
            );
        };
        if let Reading::Quarantined { reason, detail } = reading {
            return Judged::QuarantinedByAdapter(reason, detail);
        }
        if livemode.is_some_and(|live| live != (mode == Mode::Live)) {
            let (body, program) = if mode == Mode::Live { ("test", "live") } else { ("live", "test") };
            return Judged::Quarantined(
                "mode_mismatch",
                format!(
                    "the body says {body} mode, the program is a {program} one; point the endpoint at the program's twin"
                ),
            );
        }
        match reading {
            Reading::Facts(facts) if !facts.is_empty() => self.facts(facts, refuse_unknown_code),
            Reading::Ignored { reason } => Judged::Ignored(reason),
            Reading::Facts(_) | Reading::Quarantined { .. } => Judged::Ignored("not_money_event".to_owned()),
        }
    }

    /// The order of refusals: an equal twin gets the first answer, then an unknown code, then a conflict.
    fn facts(&self, mut facts: Vec<Fact>, refuse_unknown_code: bool) -> Judged {
        if let Some(bad) = facts.iter().find_map(|fact| text::fact(fact).err()) {
            return Judged::Quarantined("bad_text", bad.detail());
        }
        self.complete(&mut facts);
        let Verdict { program, source, delivery_key, .. } = self.verdict;
        let mut names = Names::default();
        let mut conflict = None;
        let mut fresh = Vec::with_capacity(facts.len());
        let codes_earn = !refuse_unknown_code || self.codes_earn(&facts);
        for fact in facts {
            match names.compare(self.view, &fact) {
                Comparison::Same => {}
                Comparison::New => {
                    names.add(self.view, &fact);
                    fresh.push(fact);
                }
                Comparison::Conflict { differs } => {
                    conflict.get_or_insert_with(|| {
                        let (kind, id) = (fact.body.kind(), &fact.object_id);
                        format!("{kind} {id} was recorded before with {differs}; what was recorded stands")
                    });
                }
            }
        }
        if !fresh.is_empty() && names.is_reserved(self.view, program, source, delivery_key) {
            conflict.get_or_insert_with(|| {
                format!("delivery {delivery_key} was applied before and said something else; what was recorded stands")
            });
        }
        let nobody = fresh.iter().find_map(|fact| self.nobody(fact));
        match conflict {
            None if fresh.is_empty() => Judged::Duplicate,
            _ if !codes_earn => Judged::Ignored("unknown_code".to_owned()),
            Some(detail) => Judged::Quarantined("conflict", detail),
            None => match nobody {
                Some(detail) => Judged::Quarantined("unknown_partner", detail),
                None => Judged::Applied(fresh),
            },
        }
    }

    /// Which partner a fact gives money to without that the program has it. Money must never stand with a name that nobody
    /// configured: a slip of the pen would look like a partner.
    fn nobody(&self, fact: &Fact) -> Option<String> {
        let program = &self.verdict.program;
        let is_here = |partner: &PartnerId| has_partner(self.view, program, partner);
        match &fact.body {
            FactBody::Sale(sale) => {
                let nobodys = |share: &ShareClaim| match &share.of {
                    ShareOf::Partner(partner) => !is_here(partner),
                    ShareOf::Code(code) => {
                        !code_partner(self.view, program, code).is_some_and(|partner| is_here(&partner))
                    }
                };
                let place = sale.details.shares.iter().position(nobodys)?;
                Some(format!(
                    "shares[{place}] names no partner of this program and no active code of one; create it, then send the event again, or retry it"
                ))
            }
            FactBody::Command(Command { adjustment: Some(adjustment), .. })
                if !is_here(&adjustment.partner) =>
            {
                Some(
                    "this program has no such partner; create it, then send the event again, or retry it"
                        .to_owned(),
                )
            }
            FactBody::Payout(PayoutCommand { act: PayoutAct::Draft, partner, .. })
            | FactBody::WriteOff(WriteOff { partner, .. })
            | FactBody::PayoutDestination(PayoutDestination { partner, .. })
                if !partner.as_str().is_empty() && !is_here(partner) =>
            {
                Some(
                    "this program has no such partner; create it, then send the event again, or retry it"
                        .to_owned(),
                )
            }
            _ => None,
        }
    }

    fn codes_earn(&self, facts: &[Fact]) -> bool {
        facts.iter().all(|fact| match &fact.body {
            FactBody::Sale(sale) => sale
                .referral
                .as_ref()
                .is_none_or(|referral| code_earns(self.view, &self.verdict.program, &referral.code)),
            _ => true,
        })
    }

    /// Fills in what adapters cannot know: ids, subjects, hashes.
    fn complete(&self, facts: &mut [Fact]) {
        // Subjects that this delivery introduces: one identifier in two facts is one person.
        let mut introduced: Vec<(Key, SubjectId)> = Vec::new();
        let mut place = 0_u32;
        for fact in facts {
            fact.program.clone_from(&self.verdict.program);
            fact.event.clone_from(&self.verdict.event);
            fact.source.clone_from(&self.verdict.source);
            for identifier in &mut fact.identifiers {
                place += 1;
                let Personal::Open(value) = &identifier.value else { continue };
                let key = index_row(self.index_key, &fact.program, &identifier.namespace, value);
                let known = introduced.iter().find(|(known, _)| known.bytes() == key.bytes());
                let subject = known
                    .map(|(_, subject)| *subject)
                    .or_else(|| indexed(self.view, &key))
                    .unwrap_or_else(|| {
                        let field = format!("{}/{place}", identifier.namespace);
                        let subject = SubjectId::derive(&fact.program, self.source_head, &field);
                        introduced.push((key, subject));
                        subject
                    });
                identifier.subject = Some(subject);
            }
            fact.hash = hash::of_fact(fact);
        }
    }
}
