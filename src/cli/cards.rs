//! What datasets are: `kluis dataset describe` and `set`, `kluis project defaults`; on the vault's
//! host or, in one's own name, over the network.

use http::Method;

use super::dataset::{missing, path};
use super::dataset_args::{CardArgs, DatasetCommand};
use super::open::{Desk, call};
use super::output::{CliError, Exit, Output};
use super::project_args::DefaultsArgs;
use super::remote::{Question, body};
use super::way::{self, Signer, Way, no_answer, unnamed};
use crate::api::dataset;
use crate::catalog::CardDefaults;
use crate::types::{ApprovalId, BucketName};
use crate::vault::CardChange;
use crate::wire::{Dataset, DatasetDefaultsRequest, DescribeDatasetRequest};

/// A gateway says no more of one thing.
pub(super) const HINTS_MAX: usize = 40;

/// Shows one; what of it is good for nothing is said beside it.
fn show(mut dataset: Dataset, output: &mut Output) -> Result<(), CliError> {
    let hints = std::mem::take(&mut dataset.hints);
    let value = serde_json::to_value(&dataset);
    output.record(&value.map_err(|error| CliError::of(Exit::Unavailable, &error))?)?;
    for hint in hints.iter().take(HINTS_MAX) {
        output.hint(hint);
    }
    Ok(())
}

/// That an answer is the dataset that was asked for.
fn of_name(dataset: Dataset, name: &BucketName) -> Result<Dataset, CliError> {
    if dataset.dataset == path(name) {
        Ok(dataset)
    } else {
        Err(no_answer())
    }
}

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

    /// The same as the API takes it.
    pub(super) fn request(&self) -> DescribeDatasetRequest {
        DescribeDatasetRequest {
            owner: self.owner.as_ref().map(ToString::to_string),
            label: self.label.as_ref().map(ToString::to_string),
            source: self.source.clone(),
            basis: self.basis.clone(),
            ends: self.ends.map(|time| time.to_string()),
            use_class: match (&self.use_class, self.any_use) {
                (Some(class), _) => Some(class.to_string()),
                (None, true) => Some(String::new()),
                (None, false) => None,
            },
            hold: None,
            release: false,
            approval: None,
        }
    }
}

/// What is to change beside the card.
struct Beside<'a> {
    hold: Option<&'a String>,
    release: bool,
    approval: Option<ApprovalId>,
}

pub(super) fn set(
    command: &DatasetCommand,
    way: &Way<'_>,
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
    let beside = Beside {
        hold: hold.as_ref(),
        release: *release,
        approval: *approval,
    };
    let desk = match way {
        Way::Host(desk) => desk,
        Way::Signed(signer) => {
            unnamed("--by", by.as_ref())?;
            let set = set_signed(name, (card, &beside), signer)?;
            return show(set, output);
        }
    };
    let by = way::named("--by", by.as_ref(), *desk)?;
    let held = match (beside.hold, beside.release) {
        (Some(why), _) => Some(Some(why.clone())),
        (None, true) => Some(None),
        (None, false) => None,
    };
    let change = CardChange {
        held,
        approval: beside.approval,
        ..card.change()
    };
    let class = change.use_class.clone().flatten();
    let told = desk.act(output, async |opened| {
        let call = call(opened, "dataset set")?;
        let vault = &opened.vault;
        let set = vault.set_card(&call, name, change, Some(by)).await?;
        let hints = match &class {
            Some(class) => vault.use_hints(class).await?,
            None => Vec::new(),
        };
        Ok((set, hints))
    });
    let (told, hints) = told.map_err(|error| way::herself(error, "--by", by))?;
    let set = Dataset {
        hints,
        ..dataset(told)
    };
    show(set, output)
}

fn set_signed(
    name: &BucketName,
    (card, beside): (&CardArgs, &Beside<'_>),
    signer: &Signer,
) -> Result<Dataset, CliError> {
    let request = DescribeDatasetRequest {
        hold: beside.hold.cloned(),
        release: beside.release,
        approval: beside.approval.map(|id| id.to_string()),
        ..card.request()
    };
    say(name, (Method::POST, &request), signer)
}

/// Says over the network what a dataset is (`POST`), or is to be (`PUT`).
pub(super) fn say(
    name: &BucketName,
    (method, request): (Method, &DescribeDatasetRequest),
    signer: &Signer,
) -> Result<Dataset, CliError> {
    let bucket = name.to_string();
    let path = ["datasets", &bucket];
    of_name(signer.say((method, &path), request)?, name)
}

pub(super) fn describe(
    name: &BucketName,
    way: &Way<'_>,
    output: &mut Output,
) -> Result<(), CliError> {
    let shown = match way {
        Way::Host(desk) => dataset(desk.act(output, async |opened| {
            let vault = &opened.vault;
            let row = vault.catalog().dataset(name).await?;
            Ok(vault.described(row.ok_or_else(|| missing(name))?))
        })?),
        Way::Signed(signer) => {
            let bucket = name.to_string();
            let path = ["datasets", &bucket];
            of_name(signer.ask(Question::of(Method::GET, &path))?, name)?
        }
    };
    show(shown, output)
}

/// What a project's datasets are that say nothing themselves.
pub(super) fn defaults(
    ask: &DefaultsArgs,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<(), CliError> {
    let project = &ask.name;
    match Way::of(&ask.signed, desk, output)? {
        Way::Signed(signer) => {
            unnamed("--by", ask.by.as_ref())?;
            let path = ["projects", project.as_str(), "defaults"];
            let request = DatasetDefaultsRequest {
                label: ask.label.to_string(),
                source: ask.source.clone(),
                basis: ask.basis.clone(),
                days: ask.days,
            };
            signer.send(Question {
                body: Some(body(&request)?),
                ..Question::of(Method::PUT, &path)
            })?;
        }
        Way::Host(desk) => {
            let by = way::named("--by", ask.by.as_ref(), desk)?;
            let defaults = CardDefaults {
                label: ask.label.clone(),
                source: ask.source.clone(),
                basis: ask.basis.clone(),
                days: ask.days,
            };
            let set = desk.act(output, async |opened| {
                let call = call(opened, "project defaults")?;
                let vault = &opened.vault;
                let set = vault.set_defaults(&call, project, defaults, Some(by));
                Ok(set.await?)
            });
            set.map_err(|error| way::herself(error, "--by", by))?;
        }
    }
    output.note(&format!(
        "new datasets of {project} are so, and those that nobody had described"
    ));
    Ok(())
}
