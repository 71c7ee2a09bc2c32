//! Published versions: making and listing them, and what a node needs to open one by itself.

use std::sync::Arc;

use axum::body::Body;
use data_encoding::{BASE64, HEXLOWER};
use http::{HeaderValue, Response, StatusCode, header};

use super::answer::{ApiError, json, json_text};
use super::ask::Ask;
use crate::types::{BlobId, ByteRange, ObjectKey, limits};
use crate::vault::{Published, ReadReport, Run, StraightAsk, Vault};
use crate::wire::{
    KeyRelease, Lease, PartRoot, PresignedUrl, PresignedUrls, ReleasedKey, RenewLeaseRequest,
    ReportReadsRequest, RunsRequest, UrlsRequest, Version, VersionList, VersionRoot,
};

/// A version as it is shown, with how much is in it for whoever may list all of it.
#[must_use]
pub fn version(published: &Published, counts: bool) -> Version {
    let root = &published.root;
    let (project, dataset) = (&root.bucket.project, &root.bucket.dataset);
    Version {
        version: format!("{project}/{dataset}@{}", root.number),
        number: root.number,
        root: HEXLOWER.encode(&published.digest),
        published: root.frozen.to_string(),
        publisher: published.publisher.to_string(),
        signer: published.signer.to_string(),
        made: None,
        objects: counts.then_some(root.objects),
        bytes: counts.then_some(root.bytes),
        hidden: counts.then_some(root.hidden),
    }
}

pub(super) async fn publish(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let bucket: String = ask.parameter("bucket")?;
    // Who does not ask gets a version each time, as from gateways of before.
    let again = !ask.asked("changed")?.unwrap_or(false);
    let (published, made) = vault.publish_asked(&ask.call, &bucket, again).await?;
    let status = if made {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let mut shown = version(&published, true);
    shown.made = Some(made);
    Ok(json(status, &shown))
}

pub(super) async fn list(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let bucket: String = ask.parameter("bucket")?;
    let versions = vault.list_published(&ask.call, &bucket).await?;
    let versions = versions.iter();
    let versions = versions.map(|(published, counts)| version(published, *counts));
    let versions = versions.collect();
    Ok(json(StatusCode::OK, &VersionList { versions }))
}

/// The prefix of a part, where a part is asked for.
fn prefix(ask: &Ask) -> Result<Option<String>, ApiError> {
    ask.asked("prefix")
}

async fn open_part(vault: &Vault, ask: &Ask, prefix: &str) -> Result<Response<Body>, ApiError> {
    let bucket: String = ask.parameter("bucket")?;
    let opening = vault.open_part(&ask.call, &bucket, prefix).await?;
    let opened = PartRoot {
        part: BASE64.encode(&opening.part),
        signer: opening.signer.to_string(),
        lease_seconds: limits::LEASE_SECONDS,
        straight: opening.straight,
    };
    Ok(json(StatusCode::OK, &opened))
}

pub(super) async fn open(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    if let Some(prefix) = prefix(&ask)? {
        return open_part(&vault, &ask, &prefix).await;
    }
    let bucket: String = ask.parameter("bucket")?;
    let opening = vault.open_version(&ask.call, &bucket).await?;
    let opened = VersionRoot {
        envelope: BASE64.encode(&opening.envelope),
        index_key: BASE64.encode(opening.index_key.secret().expose()),
        signer: opening.signer.to_string(),
        lease_seconds: limits::LEASE_SECONDS,
        straight: opening.straight,
    };
    Ok(json(StatusCode::OK, &opened))
}

pub(super) async fn index(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let bucket: String = ask.parameter("bucket")?;
    let piece = match prefix(&ask)? {
        Some(prefix) => vault.part_index(&ask.call, &bucket, &prefix).await?,
        None => vault.sealed_piece(&ask.call, &bucket, None).await?,
    };
    Ok(octets(Body::from(piece)))
}

pub(super) async fn page(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let bucket: String = ask.parameter("bucket")?;
    let page: usize = ask.parameter("page")?;
    let piece = if let Some(prefix) = prefix(&ask)? {
        let part = (bucket.as_str(), prefix.as_str());
        vault.part_page(&ask.call, part, page).await?
    } else {
        let page = Some(page);
        vault.sealed_piece(&ask.call, &bucket, page).await?
    };
    Ok(octets(Body::from(piece)))
}

/// The runs of objects that a body asks for.
fn runs(ask: &Ask) -> Result<Vec<Run>, ApiError> {
    let wanted: RunsRequest = ask.json()?;
    let runs = wanted.runs.into_iter().map(|run| {
        let from = object_key(&run.from)?;
        let count = run.count;
        Ok(Run { from, count })
    });
    runs.collect()
}

pub(super) async fn keys(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let bucket: String = ask.parameter("bucket")?;
    let runs = runs(&ask)?;
    let release = vault.release_keys(&ask.call, &bucket, runs).await?;
    let released = release
        .keys
        .iter()
        .map(|released| ReleasedKey {
            key: released.key.to_string(),
            table: BASE64.encode(&released.table),
        })
        .collect();
    let gone = release.gone.iter().map(ToString::to_string).collect();
    // Our own types: writing them cannot fail.
    let text = serde_json::to_vec(&KeyRelease { released, gone }).unwrap_or_default();
    Ok(json_text(StatusCode::OK, release.answer(text)))
}

pub(super) async fn pack(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let bucket: String = ask.parameter("bucket")?;
    let runs = runs(&ask)?;
    let body = vault.read_pack(&ask.call, &bucket, runs).await?;
    Ok(octets(Body::from_stream(body)))
}

pub(super) async fn urls(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let bucket: String = ask.parameter("bucket")?;
    let wanted: UrlsRequest = ask.json()?;
    let blob = |text: &String| {
        let none = |_not_a_name| ApiError::bad("A blob's name is none.".into());
        text.parse::<BlobId>().map_err(none)
    };
    let asks: Result<Vec<StraightAsk>, ApiError> = wanted
        .objects
        .iter()
        .map(|object| {
            let blobs: Result<Vec<BlobId>, ApiError> = object.blobs.iter().map(blob).collect();
            Ok(StraightAsk {
                key: object_key(&object.key)?,
                blobs: blobs?,
            })
        })
        .collect();
    let urls = vault.presign(&ask.call, &bucket, asks?).await?.into_iter();
    let urls = urls.map(|one| PresignedUrl {
        blob: one.blob.to_string(),
        url: one.url,
    });
    let answer = PresignedUrls {
        urls: urls.collect(),
        seconds: limits::STRAIGHT_SECONDS,
    };
    Ok(json(StatusCode::OK, &answer))
}

pub(super) async fn sealed(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let bucket: String = ask.parameter("bucket")?;
    let needs = |name: &str| ApiError::bad(format!("The query needs {name}."));
    let key: String = ask.asked("key")?.ok_or_else(|| needs("key"))?;
    let blob: BlobId = ask.asked("blob")?.ok_or_else(|| needs("blob"))?;
    let from: u64 = ask.asked("from")?.ok_or_else(|| needs("from"))?;
    let to: u64 = ask.asked("to")?.ok_or_else(|| needs("to"))?;
    let range = (blob, from..to);
    let body = vault.read_sealed(&ask.call, &bucket, &key, range).await?;
    let mut response = octets(Body::from_stream(body));
    let length = HeaderValue::from(to.saturating_sub(from));
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, length);
    Ok(response)
}

