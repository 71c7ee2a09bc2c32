//! The organisations themselves: made, given a credential and ended on the vault's host; known by
//! that credential over the network.

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use ring::digest;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::super::{Call, ErrorKind, Vault, VaultError};
use super::row;
use crate::catalog::{
    Linking, Mutation, PrincipalRow, RosterEntry, RosterKind, RosterRow, SourceRow,
};
use crate::ledger::{AuthMethod, Intent, Nature, Session};
use crate::types::{PrincipalId, PrincipalKind, ProjectName, SecretText, Timestamp, limits};

/// What a credential begins with, so that one that leaked is known for what it is.
const PREFIX: &str = "kscim_";
/// Bytes of a credential's secret part.
const SECRET_BYTES: usize = 32;

const UNKNOWN: VaultError = VaultError::new(
    ErrorKind::TokenInvalid,
    "no organisation has this credential",
);

/// Two organisations would speak of one issuer's subjects.
pub(super) const ISSUER_TAKEN: VaultError = VaultError::new(
    ErrorKind::InvalidArgument,
    "another organisation links people at this issuer: make this one without the issuer, and link \
     its people by hand",
);

/// An organisation that is to tell who its people are.
pub struct SourceDraft {
    /// Its name: letters, digits, single hyphens.
    pub name: ProjectName,
    /// The person of the vault in whose name it acts.
    pub acts_for: PrincipalId,
    /// The issuer at which its people sign in, and under what.
    pub linked: Option<(String, Linking)>,
    /// For how many days its credential is good.
    pub days: u32,
}

/// An organisation's credential, handed out once.
pub struct NewSource {
    /// The credential.
    pub token: SecretText,
    /// What the vault keeps.
    pub row: SourceRow,
}

/// An organisation that proved to be it, in one request.
pub struct Teller {
    /// Its name.
    pub name: String,
    pub(super) row: SourceRow,
    pub(super) call: Call,
}

impl Teller {
    pub(super) fn intent(&self, what: &str) -> Intent {
        Vault::admin_intent(&self.call, None, &format!("scim={} {what}", self.name))
    }
}

fn hashed(secret: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
    hash
}

