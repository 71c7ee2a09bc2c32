//! `kluis dataset`: make, list, show, publish, delete; on the vault's host or over the network.

use std::collections::BTreeSet;

use http::Method;

use super::args::DatasetCommand;
use super::cards;
use super::dataset_args::{CardArgs, PublishArgs};
use super::open::{Desk, absent, call, collect};
use super::output::{CliError, Exit, Output};
use super::project;
use super::remote::{Question, is_there};
use super::way::{self, LONG, Signed, Signer, Way, no_answer, unnamed};
use super::words::count;
use crate::api::version;
use crate::catalog::{DatasetRow, SharedCatalog};
use crate::types::{BucketName, PrincipalId, ProjectName, limits};
use crate::wire::{Dataset, DatasetList, Version, VersionList};

/// How datasets are listed.
pub(super) const COLUMNS: [&str; 5] = ["dataset", "bucket", "creator", "created", "id"];

/// Runs one of its commands.
pub(super) fn run(
    command: &DatasetCommand,
    who: &Signed,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    // These ask a gateway in any case, as nodes do.
    match command {
        DatasetCommand::Diff { from, to, remote } => {
            return super::node::diff((from, to), remote, desk.environment, output);
        }
        DatasetCommand::Verify {
            version,
            directory,
            remote,
        } => {
            let environment = desk.environment;
            return super::verify::run(version, (directory, remote), environment, output);
        }
        DatasetCommand::Create { .. }
        | DatasetCommand::Describe { .. }
        | DatasetCommand::Set { .. }
        | DatasetCommand::List { .. }
        | DatasetCommand::Show { .. }
        | DatasetCommand::Publish(_)
        | DatasetCommand::Versions { .. }
        | DatasetCommand::Delete { .. } => {}
    }
    let way = Way::of(who, desk, output)?;
    match command {
        DatasetCommand::Diff { .. } | DatasetCommand::Verify { .. } => {}
        DatasetCommand::Create {
            name,
            creator,
            card,
        } => {
            let row = match &way {
                Way::Host(desk) => found(name, (creator.as_ref(), card), *desk, output)?,
                Way::Signed(signer) => {
                    unnamed("--creator", creator.as_ref())?;
                    make(name, card, signer, output)?
                }
            };
            output.rows(COLUMNS, &[row])?;
        }
        DatasetCommand::List { project } => {
            let rows = match &way {
                Way::Host(desk) => there(project.as_ref(), *desk)?,
                Way::Signed(signer) => known(project.as_ref(), signer)?,
            };
            output.rows(COLUMNS, &rows)?;
        }
        DatasetCommand::Show { name } | DatasetCommand::Describe { name } => {
            cards::describe(name, &way, output)?;
        }
        DatasetCommand::Set { .. } => cards::set(command, &way, output)?,
        DatasetCommand::Publish(args) => publish(args, &way, output)?,
        DatasetCommand::Versions { name } => versions(name, &way, output)?,
        DatasetCommand::Delete { name } => {
            match &way {
                Way::Host(desk) => desk.act(output, async |opened| {
                    if opened.vault.catalog().dataset(name).await?.is_none() {
                        return Err(missing(name));
                    }
                    let call = call(opened, "dataset delete")?;
                    Ok(opened.vault.remove_dataset(&call, name).await?)
                })?,
                Way::Signed(signer) => bucket(Method::DELETE, name, signer)?,
            }
            output.note(&deleted(name));
        }
    }
    Ok(Exit::Done)
}

fn deleted(name: &BucketName) -> String {
    let name = path(name);
    format!(
        "dataset {name} is deleted; its keys stay until two persons erase them \
         (`kluis approval ask erase {name} what=deleted`)"
    )
}

