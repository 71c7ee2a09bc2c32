//! What somebody is told of her datasets.

use std::sync::Arc;

use axum::body::Body;
use http::{Response, StatusCode};
use serde::Serialize;

use super::answer::{ApiError, json};
use super::ask::Ask;
use crate::catalog::NoticeRow;
use crate::vault::Vault;

#[derive(Serialize)]
struct Told {
    notice: String,
    at: String,
    project: String,
    dataset: Option<String>,
    text: String,
}

#[derive(Serialize)]
struct List {
    notices: Vec<Told>,
}

impl From<NoticeRow> for Told {
    fn from(row: NoticeRow) -> Self {
        Self {
            notice: row.id.to_string(),
            at: row.at.to_string(),
            project: row.project.to_string(),
            dataset: row.dataset.map(|name| name.to_string()),
            text: row.text,
        }
    }
}

pub(super) async fn list(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let rows = vault.notices(&ask.call).await?;
    let notices = rows.into_iter().map(Told::from).collect();
    Ok(json(StatusCode::OK, &List { notices }))
}
