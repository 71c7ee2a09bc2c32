//! How well people are known: what projects demand of a sign-in (ID-2), and what one said.

use crate::catalog::{Mutation, RosterEntry, RosterKind, RosterRow};
use crate::ledger::AuthMethod;
use crate::policy::{Assurance, Circumstances, Decision, Demand, Near, UNASSURED};
use crate::types::{ProjectName, limits};
use crate::vault::access::guard::Guard;
use crate::vault::people::session::narrowed;
use crate::vault::{Call, ErrorKind, Vault, VaultError};

/// What a sign-in said of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Assured {
    /// Its class (`acr`).
    pub acr: Option<String>,
    /// Its methods (`amr`).
    pub amr: Vec<String>,
}

impl Assured {
    pub(in crate::vault) fn as_told(&self) -> Assurance<'_> {
        Assurance::Told {
            acr: self.acr.as_deref(),
            amr: &self.amr,
        }
    }
}

/// From where a call came: what grants may be bound to.
pub(in crate::vault) fn circumstances(call: &Call) -> Circumstances<'_> {
    let client = call.session.client_ip.parse().ok();
    let mut when = narrowed(client, call.bounds.as_deref());
    if call.session.auth == AuthMethod::Local {
        when.assurance = Assurance::Host;
    }
    when
}

/// What is known of a request, about a published version.
pub(in crate::vault) fn about(call: &Call, version: Option<u32>) -> Circumstances<'_> {
    Circumstances {
        version,
        ..circumstances(call)
    }
}

/// To whoever has the right and signed in with less than the project demands.
pub(in crate::vault) const TOO_LOW: VaultError = VaultError::new(
    ErrorKind::AssuranceTooLow,
    "the project demands a sign-in of higher assurance",
);

/// Why a decision refuses. Who has a right learns that a better sign-in would do, and who holds a
/// grant that it is over, or not for now or here; nobody else learns anything.
pub(in crate::vault) fn refusal(decision: &Decision, near: Option<Near>) -> VaultError {
    let (kind, reason) = match near {
        None => (ErrorKind::AccessDenied, "no rule allows it"),
        Some(Near::Over) => (ErrorKind::GrantOver, "the grant that allowed it is over"),
        Some(Near::NotYet) => (ErrorKind::GrantNotYet, "its grant has not begun"),
        Some(Near::Elsewhere) => (ErrorKind::GrantElsewhere, "its grant is for elsewhere"),
    };
    refusal_or(decision, VaultError::new(kind, reason))
}

/// The same where the refusal has words of its own.
pub(in crate::vault) fn refusal_or(decision: &Decision, otherwise: VaultError) -> VaultError {
    if decision.rule == UNASSURED {
        return TOO_LOW;
    }
    otherwise
}

impl Guard {
    /// What a project demands.
    pub(in crate::vault) async fn demand(
        &self,
        project: &ProjectName,
    ) -> Result<Demand, VaultError> {
        let name = project.as_str();
        let entry = self.catalog.roster(RosterKind::Demand, name).await?;
        let Some(RosterRow::Demand(demand)) = entry.map(|entry| entry.row) else {
            return Ok(Demand::default());
        };
        Ok(demand)
    }
}

impl Vault {
    /// Sets what a project demands of how people sign in; an empty demand is none. In force within
    /// a second; running transfers are judged by it within a minute.
    pub async fn demand_assurance(
        &self,
        call: &Call,
        project: &ProjectName,
        demand: Demand,
    ) -> Result<(), VaultError> {
        let (acr, amr) = (demand.acr.join(","), demand.amr.join(","));
        let what = format!("demand acr={acr} amr={amr} log_only={}", demand.log_only);
        let intent = Self::admin_intent(call, Some(project), &what);
        let bounded = |text: &String| {
            let length = (1..=limits::ASSURANCE_BYTES_MAX).contains(&text.len());
            length && !text.contains(|c: char| c.is_control() || c == ',')
        };
        let all = || demand.acr.iter().chain(&demand.amr);
        if !all().all(bounded) || all().count() > limits::ASSURANCES_MAX {
            let why = "a class or method is 1 to 255 characters, no comma; at most 16 of them";
            let error = VaultError::new(ErrorKind::InvalidArgument, why);
            return Err(self.turn_away(call, intent, error).await);
        }
        if self.catalog.project(project).await?.is_none() {
            let error = VaultError::new(ErrorKind::InvalidArgument, "no such project");
            return Err(self.turn_away(call, intent, error).await);
        }
        let name = project.as_str();
        let there = self.catalog.roster(RosterKind::Demand, name).await?;
        let was = there.map(|entry| entry.revision);
        if was.is_none() && demand.is_empty() {
            return self.note(call, intent, Ok(())).await;
        }
        let entry = (!demand.is_empty()).then(|| RosterEntry {
            revision: was.unwrap_or_default().saturating_add(1),
            row: RosterRow::Demand(demand),
        });
        let change = Mutation::SetRoster {
            kind: RosterKind::Demand,
            name: name.to_owned(),
            was,
            entry,
        };
        self.administer(call, intent, vec![change]).await
    }
}
