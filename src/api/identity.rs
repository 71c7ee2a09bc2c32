//! Who the vault takes the caller for, and what bounds her: why she may or may not is then no
//! riddle.

use std::sync::Arc;

use axum::body::Body;
use http::{Response, StatusCode};

use super::answer::{ApiError, json};
use super::ask::Ask;
use crate::types::Timestamp;
use crate::vault::{Bounds, Rests, Vault};
use crate::wire::{CredentialScope, Identity};

/// How far a credential reaches, if it does not as far as its principal.
fn scope(bounds: &Bounds) -> Option<CredentialScope> {
    let mut scope = CredentialScope {
        project: bounds.project.as_ref().map(ToString::to_string),
        dataset: bounds.dataset.as_ref().map(ToString::to_string),
        version: bounds.version,
        purpose: bounds.purpose.clone(),
        ..CredentialScope::default()
    };
    if let Rests::Key(key) = &bounds.rests {
        let prefix = &key.scope.prefix;
        scope.prefix = (!prefix.is_empty()).then(|| prefix.clone());
        scope.read_only = key.scope.only_reads;
        scope.networks = key.scope.networks.iter().map(ToString::to_string).collect();
    }
    (scope != CredentialScope::default()).then_some(scope)
}

pub(super) async fn get(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let principal = vault.whoami(&ask.call).await?;
    let groups = vault.own_groups(&ask.call).await?;
    let session = &ask.call.session;
    let bounds = ask.call.bounds.as_deref();
    let ends = bounds.map(|bounds| bounds.expires);
    let told = Identity {
        principal: principal.to_string(),
        acts_for: session.responsible.as_ref().map(ToString::to_string),
        access_key_id: session.access_key.as_ref().map(ToString::to_string),
        groups: groups.map(|all| all.iter().map(ToString::to_string).collect()),
        scope: bounds.and_then(scope),
        expires: ends
            .filter(|end| *end < Timestamp::MAX)
            .map(|end| end.to_string()),
        acr: bounds.and_then(|bounds| bounds.assured.acr.clone()),
        amr: bounds
            .map(|bounds| bounds.assured.amr.clone())
            .unwrap_or_default(),
    };
    Ok(json(StatusCode::OK, &told))
}
