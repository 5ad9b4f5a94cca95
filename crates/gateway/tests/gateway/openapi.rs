//! The OpenAPI document and the page that people read say the same.
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const PAGE: &str = include_str!("../../../../docs/reference/native-api.md");

/// Of each operation: its fields, with whether each must be there.
type Operations = BTreeMap<String, BTreeSet<(String, bool)>>;

fn document() -> Value {
    serde_json::from_str(&tributary_gateway::openapi()).unwrap()
}

/// `METHOD path` and what is there, of every path.
fn described() -> Vec<(String, Value)> {
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap();
        methods
            .iter()
            .map(move |(method, operation)| (format!("{} {path}", method.to_uppercase()), operation.clone()))
    });
    operations.collect()
}

fn collect(schema: &Value, prefix: &str, out: &mut BTreeSet<(String, bool)>) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let required = schema["required"].as_array().unwrap();
    for (name, property) in properties {
        let path = format!("{prefix}{name}");
        out.insert((path.clone(), required.iter().any(|required| required == name)));
        collect(property, &format!("{path}."), out);
        collect(&property["items"], &format!("{path}[]."), out);
    }
}

fn of_document() -> Operations {
    let native = described().into_iter().filter(|(name, _)| name.contains(" /v1/"));
    native
        .map(|(name, operation)| {
            let body = &operation["requestBody"]["content"]["application/json"]["schema"];
            let one = if body["oneOf"].is_array() { &body["oneOf"][0] } else { body };
            let mut fields = BTreeSet::new();
            collect(one, "", &mut fields);
            (name, fields)
        })
        .collect()
}

fn of_page() -> Operations {
    let mut operations = Operations::new();
    let mut current = None;
    for line in PAGE.lines() {
        if let Some(title) = line.strip_prefix("### ") {
            current = title.contains(" /v1/").then(|| title.to_owned());
            if let Some(name) = &current {
                assert!(operations.insert(name.clone(), BTreeSet::new()).is_none(), "{name} is there twice");
            }
        } else if line.starts_with("## ") {
            current = None;
        } else if let (Some(name), Some(row)) = (&current, line.strip_prefix("| `")) {
            let (field, rest) = row.split_once('`').unwrap();
            let required = rest.split('|').nth(2).unwrap().trim() == "yes";
            operations.get_mut(name).unwrap().insert((field.to_owned(), required));
        }
    }
    operations
}

#[test]
fn every_operation_with_its_fields_is_in_the_document_and_on_the_page() {
    let (document, page) = (of_document(), of_page());
    assert_eq!(document.keys().collect::<Vec<_>>(), page.keys().collect::<Vec<_>>());
    for (name, fields) in document {
        assert_eq!(fields, page[&name], "{name}");
    }
}

#[test]
fn every_status_of_every_operation_is_on_the_page() {
    let section = PAGE.split("## Statuses").nth(1).unwrap();
    let rows = section.lines().take_while(|line| !line.starts_with("## "));
    let page: BTreeSet<String> = rows
        .filter_map(|row| row.strip_prefix("| ")?.get(..3))
        .filter(|cell| cell.parse::<u16>().is_ok())
        .map(str::to_owned)
        .collect();
    for (name, operation) in described().into_iter().filter(|(name, _)| name.contains(" /v1/")) {
        let statuses: BTreeSet<String> =
            operation["responses"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(statuses, page, "{name}");
    }
}

#[test]
fn every_other_path_is_in_both_too() {
    let section = PAGE.split("## Other paths").nth(1).unwrap();
    let rows = section.lines().take_while(|line| !line.starts_with("## "));
    let page: BTreeSet<&str> =
        rows.filter_map(|row| row.strip_prefix("| `")?.split_once('`')).map(|(name, _)| name).collect();
    let others: Vec<(String, Value)> =
        described().into_iter().filter(|(name, _)| !name.contains(" /v1/")).collect();
    assert_eq!(others.iter().map(|(name, _)| name.as_str()).collect::<BTreeSet<_>>(), page);
    let ids: BTreeSet<String> = described().iter().map(|(_, one)| one["operationId"].to_string()).collect();
    assert_eq!(ids.len(), described().len(), "an operation id is there twice");
    if let Ok(file) = std::env::var("TRIBUTARY_TEST_DUMP") {
        std::fs::write(file, tributary_gateway::openapi()).unwrap();
    }
}
