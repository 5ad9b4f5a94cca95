//! The file of rules: `[programs.ID.rules.ID]` with the fields of the native API's rule.
use anyhow::{Context as _, anyhow, bail};
use domain::config::Rule;
use domain::ids::{ProgramId, RuleId};
use serde_json::{Map, Value, json};
use services::shadow::Rules;
use sources::native::rule::{self, FIELDS};
use sources::native::schema;
use std::collections::BTreeMap;
use std::path::Path;

/// The rules of a file; of `program` only where one is named.
///
/// # Errors
/// With the file, the field and the reason.
pub(super) fn read(file: &Path, program: Option<&ProgramId>) -> anyhow::Result<Rules> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let rules = parse(&text, program).with_context(|| file.display().to_string())?;
    Ok(rules)
}

fn parse(text: &str, program: Option<&ProgramId>) -> anyhow::Result<Rules> {
    let table: toml::Table = text.parse()?;
    let Value::Object(mut file) = serde_json::to_value(&table)? else { bail!("the file is no table") };
    let programs = file.remove("programs").unwrap_or_else(|| json!({}));
    known(&file, "")?;
    let mut found = Rules::new();
    for (id, contents) in object(programs, "programs")? {
        let at = format!("programs.{id}");
        let mut contents = object(contents, &at)?;
        let rules = object(contents.remove("rules").unwrap_or_else(|| json!({})), &format!("{at}.rules"))?;
        known(&contents, &format!("{at}."))?;
        let rules = rules.into_iter().map(|(rule, body)| {
            let rule_at = format!("{at}.rules.{rule}");
            Ok((RuleId(rule.clone()), self::rule(rule, body, &rule_at)?))
        });
        let rules: BTreeMap<RuleId, Rule> = rules.collect::<anyhow::Result<_>>()?;
        found.insert(ProgramId(id), rules);
    }
    if let Some(program) = program {
        let Some(rules) = found.remove(program) else {
            bail!("programs.{program}: the file has no such program, and --program names it");
        };
        found = BTreeMap::from([(program.clone(), rules)]);
    }
    if found.is_empty() {
        bail!(
            "programs: the file names none; `tributary replay --export-rules` prints what it may look like"
        );
    }
    Ok(found)
}

fn rule(id: String, body: Value, at: &str) -> anyhow::Result<Rule> {
    let refused = |refused: schema::Refused| {
        let field = if refused.field.is_empty() { String::new() } else { format!(".{}", refused.field) };
        anyhow!("{at}{field}: {} ({})", refused.message, refused.code)
    };
    let body = Value::Object(object(body, at)?).to_string();
    let values = schema::read(&FIELDS, body.as_bytes()).map_err(refused)?;
    rule::rule(RuleId(id), &values).map_err(refused)
}

fn object(value: Value, at: &str) -> anyhow::Result<Map<String, Value>> {
    match value {
        Value::Object(object) => Ok(object),
        _ => bail!("{at}: this is to be a table"),
    }
}

/// Nothing may be left that nobody knows.
fn known(rest: &Map<String, Value>, at: &str) -> anyhow::Result<()> {
    match rest.keys().next() {
        Some(unknown) => bail!("{at}{unknown}: there is no such field here"),
        None => Ok(()),
    }
}

/// The rules in force as such a file.
///
/// # Errors
/// Never in practice: rules are plain data.
pub(super) fn export(rules: &BTreeMap<ProgramId, Vec<Rule>>) -> anyhow::Result<String> {
    let mut programs = Map::new();
    for (program, rules) in rules {
        let rules: Map<String, Value> =
            rules.iter().map(|rule| (rule.rule.0.clone(), rule::written(rule))).collect();
        programs.insert(program.0.clone(), json!({ "rules": rules }));
    }
    Ok(toml::to_string_pretty(&json!({ "programs": programs }))?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const FILE: &str = r#"
[programs.acme.rules.base]
percent = "12.5"

[programs.acme.rules.vip]
priority = 5
tiers = { metric = "revenue", period = "month", bands = [{ from = 0, percent = "10" }, { from = 50000, rate_ppm = 150000 }] }
caps = [{ scope = "partner", period = "month", amount = 100000, currency = "USD" }]

[[programs.acme.rules.vip.when.any]]
field = "partner"
operator = "in"
value = ["a", "b"]

[[programs.acme.rules.vip.when.any]]
all = [{ field = "amount", operator = "greater", value = 100 }]

[programs.other]
"#;

    #[test]
    fn what_is_exported_is_read_as_the_same_rules() {
        let rules = parse(FILE, None).unwrap();
        assert_eq!(rules.len(), 2);
        let listed =
            rules.iter().map(|(program, rules)| (program.clone(), rules.values().cloned().collect()));
        let exported = export(&listed.collect()).unwrap();
        assert_eq!(parse(&exported, None).unwrap(), rules, "{exported}");
        assert_eq!(parse(FILE, Some(&"acme".into())).unwrap().len(), 1);
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_field_and_the_reason() {
        for (text, says) in [
            ("[programs.a.rules.r]\nrate = 5", "programs.a.rules.r.rate: there is no such field"),
            ("[programs.a.rules.r]\npercent = \"101\"", "programs.a.rules.r.percent: percent must be"),
            ("[programs.a.rules.r]\nrate_ppm = 1.5", "programs.a.rules.r.rate_ppm"),
            ("[programs.a.rules.r]", "programs.a.rules.r.percent: a rule pays exactly one"),
            ("[programs.a]\nrule = 1", "programs.a.rule: there is no such field"),
            ("[rules]", "rules: there is no such field"),
            ("", "programs: the file names none"),
            ("[programs.a.rules]\nr = 1", "programs.a.rules.r: this is to be a table"),
        ] {
            let error = format!("{:#}", parse(text, None).unwrap_err());
            assert!(error.contains(says), "{text}: {error}");
        }
        let error = parse(FILE, Some(&"nobody".into())).unwrap_err().to_string();
        assert!(error.contains("programs.nobody"), "{error}");
    }
}
