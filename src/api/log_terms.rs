//! How a project's records are kept, over the network: for whoever manages its grants.

use std::sync::Arc;

use axum::body::Body;
use http::{Response, StatusCode};

use super::answer::{ApiError, json};
use super::ask::Ask;
use crate::types::LogTerms;
use crate::vault::{ErrorKind, LogTermsChange, Vault, VaultError};
use crate::wire::{self, SetLogTermsRequest};

/// How records are kept, as it is shown.
#[must_use]
pub fn log_terms(terms: LogTerms) -> wire::LogTerms {
    wire::LogTerms {
        days: terms.kept_days(),
        pseudonyms: terms.pseudonyms,
    }
}

/// A number that cannot be is the client's own text, so she is told.
fn told(error: VaultError) -> ApiError {
    if error.kind() == ErrorKind::InvalidArgument {
        return ApiError::bad(error.reason());
    }
    error.into()
}

pub(super) async fn get(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let project = ask.parameter("project")?;
    let terms = vault.log_terms(&ask.call, &project).await?;
    Ok(json(StatusCode::OK, &log_terms(terms)))
}

pub(super) async fn put(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let project = ask.parameter("project")?;
    let SetLogTermsRequest {
        days,
        pseudonyms,
        approval,
    } = ask.json()?;
    if days.is_none() && pseudonyms.is_none() {
        let nothing = "The body says neither days nor pseudonyms.";
        return Err(ApiError::bad(nothing.into()));
    }
    let none = |_not_one| ApiError::bad("The member approval is none.".into());
    let change = LogTermsChange {
        days,
        pseudonyms,
        approval: approval.map(|id| id.parse().map_err(none)).transpose()?,
    };
    let terms = vault.set_log_terms(&ask.call, &project, change).await;
    Ok(json(StatusCode::OK, &log_terms(terms.map_err(told)?)))
}
