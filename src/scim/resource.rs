//! A person and a group, as an organisation states them.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::filter::{Attribute, Value, Values};
use super::{GROUP, ScimError, USER};
use crate::types::{PrincipalId, limits};

/// Attributes of the core schemas that are taken and left out.
const LEFT_OUT: [&str; 19] = [
    "name",
    "nickname",
    "profileurl",
    "title",
    "usertype",
    "preferredlanguage",
    "locale",
    "timezone",
    "emails",
    "phonenumbers",
    "ims",
    "photos",
    "addresses",
    "entitlements",
    "roles",
    "x509certificates",
    "password",
    "schemas",
    "urn",
];
/// Attributes that the vault alone sets.
const OWN: [&str; 3] = ["id", "meta", "groups"];

/// What is said of a person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// Her name at the organisation, as it was written; case does not count.
    pub user_name: String,
    /// What the organisation's own system calls her.
    pub external_id: Option<String>,
    /// A name to show.
    pub display_name: Option<String>,
    /// Whether she may do anything.
    pub active: bool,
}

/// What is said of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// Its name.
    pub display_name: String,
    /// What the organisation's own system calls it.
    pub external_id: Option<String>,
    /// Its members, in order, each once.
    pub members: Vec<PrincipalId>,
}

/// A user name as it is compared: case does not count (RFC 7643, section 4.1.1), nothing else is
/// lost.
#[must_use]
pub fn folded(user_name: &str) -> String {
    user_name.to_ascii_lowercase()
}

/// Whether it is a user name: 1 to 128 printable ASCII characters without a space, a quote or a
/// backslash. No two that look alike, no sign that another language would read.
#[must_use]
pub fn is_user_name(text: &str) -> bool {
    let bounded = (1..=limits::PRINCIPAL_BYTES_MAX).contains(&text.len());
    bounded
        && text
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"\"\\<>".contains(&b))
}

/// Whether it can be shown: 1 to 256 bytes, nothing that is invisible or turns a line around.
#[must_use]
pub fn is_shown_name(text: &str) -> bool {
    let unseen = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}')
            || ('\u{200b}'..='\u{200f}').contains(&c)
            || ('\u{2028}'..='\u{202e}').contains(&c)
            || ('\u{2060}'..='\u{206f}').contains(&c)
            || ('\u{fff9}'..='\u{fffb}').contains(&c)
            || ('\u{e0000}'..='\u{e0fff}').contains(&c)
    };
    let bounded = (1..=limits::SCIM_TEXT_BYTES_MAX).contains(&text.len());
    bounded && !text.chars().any(unseen) && text.trim() == text
}

/// A body that is an object of this schema; its attributes by name in lower case, each once.
pub fn attributes(body: &Json, schema: &str) -> Result<Vec<(String, Json)>, ScimError> {
    let all = body.as_object().ok_or(ScimError::Syntax)?;
    let told = lowered(all)?;
    let schemas = told.iter().find(|(name, _)| name == "schemas");
    let schemas = schemas.and_then(|(_, value)| value.as_array());
    let named = |value: &Json| {
        value
            .as_str()
            .is_some_and(|s| s.eq_ignore_ascii_case(schema))
    };
    if schemas.is_some_and(|schemas| schemas.iter().any(named)) {
        Ok(told)
    } else {
        Err(ScimError::Syntax)
    }
}

/// The attributes of an object. One that is there in two spellings is refused: which one counts
/// would be anybody's guess.
pub(super) fn lowered(all: &Map<String, Json>) -> Result<Vec<(String, Json)>, ScimError> {
    if all.len() > limits::SCIM_ATTRIBUTES_MAX {
        return Err(ScimError::TooMany);
    }
    let mut told = BTreeMap::new();
    for (name, value) in all {
        if let Some(_twice) = told.insert(name.to_ascii_lowercase(), value.clone()) {
            return Err(ScimError::Syntax);
        }
    }
    Ok(told.into_iter().collect())
}

/// An attribute of no own meaning here: `true` if it is left out.
pub(super) fn is_left_out(attribute: &Attribute) -> bool {
    attribute.name.starts_with("urn:") || LEFT_OUT.contains(&attribute.name.as_str())
}

/// Whether the vault alone sets it.
pub(super) fn is_own(attribute: &Attribute) -> bool {
    OWN.contains(&attribute.name.as_str())
}

/// A text, or nothing.
pub(super) fn text(value: &Json, fits: fn(&str) -> bool) -> Result<Option<String>, ScimError> {
    match value {
        Json::Null => Ok(None),
        Json::String(text) if fits(text) => Ok(Some(text.clone())),
        Json::String(_) | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
            Err(ScimError::Value)
        }
    }
}

