//! Whether what the gateway answers is what its OpenAPI document says: held of every request that
//! these tests make.

use std::sync::OnceLock;

use serde_json::Value;

const PREFIX: &str = "/.kluis/v1/";

fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(kluis::api::document)
}

/// The operation at a path.
fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let method = method.to_ascii_lowercase();
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let names: Vec<&str> = template.split('/').collect();
        let same = |(name, part): (&&str, &&str)| name.starts_with('{') || name == part;
        names.len() == parts.len() && names.iter().zip(&parts).all(same)
    };
    let paths = document()["paths"].as_object()?;
    // A name in the path goes before a parameter.
    let mut found: Vec<_> = paths.iter().filter(|(path, _)| fits(path)).collect();
    found.sort_by_key(|(path, _)| path.matches('{').count());
    found.iter().find_map(|(_, at)| at.get(&method))
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "null" => value.is_null(),
        other => panic!("a type {other}"),
    }
}

/// The members of an object: those that are needed are there, and no other than are described.
fn members(value: &Value, schema: &Value, at: &str) -> Result<(), String> {
    let (Some(members), Some(known)) = (value.as_object(), schema["properties"].as_object()) else {
        return Ok(());
    };
    for name in schema["required"].as_array().into_iter().flatten() {
        let name = name.as_str().expect("a name");
        if !members.contains_key(name) {
            return Err(format!("{at} lacks {name}"));
        }
    }
    for (name, member) in members {
        let inner = known.get(name).ok_or_else(|| format!("{at} has {name}"))?;
        fits(member, inner, &format!("{at}.{name}"))?;
    }
    Ok(())
}

/// What is said of texts and numbers.
fn scalar(value: &Value, schema: &Value, at: &str) -> Result<(), String> {
    let wrong = || Err(format!("{at} is {value}, of {schema}"));
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        return wrong();
    }
    let least = schema["minimum"].as_u64().unwrap_or(0);
    let most = schema["maximum"].as_u64().unwrap_or(u64::MAX);
    if value.as_u64().is_some_and(|n| n < least || n > most) {
        return wrong();
    }
    let Some(text) = value.as_str() else {
        return Ok(());
    };
    let is_time = || {
        let format = &time::format_description::well_known::Rfc3339;
        time::OffsetDateTime::parse(text, format).is_ok()
    };
    let hexadecimal = |digits: usize| {
        text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let fits = match (schema["format"].as_str(), schema["pattern"].as_str()) {
        (Some("date-time"), _) => is_time(),
        (_, Some("^[0-9a-f]{32}$")) => hexadecimal(32),
        (_, Some("^[0-9a-f]{64}$")) => hexadecimal(64),
        (_, Some(other)) => panic!("a pattern {other}"),
        (Some(_) | None, None) => true,
    };
    if fits { Ok(()) } else { wrong() }
}

/// Whether a value is what a schema says, as far as the document's schemas go.
pub(crate) fn fits(value: &Value, schema: &Value, at: &str) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.trim_start_matches('#');
        let inner = document().pointer(pointer).expect("a schema");
        return fits(value, inner, at);
    }
    for (name, exactly) in [("oneOf", true), ("anyOf", false)] {
        if let Some(all) = schema[name].as_array() {
            let count = all
                .iter()
                .filter(|one| fits(value, one, at).is_ok())
                .count();
            if count == 0 || (exactly && count > 1) {
                return Err(format!("{at} is {count} of {name}: {value}"));
            }
        }
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return Ok(()),
    };
    if !kinds.iter().any(|kind| is(kind, value)) {
        return Err(format!("{at} is {value}, none of {kinds:?}"));
    }
    if value.is_null() {
        return Ok(());
    }
    if let Some(inner) = schema["additionalProperties"].as_object() {
        let inner = Value::Object(inner.clone());
        for (name, member) in value.as_object().into_iter().flatten() {
            fits(member, &inner, &format!("{at}.{name}"))?;
        }
    }
    if let (Some(all), Some(_)) = (value.as_array(), schema.get("items")) {
        let most = schema["maxItems"].as_u64().unwrap_or(u64::MAX);
        if u64::try_from(all.len()).expect("a count") > most {
            return Err(format!("{at} has more than {most}"));
        }
        for (number, one) in all.iter().enumerate() {
            fits(one, &schema["items"], &format!("{at}[{number}]"))?;
        }
    }
    scalar(value, schema, at)?;
    members(value, schema, at)
}

