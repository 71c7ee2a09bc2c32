//! What datasets are, over the network: on the word of whoever signed.

use std::sync::Arc;

use axum::body::Body;
use http::{Response, StatusCode};

use super::answer::{ApiError, json};
use super::ask::Ask;
use super::grants::{read, time, told};
use crate::catalog::CardDefaults;
use crate::types::BucketRef;
use crate::vault::{CardChange, Described, Vault};
use crate::wire::{Dataset, DatasetDefaultsRequest, DatasetList, DescribeDatasetRequest};

/// A dataset as it is shown.
#[must_use]
pub fn dataset(told: Described) -> Dataset {
    let Described { row, stage, next } = told;
    let card = row.card.as_deref();
    Dataset {
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
        stage: card.map_or("undescribed", |_| stage.as_str()).to_owned(),
        next_stage: next.map(|at| at.to_string()),
        hints: Vec::new(),
    }
}

fn change(asked: DescribeDatasetRequest) -> Result<CardChange, ApiError> {
    if asked.hold.is_some() && asked.release {
        let both = "It is held or released, not both.".to_owned();
        return Err(ApiError::bad(both));
    }
    let released = asked.release.then_some(None);
    Ok(CardChange {
        owner: asked.owner.map(|text| read("owner", &text)).transpose()?,
        label: asked.label.map(|text| read("label", &text)).transpose()?,
        source: asked.source,
        basis: asked.basis,
        ends: asked.ends.map(|text| time("ends", &text)).transpose()?,
        held: asked.hold.map(Some).or(released),
        use_class: asked
            .use_class
            .map(|text| match text.as_str() {
                "" => Ok(None),
                text => read("use_class", text).map(Some),
            })
            .transpose()?,
        approval: asked
            .approval
            .map(|text| read("approval", &text))
            .transpose()?,
    })
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
    let datasets = rows.into_iter().map(|row| dataset(vault.described(row)));
    let datasets = datasets.collect();
    Ok(json(StatusCode::OK, &DatasetList { datasets }))
}

pub(super) async fn get(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let bucket = place(&vault, &ask)?.bucket;
    let row = vault
        .describe_dataset(&ask.call, &bucket)
        .await
        .map_err(told)?;
    Ok(json(StatusCode::OK, &dataset(row)))
}

/// Makes a dataset with what is said of it, or makes nothing.
pub(super) async fn create(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let asked: DescribeDatasetRequest = ask.json()?;
    if asked.hold.is_some() || asked.release || asked.approval.is_some() {
        let later = "A dataset is made first: `hold`, `release` and `approval` are for one that \
                     is there.";
        return Err(ApiError::bad(later.to_owned()));
    }
    let bucket = place(&vault, &ask)?.bucket;
    let row = vault
        .found_dataset(&ask.call, bucket, None, change(asked)?)
        .await
        .map_err(told)?;
    let made = dataset(vault.described(row));
    Ok(json(StatusCode::CREATED, &made))
}

pub(super) async fn set(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let asked: DescribeDatasetRequest = ask.json()?;
    let bucket = place(&vault, &ask)?.bucket;
    let change = change(asked)?;
    let class = change.use_class.clone().flatten();
    let set = vault.set_card(&ask.call, &bucket, change, None).await;
    let mut shown = dataset(set.map_err(told)?);
    if let Some(class) = class {
        shown.hints = vault.use_hints(&class).await?;
    }
    Ok(json(StatusCode::OK, &shown))
}

/// Says what a project's datasets are that say nothing themselves.
pub(super) async fn defaults(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let asked: DatasetDefaultsRequest = ask.json()?;
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
