//! What datasets are: `kluis dataset describe` and `set`, `kluis project defaults`.

use serde_json::json;

use super::dataset::{missing, path};
use super::dataset_args::{CardArgs, DatasetCommand};
use super::open::{Desk, call};
use super::output::{CliError, Output};
use crate::catalog::CardDefaults;
use crate::types::{BucketName, Label, PrincipalId, ProjectName};
use crate::vault::{CardChange, Described};

impl CardArgs {
    pub(super) fn change(&self) -> CardChange {
        CardChange {
            owner: self.owner.clone(),
            label: self.label.clone(),
            source: self.source.clone(),
            basis: self.basis.clone(),
            ends: self.ends,
            use_class: match (&self.use_class, self.any_use) {
                (Some(class), _) => Some(Some(class.clone())),
                (None, true) => Some(None),
                (None, false) => None,
            },
            ..CardChange::default()
        }
    }
}

pub(super) fn set(
    command: &DatasetCommand,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<(), CliError> {
    let DatasetCommand::Set {
        name,
        by,
        card,
        hold,
        release,
        approval,
    } = command
    else {
        return Ok(());
    };
    let held = match (hold, release) {
        (Some(why), _) => Some(Some(why.clone())),
        (None, true) => Some(None),
        (None, false) => None,
    };
    let change = CardChange {
        held,
        approval: *approval,
        ..card.change()
    };
    let told = desk.act(output, async |opened| {
        let call = call(opened, "dataset set")?;
        let vault = &opened.vault;
        Ok(vault.set_card(&call, name, change, Some(by)).await?)
    })?;
    show(&told, output)
}

pub(super) fn describe(
    name: &BucketName,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<(), CliError> {
    let told = desk.act(output, async |opened| {
        let vault = &opened.vault;
        let row = vault.catalog().dataset(name).await?;
        Ok(vault.described(row.ok_or_else(|| missing(name))?))
    })?;
    show(&told, output)
}

fn show(told: &Described, output: &mut Output) -> Result<(), CliError> {
    let row = &told.row;
    let card = row.card.as_deref();
    output.record(&json!({
        "dataset": path(&row.bucket),
        "bucket": row.bucket.to_string(),
        "id": row.id.to_string(),
        "creator": row.creator.as_str(),
        "created": row.created.to_string(),
        "owner": card.map(|card| card.owner.as_str()),
        "label": card.map(|card| card.label.as_str()),
        "source": card.map(|card| card.source.as_str()),
        "basis": card.map(|card| card.basis.as_str()),
        "ends": card.map(|card| card.ends.to_string()),
        "use_class": card.and_then(|card| Some(card.use_class.as_ref()?.as_str())),
        "hold": card.and_then(|card| card.held.as_deref()),
        "stage": card.map_or("undescribed", |_| told.stage.as_str()),
        "next_stage": told.next.map(|at| at.to_string()),
    }))
}

/// What a project's datasets are that say nothing themselves.
pub(super) fn defaults(
    (project, by): (&ProjectName, &PrincipalId),
    (label, source, basis, days): (&Label, &str, &str, u32),
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<(), CliError> {
    let defaults = CardDefaults {
        label: label.clone(),
        source: source.to_owned(),
        basis: basis.to_owned(),
        days,
    };
    desk.act(output, async |opened| {
        let call = call(opened, "project defaults")?;
        let vault = &opened.vault;
        Ok(vault
            .set_defaults(&call, project, defaults, Some(by))
            .await?)
    })?;
    output.note(&format!(
        "new datasets of {project} are so, and those that nobody had described"
    ));
    Ok(())
}
