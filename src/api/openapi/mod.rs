//! The API's description (OpenAPI 3.1), made of the table of endpoints, so that nothing is served
//! that it does not have and it has nothing that is not served. What bodies hold is told by the
//! messages themselves (`wire`).

mod operations;

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value, json};

use self::operations::{Gives, about};
use super::PREFIX;
use super::answer::{ApiError, json as answer};
use super::ask::Ask;
use super::endpoint::{ENDPOINTS, Endpoint};
use crate::vault::Vault;
use crate::wire::{Describe as _, Problem, Schemas};

fn text() -> Value {
    json!({"type": "string"})
}

/// The names in braces of a path.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| {
        let (name, _) = rest.split_once('}')?;
        Some(name.trim_start_matches('*'))
    })
}

/// What a request to an endpoint is proved by.
fn security(endpoint: &Endpoint) -> Value {
    if endpoint.path.starts_with(super::scim::BASE) {
        json!([{"bearer": []}])
    } else if endpoint.unsigned {
        json!([])
    } else {
        json!([{"sigv4": []}])
    }
}

/// What an operation answers with, where it is done.
fn done(gives: Gives, all: &mut Schemas) -> Value {
    let (kind, schema) = match gives {
        Gives::Nothing => return json!({"description": "Done"}),
        Gives::Json(schema) => ("application/json", schema(all)),
        Gives::Document => ("application/json", Value::describe(all)),
        Gives::Scim => ("application/scim+json", Value::describe(all)),
        Gives::Bytes => ("application/octet-stream", json!({})),
        Gives::Text => ("text/plain", text()),
    };
    json!({"description": "Done", "content": {kind: {"schema": schema}}})
}

fn operation(endpoint: &Endpoint, all: &mut Schemas) -> Value {
    let about = about(endpoint);
    let query = about.iter().flat_map(|about| &about.query);
    let in_path = names(endpoint.path)
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": text()}));
    let in_query = query.map(|(name, needed, schema)| {
        json!({"name": name, "in": "query", "required": needed, "schema": schema})
    });
    let parameters: Vec<Value> = in_path.chain(in_query).collect();
    let problem = json!({"$ref": "#/components/responses/problem"});
    let mut responses = Map::new();
    for status in about.iter().flat_map(|about| about.statuses) {
        let gives = about.as_ref().map_or(Gives::Nothing, |about| about.gives);
        responses.insert(status.to_string(), done(gives, all));
    }
    responses.insert("4XX".to_owned(), problem.clone());
    responses.insert("5XX".to_owned(), problem);
    let mut operation = json!({
        "operationId": endpoint.operation,
        "summary": about.as_ref().map_or(endpoint.operation, |about| about.summary),
        "parameters": parameters,
        "responses": responses,
        "security": security(endpoint),
    });
    let takes = about.and_then(|about| about.takes);
    if let (Some(schema), Some(members)) = (takes, operation.as_object_mut()) {
        let body = json!({
            "required": true, "content": {"application/json": {"schema": schema(all)}},
        });
        let _none = members.insert("requestBody".to_owned(), body);
    }
    operation
}

/// The document.
#[must_use]
pub fn document() -> Value {
    let mut all = Schemas::new();
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in ENDPOINTS {
        let path = format!("{PREFIX}{}", endpoint.path.replace("{*", "{"));
        let at = paths.entry(path).or_insert_with(|| json!({}));
        if let Some(at) = at.as_object_mut() {
            let method = endpoint.method.as_str().to_ascii_lowercase();
            let _none = at.insert(method, operation(endpoint, &mut all));
        }
    }
    let problem = Problem::describe(&mut all);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Kluis",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": env!("CARGO_PKG_LICENSE")},
            "summary": "What S3 has no words for: identity, grants, versions, jobs",
        },
        "paths": paths,
        "components": {
            "schemas": all,
            "securitySchemes": {
                "bearer": {
                    "type": "http", "scheme": "bearer",
                    "description": "An organisation's credential, for SCIM alone",
                },
                "sigv4": {
                    "type": "apiKey", "in": "header", "name": "Authorization",
                    "description": "AWS Signature Version 4 for the service s3; the body's SHA-256 in x-amz-content-sha256",
                },
            },
            "responses": {
                "problem": {
                    "description": "Refused, or not done (RFC 9457); XML as S3's where a request is refused before an endpoint has it",
                    "content": {
                        "application/problem+json": {"schema": problem},
                        "application/xml": {"schema": text()},
                    },
                },
            },
        },
    })
}

/// Serves it. Nothing in it is of this vault.
pub(super) async fn get(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    vault.note_public(&ask.call).await?;
    let mut response = answer(StatusCode::OK, &document());
    let day = HeaderValue::from_static("max-age=300");
    let _none = response.headers_mut().insert(header::CACHE_CONTROL, day);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_endpoint_is_in_the_document_and_nothing_else_is() {
        let document = document();
        let mut described = BTreeSet::new();
        for (path, at) in document["paths"].as_object().unwrap() {
            for (method, operation) in at.as_object().unwrap() {
                let name = operation["operationId"].as_str().unwrap();
                let endpoint = ENDPOINTS.iter().find(|e| e.operation == name).unwrap();
                let there = endpoint.path.replace("{*", "{");
                assert_eq!(*path, format!("{PREFIX}{there}"));
                assert_eq!(method.to_uppercase(), endpoint.method.as_str());
                assert_eq!(operation["security"], security(endpoint), "{name}");
                let signed = operation["security"] == json!([{"sigv4": []}]);
                assert_eq!(signed, !endpoint.unsigned, "{name}");
                let told = operation["parameters"].as_array().unwrap();
                for parameter in names(endpoint.path) {
                    assert!(
                        told.iter().any(|p| p["name"] == parameter),
                        "{name} {parameter}"
                    );
                }
                assert!(described.insert(name.to_owned()), "{name} twice");
            }
        }
        assert_eq!(described.len(), ENDPOINTS.len());
    }

    /// Every reference of a schema.
    fn references<'a>(value: &'a Value, into: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(members) => {
                into.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|inner| references(inner, into));
            }
            Value::Array(all) => all.iter().for_each(|inner| references(inner, into)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_operation_says_what_it_takes_and_gives() {
        for endpoint in ENDPOINTS {
            let name = endpoint.operation;
            let about = about(endpoint).unwrap_or_else(|| panic!("nothing is said of {name}"));
            assert!(!about.statuses.is_empty(), "{name}");
            let silent = matches!(about.gives, Gives::Nothing);
            assert_eq!(silent, about.statuses == [204], "{name}");
        }
        let document = document();
        let mut named = BTreeSet::new();
        references(&document, &mut named);
        for reference in &named {
            let pointer = reference.trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        let schemas = document["components"]["schemas"].as_object().unwrap();
        // What stands among the members of others is in no body of its own.
        let unnamed = schemas
            .keys()
            .filter(|name| !named.contains(format!("#/components/schemas/{name}").as_str()));
        assert!(unnamed.eq(["Grant"]), "schemas that nothing uses");
    }
}
