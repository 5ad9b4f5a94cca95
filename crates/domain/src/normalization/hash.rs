//! The fact hash: what makes two tellings of one fact the same.
//!
//! Two halves of 16 bytes, so that a conflict can say what differs and an erased person hashes like any: the first is over
//! the fact's key, money and links, the second over its identity (namespaces and subjects). Left out, because they differ
//! between honest repeats: the body, moments (a receipt-time source says another one each time), where a code was found,
//! the delivery, product descriptions.
use crate::facts::{
    Adjustment, Command, CouponRef, Fact, FactBody, Identifier, Reprice, Reversal, Sale, ShareClaim, ShareOf,
};
use crate::ids::Hash;
use crate::money::{Currency, Minor};
use crate::payouts::PayoutCommand;
use sha2::{Digest, Sha256};

/// Half of a fact hash.
pub(super) type Half = [u8; 16];

/// The hash of `fact`, whose subjects are set.
pub(super) fn of_fact(fact: &Fact) -> Hash {
    let mut hash = [0; 32];
    hash[..16].copy_from_slice(&content(fact));
    hash[16..].copy_from_slice(&identity(&fact.identifiers));
    Hash(hash)
}

/// The two halves: (key, money and links; identity).
pub(super) fn halves(hash: &Hash) -> (Half, Half) {
    let (mut content, mut identity) = ([0; 16], [0; 16]);
    content.copy_from_slice(&hash.0[..16]);
    identity.copy_from_slice(&hash.0[16..]);
    (content, identity)
}

fn content(fact: &Fact) -> Half {
    let mut hasher = Hasher::new();
    hasher.text(fact.body.kind());
    hasher.text(&fact.object_id);
    hasher.text(&fact.state);
    match &fact.body {
        FactBody::Sale(sale) => hasher.sale(sale),
        FactBody::Reversal(reversal) => hasher.reversal(reversal),
        FactBody::CustomerLink => {}
        FactBody::CouponDefinition { provider_ref, code } => {
            hasher.text(provider_ref);
            hasher.text(code);
        }
        FactBody::SubscriptionCancelled { subscription_id } => hasher.text(subscription_id),
        FactBody::Command(command) => {
            hasher.text(command.kind.name());
            hasher.text(command.commission.as_str());
            hasher.text(&command.reason);
            hasher.command_details(command);
        }
        FactBody::SaleLink { external_id, aliases } => {
            hasher.text(external_id);
            aliases.iter().for_each(|alias| hasher.text(alias));
        }
        FactBody::Payout(command) => hasher.payout(command),
        FactBody::WriteOff(write_off) => {
            hasher.text(write_off.partner.as_str());
            hasher.currency(write_off.currency);
            hasher.optional(write_off.amount);
            hasher.text(&write_off.reason);
        }
        FactBody::Rate(rate) => {
            hasher.text(rate.id.as_str());
            hasher.currency(rate.from);
            hasher.currency(rate.to);
            hasher.0.update(rate.mantissa.to_le_bytes());
            hasher.0.update(rate.exponent.to_le_bytes());
            hasher.0.update(rate.spread_ppm.to_le_bytes());
        }
        FactBody::PayoutDestination(destination) => {
            hasher.text(destination.partner.as_str());
            hasher.text(&destination.method);
        }
    }
    hasher.half()
}

fn identity(identifiers: &[Identifier]) -> Half {
    if identifiers.is_empty() {
        return [0; 16];
    }
    // By namespace, then subject: the order in which a body names them says nothing.
    let mut pairs: Vec<(&str, Option<[u8; 16]>)> = identifiers
        .iter()
        .map(|identifier| (identifier.namespace.as_str(), identifier.subject.map(|subject| subject.0)))
        .collect();
    pairs.sort_unstable();
    pairs.dedup();
    let mut hasher = Hasher::new();
    for (namespace, subject) in pairs {
        hasher.text(namespace);
        hasher.0.update(subject.unwrap_or_default());
    }
    hasher.half()
}

/// Every part is self-delimiting, so that no two facts write the same bytes.
struct Hasher(Sha256);