impl Vault {
    /// Makes an organisation that tells who its people are.
    pub async fn create_source(
        &self,
        call: &Call,
        draft: SourceDraft,
    ) -> Result<NewSource, VaultError> {
        let name = draft.name.as_str();
        let (issuer, linking) = draft.linked.unzip();
        let told = issuer.as_deref().unwrap_or("-");
        let what = format!("scim={name} for={} issuer={told}", draft.acts_for);
        let intent = Self::admin_intent(call, None, &what);
        let checked = async {
            let person = self.catalog.principal(&draft.acts_for).await?;
            if person.is_none_or(|row| row.kind != PrincipalKind::Person) {
                let why = "an organisation acts for a person";
                return Err(VaultError::new(ErrorKind::InvalidArgument, why));
            }
            if self.sources().await?.len() >= limits::SCIM_SOURCES_MAX {
                let why = "there are as many organisations as there may be";
                return Err(VaultError::new(ErrorKind::InvalidArgument, why));
            }
            let now = self.now();
            let (token, key) = self.draw_token(name)?;
            let row = SourceRow {
                key: Some(key),
                agent: self.new_name(name, "scim").await?,
                issuer,
                linking: linking.unwrap_or(Linking::ByHand),
                created: now,
                expires: now.plus_millis(days(draft.days)?),
            };
            if self.is_linked_elsewhere(name, &row, None).await? {
                return Err(ISSUER_TAKEN);
            }
            Ok(NewSource { token, row })
        };
        let made = match checked.await {
            Ok(made) => made,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        let agent = PrincipalRow {
            id: made.row.agent.clone(),
            kind: PrincipalKind::Workload,
            acts_for: Some(draft.acts_for),
            created: made.row.created,
            suspended: None,
            clearance: None,
        };
        let entry = Some(RosterRow::Source(made.row.clone()));
        let changes = vec![
            Mutation::CreatePrincipal(agent),
            row(RosterKind::Source, name, None, entry),
        ];
        self.administer(call, intent, changes).await?;
        Ok(made)
    }

    /// Gives an organisation another credential, or (`None`) none any more: the one that it had
    /// ends now. What it told stays as it is.
    pub async fn renew_source(
        &self,
        call: &Call,
        name: &ProjectName,
        lasts: Option<u32>,
    ) -> Result<Option<SecretText>, VaultError> {
        let name = name.as_str();
        let what = if lasts.is_some() { "renewed" } else { "ended" };
        let intent = Self::admin_intent(call, None, &format!("scim={name} {what}"));
        let checked = async {
            let absent = VaultError::new(ErrorKind::InvalidArgument, "no such organisation");
            let (mut source, was) = self.source(name).await?.ok_or(absent)?;
            let Some(lasts) = lasts else {
                source.key = None;
                return Ok((None, source, was));
            };
            // One that had ended may have been followed by another.
            let ended = source.key.is_none();
            if ended && self.is_linked_elsewhere(name, &source, None).await? {
                return Err(ISSUER_TAKEN);
            }
            let (token, key) = self.draw_token(name)?;
            source.key = Some(key);
            source.expires = self.now().plus_millis(days(lasts)?);
            Ok((Some(token), source, was))
        };
        let (token, source, was) = match checked.await {
            Ok(checked) => checked,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        let entry = Some(RosterRow::Source(source));
        let change = row(RosterKind::Source, name, Some(was), entry);
        self.administer(call, intent, vec![change]).await?;
        Ok(token)
    }

    fn draw_token(&self, name: &str) -> Result<(SecretText, [u8; 32]), VaultError> {
        let mut bytes = Zeroizing::new([0_u8; SECRET_BYTES]);
        self.entropy.fill(bytes.as_mut())?;
        let secret = Zeroizing::new(BASE64URL_NOPAD.encode(bytes.as_ref()));
        let token = SecretText::new(format!("{PREFIX}{name}_{}", *secret));
        Ok((token, hashed(&secret)))
    }

    /// All organisations.
    async fn sources(&self) -> Result<Vec<(String, SourceRow)>, VaultError> {
        let page = self
            .catalog
            .roster_page(RosterKind::Source, "", limits::SCIM_SOURCES_MAX);
        let rows = page.await?.into_iter();
        let source = |(name, entry): (String, RosterEntry)| {
            let RosterRow::Source(row) = entry.row else {
                return None;
            };
            Some((name, row))
        };
        Ok(rows.filter_map(source).collect())
    }

    /// Whether another organisation, which was there before `since` if that is said, links people
    /// at this one's issuer. Two could not both say whose subject is whose: one would be believed
    /// about the other's people (ID-7).
    pub(super) async fn is_linked_elsewhere(
        &self,
        name: &str,
        row: &SourceRow,
        since: Option<Timestamp>,
    ) -> Result<bool, VaultError> {
        if row.issuer.is_none() || row.linking == Linking::ByHand {
            return Ok(false);
        }
        let links = |(other, there): &(String, SourceRow)| {
            other != name
                && there.key.is_some()
                && there.linking != Linking::ByHand
                && there.issuer == row.issuer
                && since.is_none_or(|since| (there.created, other.as_str()) < (since, name))
        };
        Ok(self.sources().await?.iter().any(links))
    }

    pub(super) async fn source(&self, name: &str) -> Result<Option<(SourceRow, u64)>, VaultError> {
        let entry = self.catalog.roster(RosterKind::Source, name).await?;
        let Some(RosterEntry {
            revision,
            row: RosterRow::Source(row),
        }) = entry
        else {
            return Ok(None);
        };
        Ok(Some((row, revision)))
    }

    /// Which organisation a request is of. A refusal is in the log when this returns.
    pub async fn teller(
        &self,
        call: &Call,
        bearer: Option<&SecretText>,
    ) -> Result<Teller, VaultError> {
        let intent = Self::admin_intent(call, None, "scim");
        match self.proved_teller(call, bearer).await {
            Ok((name, row, responsible)) => {
                let session = Session {
                    principal: Some(row.agent.clone()),
                    responsible,
                    auth: AuthMethod::Bearer,
                    ..(*call.session).clone()
                };
                let call = Call {
                    session: Arc::new(session),
                    event: call.event,
                    time: call.time,
                    operation: call.operation,
                    nature: Nature::Admin,
                    bounds: None,
                    recorded: Arc::clone(&call.recorded),
                };
                Ok(Teller { name, row, call })
            }
            Err(error) => Err(self.turn_away(call, intent, error).await),
        }
    }

    /// As whom a bearer credential of an organisation acts, if it is one at all: before the body
    /// that came with it is taken. Nothing is recorded or counted; [`Vault::teller`] does that.
    pub async fn agent_of(
        &self,
        bearer: Option<&SecretText>,
    ) -> Result<Option<PrincipalId>, VaultError> {
        let known = self.known_teller(bearer).await?;
        Ok(known.map(|(_, row)| row.agent))
    }

    async fn known_teller(
        &self,
        bearer: Option<&SecretText>,
    ) -> Result<Option<(ProjectName, SourceRow)>, VaultError> {
        let parts = bearer.and_then(|bearer| {
            let bounded = bearer.expose().len() <= limits::TOKEN_BYTES_MAX;
            let rest = bearer.expose().strip_prefix(PREFIX).filter(|_| bounded)?;
            let (name, secret) = rest.split_once('_')?;
            Some((name.parse::<ProjectName>().ok()?, secret))
        });
        let Some((name, secret)) = parts else {
            return Ok(None);
        };
        let known = self.source(name.as_str()).await?;
        // Compared in constant time, and against something even if there is nothing.
        let key = known.as_ref().and_then(|(row, _)| row.key);
        let same = hashed(secret).ct_eq(&key.unwrap_or_default());
        let known = known.filter(|_| bool::from(same) && key.is_some());
        Ok(known.map(|(row, _)| (name, row)))
    }

    async fn proved_teller(
        &self,
        call: &Call,
        bearer: Option<&SecretText>,
    ) -> Result<(String, SourceRow, Option<PrincipalId>), VaultError> {
        self.attempt(call)?;
        let Some((name, row)) = self.known_teller(bearer).await? else {
            return Err(self.failed_attempt(call, UNKNOWN));
        };
        if row.expires <= self.now() {
            let over = VaultError::new(ErrorKind::TokenExpired, "the credential is over");
            return Err(over);
        }
        if !self.tellers.take(&name.to_string(), self.now()) {
            let often = "the organisation asks more often than it may";
            return Err(VaultError::new(ErrorKind::SlowDown, often));
        }
        let agent = self.catalog.principal(&row.agent).await?;
        let agent = agent.filter(|agent| agent.suspended.is_none());
        let suspended = VaultError::new(ErrorKind::AccessDenied, "the organisation is suspended");
        let responsible = agent.ok_or(suspended)?.acts_for;
        if let Some(person) = &responsible {
            let person = self.catalog.principal(person).await?;
            if person.is_none_or(|person| person.suspended.is_some()) {
                let barred = "the person it acts for is suspended";
                return Err(VaultError::new(ErrorKind::AccessDenied, barred));
            }
        }
        Ok((name.to_string(), row, responsible))
    }
}

fn days(days: u32) -> Result<u64, VaultError> {
    if (1..=limits::SCIM_DAYS_MAX).contains(&days) {
        Ok(u64::from(days).saturating_mul(limits::DAY_MS))
    } else {
        let why = "a credential of an organisation is good for 1 to 730 days";
        Err(VaultError::new(ErrorKind::InvalidArgument, why))
    }
}
