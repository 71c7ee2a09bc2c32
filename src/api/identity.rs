//! Who the vault takes the caller for.

use std::sync::Arc;

use axum::body::Body;
use http::{Response, StatusCode};
use serde::Serialize;

use super::answer::{ApiError, json};
use super::ask::Ask;
use crate::vault::Vault;

#[derive(Serialize)]
struct Told {
    principal: String,
    /// The person a workload acts for.
    acts_for: Option<String>,
    access_key_id: Option<String>,
}

pub(super) async fn get(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let principal = vault.whoami(&ask.call).await?;
    let session = &ask.call.session;
    let told = Told {
        principal: principal.to_string(),
        acts_for: session.responsible.as_ref().map(ToString::to_string),
        access_key_id: session.access_key.as_ref().map(ToString::to_string),
    };
    Ok(json(StatusCode::OK, &told))
}
