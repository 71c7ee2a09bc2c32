//! How a project's records are kept in the log: asked by whoever manages its grants, and on the
//! vault's own host. Both stand in the project's log, the change before it is made.

use crate::catalog::{Mutation, ProjectRow};
use crate::ledger::AuthMethod;
use crate::types::{Act, ActKind, Action, ApprovalId, LogTerms, ProjectName};
use crate::vault::Vault;
use crate::vault::ask::Call;
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::grants::checks::MAY_NOT;

/// What is to become different; `None` leaves it as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogTermsChange {
    /// For how many days the records are kept.
    pub days: Option<u32>,
    /// Whether who may only read them sees pseudonyms in the place of people's names.
    pub pseudonyms: Option<bool>,
    /// What two persons agreed on (`log.shorten`), where that is for a shorter time than now.
    pub approval: Option<ApprovalId>,
}

const SHORTER: VaultError = VaultError::new(
    ErrorKind::AccessDenied,
    "nobody makes a project's records expire earlier by himself",
);
const LONGER: VaultError = VaultError::new(
    ErrorKind::InvalidArgument,
    "keeping records for as long or longer takes no approval",
);
const BOUNDS: VaultError = VaultError::new(
    ErrorKind::InvalidArgument,
    "records are kept for 365 to 36525 days",
);

impl Vault {
    /// How a project's records are kept.
    pub async fn log_terms(
        &self,
        call: &Call,
        project: &ProjectName,
    ) -> Result<LogTerms, VaultError> {
        let mut intent = Self::admin_intent(call, Some(project), "log terms");
        intent.action = Some(Action::GrantManage);
        let row = self.its_log(call, project).await;
        Ok(self.noted(call, intent, row).await?.log)
    }

    /// Says how a project's records are kept from now on, those that are there too. **Nobody keeps
    /// them shorter by himself**: that takes an approval for exactly these days.
    pub async fn set_log_terms(
        &self,
        call: &Call,
        project: &ProjectName,
        change: LogTermsChange,
    ) -> Result<LogTerms, VaultError> {
        let mut intent = Self::admin_intent(call, Some(project), &words(change));
        intent.action = Some(Action::GrantManage);
        let checked = async {
            let row = self.its_log(call, project).await?;
            let terms = LogTerms {
                days: change.days.or(row.log.days),
                pseudonyms: change.pseudonyms.unwrap_or(row.log.pseudonyms),
            };
            if !LogTerms::may_be(terms.kept_days()) {
                return Err(BOUNDS);
            }
            let shorter = terms.kept_days() < row.log.kept_days();
            let approved = match (shorter, change.approval) {
                (false, None) => None,
                (false, Some(_)) => return Err(LONGER),
                (true, None) => return Err(SHORTER),
                (true, Some(id)) => {
                    let act = shortening(project, terms.kept_days());
                    Some(self.approved(call, id, &act).await?)
                }
            };
            Ok((row.log, terms, approved))
        };
        let (was, terms, approved) = match checked.await {
            Ok(checked) => checked,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        // Whether this is shorter was judged on what was read: what came in between stands.
        let changes = vec![
            Mutation::CheckLogTerms {
                project: project.clone(),
                terms: was,
            },
            Mutation::SetLogTerms {
                project: project.clone(),
                terms,
            },
        ];
        let Some(approved) = approved else {
            self.administer(call, intent, changes).await?;
            return Ok(terms);
        };
        let agreed = format!("{} {}", approved.words(), words(change));
        intent.query = Some(crate::vault::kept(&agreed));
        let recorded = self.begin(call, intent).await?;
        let done = self.carry_out(approved, changes).await;
        recorded.settle(done.map(|_done| terms))
    }

    /// The project, to whoever manages its grants or calls on the vault's own host. To others what
    /// is there and what is not look alike.
    async fn its_log(&self, call: &Call, project: &ProjectName) -> Result<ProjectRow, VaultError> {
        if call.session.auth != AuthMethod::Local {
            let who = call
                .session
                .principal
                .as_ref()
                .ok_or(crate::vault::NOBODY)?;
            self.manages(call, project, who).await?;
        }
        self.catalog.project(project).await?.ok_or(MAY_NOT)
    }
}

/// The act that two persons agree on.
fn shortening(project: &ProjectName, days: u32) -> Act {
    Act {
        kind: ActKind::ShortenLog,
        project: project.clone(),
        dataset: None,
        terms: vec![days.to_string()],
    }
}

fn words(change: LogTermsChange) -> String {
    let days = change.days.map(|days| format!(" days={days}"));
    let names = change.pseudonyms.map(|on| format!(" pseudonyms={on}"));
    format!(
        "log terms{}{}",
        days.unwrap_or_default(),
        names.unwrap_or_default()
    )
}
