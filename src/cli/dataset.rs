//! `kluis dataset`: make, list, show, delete.

use super::args::DatasetCommand;
use super::open::{Desk, absent, call, collect};
use super::output::{CliError, Exit, Output};
use super::project;
use crate::catalog::{DatasetRow, SharedCatalog};
use crate::types::{BucketName, PrincipalId, ProjectName, limits};
use crate::vault::Published;

/// How datasets are listed.
pub(super) const COLUMNS: [&str; 5] = ["dataset", "bucket", "creator", "created", "id"];

/// Runs one of its commands.
pub(super) fn run(
    command: &DatasetCommand,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    match command {
        DatasetCommand::Create {
            name,
            creator,
            card,
        } => {
            let row = desk.act(output, async |opened| {
                let catalog = opened.vault.catalog();
                project::there(catalog, &name.project).await?;
                if catalog.principal(creator).await?.is_none() {
                    return Err(absent("principal", creator)
                        .hint(format!("`kluis principal create {creator}` makes it")));
                }
                let call = call(opened, "dataset create")?;
                let vault = &opened.vault;
                let made = vault.found_dataset(&call, name.clone(), creator.clone(), card.change());
                Ok(made.await?)
            })?;
            if row.card.is_none() {
                output.note("it takes no data before it is described");
                output.hint(&format!(
                    "`kluis dataset set {}` says owner, label, source, legal basis and end",
                    path(name)
                ));
            }
            output.rows(COLUMNS, &[cells(&row)])?;
        }
        DatasetCommand::List { project } => {
            let catalog = desk.catalog()?;
            let runtime = super::serve::runtime()?;
            if let Some(name) = project {
                runtime.block_on(project::there(&catalog, name))?;
            }
            let rows = runtime.block_on(of(&catalog, project.as_ref()))?;
            let rows: Vec<_> = rows.iter().map(cells).collect();
            output.rows(COLUMNS, &rows)?;
        }
        DatasetCommand::Show { name } | DatasetCommand::Describe { name } => {
            super::cards::describe(name, desk, output)?;
        }
        DatasetCommand::Set { .. } => super::cards::set(command, desk, output)?,
        DatasetCommand::Publish { name, publisher } => publish(name, publisher, desk, output)?,
        DatasetCommand::Versions { name } => versions(name, desk, output)?,
        DatasetCommand::Diff { from, to, remote } => {
            return super::node::diff((from, to), remote, desk.environment, output);
        }
        DatasetCommand::Verify {
            version,
            directory,
            remote,
        } => {
            let environment = desk.environment;
            return super::node::verify(version, (directory, remote), environment, output);
        }
        DatasetCommand::Delete { name } => {
            desk.act(output, async |opened| {
                if opened.vault.catalog().dataset(name).await?.is_none() {
                    return Err(missing(name));
                }
                let call = call(opened, "dataset delete")?;
                Ok(opened.vault.remove_dataset(&call, name).await?)
            })?;
            output.note(&format!("dataset {} is deleted", path(name)));
        }
    }
    Ok(Exit::Done)
}

fn publish(
    name: &BucketName,
    publisher: &PrincipalId,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<(), CliError> {
    let version = desk.act(output, async |opened| {
        let call = call(opened, "dataset publish")?;
        let vault = &opened.vault;
        Ok(vault.publish_for(&call, name, publisher.clone()).await?)
    })?;
    output.rows(VERSION_COLUMNS, &[version_cells(&version)])?;
    if version.root.hidden > 0 {
        let hidden = version.root.hidden;
        output.note(&format!(
            "{hidden} objects have names that no directory can show: S3 reads them, a mount does not"
        ));
    }
    Ok(())
}

fn versions(name: &BucketName, desk: Desk<'_>, output: &mut Output) -> Result<(), CliError> {
    let versions = desk.act(output, async |opened| {
        let vault = &opened.vault;
        let row = vault.catalog().dataset(name).await?;
        let row = row.ok_or_else(|| missing(name))?;
        Ok(vault.published(&row.id).await?)
    })?;
    let versions: Vec<_> = versions.iter().map(version_cells).collect();
    output.rows(VERSION_COLUMNS, &versions)
}

/// How versions are listed.
const VERSION_COLUMNS: [&str; 6] = [
    "version",
    "objects",
    "bytes",
    "published",
    "publisher",
    "root",
];

fn version_cells(published: &Published) -> [String; 6] {
    let root = &published.root;
    [
        format!("{}@{}", path(&root.bucket), root.number),
        root.objects.to_string(),
        root.bytes.to_string(),
        root.frozen.to_string(),
        published.publisher.to_string(),
        data_encoding::HEXLOWER.encode(&published.digest),
    ]
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
