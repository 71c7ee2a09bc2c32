//! Break-glass (AZ-11): data opened to a person for minutes, on the word of two, its owner told in
//! the same commit, every record that it causes flagged.
//!
//! It is a grant like any other: it ends by the clock, is seen in reviews, can be withdrawn, and
//! gives way to a denial and to a label. What tells it apart is its purpose, which no other may
//! use.

use crate::catalog::{DatasetRow, Mutation};
use crate::policy::{Grant, GrantEffect, Terms};
use crate::types::{
    Act, ActKind, Action, ApprovalId, GrantId, PrincipalId, PrincipalKind, ProjectName,
};
use crate::vault::Vault;
use crate::vault::ask::Call;
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::grants::room::Room;

/// What the purpose of such a grant begins with; the approval's id follows.
pub(in crate::vault) const PURPOSE: &str = "break-glass:";
/// What it lets do.
const ROLE: &str = "reader";

const NO_ACT: VaultError =
    VaultError::new(ErrorKind::AccessDenied, "the approval is of no break-glass");

impl Vault {
    /// Opens what two persons agreed to open. Who asked does it; for how long begins now.
    pub async fn break_glass(
        &self,
        call: &Call,
        (project, id): (&ProjectName, ApprovalId),
    ) -> Result<Grant, VaultError> {
        let mut intent = Self::admin_intent(call, Some(project), "");
        intent.action = Some(Action::ActAsk);
        intent.query = Some(format!("break-glass approval={id}"));
        let checked = async {
            let row = self.find_act(project, id).await?;
            let (who, minutes) = terms(&row.act)?;
            let (_, dataset) = row.act.dataset.as_ref().ok_or(NO_ACT)?;
            let agreed = self.approved(call, id, &row.act).await?;
            let known = self.catalog.principal(&who).await?;
            if known.is_none_or(|row| row.kind != PrincipalKind::Person) {
                let why = "break-glass is for a person";
                return Err(VaultError::new(ErrorKind::InvalidArgument, why));
            }
            let place = self.placed(&row.act).await?;
            if place.id != *dataset {
                return Err(NO_ACT);
            }
            let approver = row.approver.clone().ok_or(NO_ACT)?;
            let begins = self.now();
            let grant = Grant {
                id: GrantId::random(self.entropy.as_ref())?,
                project: project.clone(),
                principal: who,
                role: ROLE.to_owned(),
                dataset: Some(place.bucket.dataset.clone()),
                prefix: String::new(),
                effect: GrantEffect::Allow,
                purpose: Some(format!("{PURPOSE}{id}")),
                permit: Some(id.to_string()),
                starts: begins,
                expires: Some(begins.plus_millis(u64::from(minutes).saturating_mul(60_000))),
                approver,
                created: begins,
                terms: Terms::default(),
            };
            let text = format!(
                "break-glass: {} may read until {}; asked by {}, approved by {}: {}",
                grant.principal,
                grant.expires.unwrap_or_default(),
                row.asker,
                grant.approver,
                row.reason
            );
            let notice = self.notice_to_owner(&place, &text).await?;
            Ok((agreed, grant, notice))
        };
        let (approved, grant, notice) = match checked.await {
            Ok(checked) => checked,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        intent.object.dataset.clone_from(&grant.dataset);
        intent.nature = crate::ledger::Nature::Emergency;
        intent.query = Some(crate::vault::cut(&format!(
            "grant={} {}",
            grant.id,
            approved.words()
        )));
        let recorded = self.begin(call, intent).await?;
        let room = Self::room_for(&grant, Room::Emergency);
        let mut made = vec![room, Mutation::CreateGrant(grant.clone())];
        made.extend(notice);
        recorded
            .settle(self.carry_out(approved, made).await)
            .map(|_done| grant)
    }

    async fn placed(&self, act: &Act) -> Result<DatasetRow, VaultError> {
        let (dataset, _) = act.dataset.as_ref().ok_or(NO_ACT)?;
        let bucket = crate::types::BucketName {
            project: act.project.clone(),
            dataset: dataset.clone(),
        };
        let absent = VaultError::new(ErrorKind::NoSuchDataset, "no such dataset");
        self.catalog.dataset(&bucket).await?.ok_or(absent)
    }
}

fn terms(act: &Act) -> Result<(PrincipalId, u32), VaultError> {
    match (act.kind, act.terms.as_slice()) {
        (ActKind::BreakGlass, [who, minutes]) => {
            let who = who.parse().map_err(|_no_name| NO_ACT)?;
            let minutes = minutes.parse().map_err(|_no_number| NO_ACT)?;
            Ok((who, minutes))
        }
        _ => Err(NO_ACT),
    }
}
