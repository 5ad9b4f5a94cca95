//! Rules among the configuration writes: their versions, what can be said of one by itself, and what its program must keep.
use super::ConfigRefusal;
use super::validate::{Checked, WHOLE_PPM, code, metadata_keys, refusal, refuse, within};
use crate::config::{Program, Reward, Rule};
use crate::money::RatePpm;
use crate::rules::{Comparison, Field, RuleError};

/// A version of 0 asks for the next one; the same terms again are the same version.
pub(super) fn number_rule(rule: &mut Rule, before: &Rule, removed: bool) {
    if rule.version == 0 {
        let same = !removed
            && before.reward == rule.reward
            && before.tiers == rule.tiers
            && before.clauses == rule.clauses;
        rule.version = if same { before.version } else { before.version.saturating_add(1) };
    }
}

/// The next one, or refused.
pub(super) fn version(before: &Rule, after: &Rule) -> Checked {
    let next = before.version.saturating_add(1);
    if after.version == next && next != before.version {
        return Ok(());
    }
    let detail = format!(
        "rule {} is at version {}, so the next is {next}, which a write without a version becomes",
        before.rule, before.version
    );
    refuse(code::VERSION_CONFLICT, "version", detail)
}

/// Reward, tiers and clauses.
pub(super) fn rule_values(rule: &Rule) -> Checked {
    match (&rule.tiers, rule.reward) {
        (Some(tiers), Reward::Percent(rate)) if rate == RatePpm::default() => {
            tiers.validate("tiers").map_err(bad_rule)?;
        }
        (Some(_), _) => {
            return refuse(
                code::CONTRADICTORY,
                "tiers",
                "a rule pays tiers, a percentage or an amount, one of them",
            );
        }
        (None, Reward::Percent(rate)) => within("rate_ppm", rate.0, 1, WHOLE_PPM)?,
        // 0 excludes what the rule matches.
        (None, Reward::Flat { amount, .. }) => within("flat_minor", amount.0, 0, i64::MAX)?,
    }
    rule.clauses.validate().map_err(bad_rule)
}

fn bad_rule(error: RuleError) -> ConfigRefusal {
    refusal(code::BAD_RULE, &error.field, error.reason)
}

/// The keys that rules may ask for are also the names that rules can spell.
pub(super) fn rule_metadata_keys(keys: &[String]) -> Checked {
    const FIELD: &str = "rule_metadata_keys";
    metadata_keys(FIELD, keys)?;
    keys.iter().try_for_each(|key| {
        Field::parse(&format!("metadata.{key}"), FIELD)
            .map(drop)
            .map_err(|error| refusal(code::BAD_LIST, FIELD, error.reason))
    })
}

/// A rule that asks for what no sale keeps would wait in silence for ever.
pub(super) fn kept_metadata(program: Option<&Program>, rule: &Rule) -> Checked {
    let kept = program.map(|program| program.rule_metadata_keys.as_slice()).unwrap_or_default();
    let check = &mut |at: &str, comparison: &Comparison| match &comparison.field {
        Field::Metadata(key) if !kept.contains(key) => Err(RuleError {
            field: format!("{at}.field"),
            reason: format!(
                "the program keeps no metadata under `{key}`; name it in rule_metadata_keys first"
            ),
        }),
        _ => Ok(()),
    };
    rule.clauses.when.each("when", check).map_err(bad_rule)
}
