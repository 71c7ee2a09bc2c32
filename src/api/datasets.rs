//! What datasets are, over the network: on the word of whoever signed.

use std::sync::Arc;

use axum::body::Body;
use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::answer::{ApiError, json};
use super::ask::Ask;
use super::grants::{read, time, told};
use crate::catalog::CardDefaults;
use crate::types::BucketRef;
use crate::vault::{CardChange, Described, Vault};

/// What a project's datasets are that say nothing themselves.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Defaults {
    label: String,
    source: String,
    basis: String,
    /// For how long they are kept, from their making.
    days: u32,
}

/// What is to change; what is left out stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    owner: Option<String>,
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    basis: Option<String>,
    #[serde(default)]
    ends: Option<String>,
    /// The reason of a legal hold.
    #[serde(default)]
    hold: Option<String>,
    /// End the legal hold.
    #[serde(default)]
    release: bool,
    /// What jobs may compute on it for; empty for whatever.
    #[serde(default)]
    use_class: Option<String>,
    /// The approval of a label's lowering.
    #[serde(default)]
    approval: Option<String>,
}

/// A dataset as it is shown.
#[derive(Serialize)]
struct Told {
    dataset: String,
    bucket: String,
    id: String,
    creator: String,
    created: String,
    owner: Option<String>,
    label: Option<String>,
    source: Option<String>,
    basis: Option<String>,
    ends: Option<String>,
    hold: Option<String>,
    use_class: Option<String>,
    stage: &'static str,
    next_stage: Option<String>,
    /// What of it is good for nothing as things stand, to whoever says so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hints: Vec<String>,
}

#[derive(Serialize)]
struct List {
    datasets: Vec<Told>,
}

impl From<Described> for Told {
    fn from(told: Described) -> Self {
        let Described { row, stage, next } = told;
        let card = row.card.as_deref();
        Self {
            dataset: format!("{}/{}", row.bucket.project, row.bucket.dataset),
            bucket: row.bucket.to_string(),
            id: row.id.to_string(),
            creator: row.creator.to_string(),
            created: row.created.to_string(),
            owner: card.map(|card| card.owner.to_string()),
            label: card.map(|card| card.label.to_string()),
            source: card.map(|card| card.source.clone()),
            basis: card.map(|card| card.basis.clone()),
            ends: card.map(|card| card.ends.to_string()),
            hold: card.and_then(|card| card.held.clone()),
            use_class: card.and_then(|card| Some(card.use_class.as_ref()?.to_string())),
            stage: card.map_or("undescribed", |_| stage.as_str()),
            next_stage: next.map(|at| at.to_string()),
            hints: Vec::new(),
        }
    }
}

impl Asked {
    fn change(self) -> Result<CardChange, ApiError> {
        if self.hold.is_some() && self.release {
            let both = "It is held or released, not both.".to_owned();
            return Err(ApiError::bad(both));
        }
        let released = self.release.then_some(None);
        Ok(CardChange {
            owner: self.owner.map(|text| read("owner", &text)).transpose()?,
            label: self.label.map(|text| read("label", &text)).transpose()?,
            source: self.source,
            basis: self.basis,
            ends: self.ends.map(|text| time("ends", &text)).transpose()?,
            held: self.hold.map(Some).or(released),
            use_class: self
                .use_class
                .map(|text| match text.as_str() {
                    "" => Ok(None),
                    text => read("use_class", text).map(Some),
                })
                .transpose()?,
            approval: self
                .approval
                .map(|text| read("approval", &text))
                .transpose()?,
        })
    }
}

fn place(vault: &Vault, ask: &Ask) -> Result<BucketRef, ApiError> {
    let text: String = ask.parameter("bucket")?;
    BucketRef::parse(&text, vault.default_project())
        .ok()
        .filter(|named| named.version.is_none())
        .ok_or_else(|| ApiError::bad("The path's bucket is no dataset's.".to_owned()))
}

/// The datasets that the caller may know of, as S3's list of buckets has them.
pub(super) async fn list(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let rows = vault.list_datasets(&ask.call).await?;
    let datasets = rows.into_iter().map(|row| vault.described(row).into());
    let datasets = datasets.collect();
    Ok(json(StatusCode::OK, &List { datasets }))
}

pub(super) async fn get(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let bucket = place(&vault, &ask)?.bucket;
    let row = vault
        .describe_dataset(&ask.call, &bucket)
        .await
        .map_err(told)?;
    Ok(json(StatusCode::OK, &Told::from(row)))
}

/// Makes a dataset with what is said of it, or makes nothing.
pub(super) async fn create(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let asked: Asked = ask.json()?;
    if asked.hold.is_some() || asked.release || asked.approval.is_some() {
        let later = "A dataset is made first: `hold`, `release` and `approval` are for one that \
                     is there.";
        return Err(ApiError::bad(later.to_owned()));
    }
    let bucket = place(&vault, &ask)?.bucket;
    let row = vault
        .found_dataset(&ask.call, bucket, None, asked.change()?)
        .await
        .map_err(told)?;
    let made = Told::from(vault.described(row));
    Ok(json(StatusCode::CREATED, &made))
}

pub(super) async fn set(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let asked: Asked = ask.json()?;
    let bucket = place(&vault, &ask)?.bucket;
    let change = asked.change()?;
    let class = change.use_class.clone().flatten();
    let set = vault.set_card(&ask.call, &bucket, change, None).await;
    let mut shown = Told::from(set.map_err(told)?);
    if let Some(class) = class {
        shown.hints = vault.use_hints(&class).await?;
    }
    Ok(json(StatusCode::OK, &shown))
}

/// Says what a project's datasets are that say nothing themselves.
pub(super) async fn defaults(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let asked: Defaults = ask.json()?;
    let defaults = CardDefaults {
        label: read("label", &asked.label)?,
        source: asked.source,
        basis: asked.basis,
        days: asked.days,
    };
    let project = ask.parameter("project")?;
    vault
        .set_defaults(&ask.call, &project, defaults, None)
        .await
        .map_err(told)?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
