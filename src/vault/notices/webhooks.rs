//! Where a project's notices are sent. What is to be sent is written in the commit of the notice
//! and taken away when the receiver took it, so that a restart loses none. Sending is the edge's:
//! each try is in the log before it is made.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::catalog::{Mutation, NoticeRow, RosterEntry, RosterKind, RosterRow, WebhookRow};
use crate::types::{NoticeId, PrincipalId, ProjectName, SecretText, limits};
use crate::vault::log::record::Recorded;
use crate::vault::{Call, ErrorKind, Vault, VaultError};

/// What the key of signatures begins with (Standard Webhooks, symmetric keys).
pub const SECRET_PREFIX: &str = "whsec_";
const SECRET_BYTES: usize = 32;

const NONE: VaultError = VaultError::new(
    ErrorKind::InvalidArgument,
    "notices of the project are sent nowhere",
);

/// A receiver as the catalog keeps it.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct Inside {
    url: String,
    secret: String,
}

/// Where notices of a project go.
pub struct Webhook {
    /// The address.
    pub url: SecretText,
    /// The key of signatures: [`SECRET_PREFIX`] and base64.
    pub secret: SecretText,
    /// The address without its path.
    pub host: String,
    /// What the catalog keeps of it: no two are alike.
    pub sealed: bytes::Bytes,
}

/// A notice that is to be sent.
pub struct Push {
    /// The notice.
    pub notice: NoticeRow,
    name: String,
    revision: u64,
}

/// A notice that is sent now; its record stands in the log.
pub struct Trying {
    recorded: Recorded,
    done: Vec<Mutation>,
}

fn context(project: &ProjectName) -> String {
    format!("webhook/{project}")
}

fn begin(project: &ProjectName) -> String {
    format!("{project}/")
}

fn changed(project: &ProjectName, was: Option<u64>, row: Option<WebhookRow>) -> Mutation {
    Mutation::SetRoster {
        kind: RosterKind::Webhook,
        name: project.to_string(),
        was,
        entry: row.map(|row| RosterEntry {
            revision: was.unwrap_or_default().saturating_add(1),
            row: RosterRow::Webhook(row),
        }),
    }
}