/// An external id is a subject where sign-in is linked by it: bounded, no control, kept as it is.
#[must_use]
pub fn is_external_id(text: &str) -> bool {
    let bounded = (1..=limits::TOKEN_SUBJECT_BYTES_MAX).contains(&text.len());
    bounded && !text.chars().any(char::is_control)
}

/// True or false; also as a text, as Entra ID sends it.
pub(super) fn truth(value: &Json) -> Result<bool, ScimError> {
    match value {
        Json::Bool(truth) => Ok(*truth),
        Json::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Json::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Json::Null | Json::String(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
            Err(ScimError::Value)
        }
    }
}

/// The members that a value names: an object with a `value`, or a list of them.
pub(super) fn members(value: &Json) -> Result<Vec<PrincipalId>, ScimError> {
    let one = std::slice::from_ref(value);
    let all = value.as_array().map_or(one, Vec::as_slice);
    if all.len() > limits::SCIM_MEMBERS_MAX {
        return Err(ScimError::TooMany);
    }
    let mut members = Vec::with_capacity(all.len());
    for one in all {
        let told = lowered(one.as_object().ok_or(ScimError::Value)?)?;
        let part = |wanted: &str| told.iter().find(|(name, _)| name == wanted);
        let of_group = part("type").is_some_and(|(_, kind)| {
            !kind.is_null()
                && !kind
                    .as_str()
                    .is_some_and(|kind| kind.eq_ignore_ascii_case("user"))
        });
        if of_group {
            return Err(ScimError::Value);
        }
        let id = part("value").and_then(|(_, value)| value.as_str());
        members.push(id.and_then(|id| id.parse().ok()).ok_or(ScimError::Value)?);
    }
    members.sort_unstable();
    members.dedup();
    Ok(members)
}

impl User {
    /// Reads one as it is created or replaced. What is not said is not so; active is what she is
    /// unless it is said that she is not.
    pub fn read(body: &Json) -> Result<Self, ScimError> {
        let told = attributes(body, USER)?;
        let mut user = Self {
            user_name: String::new(),
            external_id: None,
            display_name: None,
            active: true,
        };
        for (name, value) in &told {
            match name.as_str() {
                "username" => {
                    user.user_name = text(value, is_user_name)?.ok_or(ScimError::Value)?;
                }
                "externalid" => user.external_id = text(value, is_external_id)?,
                "displayname" => user.display_name = text(value, is_shown_name)?,
                "active" => user.active = truth(value)?,
                _ => {}
            }
        }
        if user.user_name.is_empty() {
            return Err(ScimError::Value);
        }
        Ok(user)
    }
}

impl Group {
    /// Reads one as it is created or replaced.
    pub fn read(body: &Json) -> Result<Self, ScimError> {
        let told = attributes(body, GROUP)?;
        let mut group = Self {
            display_name: String::new(),
            external_id: None,
            members: Vec::new(),
        };
        for (name, value) in &told {
            match name.as_str() {
                "displayname" => {
                    group.display_name = text(value, is_shown_name)?.ok_or(ScimError::Value)?;
                }
                "externalid" => group.external_id = text(value, is_external_id)?,
                "members" if !value.is_null() => group.members = members(value)?,
                _ => {}
            }
        }
        if group.display_name.is_empty() {
            return Err(ScimError::Value);
        }
        Ok(group)
    }
}

impl Values for User {
    fn values(&self, attribute: &Attribute) -> Vec<Value> {
        if attribute.sub.is_some() {
            return Vec::new();
        }
        let exact = |text: &Option<String>| text.clone().map(Value::Exact).into_iter().collect();
        match attribute.name.as_str() {
            "username" => vec![Value::Text(self.user_name.clone())],
            "displayname" => self
                .display_name
                .clone()
                .map(Value::Text)
                .into_iter()
                .collect(),
            "externalid" => exact(&self.external_id),
            "active" => vec![Value::Truth(self.active)],
            _ => Vec::new(),
        }
    }
}

impl Values for Group {
    fn values(&self, attribute: &Attribute) -> Vec<Value> {
        let of_members = attribute.sub.as_deref().is_none_or(|sub| sub == "value");
        match attribute.name.as_str() {
            "members" if of_members => self
                .members
                .iter()
                .map(|member| Value::Exact(member.to_string()))
                .collect(),
            _ if attribute.sub.is_some() => Vec::new(),
            "displayname" => vec![Value::Text(self.display_name.clone())],
            "externalid" => self
                .external_id
                .clone()
                .map(Value::Exact)
                .into_iter()
                .collect(),
            _ => Vec::new(),
        }
    }
}