pub(super) async fn renew(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let bucket: String = ask.parameter("bucket")?;
    let open: RenewLeaseRequest = ask.json()?;
    if open.open.len() > limits::RELEASE_KEYS_MAX {
        return Err(ApiError::bad("Too many objects at once.".into()));
    }
    let open: Result<Vec<ObjectKey>, ApiError> =
        open.open.iter().map(|text| object_key(text)).collect();
    let prefix = prefix(&ask)?.unwrap_or_default();
    let part = (bucket.as_str(), prefix.as_str());
    let refused = vault.renew(&ask.call, part, &open?).await?;
    let refused = refused.iter().map(ToString::to_string).collect();
    let answer = Lease {
        refused,
        lease_seconds: limits::LEASE_SECONDS,
    };
    Ok(json(StatusCode::OK, &answer))
}

pub(super) async fn reads(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    let bucket: String = ask.parameter("bucket")?;
    let reads: ReportReadsRequest = ask.json()?;
    if reads.reads.len() > limits::RELEASE_KEYS_MAX {
        return Err(ApiError::bad("Too many reads at once.".into()));
    }
    let reports: Result<Vec<ReadReport>, ApiError> = reads
        .reads
        .into_iter()
        .map(|read| {
            let ranges = read.ranges.iter();
            let ranges: Option<Vec<ByteRange>> = ranges
                .map(|(start, end)| ByteRange::new(*start, *end))
                .collect();
            Ok(ReadReport {
                key: object_key(&read.key)?,
                ranges: ranges.ok_or_else(|| ApiError::bad("A range is none.".into()))?,
            })
        })
        .collect();
    vault.report_reads(&ask.call, &bucket, reports?).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

fn object_key(text: &str) -> Result<ObjectKey, ApiError> {
    text.parse()
        .map_err(|_not_a_key| ApiError::bad("A key is none.".into()))
}

fn octets(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
