//! The log asked over the network: who read X, what did P read, what was refused. An auditor sees
//! the records of her project, or of the dataset that her grant covers; who manages a dataset's
//! grants sees what was done with it, without asking anyone (AU-13). Each look-up stands in the log
//! before it is answered (AU-16).

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::journal::{Cursor, EndedRight, Filter, Page, Pages, Request};
use crate::ledger::{Intent, Nature, ObjectRef, Pseudonyms};
use crate::policy::{Ask, UNASSURED};
use crate::types::{Action, DatasetName, PrincipalId, ProjectName, limits};
use crate::vault::access::barrier::ABOVE;
use crate::vault::access::proof::policy_ref;
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::people::assurance::circumstances;
use crate::vault::people::assurance::{TOO_LOW, refusal_or};
use crate::vault::{Call, Vault};

/// A question about a project's records.
pub struct RecordAsk {
    /// The project.
    pub project: ProjectName,
    /// What must hold of a request; its project is set here.
    pub filter: Filter,
    /// Only what was asked by those whose right in the project had ended by then.
    pub after_expiry: bool,
    /// Where the page begins.
    pub from: Option<Cursor>,
    /// At most so many requests.
    pub limit: usize,
    /// The question in words, for the log.
    pub words: String,
}

/// A page of records.
pub struct RecordPage {
    /// The requests as JSON of schema `kluis.audit/1`, by the time at which they began.
    pub records: Vec<Value>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
    /// Records that the gateway's journal does not hold (any more).
    pub missing: u64,
    /// Requests whose end was not met.
    pub open: u64,
}

/// What somebody sees who may look at a project's log.
pub(in crate::vault) struct Look {
    /// All that is asked for; an owner sees what was done with datasets.
    pub(in crate::vault) auditor: bool,
    /// What hides people from her.
    pub(in crate::vault) hidden: Option<Arc<Pseudonyms>>,
    /// Datasets of which an owner sees nothing: their labels are above her clearance (AZ-13).
    pub(in crate::vault) without: BTreeSet<DatasetName>,
}

/// Where records are read.
pub(in crate::vault) struct Records {
    pages: Arc<Pages>,
    readers: Arc<Semaphore>,
}

impl Vault {
    /// Says where the log's records can be read.
    pub fn show_records(&self, pages: Pages) {
        let records = Records {
            pages: Arc::new(pages),
            readers: Arc::new(Semaphore::new(limits::RECORDS_READERS_MAX)),
        };
        // Once; what is set again stays as it was.
        drop(self.records.set(records));
    }

