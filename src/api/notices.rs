//! What somebody is told of her datasets.

use std::sync::Arc;

use axum::body::Body;
use http::{Response, StatusCode};

use super::answer::{ApiError, json};
use super::ask::Ask;
use crate::catalog::NoticeRow;
use crate::vault::Vault;
use crate::wire::{Notice, NoticeList};

/// A notice as it is shown.
fn notice(row: NoticeRow) -> Notice {
    Notice {
        notice: row.id.to_string(),
        at: row.at.to_string(),
        project: row.project.to_string(),
        dataset: row.dataset.map(|name| name.to_string()),
        text: row.text,
    }
}

pub(super) async fn list(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let page = vault.notices(&ask.call, ask.asked("before")?).await?;
    let list = NoticeList {
        notices: page.rows.into_iter().map(notice).collect(),
        next: page.next.map(|mark| mark.to_string()),
    };
    Ok(json(StatusCode::OK, &list))
}
