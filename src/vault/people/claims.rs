//! Groups by claim (ID-3), and what those by visa (ID-6, `visas.rs`) have in common with them: what
//! an issuer's tokens claim stands for groups of the vault, as an administrator said. Whoever signs
//! in with such a token is a member for that session and no longer.
//!
//! A session keeps by which rows it is in groups, and not in which: a row that is gone puts nobody
//! into anything, and one that is made again for the same claim is another row. What lasts beyond
//! a session rests on nothing that its token claims: jobs, and acts of two persons.

use std::collections::HashMap;
use std::sync::Arc;

use crate::catalog::{ClaimRow, Mutation, RosterEntry, RosterKind, RosterRow};
use crate::ledger::Intent;
use crate::types::{ClaimId, PrincipalId, PrincipalKind, ProjectName, limits};
use crate::vault::access::guard::Guard;
use crate::vault::access::subjects::claiming;
use crate::vault::people::session::Word;
use crate::vault::people::visas::VisaWord;
use crate::vault::{Bounds, Call, ErrorKind, Rests, Vault, VaultError};

/// In which project who is in groups by which rows, of claims and of visas.
pub(in crate::vault) type Claimant = (ProjectName, PrincipalId, (Vec<ClaimId>, Vec<VisaWord>));
/// An issuer's rows, by what is claimed or asserted.
pub(in crate::vault) type Claimed = HashMap<String, ClaimRow>;

/// By what a session is in which groups.
#[derive(Default)]
pub(in crate::vault) struct Through {
    pub(in crate::vault) ids: Vec<ClaimId>,
    pub(in crate::vault) groups: Vec<String>,
}

/// What a row's name begins with; no issuer's name here has a line's end.
fn begin(issuer: &str) -> String {
    format!("{issuer}\n")
}