/// The schema of a body of this media type.
fn body<'a>(of: &'a Value, kind: &str) -> Option<&'a Value> {
    of["content"].as_object()?.get(kind).map(|it| &it["schema"])
}

/// That an answer of the API is the one that the document describes, and so is what was asked.
pub(crate) fn held(
    (method, uri, asked): (&str, &str, &[u8]),
    (status, kind, text): (u16, &str, &str),
) {
    let path = uri.split(['?', '#']).next().expect("a path");
    let what = format!("{method} {path}: {status}");
    if !path.starts_with(PREFIX) || path.starts_with("/.kluis/v1/scim/") {
        return;
    }
    let Some(operation) = operation(method, path) else {
        assert!(status >= 400, "{what} and nothing is described there");
        return;
    };
    let kind = kind.split(';').next().unwrap_or_default();
    if status >= 400 {
        let problem = &document()["components"]["responses"]["problem"];
        let schema = body(problem, kind).unwrap_or_else(|| panic!("{what} of type {kind:?}"));
        if kind == "application/problem+json" {
            let value: Value = serde_json::from_str(text).expect("JSON");
            fits(&value, schema, "the problem").unwrap_or_else(|why| panic!("{what}: {why}"));
        }
        return;
    }
    let done = &operation["responses"][status.to_string()];
    assert!(done.is_object(), "{what} is not described");
    match body(done, kind) {
        None => assert!(
            text.is_empty() && done.get("content").is_none(),
            "{what} of type {kind:?}"
        ),
        Some(schema) if kind == "application/json" => {
            let value: Value = serde_json::from_str(text).expect("JSON");
            fits(&value, schema, "the answer").unwrap_or_else(|why| panic!("{what}: {why}"));
        }
        Some(_) => {}
    }
    if let Some(schema) = body(&operation["requestBody"], "application/json") {
        let value: Value = serde_json::from_slice(asked).expect("JSON");
        fits(&value, schema, "the request").unwrap_or_else(|why| panic!("{what}: {why}"));
    }
}

#[test]
fn what_is_not_as_it_is_described_is_seen() {
    let grant = serde_json::json!({
        "principal": "bob", "role": "reader", "starts": "2027-01-01T00:00:00Z", "dataset": null,
    });
    let schema = serde_json::json!({"$ref": "#/components/schemas/CreateGrantRequest"});
    assert_eq!(fits(&grant, &schema, "it"), Ok(()));
    for (member, value) in [
        ("principal", serde_json::json!(null)),
        ("role", serde_json::json!(7)),
        ("starts", serde_json::json!("tomorrow")),
        ("version", serde_json::json!(0)),
        ("version", serde_json::json!("1")),
        ("actions", serde_json::json!([1])),
        ("actions", serde_json::json!(vec!["object.get"; 65])),
        ("another", serde_json::json!("member")),
    ] {
        let mut bent = grant.clone();
        bent[member] = value.clone();
        assert!(fits(&bent, &schema, "it").is_err(), "{member}: {value}");
    }
    let mut less = grant;
    less.as_object_mut().expect("an object").remove("role");
    assert!(fits(&less, &schema, "it").is_err());
    let ok = (200, "application/json", r#"{"notices": [], "next": null}"#);
    held(("GET", "/.kluis/v1/notices", b""), ok);
    for (answer, operation) in [
        (
            (
                200,
                "application/json",
                r#"{"notices": null, "next": null}"#,
            ),
            "GET",
        ),
        ((200, "text/plain", "nothing"), "GET"),
        ((204, "", ""), "GET"),
        ((200, "", ""), "POST"),
        (
            (403, "application/problem+json", r#"{"title": "no"}"#),
            "GET",
        ),
    ] {
        let path = "/.kluis/v1/notices";
        let seen = std::panic::catch_unwind(|| held((operation, path, b""), answer));
        assert!(seen.is_err(), "{operation} {answer:?}");
    }
}
