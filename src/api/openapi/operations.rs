//! What the table of endpoints does not know of an operation: in a sentence what it does, what it
//! takes and what it gives.

use http::Method;
use serde_json::{Value, json};

use crate::api::endpoint::Endpoint;
use crate::api::{records, scim};
use crate::wire::{self, Describe, Schemas};

/// The schema of a message.
type Schema = fn(&mut Schemas) -> Value;

/// What an operation answers with.
#[derive(Clone, Copy)]
pub(super) enum Gives {
    /// Nothing.
    Nothing,
    /// JSON.
    Json(Schema),
    /// JSON of SCIM, whose own schemas SCIM serves.
    Scim,
    /// The document itself.
    Document,
    /// Bytes.
    Bytes,
    /// Text.
    Text,
}

/// What is said of an operation.
pub(super) struct About {
    pub(super) summary: &'static str,
    /// Parameters of the query: name, whether it is needed, what it is.
    pub(super) query: Vec<(&'static str, bool, Value)>,
    /// The body's schema, where there is one.
    pub(super) takes: Option<Schema>,
    /// The statuses of success.
    pub(super) statuses: &'static [u16],
    pub(super) gives: Gives,
}

fn text() -> Value {
    json!({"type": "string"})
}

impl About {
    /// An operation that only reads.
    const fn look(summary: &'static str, gives: Gives) -> Self {
        Self {
            summary,
            query: Vec::new(),
            takes: None,
            statuses: &[200],
            gives,
        }
    }

    /// One with a body.
    fn act(summary: &'static str, takes: Schema, gives: Gives) -> Self {
        Self {
            takes: Some(takes),
            ..Self::look(summary, gives)
        }
    }

    /// One that answers with nothing.
    fn silent(summary: &'static str, takes: Option<Schema>) -> Self {
        Self {
            takes,
            statuses: &[204],
            ..Self::look(summary, Gives::Nothing)
        }
    }

    /// Of one that makes something.
    fn made(self) -> Self {
        Self {
            statuses: &[201],
            ..self
        }
    }