    /// A page of a project's records.
    pub async fn records(&self, call: &Call, ask: RecordAsk) -> Result<RecordPage, VaultError> {
        let mut intent = Self::intent(call, Some(Action::LogRead), ObjectRef::default());
        intent.object.project = Some(ask.project.clone());
        intent.object.dataset.clone_from(&ask.filter.dataset);
        intent.nature = Nature::Log;
        intent.query = Some(crate::vault::kept(&ask.words));
        if let Err(error) = crate::vault::whole(&ask.words) {
            return Err(self.turn_away(call, intent, error).await);
        }
        let place = (&ask.project, ask.filter.dataset.as_ref());
        let look = match self.may_look(call, place, &mut intent).await {
            Ok(look) => look,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        let recorded = self.begin(call, intent).await?;
        let page = self.read_page(look, ask).await;
        recorded.settle(page)
    }

    /// What reads the journal, and the right to do it now.
    pub(in crate::vault) fn reader(
        &self,
    ) -> Result<(Arc<Pages>, OwnedSemaphorePermit), VaultError> {
        const NOWHERE: VaultError =
            VaultError::new(ErrorKind::Unavailable, "this process reads no records");
        let records = self.records.get().ok_or(NOWHERE)?;
        let busy = VaultError::new(ErrorKind::SlowDown, "too many pages are read at once");
        let permit = Arc::clone(&records.readers).try_acquire_owned();
        Ok((Arc::clone(&records.pages), permit.map_err(|_none| busy)?))
    }

    /// Whether the caller may look, by an auditor's right or a dataset's owner's, and what she sees
    /// then. By which it was decided stands in the intent.
    ///
    /// A label hides nothing from an auditor: else an owner could keep her out by raising one.
    pub(in crate::vault) async fn may_look(
        &self,
        call: &Call,
        (project, dataset): (&ProjectName, Option<&DatasetName>),
        intent: &mut Intent,
    ) -> Result<Look, VaultError> {
        let principal = call
            .session
            .principal
            .as_ref()
            .ok_or(crate::vault::NOBODY)?;
        let subject = self.guard.subject_of(call, project, principal).await?;
        let decide = |action| {
            subject.decide(&Ask {
                project,
                principal,
                dataset,
                key: "",
                action,
                now: self.now(),
                when: circumstances(call),
            })
        };
        let auditor = decide(Action::LogRead);
        intent.policy = Some(policy_ref(&auditor));
        if auditor.allowed {
            self.guard.used(&auditor, self.now());
            let reader = (&*subject, principal);
            let hidden = self.hidden(call, reader, (project, dataset)).await?;
            let without = BTreeSet::new();
            return Ok(Look {
                auditor: true,
                hidden,
                without,
            });
        }
        let denied = VaultError::new(ErrorKind::AccessDenied, "no grant to read this log");
        let owner = decide(Action::GrantManage);
        if !owner.allowed && owner.rule != UNASSURED {
            return Err(refusal_or(&auditor, denied));
        }
        intent.action = Some(Action::GrantManage);
        intent.policy = Some(policy_ref(&owner));
        // What is demanded of whoever reads the log is demanded of her, too (ID-2).
        if !owner.allowed || !subject.is_assured(Action::LogRead, circumstances(call).assurance) {
            return Err(TOO_LOW);
        }
        let without = self.above(project, principal).await?;
        if dataset.is_some_and(|dataset| without.contains(dataset)) {
            return Err(ABOVE);
        }
        self.guard.used(&owner, self.now());
        Ok(Look {
            auditor: false,
            hidden: None,
            without,
        })
    }

    /// The datasets of a project whose labels are above somebody's clearance.
    async fn above(
        &self,
        project: &ProjectName,
        who: &PrincipalId,
    ) -> Result<BTreeSet<DatasetName>, VaultError> {
        let cleared = self.clearance(who).await?;
        let mut above = BTreeSet::new();
        let mut all = self.all_datasets();
        while let Some(row) = all.next().await? {
            let rank = self.settings.labels.of_data(row.card.as_deref());
            if row.bucket.project == *project && rank > cleared {
                above.insert(row.bucket.dataset);
            }
        }
        Ok(above)
    }

    async fn read_page(&self, look: Look, ask: RecordAsk) -> Result<RecordPage, VaultError> {
        let Look {
            auditor,
            hidden,
            without,
        } = look;
        let ended = if ask.after_expiry {
            Some(self.ended_rights(&ask.project).await?)
        } else {
            None
        };
        let filter = Filter {
            project: Some(ask.project),
            // An owner sees what was done with datasets, and no look at the log: not who asks about
            // whom, whatever dataset it was about.
            of_dataset: !auditor,
            ended,
            hidden: hidden.clone(),
            without,
            ..ask.filter
        };
        let (pages, permit) = self.reader()?;
        let limit = ask.limit.clamp(1, limits::RECORDS_PAGE_MAX);
        let read = tokio::task::spawn_blocking(move || {
            let _held = permit;
            pages.page(&filter, ask.from.as_ref(), limit)
        });
        let died = |error| VaultError::caused(ErrorKind::Internal, "a reader died", error);
        let page: Page = read.await.map_err(died)??;
        Ok(RecordPage {
            records: page
                .requests
                .iter()
                .map(|r| shown(r, hidden.as_deref()))
                .collect(),
            next: page.next.map(|next| next.to_string()),
            missing: page.lost,
            open: page.open,
        })
    }

    /// The grants of a project that have an end.
    async fn ended_rights(&self, project: &ProjectName) -> Result<Vec<EndedRight>, VaultError> {
        let grants = self
            .catalog
            .grants(project, limits::GUARD_CACHE_MAX)
            .await?;
        let ended = grants.into_iter().filter_map(|grant| {
            Some(EndedRight {
                at: grant.expires?,
                principal: grant.principal,
                dataset: grant.dataset,
            })
        });
        Ok(ended.collect())
    }
}

/// A request as who asks may see it.
fn shown(request: &Request, hidden: Option<&Pseudonyms>) -> Value {
    let view = request.view();
    match hidden {
        None => view.json(),
        Some(key) => key.cover(&view).over(&view).json(),
    }
}