impl Vault {
    /// Has a project's notices sent to `url` from now on, whose `host` the log may name; the key
    /// of their signatures. The edge judged the address, and judges it again as it sends.
    pub async fn set_webhook(
        &self,
        call: &Call,
        project: &ProjectName,
        (url, host): (&SecretText, &str),
    ) -> Result<SecretText, VaultError> {
        let intent = Self::admin_intent(call, Some(project), &format!("webhook host={host}"));
        let checked = async {
            let bounded = 1..=limits::WEBHOOK_URL_BYTES_MAX;
            if !bounded.contains(&url.expose().len()) || host.len() > url.expose().len() {
                let why = "an address is 1 to 1,024 bytes";
                return Err(VaultError::new(ErrorKind::InvalidArgument, why));
            }
            if self.catalog.project(project).await?.is_none() {
                let error = VaultError::new(ErrorKind::InvalidArgument, "no such project");
                return Err(error);
            }
            let most = limits::WEBHOOKS_MAX;
            let rows = self.catalog.roster_page(RosterKind::Webhook, "", most);
            let there = self.webhook_row(project).await?;
            if there.is_none() && rows.await?.len() >= most {
                let why = "as many projects have receivers as may";
                return Err(VaultError::new(ErrorKind::TooLarge, why));
            }
            let (secret, sealed) = self.seal_webhook(project, url)?;
            let row = WebhookRow {
                sealed,
                host: host.to_owned(),
                created: self.now(),
            };
            Ok((secret, row, there.map(|(_, was)| was)))
        };
        let (secret, row, was) = match checked.await {
            Ok(checked) => checked,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        self.administer(call, intent, vec![changed(project, was, Some(row))])
            .await?;
        Ok(secret)
    }

    /// Has a project's notices sent nowhere any more; what waits is not sent.
    pub async fn end_webhook(&self, call: &Call, project: &ProjectName) -> Result<(), VaultError> {
        let intent = Self::admin_intent(call, Some(project), "webhook ended");
        let found = match self.webhook_row(project).await {
            Ok(found) => found.ok_or(NONE),
            Err(error) => Err(error),
        };
        let was = match found {
            Ok((_, was)) => was,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        self.administer(call, intent, vec![changed(project, Some(was), None)])
            .await
    }

    /// Sends a project's receiver a notice that tells nobody anything.
    pub async fn try_webhook(
        &self,
        call: &Call,
        project: &ProjectName,
    ) -> Result<NoticeId, VaultError> {
        let intent = Self::admin_intent(call, Some(project), "webhook tried");
        let checked = async {
            let (row, _) = self.webhook_row(project).await?.ok_or(NONE)?;
            let nobody: Result<PrincipalId, _> = "kluis".parse();
            let nobody = nobody.map_err(|error| {
                VaultError::caused(ErrorKind::Internal, "no principal's name", error)
            })?;
            let notice = NoticeRow {
                id: NoticeId::random(self.entropy.as_ref())?,
                to: nobody,
                at: self.now(),
                project: project.clone(),
                dataset: None,
                text: crate::vault::cut(&format!("a trial of the receiver at {}", row.host)),
            };
            let push = self.push_of(&notice).await?;
            let full = VaultError::new(ErrorKind::SlowDown, "too many notices wait");
            Ok((notice.id, push.ok_or(full)?))
        };
        match checked.await {
            Ok((id, push)) => {
                self.administer(call, intent, vec![push]).await?;
                Ok(id)
            }
            Err(error) => Err(self.turn_away(call, intent, error).await),
        }
    }

    async fn webhook_row(
        &self,
        project: &ProjectName,
    ) -> Result<Option<(WebhookRow, u64)>, VaultError> {
        let name = project.as_str();
        let entry = self.catalog.roster(RosterKind::Webhook, name).await?;
        let Some(RosterEntry {
            revision,
            row: RosterRow::Webhook(row),
        }) = entry
        else {
            return Ok(None);
        };
        Ok(Some((row, revision)))
    }

    /// A fresh key of signatures, and what the catalog keeps of it and the address.
    fn seal_webhook(
        &self,
        project: &ProjectName,
        url: &SecretText,
    ) -> Result<(SecretText, bytes::Bytes), VaultError> {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        self.entropy.fill(bytes.as_mut())?;
        let key = Zeroizing::new(BASE64.encode(bytes.as_ref()));
        let secret = SecretText::new(format!("{SECRET_PREFIX}{}", *key));
        let inside = Inside {
            url: url.expose().to_owned(),
            secret: secret.expose().to_owned(),
        };
        let unwritten = |error| VaultError::caused(ErrorKind::Internal, "no webhook", error);
        let plain = Zeroizing::new(serde_json::to_vec(&inside).map_err(unwritten)?);
        let context = context(project);
        let entropy = self.entropy.as_ref();
        let sealed = self
            .keyring
            .seal_secret(context.as_bytes(), &plain, entropy)?;
        Ok((secret, sealed))
    }

    fn open_webhook(&self, project: &ProjectName, row: WebhookRow) -> Result<Webhook, VaultError> {
        let context = context(project);
        let plain = self.keyring.open_secret(context.as_bytes(), &row.sealed)?;
        let damaged = |error| VaultError::caused(ErrorKind::Integrity, "no webhook", error);
        let mut inside: Inside = serde_json::from_slice(&plain).map_err(damaged)?;
        Ok(Webhook {
            url: SecretText::new(std::mem::take(&mut inside.url)),
            secret: SecretText::new(std::mem::take(&mut inside.secret)),
            host: row.host,
            sealed: row.sealed,
        })
    }

    /// What has a notice sent, if its project has a receiver and not too many wait for that.
    pub(in crate::vault) async fn push_of(
        &self,
        notice: &NoticeRow,
    ) -> Result<Option<Mutation>, VaultError> {
        if self.webhook_row(&notice.project).await?.is_none() {
            return Ok(None);
        }
        let begin = begin(&notice.project);
        let most = limits::WEBHOOK_WAITING_MAX;
        let waiting = self.catalog.roster_page(RosterKind::Push, &begin, most);
        let waiting = waiting.await?.into_iter();
        if waiting.filter(|(name, _)| name.starts_with(&begin)).count() >= most {
            // By its id the log names the project to whoever may read that.
            tracing::warn!(notice = %notice.id, "a notice is not sent: too many wait");
            return Ok(None);
        }
        Ok(Some(Mutation::SetRoster {
            kind: RosterKind::Push,
            name: format!("{begin}{:015}-{}", notice.at.millis(), notice.id),
            was: None,
            entry: Some(RosterEntry {
                revision: 1,
                row: RosterRow::Push(notice.clone()),
            }),
        }))
    }

    /// The projects for whose receivers something waits.
    pub async fn waiting_pushes(&self) -> Result<Vec<ProjectName>, VaultError> {
        let mut projects: Vec<ProjectName> = Vec::new();
        let mut after = String::new();
        for _project in 0..limits::WEBHOOKS_MAX {
            let page = self.catalog.roster_page(RosterKind::Push, &after, 1);
            let page = page.await?;
            let Some((name, _)) = page.first() else { break };
            let project = name.split('/').next().unwrap_or_default();
            // Behind all names that begin so: what follows the stroke is a digit.
            after = format!("{project}/~");
            projects.extend(project.parse());
        }
        Ok(projects)
    }

    /// The receiver of a project, and what waits for it, the oldest first.
    pub async fn pushes(
        &self,
        project: &ProjectName,
    ) -> Result<(Option<Webhook>, Vec<Push>), VaultError> {
        let webhook = match self.webhook_row(project).await? {
            Some((row, _)) => Some(self.open_webhook(project, row)?),
            None => None,
        };
        let begin = begin(project);
        let most = limits::WEBHOOK_ROUND_MAX;
        let page = self.catalog.roster_page(RosterKind::Push, &begin, most);
        let own = page.await?.into_iter();
        let own = own.take_while(|(name, _)| name.starts_with(&begin));
        let mut pushes = Vec::new();
        for (name, entry) in own {
            if let RosterRow::Push(notice) = entry.row
                && notice.project == *project
            {
                let revision = entry.revision;
                pushes.push(Push {
                    notice,
                    name,
                    revision,
                });
            }
        }
        Ok((webhook, pushes))
    }

    /// Begins to send one: the log says so when this returns. `None` for one that is given up, for
    /// it has nowhere to go or was tried for too long, and for one that waits on, for notices go
    /// elsewhere since `webhook` was read.
    pub async fn begin_push(
        &self,
        webhook: Option<&Webhook>,
        push: &Push,
    ) -> Result<Option<Trying>, VaultError> {
        let call = self.system_call("notice")?;
        let notice = &push.notice;
        let now = self.webhook_row(&notice.project).await?;
        let now = now.as_ref().map(|(row, _)| &row.sealed);
        if now != webhook.map(|webhook| &webhook.sealed) {
            return Ok(None);
        }
        let mut intent = Self::admin_intent(&call, Some(&notice.project), "");
        intent.object.dataset.clone_from(&notice.dataset);
        let over = self.now().since(notice.at) >= limits::WEBHOOK_TRIED_MS;
        let (word, host) = match webhook {
            Some(webhook) if !over => ("sent", webhook.host.as_str()),
            Some(webhook) => ("given up", webhook.host.as_str()),
            None => ("given up", "-"),
        };
        let said = format!("notice={} {word} host={host}", notice.id);
        intent.query = Some(crate::vault::cut(&said));
        let trying = Trying {
            recorded: self.begin(&call, intent).await?,
            done: vec![Mutation::SetRoster {
                kind: RosterKind::Push,
                name: push.name.clone(),
                was: Some(push.revision),
                entry: None,
            }],
        };
        if over || webhook.is_none() {
            self.end_push(trying, Ok::<_, VaultError>(())).await?;
            return Ok(None);
        }
        Ok(Some(trying))
    }

    /// Says how that ended, and why it was not taken: for the record, so the cause names no secret.
    /// What was not taken waits on.
    pub async fn end_push<E>(&self, trying: Trying, taken: Result<(), E>) -> Result<(), VaultError>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        if let Err(cause) = taken {
            let why = "the receiver did not take it";
            let error = VaultError::caused(ErrorKind::Unavailable, why, cause);
            let _told: Result<(), VaultError> = trying.recorded.settle(Err(error));
            return Ok(());
        }
        let done = match self.commit(trying.done).await {
            // Another gateway sent it too, and took it away.
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            result => result,
        };
        trying.recorded.settle(done)
    }
}
