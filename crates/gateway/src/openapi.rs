//! The OpenAPI document, made of the tables that requests are checked by.
use crate::native::{STATUSES, Shape};
use crate::routes::{self, Route};
use axum::http::Method;
use domain::rules::{Field, MAX_VALUES, Operator};
use serde_json::{Map, Value, json};
use sources::native::Resource;
use sources::native::schema::{Field as BodyField, Kind};

/// The contract of everything that this gateway answers, as OpenAPI 3.1 in JSON.
#[must_use]
pub fn openapi() -> String {
    let mut paths = Map::new();
    for (route, method, path) in routes::table() {
        let described = match route {
            Route::Native(operation) => native(operation.shape()),
            route => other(route, path),
        };
        let methods = paths.entry(path).or_insert_with(|| json!({}));
        methods[method.as_str().to_ascii_lowercase()] = described;
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tributary",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A self-hosted commission engine. The words behind this are in docs/reference/native-api.md.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": components(),
    });
    format!("{document:#}\n")
}

fn components() -> Value {
    json!({
        "securitySchemes": {
            "key": {"type": "http", "scheme": "bearer"},
            "revshare_key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        },
        "schemas": {
            "Error": object(&[("error", object(&[
                ("code", json!({"type": "string"})),
                ("message", json!({"type": "string"})),
                ("field", json!({"type": ["string", "null"]})),
                ("doc", json!({"type": "string"})),
            ]))]),
            "Event": object(&[
                ("event_id", json!({"type": "string"})),
                ("verdict", json!({"enum": ["applied", "duplicate", "ignored", "quarantined", "pending"]})),
                ("duplicate", json!({"type": "boolean"})),
                ("reason", json!({"type": ["string", "null"]})),
                ("sale_id", json!({"type": ["string", "null"]})),
                ("commission", json!({"anyOf": [{"$ref": "#/components/schemas/Commission"}, {"type": "null"}]})),
            ]),
            "PayoutEvent": and("Event", "payout", "Payout"),
            "WriteOffEvent": and("Event", "written_off", "WrittenOff"),
            "Payout": object(&[
                ("payout_id", json!({"type": "string"})),
                ("partner_id", json!({"type": ["string", "null"]})),
                ("amount", json!({"type": "integer", "format": "int64"})),
                ("currency", json!({"type": ["string", "null"]})),
                ("status", json!({"enum": ["drafted", "settled", "failed", "returned"]})),
            ]),
            "WrittenOff": object(&[
                ("partner_id", json!({"type": ["string", "null"]})),
                ("amount", json!({"type": "integer", "format": "int64"})),
                ("currency", json!({"type": ["string", "null"]})),
            ]),
            "Commission": object(&[
                ("commission_id", json!({"type": "string"})),
                ("partner_id", json!({"type": ["string", "null"]})),
                ("amount", json!({"type": "integer", "format": "int64"})),
                ("currency", json!({"type": ["string", "null"]})),
                ("status", json!({"type": ["string", "null"]})),
            ]),
            "Results": object(&[("results", json!({"type": "array", "items": object(&[
                ("status", json!({"type": "integer"})),
                ("body", json!({"type": "object"})),
            ])}))]),
            "Condition": condition(),
            "Written": object(&[
                ("status", json!({"enum": ["done", "pending"]})),
                ("changed", json!({"type": ["boolean", "null"]})),
                ("object", json!({"type": "object"})),
            ]),
        },
    })
}

/// The schema of that name with one property more, which may be `null`.
fn and(name: &str, property: &str, of: &str) -> Value {
    let one = json!({"anyOf": [{"$ref": format!("#/components/schemas/{of}")}, {"type": "null"}]});
    json!({"allOf": [{"$ref": format!("#/components/schemas/{name}")}, object(&[(property, one)])]})
}

/// Groups stand in groups.
fn condition() -> Value {
    let group = |name: &str| {
        let parts = json!({"type": "array", "items": {"$ref": "#/components/schemas/Condition"}});
        closed(object(&[(name, parts)]))
    };
    let names: Vec<String> = Field::NAMED.iter().map(Field::name).collect();
    let field = json!({"anyOf": [{"enum": names}, {"type": "string", "pattern": "^metadata\\..{1,64}$"}]});
    let one = json!({"anyOf": [{"type": "string"}, {"type": "integer", "format": "int64"}]});
    let several =
        |kind: &str| json!({"type": "array", "items": {"type": kind}, "minItems": 1, "maxItems": MAX_VALUES});
    let comparison = object(&[
        ("field", field),
        ("operator", json!({"enum": Operator::ALL.map(Operator::name)})),
        ("value", json!({"anyOf": [one, several("string"), several("integer")]})),
    ]);
    json!({"oneOf": [group("all"), group("any"), closed(comparison)]})
}

fn closed(mut object: Value) -> Value {
    object["additionalProperties"] = json!(false);
    object
}

/// An object whose properties are all there.
fn object(properties: &[(&str, Value)]) -> Value {
    let names: Vec<&str> = properties.iter().map(|(name, _)| *name).collect();
    let properties: Map<String, Value> =
        properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    json!({"type": "object", "properties": properties, "required": names})
}

fn native(shape: &Shape) -> Value {
    let mut parameters = path_parameters(shape.path);
    if shape.resource.is_some() || shape.method == Method::POST {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        }));
    }
    let answer = match shape.resource {
        None => "Written",
        Some(Resource::WriteOffs) => "WriteOffEvent",
        Some(resource) if resource.is_about_payout() => "PayoutEvent",
        Some(_) => "Event",
    };
    let answer = json!({"$ref": format!("#/components/schemas/{answer}")});
    let done = if shape.batch > 0 {
        json!({"anyOf": [answer, {"$ref": "#/components/schemas/Results"}]})
    } else {
        answer.clone()
    };
    let mut responses = Map::new();
    for status in STATUSES {
        let (about, schema) = match status {
            200 => ("its outcome", done.clone()),
            202 => ("the log has it, its outcome is not known yet or nothing counts", answer.clone()),
            _ => ("refused", json!({"$ref": "#/components/schemas/Error"})),
        };
        responses.insert(status.to_string(), response(about, &schema));
    }
    let mut described = json!({
        "operationId": shape.name,
        "summary": shape.about,
        "description": format!("Needs the scope `{}`.", shape.scope.name()),
        "security": [{"key": []}],
        "parameters": parameters,
        "responses": responses,
    });
    if !shape.fields.is_empty() {
        let one = schema_of(shape.fields);
        let body = if shape.batch > 0 {
            let batch = json!({
                "type": "object",
                "properties": {"batch": {"type": "array", "minItems": 1, "maxItems": shape.batch, "items": one}},
                "required": ["batch"],
                "additionalProperties": false,
            });
            json!({"oneOf": [one, batch]})
        } else {
            one
        };
        described["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": body}}});
    }
    described
}