/// Makes a dataset on the host.
fn found(
    name: &BucketName,
    (creator, card): (Option<&PrincipalId>, &CardArgs),
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<[String; 5], CliError> {
    let creator = creator.ok_or_else(|| way::lacking("--creator", true))?;
    let made = desk.act(output, async |opened| {
        let catalog = opened.vault.catalog();
        project::there(catalog, &name.project).await?;
        if catalog.principal(creator).await?.is_none() {
            return Err(absent("principal", creator)
                .hint(format!("`kluis principal create {creator}` makes it")));
        }
        let call = call(opened, "dataset create")?;
        let vault = &opened.vault;
        let made = vault.found_dataset(&call, name.clone(), Some(creator), card.change());
        Ok(made.await?)
    });
    let row = made.map_err(|error| way::herself(error, "--creator", creator))?;
    if row.card.is_none() {
        undescribed(name, output);
    }
    Ok(cells(&row))
}

fn undescribed(name: &BucketName, output: &mut Output) {
    output.note("it takes no data before it is described");
    output.hint(&format!(
        "`kluis dataset set {}` says owner, label, source, legal basis and end",
        path(name)
    ));
}

/// Makes a dataset over the network with what is said of it, or makes nothing.
fn make(
    name: &BucketName,
    card: &CardArgs,
    signer: &Signer,
    output: &mut Output,
) -> Result<[String; 5], CliError> {
    let shown = cards::say(name, (Method::PUT, &card.request()), signer).map_err(|error| {
        if is_there(&error) {
            return CliError::new(Exit::No, "the dataset is there already");
        }
        error
    })?;
    if shown.owner.is_none() {
        undescribed(name, output);
    }
    Ok(row(shown))
}

/// What S3 does with a bucket.
fn bucket(method: Method, name: &BucketName, signer: &Signer) -> Result<(), CliError> {
    let bucket = name.to_string();
    let path = [bucket.as_str()];
    let question = Question {
        s3: true,
        ..Question::of(method, &path)
    };
    signer.send(question).map(drop)
}

fn there(project: Option<&ProjectName>, desk: Desk<'_>) -> Result<Vec<[String; 5]>, CliError> {
    let catalog = desk.catalog()?;
    let runtime = super::serve::runtime()?;
    if let Some(name) = project {
        runtime.block_on(project::there(&catalog, name))?;
    }
    let rows = runtime.block_on(of(&catalog, project))?;
    Ok(rows.iter().map(cells).collect())
}

/// The datasets that who signs may know of.
fn known(project: Option<&ProjectName>, signer: &Signer) -> Result<Vec<[String; 5]>, CliError> {
    let told: DatasetList = signer.ask(Question::of(Method::GET, &["datasets"]))?;
    let of = project.map(|name| format!("{name}/"));
    let rows = told.datasets.into_iter();
    Ok(rows
        .filter(|shown| {
            of.as_ref()
                .is_none_or(|name| shown.dataset.starts_with(name))
        })
        .map(row)
        .collect())
}

fn publish(args: &PublishArgs, way: &Way<'_>, output: &mut Output) -> Result<(), CliError> {
    let (name, again, publisher) = (&args.name, args.again, args.publisher.as_ref());
    let told = match way {
        Way::Host(desk) => {
            let publisher = way::named("--publisher", publisher, *desk)?;
            let made = desk.act(output, async |opened| {
                let call = call(opened, "dataset publish")?;
                let vault = &opened.vault;
                let publisher = publisher.clone();
                Ok(vault.publish_for(&call, name, publisher, again).await?)
            });
            let made = made.map_err(|error| way::herself(error, "--publisher", publisher))?;
            let (row, made) = made;
            let mut told = version(&row, true);
            told.made = Some(made);
            told
        }
        Way::Signed(signer) => {
            unnamed("--publisher", publisher)?;
            let bucket = name.to_string();
            let changed = (!again).then(|| ("changed", "true".to_owned()));
            signer.ask(Question {
                patience: LONG,
                query: changed.into_iter().collect(),
                ..Question::of(Method::POST, &["versions", &bucket])
            })?
        }
    };
    let hidden = told.hidden.unwrap_or_default();
    let made = told.made.unwrap_or(true);
    let number = told.version.clone();
    show(vec![told], name, output)?;
    if !made {
        output.note(&format!(
            "nothing changed since {number}: no new version was made"
        ));
        output.hint("`--again` makes one all the same");
    }
    if hidden > 0 {
        output.note(&format!(
            "{} of no file: S3 reads what is called so, a mount shows folders (`NAME/`) as \
             directories and the rest not at all",
            count(hidden, "name", "names")
        ));
    }
    Ok(())
}

fn versions(name: &BucketName, way: &Way<'_>, output: &mut Output) -> Result<(), CliError> {
    let versions = match way {
        Way::Host(desk) => {
            let versions = desk.act(output, async |opened| {
                let vault = &opened.vault;
                let row = vault.catalog().dataset(name).await?;
                let row = row.ok_or_else(|| missing(name))?;
                Ok(vault.published(&row.id).await?)
            })?;
            versions.iter().map(|one| version(one, true)).collect()
        }
        Way::Signed(signer) => {
            let bucket = name.to_string();
            let path = ["versions", &bucket];
            let told: VersionList = signer.ask(Question::of(Method::GET, &path))?;
            told.versions
        }
    };
    show(versions, name, output)
}

/// Lists versions. A table has no room for the key that signs them, mostly one for all: it is said
/// beside it.
fn show(versions: Vec<Version>, name: &BucketName, output: &mut Output) -> Result<(), CliError> {
    let signers = versions.iter().map(|one| one.signer.clone());
    let signers: BTreeSet<String> = signers.filter(|key| !key.is_empty()).collect();
    let rows = versions.into_iter();
    let rows: Result<Vec<_>, CliError> = rows.map(|one| version_cells(one, name)).collect();
    let rows = rows?;
    if output.is_json() {
        return output.rows(VERSION_COLUMNS, &rows);
    }
    let [columns @ .., _] = VERSION_COLUMNS;
    let narrow: Vec<[String; 6]> = rows.into_iter().map(|[cells @ .., _]| cells).collect();
    output.rows(columns, &narrow)?;
    for signer in signers {
        output.note(&format!("signed under {signer} (`--signer`)"));
    }
    Ok(())
}

/// How versions are listed; the last one in JSON alone.
const VERSION_COLUMNS: [&str; 7] = [
    "version",
    "objects",
    "bytes",
    "published",
    "publisher",
    "root",
    "signer",
];

/// A version as a row of a table, if it is one of this dataset.
fn version_cells(version: Version, name: &BucketName) -> Result<[String; 7], CliError> {
    if !version.version.starts_with(&format!("{}@", path(name))) {
        return Err(no_answer());
    }
    Ok([
        version.version,
        version.objects.map_or_else(String::new, |n| n.to_string()),
        version.bytes.map_or_else(String::new, |n| n.to_string()),
        version.published,
        version.publisher,
        version.root,
        version.signer,
    ])
}

pub(super) fn path(name: &BucketName) -> String {
    format!("{}/{}", name.project, name.dataset)
}

pub(super) fn missing(name: &BucketName) -> CliError {
    absent("dataset", &path(name)).hint("`kluis dataset list` names those that are there")
}

/// The datasets of a project, or of all.
pub(super) async fn of(
    catalog: &SharedCatalog,
    project: Option<&ProjectName>,
) -> Result<Vec<DatasetRow>, CliError> {
    let mut rows = collect(
        async |after: Option<&BucketName>| catalog.datasets(after, limits::PAGE_ENTRIES_MAX).await,
        |row| row.bucket.clone(),
    )
    .await?;
    rows.retain(|row| project.is_none_or(|name| row.bucket.project == *name));
    Ok(rows)
}

/// One dataset as a row of a table.
pub(super) fn cells(row: &DatasetRow) -> [String; 5] {
    [
        path(&row.bucket),
        row.bucket.to_string(),
        row.creator.to_string(),
        row.created.to_string(),
        row.id.to_string(),
    ]
}

/// The same of what a gateway told.
fn row(shown: Dataset) -> [String; 5] {
    [
        shown.dataset,
        shown.bucket,
        shown.creator,
        shown.created,
        shown.id,
    ]
}
