//! Adoption: a person who was made here is told of by an organisation from then on. An operator's
//! explicit act, since who she is at the organisation is nobody's word but his: neither the
//! organisation nor she can ask for it (ID-7).

use super::super::{Call, ErrorKind, Vault, VaultError};
use super::users::said;
use super::{Called, row};
use crate::catalog::{IdentityRow, Linking, Mutation, PersonRow, RosterKind, RosterRow};
use crate::scim::{User, folded, is_external_id, is_user_name};
use crate::types::{PrincipalId, PrincipalKind, ProjectName, limits};

/// Who a person is at an organisation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Adoption {
    /// The organisation.
    pub source: ProjectName,
    /// Her user name there.
    pub user_name: String,
    /// What its own system calls her.
    pub external_id: Option<String>,
}

const fn refused(why: &'static str) -> VaultError {
    VaultError::new(ErrorKind::InvalidArgument, why)
}

impl Vault {
    /// Lets an organisation tell of a person who was made here: it finds her under her user name,
    /// may set her inactive, end her and put her into its groups. Where it links people at an
    /// issuer she signs in there from now on, as the one subject that these names say: the
    /// organisation cannot change it. Refused where she, the names or the subject are somebody's.
    pub async fn scim_adopt(
        &self,
        call: &Call,
        principal: PrincipalId,
        adoption: Adoption,
    ) -> Result<(), VaultError> {
        let _turn = self.scim_turn.lock().await;
        let user = User {
            user_name: adoption.user_name,
            external_id: adoption.external_id,
            display_name: None,
            active: true,
        };
        let source = adoption.source.as_str();
        let told = format!("scim={source} adopt {}", said(&principal, &user));
        let intent = Self::admin_intent(call, None, &super::super::cut(&told));
        match self.adopted(source, &principal, user).await {
            Ok(changes) => self.administer(call, intent, changes).await,
            Err(error) => Err(self.turn_away(call, intent, error).await),
        }
    }

    /// What changes.
    async fn adopted(
        &self,
        source: &str,
        principal: &PrincipalId,
        user: User,
    ) -> Result<Vec<Mutation>, VaultError> {
        let external = user.external_id.as_deref();
        if !is_user_name(&user.user_name) || external.is_some_and(|id| !is_external_id(id)) {
            return Err(refused("no user name, or no external id"));
        }
        let known = self.source(source).await?;
        let known = known.filter(|(by, _)| by.key.is_some());
        let (by, _) = known.ok_or(refused("no such organisation, or it has ended"))?;
        if by.linking == Linking::ExternalId && external.is_none() {
            return Err(refused(
                "its people sign in under their external ids: say hers, since the organisation \
                 cannot later",
            ));
        }
        let row_of = self.catalog.principal(principal).await?;
        if row_of.is_none_or(|row| row.kind != PrincipalKind::Person || row.suspended.is_some()) {
            return Err(refused("no such person, or she is suspended"));
        }
        let name = principal.as_str();
        if self
            .catalog
            .roster(RosterKind::Person, name)
            .await?
            .is_some()
        {
            return Err(refused("an organisation tells of her already"));
        }
        let name_folded = folded(&user.user_name);
        let mut names = vec![Called::User(&name_folded)];
        names.extend(external.map(Called::UserId));
        for called in &names {
            if self.called(source, *called).await?.is_some() {
                return Err(refused("the organisation calls another one so"));
            }
        }
        names.push(Called::Adopted(name));
        let means = names
            .iter()
            .map(|called| called.now_means(source, principal));
        let mut changes: Vec<Mutation> = means.collect();
        if let Some((issuer, subject)) = by.subject(&user) {
            let since = Some(by.created);
            if self.is_linked_elsewhere(source, &by, since).await? {
                return Err(super::source::ISSUER_TAKEN);
            }
            changes.extend(self.signs_in(principal, issuer, subject).await?);
        }
        let now = self.now();
        let entry = Some(RosterRow::Person(PersonRow::of(source, user, now, now)));
        changes.push(row(RosterKind::Person, name, None, entry));
        Ok(changes)
    }

    /// The link of a subject to a person, unless it is there; refused where either is another's.
    async fn signs_in(
        &self,
        principal: &PrincipalId,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<Mutation>, VaultError> {
        let linked = self.catalog.identity(issuer, subject).await?;
        match linked {
            Some(link) if link.principal == *principal => return Ok(None),
            Some(_) => return Err(refused("the subject is another one's")),
            None => {}
        }
        let hers = self.catalog.identities_of(principal, limits::ISSUERS_MAX);
        if hers.await?.iter().any(|link| link.issuer == issuer) {
            return Err(refused("she is linked to another subject of the issuer"));
        }
        Ok(Some(Mutation::LinkIdentity(IdentityRow {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            principal: principal.clone(),
            linked: self.now(),
        })))
    }

    /// Whether an organisation tells of a person who was made here.
    pub(super) async fn is_adopted(
        &self,
        source: &str,
        principal: &PrincipalId,
    ) -> Result<bool, VaultError> {
        let called = Called::Adopted(principal.as_str());
        Ok(self.called(source, called).await?.is_some())
    }
}