fn path_parameters(path: &str) -> Vec<Value> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| {
            let schema = json!({"type": "string", "minLength": 1, "maxLength": 255});
            json!({"name": name, "in": "path", "required": true, "schema": schema})
        })
        .collect()
}

fn response(about: &str, schema: &Value) -> Value {
    json!({"description": about, "content": {"application/json": {"schema": schema}}})
}

fn schema_of(fields: &[BodyField]) -> Value {
    let mut properties = Map::new();
    for field in fields {
        let mut schema = kind(field.kind);
        schema["description"] = json!(field.about);
        properties.insert(field.name.to_owned(), schema);
    }
    let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    })
}

fn kind(kind: Kind) -> Value {
    match kind {
        Kind::Id => json!({"type": "string", "minLength": 1, "maxLength": 255}),
        Kind::Text => json!({"type": "string", "minLength": 1, "maxLength": 1024}),
        Kind::Amount => json!({"type": "integer", "format": "int64", "minimum": 0}),
        Kind::SignedAmount => json!({"type": "integer", "format": "int64"}),
        Kind::Number { least, most } => json!({"type": "integer", "minimum": least, "maximum": most}),
        Kind::Signed { least, most } => json!({"type": "integer", "minimum": least, "maximum": most}),
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Currency => json!({"type": "string", "pattern": "^[A-Za-z]{3}$"}),
        Kind::Country => json!({"type": "string", "pattern": "^[A-Za-z]{2}$"}),
        Kind::Moment => json!({"type": "string", "format": "date-time"}),
        Kind::Percent => json!({"type": "string", "pattern": "^[0-9]{1,3}(\\.[0-9]{1,4})?$"}),
        Kind::Word(words) => json!({"type": "string", "enum": words}),
        Kind::Words(words) => {
            json!({"type": "array", "items": {"type": "string", "enum": words}, "uniqueItems": true})
        }
        Kind::Texts { most } => {
            json!({"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 255}, "maxItems": most})
        }
        Kind::Map { most } => json!({
            "type": "object", "maxProperties": most, "additionalProperties": {"type": ["string", "number", "boolean"]},
        }),
        // No `$ref` beside other keys: the description of the field stands next to it.
        Kind::Condition => json!({"allOf": [{"$ref": "#/components/schemas/Condition"}]}),
        Kind::Object(fields) => schema_of(fields),
        Kind::List { of, most } => json!({"type": "array", "items": schema_of(of), "maxItems": most}),
    }
}

/// Paths that are not the native API's: what they take is another's contract.
fn other(route: Route, path: &str) -> Value {
    let (about, page, security) = match route {
        Route::Webhook => ("A provider's signed webhook.", "docs/reference/gateway.md", json!([])),
        Route::RevshareReferral => {
            ("The Revshare dialect.", "docs/dialects/revshare.md", json!([{"revshare_key": []}]))
        }
        _ => ("Health of the process.", "docs/reference/gateway.md", json!([])),
    };
    let mut parameters = path_parameters(path);
    if route == Route::Webhook {
        let schema = json!({"type": "string"});
        parameters.push(json!({"name": "program_id", "in": "query", "required": true, "schema": schema}));
    }
    json!({
        "operationId": format!("{}{}", route.name(), path.replace(['/', '{', '}'], "_")),
        "summary": about,
        "description": format!("See {page}."),
        "security": security,
        "parameters": parameters,
        "responses": {"200": {"description": "taken"}, "default": {"description": "refused, see the page"}},
    })
}
