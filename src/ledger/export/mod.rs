//! A request in the forms that others read: OCSF, FHIR, NEN 7513, OpenTelemetry, CSV. Each is one
//! line, made of the record alone. `docs/audit.md`, "Exports", has the mappings.

mod csv;
mod fhir;
mod nen;
mod ocsf;
mod otel;

#[cfg(test)]
mod tests;

use super::record::{Completion, Intent, Nature, Outcome, Session};
use super::view::View;
use crate::types::{Action, EventId, PrincipalId};
pub use csv::inert;

/// A form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// The record's own JSON, `kluis.audit/1`.
    Json,
    /// OCSF 1.8, Datastore Activity (6005).
    Ocsf,
    /// FHIR R4 `AuditEvent`; of a read that succeeded by IHE BALP.
    Fhir,
    /// The fields of NEN 7513.
    Nen,
    /// A span of the Logboek Dataverwerkingen, as OTLP has it in JSON.
    Otel,
    /// One line of cells.
    Csv,
}

/// A whole request, with what is exported of it.
#[derive(Clone, Copy)]
struct Whole<'a> {
    lane: &'a str,
    seq: u64,
    session: Option<&'a Session>,
    intent: &'a Intent,
    end: Option<&'a Completion>,
}

impl Form {
    /// The line before the first, if the form has one.
    #[must_use]
    pub fn head(self) -> Option<String> {
        (self == Self::Csv).then(csv::head)
    }

    /// A request as one line; `None` where the view holds no intent.
    #[must_use]
    pub fn line(self, view: &View<'_>) -> Option<String> {
        let whole = Whole {
            lane: view.lane,
            seq: view.seq,
            session: view.session,
            intent: view.intent?,
            end: view.completion,
        };
        Some(match self {
            Self::Json => view.json().to_string(),
            Self::Ocsf => ocsf::event(&whole).to_string(),
            Self::Fhir => fhir::event(&whole).to_string(),
            Self::Nen => nen::event(&whole).to_string(),
            Self::Otel => otel::event(&whole).to_string(),
            Self::Csv => csv::line(&whole),
        })
    }
}

/// What a request does with data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Doing {
    Read,
    List,
    Create,
    Update,
    Delete,
    Other,
}

impl Whole<'_> {
    fn event(&self) -> EventId {
        self.intent.event
    }

    fn id(&self) -> String {
        uuid::Uuid::from_bytes(*self.event().as_bytes()).to_string()
    }

    /// Its outcome; a request that has not ended is as one whose process died.
    fn outcome(&self) -> Outcome {
        self.end.map_or(Outcome::OpenAtCrash, |end| end.outcome)
    }

    fn person(&self) -> Option<&str> {
        let session = self.session?;
        let person = session.responsible.as_ref().or(session.principal.as_ref());
        person.map(PrincipalId::as_str)
    }

    /// The workload that acted for the person.
    fn workload(&self) -> Option<&str> {
        let session = self.session?;
        session.responsible.as_ref()?;
        session.principal.as_ref().map(PrincipalId::as_str)
    }

    /// `project/dataset`, as far as it is named; the vault where nothing is.
    fn place(&self) -> String {
        let object = &self.intent.object;
        match (&object.project, &object.dataset) {
            (Some(project), Some(dataset)) => format!("{project}/{dataset}"),
            (Some(project), None) => project.to_string(),
            (None, _) => "vault".to_owned(),
        }
    }

    /// The object's name below its place.
    fn object(&self) -> Option<String> {
        let object = &self.intent.object;
        let key = object.key.as_ref()?;
        Some(match &object.version {
            Some(version) => format!("{}/{key}?versionId={version}", self.place()),
            None => format!("{}/{key}", self.place()),
        })
    }

    fn doing(&self) -> Doing {
        match self.intent.action {
            Some(
                Action::ObjectRead | Action::VersionRead | Action::ObjectHead | Action::DatasetHead,
            ) => Doing::Read,
            Some(Action::ObjectList | Action::VersionList | Action::LogRead) => Doing::List,
            Some(Action::ObjectWrite | Action::DatasetCreate | Action::DatasetPublish) => {
                Doing::Create
            }
            Some(Action::ObjectTag | Action::ObjectLock | Action::DatasetConfigure) => {
                Doing::Update
            }
            Some(Action::ObjectDelete | Action::VersionDelete | Action::DatasetDelete) => {
                Doing::Delete
            }
            Some(
                Action::ObjectExport
                | Action::UploadManage
                | Action::GrantManage
                | Action::ActAsk
                | Action::ActApprove
                | Action::LockBypass,
            )
            | None => Doing::Other,
        }
    }

    /// NEN 7513 and DICOM's letter.
    fn letter(&self) -> &'static str {
        match self.doing() {
            Doing::Read => "R",
            Doing::Create => "C",
            Doing::Update => "U",
            Doing::Delete => "D",
            Doing::List | Doing::Other => "E",
        }
    }

    fn is_admin(&self) -> bool {
        self.intent.nature == Nature::Admin
    }
}
