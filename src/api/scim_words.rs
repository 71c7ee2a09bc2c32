//! What SCIM resources and the documents about them look like as JSON.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value as Json, json};

use super::PREFIX;
use super::scim::BASE;
use crate::scim::{GROUP, Group, LIST, ScimError, USER, User};
use crate::types::{PrincipalId, limits};
use crate::vault::Found;

const TYPE: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
const SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";
const PROVIDER: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";

/// What of a resource is to be shown (RFC 7644, section 3.9).
pub(super) struct Shown {
    only: Option<Vec<(String, Option<String>)>>,
    without: Vec<(String, Option<String>)>,
}

/// Names in a list, in lower case and without their schema.
fn names(text: &str) -> Result<Vec<(String, Option<String>)>, ScimError> {
    if text.len() > limits::SCIM_FILTER_BYTES_MAX {
        return Err(ScimError::TooMany);
    }
    let name = |text: &str| {
        let lower = text.trim().to_ascii_lowercase();
        let plain = match lower.rsplit_once(':') {
            Some((_schema, rest)) => rest.to_owned(),
            None => lower,
        };
        match plain.split_once('.') {
            Some((name, sub)) => (name.to_owned(), Some(sub.to_owned())),
            None => (plain, None),
        }
    };
    let all = text.split(',').filter(|text| !text.trim().is_empty());
    Ok(all.map(name).collect())
}

impl Shown {
    /// Reads the two parameters.
    pub(super) fn read(only: Option<&str>, without: Option<&str>) -> Result<Self, ScimError> {
        Ok(Self {
            only: only
                .map(names)
                .transpose()?
                .filter(|names| !names.is_empty()),
            without: names(without.unwrap_or_default())?,
        })
    }

    /// Whether any of an attribute is shown.
    pub(super) fn has(&self, attribute: &str) -> bool {
        let named = |names: &[(String, Option<String>)]| names.iter().any(|(n, _)| n == attribute);
        let wanted = self.only.as_deref().is_none_or(named);
        let hidden = self
            .without
            .iter()
            .any(|(n, sub)| n == attribute && sub.is_none());
        wanted && !hidden
    }

    /// The resource as it is shown: its id and schemas always.
    pub(super) fn of(&self, resource: Json) -> Json {
        let Json::Object(all) = resource else {
            return resource;
        };
        let mut shown = Map::new();
        for (name, value) in all {
            let lower = name.to_ascii_lowercase();
            let always = lower == "id" || lower == "schemas";
            if !always && !self.has(&lower) {
                continue;
            }
            let parts = |names: &[(String, Option<String>)]| -> Vec<String> {
                let of_this = names.iter().filter(|(n, _)| *n == lower);
                of_this.filter_map(|(_, sub)| sub.clone()).collect()
            };
            let whole = |names: &[(String, Option<String>)]| {
                names.iter().any(|(n, sub)| *n == lower && sub.is_none())
            };
            let only = self.only.as_deref().filter(|only| !always && !whole(only));
            let keep = only.map(parts);
            let drop = parts(&self.without);
            let _none = shown.insert(name, thinned(value, keep.as_deref(), &drop));
        }
        Json::Object(shown)
    }
}

/// A value with only these of its parts, and without those.
fn thinned(value: Json, keep: Option<&[String]>, drop: &[String]) -> Json {
    if keep.is_none() && drop.is_empty() {
        return value;
    }
    let fits = |name: &String| {
        let name = name.to_ascii_lowercase();
        keep.is_none_or(|keep| keep.contains(&name)) && !drop.contains(&name)
    };
    match value {
        Json::Object(all) => Json::Object(all.into_iter().filter(|(n, _)| fits(n)).collect()),
        Json::Array(all) => {
            let thin = all.into_iter().map(|one| thinned(one, keep, drop));
            Json::Array(thin.collect())
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => value,
    }
}

/// Where a resource is, below the base.
pub(super) fn place(kind: &str, id: &PrincipalId) -> String {
    /// What stands in a path as it is.
    const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'.')
        .remove(b'-')
        .remove(b'_')
        .remove(b'@');
    format!("{kind}/{}", utf8_percent_encode(id.as_str(), PLAIN))
}

fn location(kind: &str, id: &PrincipalId) -> String {
    format!("{PREFIX}{BASE}{}", place(kind, id))
}

fn meta<T>(found: &Found<T>, kind: &str) -> Json {
    json!({
        "resourceType": kind,
        "created": found.created.to_string(),
        "lastModified": found.modified.to_string(),
        "location": location(&format!("{kind}s"), &found.id),
        "version": format!("W/\"{}\"", found.revision),
    })
}

fn with(mut resource: Json, name: &str, value: Option<&String>) -> Json {
    if let (Some(all), Some(value)) = (resource.as_object_mut(), value) {
        let _none = all.insert(name.to_owned(), Json::from(value.as_str()));
    }
    resource
}

/// A person.
pub(super) fn user(found: &Found<User>) -> Json {
    let user = &found.what;
    let shown = json!({
        "schemas": [USER], "id": found.id.as_str(), "userName": user.user_name,
        "active": user.active, "meta": meta(found, "User"),
    });
    let shown = with(shown, "externalId", user.external_id.as_ref());
    with(shown, "displayName", user.display_name.as_ref())
}

