//! PATCH (RFC 7644, section 3.5.2), as the RFC has it and as Entra ID, Okta and others send it:
//! operations in any case, truth as a text, names with a point inside a value without a path,
//! members to remove in the value. All operations of a request, or none.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::filter::{Attribute, Filter, Value, Values};
use super::resource::{self, Group, User, is_external_id, is_shown_name, is_user_name};
use super::{PATCH, ScimError};
use crate::types::{PrincipalId, limits};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verb {
    Add,
    Replace,
    Remove,
}

/// Where an operation points.
#[derive(Clone, PartialEq, Debug)]
struct Path {
    attribute: Attribute,
    /// Of its values only those that fit.
    only: Option<Filter>,
    /// How long it is, in bytes: what it takes to hold it against a value.
    bytes: usize,
}

#[derive(Clone, PartialEq, Debug)]
struct Operation {
    verb: Verb,
    path: Option<Path>,
    value: Json,
}

/// A request to change a resource.
#[derive(Clone, PartialEq, Debug)]
pub struct Patch(Vec<Operation>);

impl Path {
    fn read(text: &str) -> Result<Self, ScimError> {
        if text.len() > limits::SCIM_FILTER_BYTES_MAX {
            return Err(ScimError::Path);
        }
        let Some((name, rest)) = text.split_once('[') else {
            let attribute = Attribute::read(text).ok_or(ScimError::Path)?;
            return Ok(Self {
                attribute,
                only: None,
                bytes: text.len(),
            });
        };
        let mut attribute = Attribute::read(name).ok_or(ScimError::Path)?;
        let (filter, rest) = Filter::read_within(rest).map_err(|_none| ScimError::Path)?;
        if attribute.sub.is_some() {
            return Err(ScimError::Path);
        }
        if let Some(sub) = rest.strip_prefix('.') {
            let sub = Attribute::read(sub).filter(|sub| sub.sub.is_none());
            attribute.sub = Some(sub.ok_or(ScimError::Path)?.name);
        } else if !rest.is_empty() {
            return Err(ScimError::Path);
        }
        Ok(Self {
            attribute,
            only: Some(filter),
            bytes: text.len(),
        })
    }
}

impl Patch {
    /// Reads a request.
    pub fn read(body: &Json) -> Result<Self, ScimError> {
        let told = resource::attributes(body, PATCH)?;
        let all = told.iter().find(|(name, _)| name == "operations");
        let all = all
            .and_then(|(_, value)| value.as_array())
            .ok_or(ScimError::Syntax)?;
        if all.is_empty() {
            return Err(ScimError::Syntax);
        }
        if all.len() > limits::SCIM_OPERATIONS_MAX {
            return Err(ScimError::TooMany);
        }
        all.iter()
            .map(operation)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// What a person is after it.
    pub fn user(&self, before: &User, id: &PrincipalId) -> Result<User, ScimError> {
        let mut user = before.clone();
        for (verb, path, value) in self.flat(id)? {
            set_user(&mut user, verb, &path, &value)?;
        }
        Ok(user)
    }

    /// What a group is after it.
    pub fn group(&self, before: &Group, id: &PrincipalId) -> Result<Group, ScimError> {
        let mut group = before.clone();
        let mut members = Members {
            all: group.members.drain(..).collect(),
            room: limits::SCIM_FILTERED_MAX,
        };
        for (verb, path, value) in self.flat(id)? {
            set_group(&mut group, &mut members, verb, (&path, &value))?;
        }
        if members.all.len() > limits::SCIM_MEMBERS_MAX {
            return Err(ScimError::TooMany);
        }
        group.members = members.all.into_iter().collect();
        Ok(group)
    }

    /// Each operation on one attribute: one without a path is one for each attribute that its value
    /// names.
    fn flat(&self, id: &PrincipalId) -> Result<Vec<(Verb, Path, Json)>, ScimError> {
        let mut flat = Vec::new();
        for Operation { verb, path, value } in &self.0 {
            if let Some(path) = path {
                flat.push((*verb, path.clone(), value.clone()));
                continue;
            }
            if *verb == Verb::Remove {
                return Err(ScimError::NoTarget);
            }
            let all = resource::lowered(value.as_object().ok_or(ScimError::Value)?)?;
            for (name, value) in all {
                // Who sends the whole resource says the id too.
                if name == "id" && value.as_str() == Some(id.as_str()) || name == "meta" {
                    continue;
                }
                flat.push((*verb, Path::read(&name)?, value));
            }
        }
        Ok(flat)
    }
}

fn operation(one: &Json) -> Result<Operation, ScimError> {
    let told = resource::lowered(one.as_object().ok_or(ScimError::Syntax)?)?;
    let part = |wanted: &str| told.iter().find(|(name, _)| name == wanted).map(|(_, v)| v);
    let verb = part("op").and_then(Json::as_str).ok_or(ScimError::Syntax)?;
    let verb = match verb.to_ascii_lowercase().as_str() {
        "add" => Verb::Add,
        "replace" => Verb::Replace,
        "remove" => Verb::Remove,
        _ => return Err(ScimError::Syntax),
    };
    let path = match part("path") {
        None | Some(Json::Null) => None,
        Some(Json::String(text)) => Some(Path::read(text)?),
        Some(_) => return Err(ScimError::Path),
    };
    let value = part("value").cloned().unwrap_or_default();
    if verb != Verb::Remove && value.is_null() && path.is_none() {
        return Err(ScimError::Value);
    }
    Ok(Operation { verb, path, value })
}

/// What every attribute has in common: `true` if there is nothing more to do.
fn common(path: &Path) -> Result<bool, ScimError> {
    if resource::is_own(&path.attribute) {
        return Err(ScimError::Mutability);
    }
    Ok(resource::is_left_out(&path.attribute))
}

fn set_user(user: &mut User, verb: Verb, path: &Path, value: &Json) -> Result<(), ScimError> {
    if common(path)? {
        return Ok(());
    }
    if path.attribute.sub.is_some() || path.only.is_some() {
        return Err(ScimError::Path);
    }
    // What is removed has no value, and some attributes must have one.
    let value = if verb == Verb::Remove {
        &Json::Null
    } else {
        value
    };
    match path.attribute.name.as_str() {
        "username" => {
            user.user_name = resource::text(value, is_user_name)?.ok_or(ScimError::Value)?;
        }
        "externalid" => user.external_id = resource::text(value, is_external_id)?,
        "displayname" => user.display_name = resource::text(value, is_shown_name)?,
        "active" => user.active = resource::truth(value)?,
        _ => return Err(ScimError::Path),
    }
    Ok(())
}

fn set_group(
    group: &mut Group,
    members: &mut Members,
    verb: Verb,
    (path, value): (&Path, &Json),
) -> Result<(), ScimError> {
    if common(path)? {
        return Ok(());
    }
    if path.attribute.name == "members" {
        return members.set(verb, path, value);
    }
    if path.attribute.sub.is_some() || path.only.is_some() {
        return Err(ScimError::Path);
    }
    let value = if verb == Verb::Remove {
        &Json::Null
    } else {
        value
    };
    match path.attribute.name.as_str() {
        "externalid" => group.external_id = resource::text(value, is_external_id)?,
        "displayname" => {
            group.display_name = resource::text(value, is_shown_name)?.ok_or(ScimError::Value)?;
        }
        _ => return Err(ScimError::Path),
    }
    Ok(())
}

/// One member, as the filter of a path sees it.
struct Member<'a>(&'a PrincipalId);

