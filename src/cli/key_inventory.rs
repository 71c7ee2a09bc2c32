//! `kluis key inventory`: every key that there is, and none of them (CR-6).

use std::collections::HashMap;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::doctor::certificate;
use super::open::{Desk, call};
use super::output::{CliError, Exit, Output};
use crate::app::Opened;
use crate::catalog::{DatasetRow, DeletedRow, KeyWorkRow};
use crate::config::Config;
use crate::types::{DatasetId, Timestamp};

/// How keys are listed.
const COLUMNS: [&str; 9] = [
    "key",
    "of",
    "algorithm",
    "id",
    "version",
    "owner",
    "since",
    "rotated",
    "expires",
];

/// What is read of a vault.
struct Seen {
    datasets: Vec<DatasetRow>,
    deleted: Vec<DeletedRow>,
    works: Vec<KeyWorkRow>,
}

/// Runs it.
pub(super) fn run(desk: Desk<'_>, output: &mut Output) -> Result<Exit, CliError> {
    let config = desk.config()?;
    let rows = desk.act(output, async |opened| {
        let call = call(opened, "key inventory")?;
        opened
            .vault
            .record_act(&call, "an inventory of keys")
            .await?;
        let seen = look(opened).await?;
        let mut rows = of_vault(&config, opened);
        rows.extend(of_datasets(opened, &seen)?);
        Ok(rows)
    })?;
    output.rows(COLUMNS, &rows)?;
    Ok(Exit::Done)
}

async fn look(opened: &Opened) -> Result<Seen, CliError> {
    let datasets = super::dataset::of(&opened.catalog, None).await?;
    let deleted = opened.vault.deleted_datasets().await?;
    let works = super::key::all_works(&opened.catalog).await?;
    Ok(Seen {
        datasets,
        deleted,
        works,
    })
}

/// When a file was last written.
fn written(path: &Path) -> String {
    let modified = std::fs::metadata(path)
        .and_then(|data| data.modified())
        .ok();
    let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let millis = since.and_then(|since| u64::try_from(since.as_millis()).ok());
    let time = millis.map(Timestamp::from_millis);
    time.map(|time| time.to_string()).unwrap_or_default()
}

/// The keys of the vault as a whole. The root has the version that stands in the ring's file. All
/// others come from the ring's key, which is made once: a new root re-encrypts it and replaces none
/// of them, so that theirs is the first.
fn of_vault(config: &Config, opened: &Opened) -> Vec<[String; 9]> {
    let dir = &config.keys.dir;
    let root = std::fs::read_to_string(dir.join("root.pub")).unwrap_or_default();
    let print = opened.keyring.fingerprint();
    let made = written(&dir.join("ring.age"));
    let row = |key: &str, of: &str, algorithm: &str, id: &str, expires: String| {
        let owner = "custodians of the root";
        [
            key.to_owned(),
            of.to_owned(),
            algorithm.to_owned(),
            id.to_owned(),
            "1".to_owned(),
            owner.to_owned(),
            made.clone(),
            String::new(),
            expires,
        ]
    };
    let none = String::new;
    let kept = format!("X25519 (age), kept by {}", config.keys.root.as_str());
    let mut of_root = row("root", "the key ring", &kept, root.trim(), none());
    let mark = opened.keyring.root();
    let [_, _, _, _, version, _, since, rotated, _] = &mut of_root;
    *version = mark.version.to_string();
    if let Some(time) = mark.since {
        *since = time.to_string();
        rotated.clone_from(since);
    }
    let mut rows = vec![
        of_root,
        row("ring", "every key below", "HKDF-SHA256", &print, none()),
        row("secrets", "credentials", "AES-256-GCM", &print, none()),
        row(
            "snapshots",
            "the catalog's copies",
            "AES-256-GCM",
            &print,
            none(),
        ),
        row(
            "journal",
            "the log's records",
            "AES-256-GCM",
            &print,
            none(),
        ),
    ];
    let origin = crate::app::log_origin(config, &opened.keyring);
    let public = crate::app::log_keys(&opened.keyring).public(&origin);
    let public = public.map(|key| key.to_string()).unwrap_or_default();
    rows.push(row(
        "log",
        "checkpoints, certificates",
        "Ed25519",
        &public,
        none(),
    ));
    let signer = opened.vault.publisher_key();
    let signer = signer.map(|key| key.to_string()).unwrap_or_default();
    rows.push(row(
        "publisher",
        "published versions",
        "Ed25519",
        &signer,
        none(),
    ));
    rows.extend(of_listener(config));
    rows
}

/// The listener's certificate, where it has one.
fn of_listener(config: &Config) -> Option<[String; 9]> {
    let file = config.server.tls_cert.as_ref()?;
    let ends = certificate::ends(config).map(|end| end.to_string());
    Some([
        "tls".to_owned(),
        "the listener".to_owned(),
        "X.509".to_owned(),
        file.display().to_string(),
        "1".to_owned(),
        "operator".to_owned(),
        written(file),
        String::new(),
        ends.unwrap_or_default(),
    ])
}

/// The keys of datasets, and those that no dataset has.
fn of_datasets(opened: &Opened, seen: &Seen) -> Result<Vec<[String; 9]>, CliError> {
    let named: HashMap<DatasetId, &DatasetRow> =
        seen.datasets.iter().map(|row| (row.id, row)).collect();
    let unread = |error| CliError::of(Exit::Usage, &error);
    let mut ids = opened.keyring.dataset_ids().map_err(unread)?;
    ids.extend(named.keys().copied());
    ids.sort_unstable();
    ids.dedup();
    let mut rows = Vec::new();
    for id in ids {
        let versions = opened.keyring.versions_of(&id).map_err(unread)?;
        let row = named.get(&id);
        let path = |row: &&DatasetRow| format!("{}/{}", row.bucket.project, row.bucket.dataset);
        let left = seen.deleted.iter().find(|left| left.dataset == id);
        let of = match (row, left) {
            (Some(row), _) => path(row),
            (None, Some(left)) => {
                let (project, dataset) = (&left.bucket.project, &left.bucket.dataset);
                format!("{project}/{dataset} (deleted {})", left.at)
            }
            (None, None) => "no dataset".to_owned(),
        };
        // Who answers for the data; who made it, where nobody was named.
        let answers =
            |row: &&DatasetRow| row.card.as_ref().map_or(&row.creator, |c| &c.owner).clone();
        let owner = row.map_or_else(String::new, |row| answers(row).to_string());
        let name = id.to_string();
        if versions.is_empty() {
            let lost = ["dataset", &of, "AES-256-GCM", &name, "", &owner, "", "", ""];
            rows.push(lost.map(str::to_owned));
        }
        for version in versions {
            // A key of a later version was made by the work that begins with it.
            let mut works = seen.works.iter();
            let work = works.find(|work| work.dataset == id && work.floor == version);
            let since = match (work, row) {
                (Some(work), _) => work.begun.to_string(),
                (None, Some(row)) if version == 1 => row.created.to_string(),
                (None, _) => String::new(),
            };
            let rotated = work.map(|work| work.begun.to_string()).unwrap_or_default();
            rows.push([
                "dataset".to_owned(),
                of.clone(),
                "AES-256-GCM".to_owned(),
                name.clone(),
                version.to_string(),
                owner.clone(),
                since,
                rotated,
                String::new(),
            ]);
        }
    }
    Ok(rows)
}