/// A group, with or without its members.
pub(super) fn group(found: &Found<Group>, members: bool) -> Json {
    let group = &found.what;
    let mut shown = json!({
        "schemas": [GROUP], "id": found.id.as_str(), "displayName": group.display_name,
        "meta": meta(found, "Group"),
    });
    if let (true, Some(all)) = (members, shown.as_object_mut()) {
        let one = |id: &PrincipalId| json!({"value": id.as_str(), "type": "User", "$ref": location("Users", id)});
        let members: Vec<Json> = group.members.iter().map(one).collect();
        let _none = all.insert("members".to_owned(), Json::Array(members));
    }
    with(shown, "externalId", group.external_id.as_ref())
}

/// Several documents as a list.
pub(super) fn all(documents: &[Json]) -> Json {
    json!({
        "schemas": [LIST], "totalResults": documents.len(), "itemsPerPage": documents.len(),
        "startIndex": 1, "Resources": documents,
    })
}

/// The document of this id.
pub(super) fn named(documents: Vec<Json>, id: &str) -> Option<Json> {
    let is = |document: &Json| document.get("id").and_then(Json::as_str) == Some(id);
    documents.into_iter().find(is)
}

/// What is served (RFC 7643, section 5).
pub(super) fn provider() -> Json {
    json!({
        "schemas": [PROVIDER],
        "patch": {"supported": true},
        "bulk": {"supported": false, "maxOperations": 0, "maxPayloadSize": 0},
        "filter": {"supported": true, "maxResults": limits::SCIM_PAGE_MAX},
        "changePassword": {"supported": false},
        "sort": {"supported": false},
        "etag": {"supported": true},
        "authenticationSchemes": [{
            "type": "oauthbearertoken", "name": "Bearer", "primary": true,
            "description": "The credential that `kluis scim create` prints, of one organisation.",
        }],
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": format!("{PREFIX}{BASE}ServiceProviderConfig"),
        },
    })
}

/// The types of resources (RFC 7643, section 6).
pub(super) fn types() -> Vec<Json> {
    let one = |name: &str, schema: &str| {
        json!({
            "schemas": [TYPE], "id": name, "name": name, "endpoint": format!("/{name}s"),
            "schema": schema, "description": format!("A {} of an organisation", name.to_lowercase()),
            "meta": {
                "resourceType": "ResourceType",
                "location": format!("{PREFIX}{BASE}ResourceTypes/{name}"),
            },
        })
    };
    vec![one("User", USER), one("Group", GROUP)]
}

/// One attribute of a schema.
fn attribute(name: &str, kind: &str, about: &str, more: &Json) -> Json {
    let mut all = json!({
        "name": name, "type": kind, "description": about, "multiValued": false,
        "required": false, "mutability": "readWrite", "returned": "default",
    });
    if kind == "string"
        && let Some(all) = all.as_object_mut()
    {
        let _none = all.insert("caseExact".to_owned(), false.into());
        let _none = all.insert("uniqueness".to_owned(), "none".into());
    }
    if let (Some(all), Some(more)) = (all.as_object_mut(), more.as_object()) {
        all.extend(more.clone());
    }
    all
}

/// The schemas (RFC 7643, section 7): what is kept, and nothing else.
pub(super) fn schemas() -> Vec<Json> {
    let one = |id: &str, name: &str, attributes: Json| {
        json!({
            "schemas": [SCHEMA], "id": id, "name": name, "attributes": attributes,
            "description": format!("What is kept of a {}", name.to_lowercase()),
            "meta": {
                "resourceType": "Schema", "location": format!("{PREFIX}{BASE}Schemas/{id}"),
            },
        })
    };
    let named = json!({"required": true, "uniqueness": "server"});
    // Taken for true where nothing is said; it can be set and not be removed.
    let required = json!({"required": true});
    let exact = json!({"mutability": "immutable", "caseExact": true, "required": true});
    let kinds = json!({"mutability": "immutable", "canonicalValues": ["User"]});
    let place = json!({
        "mutability": "immutable", "referenceTypes": ["User"], "caseExact": true,
        "uniqueness": "none",
    });
    let members = json!({
        "multiValued": true,
        "subAttributes": [
            attribute("value", "string", "The id of a person", &exact),
            attribute("$ref", "reference", "Where that person is", &place),
            attribute("type", "string", "Always User", &kinds),
        ],
    });
    vec![
        one(
            USER,
            "User",
            json!([
                attribute(
                    "userName",
                    "string",
                    "The name; case does not count",
                    &named
                ),
                attribute("displayName", "string", "A name to show", &json!({})),
                attribute(
                    "active",
                    "boolean",
                    "Whether she may do anything",
                    &required
                ),
            ]),
        ),
        one(
            GROUP,
            "Group",
            json!([
                attribute(
                    "displayName",
                    "string",
                    "The name",
                    &json!({"required": true})
                ),
                attribute("members", "complex", "Who is in it", &members),
            ]),
        ),
    ]
}