pub(in crate::vault) fn bounded(text: &str) -> bool {
    (1..=limits::CLAIM_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

impl Word {
    /// Whether the session is in any group by what its token brought.
    pub(in crate::vault) const fn is_in_groups(&self) -> bool {
        !self.through.is_empty() || !self.visas.is_empty()
    }
}

impl Call {
    /// The same request by a session that is in no group by what its token claims.
    pub(in crate::vault) fn without_claims(&self) -> Self {
        let bounds = self.bounds.as_ref().map(|bounds| match &bounds.rests {
            Rests::Word(word) if word.is_in_groups() => Arc::new(Bounds {
                rests: Rests::Word(Word {
                    through: Vec::new(),
                    visas: Vec::new(),
                    ..word.clone()
                }),
                ..(**bounds).clone()
            }),
            Rests::Word(_) | Rests::Job(_) | Rests::Key(_) => Arc::clone(bounds),
        });
        Self {
            session: Arc::clone(&self.session),
            event: self.event,
            time: self.time,
            operation: self.operation,
            nature: self.nature,
            bounds,
            recorded: Arc::clone(&self.recorded),
        }
    }
}

impl Guard {
    /// What an issuer's tokens claim and stands for a group, as of now.
    async fn claims_of(&self, issuer: &str) -> Result<Arc<Claimed>, VaultError> {
        let generation = self.generation().await?;
        if let Some(known) = self.cached(|cache| cache.claims.get(issuer).cloned()) {
            return Ok(known);
        }
        let rows = claim_rows(&self.catalog, (RosterKind::Claim, issuer)).await?;
        let known: Arc<Claimed> = Arc::new(rows.into_iter().collect());
        self.keep(generation, |cache| {
            cache.claims.insert(issuer.to_owned(), Arc::clone(&known));
        });
        Ok(known)
    }

    /// What an issuer's visas assert and stands for a group, as of now.
    pub(in crate::vault) async fn visas_of(
        &self,
        issuer: &str,
    ) -> Result<Arc<Claimed>, VaultError> {
        let generation = self.generation().await?;
        if let Some(known) = self.cached(|cache| cache.visas.get(issuer).cloned()) {
            return Ok(known);
        }
        let rows = claim_rows(&self.catalog, (RosterKind::Visa, issuer)).await?;
        let known: Arc<Claimed> = Arc::new(rows.into_iter().collect());
        self.keep(generation, |cache| {
            cache.visas.insert(issuer.to_owned(), Arc::clone(&known));
        });
        Ok(known)
    }

    /// The groups that a principal's session is in by its word, as far as they are still groups.
    pub(in crate::vault) async fn claimed_groups(
        &self,
        word: &Word,
        principal: &PrincipalId,
    ) -> Result<Vec<PrincipalId>, VaultError> {
        let mut groups = Vec::new();
        let mut add = |known: &Claimed, ids: &[ClaimId]| {
            let held = known.values().filter(|row| ids.contains(&row.id));
            groups.extend(held.map(|row| row.group.clone()));
        };
        if !word.through.is_empty() {
            add(&*self.claims_of(&word.issuer).await?, &word.through);
        }
        for visa in &word.visas {
            if self.is_about(visa, principal).await? {
                add(&*self.visas_of(&visa.issuer).await?, &visa.through);
            }
        }
        groups.sort_unstable();
        groups.dedup();
        Ok(groups)
    }

    /// The groups that the caller is in by what her session's token claimed.
    pub(in crate::vault) async fn claimed_in(
        &self,
        call: &Call,
    ) -> Result<Vec<PrincipalId>, VaultError> {
        let Some(own) = &call.session.principal else {
            return Ok(Vec::new());
        };
        match claiming(call.bounds.as_deref(), (Some(own), own)) {
            Some(word) => self.claimed_groups(word, own).await,
            None => Ok(Vec::new()),
        }
    }
}

/// An issuer's rows, each behind what is claimed.
async fn claim_rows(
    catalog: &crate::catalog::SharedCatalog,
    (kind, issuer): (RosterKind, &str),
) -> Result<Vec<(String, ClaimRow)>, VaultError> {
    let begin = begin(issuer);
    let most = limits::ISSUER_CLAIMS_MAX;
    let page = catalog.roster_page(kind, &begin, most).await?;
    let rows = page.into_iter().map_while(|(name, entry)| {
        let claim = name.strip_prefix(&begin)?.to_owned();
        if let RosterRow::Claim(row) | RosterRow::Visa(row) = entry.row {
            Some((claim, row))
        } else {
            None
        }
    });
    Ok(rows.collect())
}

impl Vault {
    /// By what a token that claims these groups puts its bearer into groups of the vault. More than
    /// a session can hold is a refusal: one left out could hold a denial.
    pub(in crate::vault) async fn through(
        &self,
        issuer: &str,
        claimed: &[String],
    ) -> Result<Through, VaultError> {
        if claimed.is_empty() {
            return Ok(Through::default());
        }
        let known = self.guard.claims_of(issuer).await?;
        let rows = claimed.iter().filter_map(|claim| known.get(claim));
        let mut rows: Vec<&ClaimRow> = rows.collect();
        rows.sort_unstable_by_key(|row| row.id);
        rows.dedup_by_key(|row| row.id);
        if rows.len() > limits::CLAIMED_GROUPS_MAX {
            let why = "the token claims more groups of the vault than a session holds";
            return Err(VaultError::new(ErrorKind::TokenInvalid, why));
        }
        let mut groups: Vec<String> = rows.iter().map(|row| row.group.to_string()).collect();
        groups.sort_unstable();
        groups.dedup();
        Ok(Through {
            ids: rows.iter().map(|row| row.id).collect(),
            groups,
        })
    }

    /// Says that what an issuer's tokens claim stands for a group. Sessions made from now on are in
    /// it.
    pub async fn map_claim(
        &self,
        call: &Call,
        (issuer, claim): (&str, &str),
        group: PrincipalId,
    ) -> Result<(), VaultError> {
        let what = format!("map issuer={issuer} group={group} claim={claim}");
        let intent = Self::admin_intent(call, None, &what);
        if !bounded(issuer) || !bounded(claim) {
            let why = "an issuer or a claim is 1 to 255 bytes, none of them a control";
            let error = VaultError::new(ErrorKind::InvalidArgument, why);
            return Err(self.turn_away(call, intent, error).await);
        }
        let id = ClaimId::random(self.entropy.as_ref())?;
        let place = (RosterKind::Claim, issuer, claim);
        self.map(call, intent, place, (id, group)).await
    }

    /// Lets what an issuer's tokens claim, or its visas assert, stand for a group.
    pub(in crate::vault) async fn map(
        &self,
        call: &Call,
        intent: Intent,
        (kind, issuer, what): (RosterKind, &str, &str),
        (id, group): (ClaimId, PrincipalId),
    ) -> Result<(), VaultError> {
        let checked = async {
            let known = self.catalog.principal(&group).await?;
            if known.is_none_or(|row| row.kind != PrincipalKind::Group) {
                let why = "there is no such group";
                return Err(VaultError::new(ErrorKind::InvalidArgument, why));
            }
            if self.is_told_of(&group).await? {
                return Err(crate::vault::people::groups::TOLD);
            }
            let rows = claim_rows(&self.catalog, (kind, issuer)).await?;
            if rows.iter().any(|(known, _)| known == what) {
                let why = "it stands for a group already";
                return Err(VaultError::new(ErrorKind::Conflict, why));
            }
            if rows.len() >= limits::ISSUER_CLAIMS_MAX {
                let why = "as much of the issuer stands for groups as may";
                return Err(VaultError::new(ErrorKind::TooLarge, why));
            }
            Ok(ClaimRow {
                id,
                group,
                created: self.now(),
            })
        };
        let row = match checked.await {
            Ok(row) if kind == RosterKind::Visa => RosterRow::Visa(row),
            Ok(row) => RosterRow::Claim(row),
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        let change = Mutation::SetRoster {
            kind,
            name: begin(issuer) + what,
            was: None,
            entry: Some(RosterEntry { revision: 1, row }),
        };
        self.administer(call, intent, vec![change]).await
    }

    /// Ends that: who is in the group by it is refused within a second, what she reads is cut
    /// within a minute.
    pub async fn unmap_claim(
        &self,
        call: &Call,
        (issuer, claim): (&str, &str),
    ) -> Result<(), VaultError> {
        let what = format!("unmap issuer={issuer} claim={claim}");
        let intent = Self::admin_intent(call, None, &what);
        if !bounded(issuer) || !bounded(claim) {
            let error = VaultError::new(ErrorKind::InvalidArgument, "no such claim");
            return Err(self.turn_away(call, intent, error).await);
        }
        let place = (RosterKind::Claim, issuer, claim);
        self.unmap(call, intent, place).await
    }

    /// Ends that something stands for a group.
    pub(in crate::vault) async fn unmap(
        &self,
        call: &Call,
        intent: Intent,
        (kind, issuer, what): (RosterKind, &str, &str),
    ) -> Result<(), VaultError> {
        let change = Mutation::SetRoster {
            kind,
            name: begin(issuer) + what,
            was: Some(1),
            entry: None,
        };
        self.administer(call, intent, vec![change]).await
    }
}
