//! The API's description (OpenAPI 3.1), made of the table of endpoints, so that nothing is served
//! that it does not have and it has nothing that is not served. What the table does not know of an
//! endpoint (what a body holds) stands here, by the operation's name.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderValue, Method, Response, StatusCode, header};
use serde_json::{Map, Value, json};

use super::PREFIX;
use super::answer::{ApiError, json as answer};
use super::ask::Ask;
use super::endpoint::{ENDPOINTS, Endpoint};
use crate::types::limits;
use crate::vault::Vault;

/// What the table does not know of an endpoint.
#[derive(Default)]
struct About {
    summary: &'static str,
    /// Parameters of the query: name, whether it is needed, what it is.
    query: Vec<(&'static str, bool, Value)>,
    /// The body's schema, where there is one.
    takes: Option<Value>,
    /// The status of success.
    status: u16,
}

fn text() -> Value {
    json!({"type": "string"})
}

fn number(least: u64) -> Value {
    json!({"type": "integer", "minimum": least})
}

fn list(items: &Value, most: usize) -> Value {
    json!({"type": "array", "items": items, "maxItems": most})
}

/// An object of these members; those that are needed come first, `needed` of them.
fn object(needed: usize, members: &[(&str, Value)]) -> Value {
    let names = members.iter().take(needed).map(|(name, _)| *name);
    let required: Vec<&str> = names.collect();
    let properties: Map<String, Value> = members
        .iter()
        .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
        .collect();
    json!({
        "type": "object", "properties": properties, "required": required,
        "additionalProperties": false,
    })
}

fn grant() -> Value {
    let many = list(&text(), 64);
    object(
        2,
        &[
            ("principal", text()),
            ("role", text()),
            ("dataset", text()),
            ("version", number(1)),
            ("prefix", text()),
            ("deny", json!({"type": "boolean"})),
            ("actions", many.clone()),
            ("networks", many.clone()),
            ("partitions", many),
            ("purpose", text()),
            ("permit", text()),
            ("starts", json!({"type": "string", "format": "date-time"})),
            ("expires", json!({"type": "string", "format": "date-time"})),
            ("propose", json!({"type": "boolean"})),
            ("dry_run", json!({"type": "boolean"})),
        ],
    )
}

fn defaults() -> Value {
    let days = json!({"type": "integer", "minimum": 1, "maximum": limits::RETENTION_DAYS_MAX});
    object(
        4,
        &[
            ("label", text()),
            ("source", text()),
            ("basis", text()),
            ("days", days),
        ],
    )
}

/// What may be said of a dataset that is made; all of it may be left out.
fn described() -> Value {
    object(
        0,
        &[
            ("owner", text()),
            ("label", text()),
            ("source", text()),
            ("basis", text()),
            ("ends", json!({"type": "string", "format": "date-time"})),
            ("use_class", text()),
        ],
    )
}

fn job() -> Value {
    object(
        5,
        &[
            ("bucket", text()),
            ("cluster", text()),
            ("account", text()),
            ("waits_seconds", number(1)),
            ("lasts_seconds", number(1)),
            ("nodes", number(1)),
            ("purpose", text()),
        ],
    )
}

fn keys() -> Value {
    let run = object(2, &[("from", text()), ("count", number(1))]);
    object(1, &[("runs", list(&run, limits::RELEASE_KEYS_MAX))])
}

fn reads() -> Value {
    let range = json!({
        "type": "array", "items": number(0), "minItems": 2, "maxItems": 2,
    });
    let read = object(
        2,
        &[
            ("key", text()),
            ("ranges", list(&range, limits::NODE_RANGES_MAX)),
        ],
    );
    object(1, &[("reads", list(&read, limits::RELEASE_KEYS_MAX))])
}

fn statement() -> Value {
    object(1, &[("statement", text())])
}

/// The same, which a part of a version answers too.
fn under(mut about: About) -> About {
    about.query.push(("prefix", false, text()));
    about
}

/// With what may be asked in the query.
fn asked(names: &[&'static str], about: About) -> About {
    let query = names.iter().map(|name| (*name, false, text())).collect();
    About { query, ..about }
}

const PUBLISHES: &str = "Publishes a dataset as its next version";

/// What is known of an endpoint beside the table; something is said of every one.
fn about(endpoint: &Endpoint) -> About {
    let of = |summary, takes: Option<Value>, status| About {
        summary,
        takes,
        status,
        query: Vec::new(),
    };
    match endpoint.operation {
        "GetIdentity" => of("Whom the vault takes the caller for", None, 200),
        "GetApiDescription" => of("This document", None, 200),
        "PublishVersion" => asked(&["changed"], of(PUBLISHES, None, 201)),
        "ListPublished" => of("The published versions of a dataset", None, 200),
        "OpenVersion" => under(of("A version's root and the key of its index", None, 200)),
        "GetManifestIndex" => under(of("The index of a version's manifest, sealed", None, 200)),
        "GetManifestPage" => under(of("A page of a version's manifest, sealed", None, 200)),
        "ReleaseKeys" => of("The part tables of objects", Some(keys()), 200),
        "GetSealed" => About {
            summary: "Sealed bytes of an object's blob",
            query: vec![
                ("key", true, text()),
                (
                    "blob",
                    true,
                    json!({"type": "string", "pattern": "^[0-9a-f]{32}$"}),
                ),
                ("from", true, number(0)),
                ("to", true, number(1)),
            ],
            takes: None,
            status: 200,
        },
        "RenewLease" => {
            let open = list(&text(), limits::RELEASE_KEYS_MAX);
            under(of(
                "Whether reading may go on",
                Some(object(1, &[("open", open)])),
                200,
            ))
        }
        "ReportReads" => of("What was read, for the log", Some(reads()), 204),
        "ListGrants" => of("Grants of a project that the caller may see", None, 200),
        "ListMembers" => asked(&["after"], of("Who is in a group", None, 200)),
        "CreateGrant" => of("Makes a grant, or asks for one", Some(grant()), 201),
        "GetGrant" => of("One grant", None, 200),
        "WithdrawGrant" => of("Withdraws a grant", None, 204),
        "ApproveGrant" => of("Approves a grant that was asked for", None, 200),
        "ConfirmGrant" => of("Confirms a grant in a review", None, 200),
        "ListRecords" => asked(
            &super::records::ASKED,
            of("A page of the log's records of a project", None, 200),
        ),
        "ProveRecord" => asked(
            &super::records::PROVED,
            of("The proof that a request's record is in the log", None, 200),
        ),
        "CreateDataset" => of(
            "Makes a dataset with what is said of it, or makes nothing",
            Some(described()),
            201,
        ),
        "ListDatasets" => of("The datasets that the caller may know of", None, 200),
        "SetDefaults" => of(
            "What a project's datasets are that say nothing themselves",
            Some(defaults()),
            204,
        ),
        "ListJobs" | "SubmitJob" | "CancelJob" | "StartJob" | "EndJob" => about_job(endpoint),
        other => of(other, has_body(&endpoint.method).then(|| json!({})), 200),
    }
}

/// The same of jobs.
fn about_job(endpoint: &Endpoint) -> About {
    let (summary, takes, status) = match endpoint.operation {
        "ListJobs" => ("The caller's jobs that wait or run", None, 200),
        "SubmitJob" => ("Lets a job read in the caller's name", Some(job()), 201),
        "CancelJob" => ("Ends a job of the caller's", None, 204),
        "StartJob" => (
            "A job's session, on a node's statement",
            Some(statement()),
            200,
        ),
        _ => (
            "A node's statement that a job has ended",
            Some(statement()),
            204,
        ),
    };
    About {
        summary,
        takes,
        status,
        ..About::default()
    }
}

fn has_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
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

fn operation(endpoint: &Endpoint) -> Value {
    let about = about(endpoint);
    let in_path = names(endpoint.path)
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": text()}));
    let in_query = about.query.iter().map(|(name, needed, schema)| {
        json!({"name": name, "in": "query", "required": needed, "schema": schema})
    });
    let parameters: Vec<Value> = in_path.chain(in_query).collect();
    let problem = json!({"$ref": "#/components/responses/problem"});
    let mut operation = json!({
        "operationId": endpoint.operation,
        "summary": about.summary,
        "parameters": parameters,
        "responses": {
            about.status.to_string(): {"description": "Done"},
            "4XX": problem,
            "5XX": problem,
        },
        "security": security(endpoint),
    });
    if let (Some(schema), Some(members)) = (about.takes, operation.as_object_mut()) {
        let body = json!({
            "required": true, "content": {"application/json": {"schema": schema}},
        });
        let _none = members.insert("requestBody".to_owned(), body);
    }
    operation
}

/// The document.
fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in ENDPOINTS {
        let path = format!("{PREFIX}{}", endpoint.path.replace("{*", "{"));
        let at = paths.entry(path).or_insert_with(|| json!({}));
        if let Some(at) = at.as_object_mut() {
            let method = endpoint.method.as_str().to_ascii_lowercase();
            let _none = at.insert(method, operation(endpoint));
        }
    }
    let problem = object(
        3,
        &[("title", text()), ("status", number(400)), ("code", text())],
    );
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
}