impl Hasher {
    fn new() -> Self {
        Self(Sha256::new())
    }

    fn text(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text);
    }

    fn amount(&mut self, amount: Minor) {
        self.0.update(amount.0.to_le_bytes());
    }

    fn optional(&mut self, amount: Option<Minor>) {
        self.0.update([u8::from(amount.is_some())]);
        self.amount(amount.unwrap_or_default());
    }

    fn currency(&mut self, currency: Currency) {
        self.text(currency.code());
    }

    fn sale(&mut self, sale: &Sale) {
        self.text(&sale.external_id);
        self.currency(sale.currency);
        self.amount(sale.gross);
        self.optional(sale.net);
        self.0.update((sale.lines.len() as u64).to_le_bytes());
        for line in &sale.lines {
            self.text(&line.line_id);
            self.amount(line.net);
        }
        self.text(&sale.subscription_id);
        let code = sale.referral.as_ref().map(|referral| referral.code.as_str());
        self.0.update([u8::from(code.is_some())]);
        self.text(code.unwrap_or_default());
        let (tag, reference) = match &sale.coupon {
            None => (0, ""),
            Some(CouponRef::Code(code)) => (1, code.as_str()),
            Some(CouponRef::ProviderRef(reference)) => (2, reference.as_str()),
        };
        self.0.update([tag]);
        self.text(reference);
        self.shares(&sale.details.shares);
    }

    /// Nothing for a sale that has none: those hash as they did before there were any.
    fn shares(&mut self, shares: &[ShareClaim]) {
        for share in shares {
            match &share.of {
                ShareOf::Partner(partner) => self.text(&format!("partner/{partner}")),
                ShareOf::Code(code) => self.text(&format!("code/{code}")),
            }
            self.0.update(share.weight.to_le_bytes());
        }
    }

    /// Nothing for a command that has none: those hash as they did before there were any.
    fn command_details(&mut self, command: &Command) {
        if !command.hold.is_empty() {
            self.text(&command.hold);
        }
        if let Some(Adjustment { partner, amount, currency }) = &command.adjustment {
            self.text(partner.as_str());
            self.amount(*amount);
            self.currency(*currency);
        }
        if let Some(reprice) = &command.reprice {
            self.reprice(reprice);
        }
    }

    /// The money, and the terms that it follows from. Rules that did not win say nothing of either.
    fn reprice(&mut self, reprice: &Reprice) {
        let (sale, terms) = (&reprice.sale, &reprice.terms);
        for text in [sale.source.as_str(), &sale.external_id, reprice.partner.as_str(), terms.rule.as_str()] {
            self.text(text);
        }
        self.currency(reprice.currency);
        for amount in [reprice.expected_net, reprice.net, reprice.gross, terms.uncapped] {
            self.amount(amount);
        }
        self.0.update(terms.rule_version.to_le_bytes());
        self.0.update((terms.slices.len() as u64).to_le_bytes());
        for slice in &terms.slices {
            self.text(&slice.line_id);
            self.amount(slice.base);
            self.0.update(slice.rate.0.to_le_bytes());
        }
        if let Some(flat) = &terms.flat {
            self.amount(flat.amount);
            self.currency(flat.currency);
        }
    }

    fn payout(&mut self, command: &PayoutCommand) {
        self.text(command.act.name());
        self.text(command.payout.as_str());
        self.text(command.partner.as_str());
        self.text(command.currency.as_ref().map_or("", Currency::code));
        self.optional(command.amount);
        self.0.update([u8::from(command.ignore_minimum)]);
        self.text(&command.reference);
        self.text(&command.reason);
    }

    fn reversal(&mut self, reversal: &Reversal) {
        self.text(&reversal.sale_external_id);
        self.currency(reversal.currency);
        self.amount(reversal.gross);
        self.optional(reversal.net);
        self.0.update((reversal.lines.len() as u64).to_le_bytes());
        for line in &reversal.lines {
            self.text(&line.line_id);
            self.amount(line.net);
        }
    }

    fn half(self) -> Half {
        let digest: [u8; 32] = self.0.finalize().into();
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        half
    }
}
