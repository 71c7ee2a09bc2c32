//! What datasets are: `kluis dataset describe` and `set`, `kluis project defaults`; on the vault's
//! host or, in one's own name, over the network.

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::dataset::{missing, path};
use super::dataset_args::{CardArgs, DatasetCommand};
use super::open::{Desk, call};
use super::output::{CliError, Exit, Output};
use super::project_args::DefaultsArgs;
use super::remote::Question;
use super::way::{self, Signer, Way, no_answer, unnamed};
use crate::catalog::CardDefaults;
use crate::types::{ApprovalId, BucketName};
use crate::vault::{CardChange, Described};

/// A gateway says no more of one thing.
pub(super) const HINTS_MAX: usize = 40;

/// A dataset as it is shown, and as the API tells it (`docs/api.md`).
#[derive(Serialize, Deserialize)]
pub(super) struct Shown {
    pub(super) dataset: String,
    pub(super) bucket: String,
    pub(super) id: String,
    pub(super) creator: String,
    pub(super) created: String,
    owner: Option<String>,
    label: Option<String>,
    source: Option<String>,
    basis: Option<String>,
    ends: Option<String>,
    use_class: Option<String>,
    hold: Option<String>,
    stage: String,
    next_stage: Option<String>,
    /// What of it is good for nothing as things stand.
    #[serde(default, skip_serializing)]
    hints: Vec<String>,
}

impl Shown {
    fn of(told: &Described) -> Self {
        let row = &told.row;
        let card = row.card.as_deref();
        Self {
            dataset: path(&row.bucket),
            bucket: row.bucket.to_string(),
            id: row.id.to_string(),
            creator: row.creator.to_string(),
            created: row.created.to_string(),
            owner: card.map(|card| card.owner.to_string()),
            label: card.map(|card| card.label.to_string()),
            source: card.map(|card| card.source.clone()),
            basis: card.map(|card| card.basis.clone()),
            ends: card.map(|card| card.ends.to_string()),
            use_class: card.and_then(|card| Some(card.use_class.as_ref()?.to_string())),
            hold: card.and_then(|card| card.held.clone()),
            stage: card
                .map_or("undescribed", |_| told.stage.as_str())
                .to_owned(),
            next_stage: told.next.map(|at| at.to_string()),
            hints: Vec::new(),
        }
    }

    fn show(&self, output: &mut Output) -> Result<(), CliError> {
        let value = serde_json::to_value(self);
        output.record(&value.map_err(|error| CliError::of(Exit::Unavailable, &error))?)?;
        for hint in self.hints.iter().take(HINTS_MAX) {
            output.hint(hint);
        }
        Ok(())
    }

    /// Whether anything is said of it.
    pub(super) const fn is_described(&self) -> bool {
        self.owner.is_some()
    }

    /// That it is the dataset that was asked for.
    fn of_name(self, name: &BucketName) -> Result<Self, CliError> {
        if self.dataset == path(name) {
            Ok(self)
        } else {
            Err(no_answer())
        }
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

    /// The same as the API takes it; empty where nothing is said.
    pub(super) fn body(&self) -> serde_json::Map<String, Value> {
        let said = [
            ("owner", self.owner.as_ref().map(ToString::to_string)),
            ("label", self.label.as_ref().map(ToString::to_string)),
            ("source", self.source.clone()),
            ("basis", self.basis.clone()),
            ("ends", self.ends.map(|time| time.to_string())),
            (
                "use_class",
                match (&self.use_class, self.any_use) {
                    (Some(class), _) => Some(class.to_string()),
                    (None, true) => Some(String::new()),
                    (None, false) => None,
                },
            ),
        ];
        let said = said.into_iter();
        said.filter_map(|(name, value)| Some((name.to_owned(), json!(value?))))
            .collect()
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
            return set_signed(name, (card, &beside), signer)?.show(output);
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
    let shown = Shown {
        hints,
        ..Shown::of(&told)
    };
    shown.show(output)
}

fn set_signed(
    name: &BucketName,
    (card, beside): (&CardArgs, &Beside<'_>),
    signer: &Signer,
) -> Result<Shown, CliError> {
    let mut body = card.body();
    let mut put = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
    if let Some(why) = beside.hold {
        put("hold", json!(why));
    }
    if beside.release {
        put("release", json!(true));
    }
    if let Some(id) = beside.approval {
        put("approval", json!(id.to_string()));
    }
    say(name, (Method::POST, body), signer)
}

/// Says over the network what a dataset is (`POST`), or is to be (`PUT`).
pub(super) fn say(
    name: &BucketName,
    (method, body): (Method, serde_json::Map<String, Value>),
    signer: &Signer,
) -> Result<Shown, CliError> {
    let bucket = name.to_string();
    let path = ["datasets", &bucket];
    let shown: Shown = signer.say((method, &path), Value::Object(body))?;
    shown.of_name(name)
}

pub(super) fn describe(
    name: &BucketName,
    way: &Way<'_>,
    output: &mut Output,
) -> Result<(), CliError> {
    let shown = match way {
        Way::Host(desk) => Shown::of(&desk.act(output, async |opened| {
            let vault = &opened.vault;
            let row = vault.catalog().dataset(name).await?;
            Ok(vault.described(row.ok_or_else(|| missing(name))?))
        })?),
        Way::Signed(signer) => {
            let bucket = name.to_string();
            let path = ["datasets", &bucket];
            let shown: Shown = signer.ask(Question::of(Method::GET, &path))?;
            shown.of_name(name)?
        }
    };
    shown.show(output)
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
            signer.send(Question {
                body: Some(json!({
                    "label": ask.label.as_str(), "source": ask.source, "basis": ask.basis,
                    "days": ask.days,
                })),
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