    /// With what may be asked in the query.
    fn asked(self, names: &[&'static str]) -> Self {
        let query = names.iter().map(|name| (*name, false, text())).collect();
        Self { query, ..self }
    }
}

const fn json<T: Describe>() -> Gives {
    Gives::Json(T::describe)
}

/// What is known of an endpoint beside the table; nothing is said of an operation that is new.
pub(super) fn about(endpoint: &Endpoint) -> Option<About> {
    let operation = endpoint.operation;
    if endpoint.path.starts_with(scim::BASE) {
        return Some(of_scim(endpoint));
    }
    of_versions(operation)
        .or_else(|| of_grants(operation))
        .or_else(|| of_datasets(operation))
        .or_else(|| of_acts(operation))
        .or_else(|| of_jobs(operation))
        .or_else(|| of_the_rest(operation))
}

fn of_scim(endpoint: &Endpoint) -> About {
    let name = endpoint.operation;
    let (statuses, gives): (&[u16], _) = if endpoint.method == Method::DELETE {
        (&[204], Gives::Nothing)
    } else if name.starts_with("ScimCreate") {
        (&[201], Gives::Scim)
    } else {
        (&[200], Gives::Scim)
    };
    let has_body = matches!(endpoint.method, Method::POST | Method::PUT | Method::PATCH);
    About {
        statuses,
        takes: has_body.then_some(Value::describe),
        ..About::look(name, gives)
    }
}

/// A version's root: of all of it, or of a part.
fn roots(all: &mut Schemas) -> Value {
    json!({"oneOf": [wire::VersionRoot::describe(all), wire::PartRoot::describe(all)]})
}

fn of_versions(operation: &str) -> Option<About> {
    let runs: Schema = wire::RunsRequest::describe;
    Some(match operation {
        "PublishVersion" => {
            let done = json::<wire::Version>();
            About {
                // 200 where nothing changed (`changed`), and nothing was made.
                statuses: &[200, 201],
                ..About::look("Publishes a dataset as its next version", done).asked(&["changed"])
            }
        }
        "ListPublished" => About::look(
            "The published versions of a dataset",
            json::<wire::VersionList>(),
        ),
        "OpenVersion" => {
            let done = Gives::Json(roots);
            About::look("A version's root and the key of its index", done).asked(&["prefix"])
        }
        "GetManifestIndex" => {
            About::look("The index of a version's manifest, sealed", Gives::Bytes)
                .asked(&["prefix"])
        }
        "GetManifestPage" => {
            About::look("A page of a version's manifest, sealed", Gives::Bytes).asked(&["prefix"])
        }
        "ReleaseKeys" => About::act(
            "The part tables of objects",
            runs,
            json::<wire::KeyRelease>(),
        ),
        "GetPack" => About::act("The sealed blobs of small objects", runs, Gives::Bytes),
        "GetUrls" => About::act(
            "URLs under which the store gives sealed blobs",
            wire::UrlsRequest::describe,
            json::<wire::PresignedUrls>(),
        ),
        "GetSealed" => About {
            query: vec![
                ("key", true, text()),
                (
                    "blob",
                    true,
                    json!({"type": "string", "pattern": "^[0-9a-f]{32}$"}),
                ),
                ("from", true, json!({"type": "integer", "minimum": 0})),
                ("to", true, json!({"type": "integer", "minimum": 1})),
            ],
            ..About::look("Sealed bytes of an object's blob", Gives::Bytes)
        },
        "RenewLease" => {
            let takes = wire::RenewLeaseRequest::describe;
            About::act("Renews the right to read", takes, json::<wire::Lease>()).asked(&["prefix"])
        }
        "ReportReads" => {
            let takes = wire::ReportReadsRequest::describe;
            About::silent("Reports what was read, for the log", Some(takes))
        }
        _ => return None,
    })
}

fn of_grants(operation: &str) -> Option<About> {
    let (grant, reviewed) = (json::<wire::GrantResponse>(), json::<wire::ReviewedGrant>());
    Some(match operation {
        "ListGrants" => About::look(
            "The grants of a project that the caller may see",
            json::<wire::GrantList>(),
        ),
        "CreateGrant" => About {
            // 200 where nothing was made (`dry_run`).
            statuses: &[200, 201],
            ..About::act(
                "Creates a grant, or proposes one",
                wire::CreateGrantRequest::describe,
                grant,
            )
        },
        "GetGrant" => About::look("One grant", reviewed),
        "WithdrawGrant" => About::silent("Withdraws a grant", None),
        "ApproveGrant" => About::look("Approves a proposed grant", grant),
        "ConfirmGrant" => About::look("Confirms a grant in a review", grant),
        "ListMembers" => {
            About::look("The members of a group", json::<wire::GroupMembers>()).asked(&["after"])
        }
        _ => return None,
    })
}

fn of_datasets(operation: &str) -> Option<About> {
    let takes: Schema = wire::DescribeDatasetRequest::describe;
    let dataset = json::<wire::Dataset>();
    Some(match operation {
        "ListDatasets" => About::look(
            "The datasets that the caller may see",
            json::<wire::DatasetList>(),
        ),
        "DescribeDataset" => About::look("A dataset and its description", dataset),
        "CreateDataset" => About::act(
            "Creates a dataset with its description, or nothing",
            takes,
            dataset,
        )
        .made(),
        "SetDescription" => About::act("Changes the description of a dataset", takes, dataset),
        "SetDefaults" => About::silent(
            "The defaults for descriptions of a project's datasets",
            Some(wire::DatasetDefaultsRequest::describe),
        ),
        _ => return None,
    })
}

fn of_acts(operation: &str) -> Option<About> {
    let act = json::<wire::Approval>();
    Some(match operation {
        "ListApprovals" => About::look("Acts that take two persons", json::<wire::ApprovalList>()),
        "AskApproval" => {
            let takes = wire::AskApprovalRequest::describe;
            About::act("Asks for an act that takes two persons", takes, act).made()
        }
        "GetApproval" => About::look("One act that takes two persons", act),
        "WithdrawApproval" => About::look("Withdraws an act that the caller asked for", act),
        "ApproveAct" => About::look("Approves an act that another person asked for", act),
        "RefuseAct" => About::look("Refuses an act that another person asked for", act),
        "BreakGlass" => {
            let done = json::<wire::BreakGlassGrant>();
            About::look("Carries out an approved break-glass access", done).made()
        }
        "Erase" => About::look("Carries out an approved erasure", json::<wire::Erasure>()),
        "ListErasures" => About::look(
            "The erasures that the caller may see",
            json::<wire::ErasureList>(),
        ),
        "GetCertificate" => About::look("An erasure's certificate, with its list", Gives::Text),
        _ => return None,
    })
}

fn of_jobs(operation: &str) -> Option<About> {
    let statement: Schema = wire::JobStatement::describe;
    Some(match operation {
        "ListJobs" => About::look(
            "The caller's waiting and running jobs",
            json::<wire::JobList>(),
        ),
        "SubmitJob" => About::act(
            "Submits a job that reads in the caller's name",
            wire::SubmitJobRequest::describe,
            json::<wire::Job>(),
        )
        .made(),
        "CancelJob" => About::silent("Ends a job of the caller's", None),
        "StartJob" => About::act(
            "A job's session, on a node's statement",
            statement,
            json::<wire::JobSession>(),
        ),
        "EndJob" => About::silent("A node's statement that a job has ended", Some(statement)),
        _ => return None,
    })
}

fn of_the_rest(operation: &str) -> Option<About> {
    let terms = json::<wire::LogTerms>();
    Some(match operation {
        "GetApiDescription" => About::look("This document", Gives::Document),
        "GetIdentity" => About::look("The identity of the caller", json::<wire::Identity>()),
        "ListNotices" => About::look(
            "A page of the notices to the caller",
            json::<wire::NoticeList>(),
        )
        .asked(&["before"]),
        "GetLogTerms" => About::look("How a project's records are kept", terms),
        "SetLogTerms" => About::act(
            "Changes how a project's records are kept",
            wire::SetLogTermsRequest::describe,
            terms,
        ),
        "ListRecords" => About::look(
            "A page of the log's records of a project",
            json::<wire::RecordPage>(),
        )
        .asked(&records::ASKED),
        "ProveRecord" => About::look(
            "The proof that a request's record is in the log",
            Gives::Text,
        )
        .asked(&records::PROVED),
        _ => return None,
    })
}