impl Values for Member<'_> {
    fn values(&self, attribute: &Attribute) -> Vec<Value> {
        match (attribute.name.as_str(), &attribute.sub) {
            ("value", None) => vec![Value::Exact(self.0.to_string())],
            ("type", None) => vec![Value::Text("User".to_owned())],
            _ => Vec::new(),
        }
    }
}

/// The members of a group while it is patched.
struct Members {
    all: BTreeSet<PrincipalId>,
    /// What is left of [`limits::SCIM_FILTERED_MAX`].
    room: usize,
}

impl Members {
    fn set(&mut self, verb: Verb, path: &Path, value: &Json) -> Result<(), ScimError> {
        // Who a member is cannot be changed: she is taken out, and another one put in.
        if path.attribute.sub.is_some() {
            return Err(ScimError::Mutability);
        }
        match (verb, &path.only) {
            (Verb::Add, Some(_)) => return Err(ScimError::Path),
            (Verb::Add, None) => self.all.extend(resource::members(value)?),
            (Verb::Replace | Verb::Remove, None) if value.is_null() => self.all.clear(),
            (Verb::Replace, None) => {
                self.all = resource::members(value)?.into_iter().collect();
            }
            (Verb::Replace, Some(only)) => {
                let before = self.all.len();
                self.take_out(only, path.bytes)?;
                if self.all.len() == before {
                    return Err(ScimError::NoTarget);
                }
                self.all.extend(resource::members(value)?);
            }
            (Verb::Remove, Some(only)) => self.take_out(only, path.bytes)?,
            (Verb::Remove, None) => {
                for gone in resource::members(value)? {
                    let _was_there: bool = self.all.remove(&gone);
                }
            }
        }
        Ok(())
    }

    /// Takes out those whom a filter of so many bytes fits.
    fn take_out(&mut self, only: &Filter, bytes: usize) -> Result<(), ScimError> {
        if let Some(one) = only.only("value", None) {
            let one = one.parse().ok();
            let one = one.filter(|id: &PrincipalId| only.holds(&Member(id)));
            let _was_there = one.is_some_and(|id| self.all.remove(&id));
            return Ok(());
        }
        let work = self.all.len().saturating_mul(bytes);
        self.room = self.room.checked_sub(work).ok_or(ScimError::TooMany)?;
        self.all.retain(|member| !only.holds(&Member(member)));
        Ok(())
    }
}
