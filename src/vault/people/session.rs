//! Sessions: short-lived credentials for whoever an issuer's token names.
//!
//! A session's token is sealed by the key ring and holds all there is to know of it, the secret
//! included, so that minting one writes nothing and any gateway of the vault can serve it. It is
//! bound to its access key and ends within the hour; before that it ends with its principal's
//! suspension, or when its subject is no longer linked.

use std::net::IpAddr;
use std::sync::Arc;

use data_encoding::{BASE32_NOPAD, BASE64, BASE64URL_NOPAD};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::catalog::CredentialRow;
use crate::policy::{Assurance, Circumstances, Ground, Within};
use crate::types::{
    AccessKeyId, ClaimId, DatasetName, KeyScope, PartitionName, PrincipalId, ProjectName,
    SecretText, Timestamp, UseClass, limits,
};
use crate::vault::access::guard::Guard;
use crate::vault::log::kept::ScopeText;
use crate::vault::people::assurance::Assured;
use crate::vault::people::visas::VisaWord;
use crate::vault::{ErrorKind, Identity, Vault, VaultError};

/// What a session's access key begins with; those of lasting credentials begin with `KLUS`.
const PREFIX: &str = "KLUT";

/// What a credential is bound to, beyond its principal's rights: a session, or a lasting one with a
/// scope.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Only this project.
    pub project: Option<ProjectName>,
    /// Only this dataset of it.
    pub dataset: Option<DatasetName>,
    /// Only this version of that.
    pub version: Option<u32>,
    /// Only grants of this purpose.
    pub purpose: Option<String>,
    /// How well its principal is known.
    pub assured: Assured,
    /// When it ends.
    pub expires: Timestamp,
    /// What it rests on, and ends with.
    pub rests: Rests,
}

/// What a session rests on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rests {
    /// An issuer's word for the principal.
    Word(Word),
    /// A job that runs on a node.
    Job(JobBounds),
    /// A lasting credential that is there.
    Key(KeyBounds),
}

/// A lasting credential, and how far it reaches beyond what every session says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyBounds {
    /// The credential.
    pub id: AccessKeyId,
    /// Its scope.
    pub scope: KeyScope,
}

/// An issuer's word for a principal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Word {
    /// Whose word.
    pub issuer: String,
    /// What it calls the principal.
    pub subject: String,
    /// By which of its claims the session is in groups, each in order and once.
    pub through: Vec<ClaimId>,
    /// And by which visas that it brought.
    pub visas: Vec<VisaWord>,
}

/// A job on a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobBounds {
    /// The job's name.
    pub name: String,
    /// In whose name it reads.
    pub person: PrincipalId,
    /// The node.
    pub node: String,
    /// From where the node spoke.
    pub client: Option<IpAddr>,
    /// The partition that the node is in.
    pub partition: Option<PartitionName>,
    /// The use classes that it is enrolled for.
    pub uses: Vec<UseClass>,
}

impl Bounds {
    /// The job that the session is of.
    pub(in crate::vault) const fn job(&self) -> Option<&JobBounds> {
        match &self.rests {
            Rests::Job(job) => Some(job),
            Rests::Word(_) | Rests::Key(_) => None,
        }
    }

    /// The person in whose name a job reads.
    #[must_use]
    pub const fn person(&self) -> Option<&PrincipalId> {
        match &self.rests {
            Rests::Job(job) => Some(&job.person),
            Rests::Word(_) | Rests::Key(_) => None,
        }
    }

    /// The scope of a lasting credential.
    pub(in crate::vault) const fn scope(&self) -> Option<&KeyScope> {
        match &self.rests {
            Rests::Key(key) => Some(&key.scope),
            Rests::Word(_) | Rests::Job(_) => None,
        }
    }

    /// Those of a lasting credential with a scope.
    pub(in crate::vault) fn of_key(row: &CredentialRow) -> Option<Self> {
        let scope = row.scope.as_deref()?;
        Some(Self {
            project: scope.project.clone(),
            dataset: scope.dataset.clone(),
            version: scope.version,
            purpose: scope.purpose.clone(),
            assured: Assured::default(),
            expires: row.expires.unwrap_or(Timestamp::MAX),
            rests: Rests::Key(KeyBounds {
                id: row.id.clone(),
                scope: scope.clone(),
            }),
        })
    }

    /// Whether it changes nothing, whatever its principal may.
    pub(in crate::vault) fn only_reads(&self) -> bool {
        self.person().is_some() || self.scope().is_some_and(|scope| scope.only_reads)
    }

    /// How far it reaches.
    fn within(&self) -> Within<'_> {
        let scope = self.scope();
        Within {
            project: self.project.as_ref(),
            dataset: self.dataset.as_ref(),
            version: self.version,
            prefix: scope.map_or("", |scope| &scope.prefix),
            only_reads: self.only_reads(),
            networks: scope.map_or(&[], |scope| &scope.networks),
        }
    }
}

/// A session as it is handed out, once.
pub struct Assumed {
    /// The public half of its credential.
    pub id: AccessKeyId,
    /// The secret half.
    pub secret: SecretText,
    /// The token that goes with each request.
    pub token: SecretText,
    /// Whose it is.
    pub principal: PrincipalId,
    /// What it is bound to.
    pub bounds: Arc<Bounds>,
}

/// What a session's token holds.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct Sealed {
    principal: String,
    secret: String,
    expires: u64,
    project: Option<String>,
    dataset: Option<String>,
    version: Option<u32>,
    purpose: Option<String>,
    acr: Option<String>,
    amr: Vec<String>,
    /// Issuer and subject.
    word: Option<(String, String)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    through: Vec<String>,
    /// Of each: the issuer, the subject if it is linked, and what it is in groups by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    visas: Vec<(String, Option<String>, Vec<String>)>,
    job: Option<SealedJob>,
}

#[derive(Serialize, Deserialize, Zeroize)]
#[serde(deny_unknown_fields)]
struct SealedJob {
    name: String,
    person: String,
    node: String,
    client: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    partition: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    uses: Vec<String>,
}

/// A session as the guard keeps it.
pub(in crate::vault) struct Session {
    token: Zeroizing<String>,
    principal: PrincipalId,
    secret: SecretText,
    bounds: Arc<Bounds>,
}

/// Whether a credential is a session's.
pub(in crate::vault) fn is_of_session(id: &AccessKeyId) -> bool {
    id.as_str().starts_with(PREFIX)
}

/// From where and within what bounds something is asked.
pub(in crate::vault) fn narrowed(
    client: Option<IpAddr>,
    bounds: Option<&Bounds>,
) -> Circumstances<'_> {
    Circumstances {
        client,
        purpose: bounds.and_then(|bounds| bounds.purpose.as_deref()),
        version: None,
        assurance: bounds.map_or_else(Assurance::default, |bounds| bounds.assured.as_told()),
        within: bounds.map(Bounds::within),
        ground: bounds
            .and_then(|bounds| bounds.job()?.partition.as_ref())
            .map_or(Ground::Elsewhere, Ground::In),
    }
}

impl SealedJob {
    fn of(job: &JobBounds) -> Self {
        Self {
            name: job.name.clone(),
            person: job.person.to_string(),
            node: job.node.clone(),
            client: job.client.map(|client| client.to_string()),
            partition: job.partition.as_ref().map(ToString::to_string),
            uses: job.uses.iter().map(ToString::to_string).collect(),
        }
    }

    fn open(self) -> Option<JobBounds> {
        let client = self.client.as_deref().map(str::parse).transpose();
        let partition = self.partition.as_deref().map(str::parse).transpose();
        let uses: Result<_, _> = self.uses.iter().map(|text| text.parse()).collect();
        Some(JobBounds {
            partition: partition.ok()?,
            uses: uses.ok()?,
            person: self.person.parse().ok()?,
            client: client.ok()?,
            name: self.name,
            node: self.node,
        })
    }
}

fn context(id: &AccessKeyId) -> String {
    format!("session/{id}")
}

impl Guard {
    /// Whom an issuer's subject is, as of now.
    pub(in crate::vault) async fn linked(
        &self,
        (issuer, subject): (&str, &str),
    ) -> Result<Option<PrincipalId>, VaultError> {
        let slot = (issuer.to_owned(), subject.to_owned());
        let generation = self.generation().await?;
        if let Some(found) = self.cached(|cache| cache.links.get(&slot).cloned()) {
            return Ok(found);
        }
        let row = self.catalog.identity(&slot.0, &slot.1).await?;
        let principal = row.map(|row| row.principal);
        self.keep(generation, |cache| {
            let _before = cache.links.insert(slot, principal.clone());
        });
        Ok(principal)
    }

    /// Whether an issuer's subject is this principal.
    pub(in crate::vault) async fn is_linked(
        &self,
        subject: (&str, &str),
        principal: &PrincipalId,
    ) -> Result<bool, VaultError> {
        Ok(self.linked(subject).await?.as_ref() == Some(principal))
    }

    /// Whether what such bounds rest on goes on.
    pub(in crate::vault) async fn bounds_hold(
        &self,
        bounds: &Bounds,
        principal: &PrincipalId,
        now: Timestamp,
    ) -> Result<bool, VaultError> {
        if bounds.expires <= now {
            return Ok(false);
        }
        match &bounds.rests {
            Rests::Word(word) => {
                let whose = (word.issuer.as_str(), word.subject.as_str());
                self.is_linked(whose, principal).await
            }
            Rests::Job(job) => self.job_runs(job, now).await,
            Rests::Key(key) => self.credential_holds(&key.id, now).await,
        }
    }

    /// Whether a lasting credential is there and not over, as the catalog has it now.
    pub(in crate::vault) async fn credential_holds(
        &self,
        id: &AccessKeyId,
        now: Timestamp,
    ) -> Result<bool, VaultError> {
        let row = self.catalog.credential(id).await?;
        Ok(row.is_some_and(|row| row.expires.is_none_or(|end| now < end)))
    }
}

impl Vault {
    /// Makes a session of these bounds.
    pub(in crate::vault) fn mint(
        &self,
        principal: &PrincipalId,
        bounds: Bounds,
    ) -> Result<Assumed, VaultError> {
        let mut random = [0_u8; 10];
        self.entropy.fill(&mut random)?;
        let id = format!("{PREFIX}{}", BASE32_NOPAD.encode(&random));
        let id: AccessKeyId = id
            .parse()
            .map_err(|error| VaultError::caused(ErrorKind::Internal, "not an access key", error))?;
        let mut bytes = Zeroizing::new([0_u8; 30]);
        self.entropy.fill(bytes.as_mut())?;
        let secret = SecretText::new(BASE64.encode(bytes.as_ref()));
        let (word, job) = match &bounds.rests {
            Rests::Word(word) => (Some((word.issuer.clone(), word.subject.clone())), None),
            Rests::Job(job) => (None, Some(SealedJob::of(job))),
            Rests::Key(_) => {
                let lasting = "a lasting credential is no session";
                return Err(VaultError::new(ErrorKind::Internal, lasting));
            }
        };
        let texts = |ids: &[ClaimId]| ids.iter().map(ToString::to_string).collect();
        let (through, visas) = match &bounds.rests {
            Rests::Word(word) => {
                let seal = |by: &VisaWord| {
                    let (issuer, subject) = (by.issuer.clone(), by.subject.clone());
                    (issuer, subject, texts(&by.through))
                };
                (texts(&word.through), word.visas.iter().map(seal).collect())
            }
            Rests::Job(_) | Rests::Key(_) => (Vec::new(), Vec::new()),
        };
        let inside = Sealed {
            principal: principal.to_string(),
            secret: secret.expose().to_owned(),
            expires: bounds.expires.millis(),
            project: bounds.project.as_ref().map(ToString::to_string),
            dataset: bounds.dataset.as_ref().map(ToString::to_string),
            version: bounds.version,
            purpose: bounds.purpose.clone(),
            acr: bounds.assured.acr.clone(),
            amr: bounds.assured.amr.clone(),
            word,
            through,
            visas,
            job,
        };
        let unwritten = |error| VaultError::caused(ErrorKind::Internal, "not a session", error);
        let plain = Zeroizing::new(serde_json::to_vec(&inside).map_err(unwritten)?);
        let context = context(&id);
        let sealed = self
            .keyring
            .seal_secret(context.as_bytes(), &plain, self.entropy.as_ref())?;
        let token = BASE64URL_NOPAD.encode(&sealed);
        if token.len() > limits::SESSION_TOKEN_BYTES_MAX {
            let why = "what the sign-in says of itself is more than a session holds";
            return Err(VaultError::new(ErrorKind::InvalidArgument, why));
        }
        Ok(Assumed {
            id,
            secret,
            token: SecretText::new(token),
            principal: principal.clone(),
            bounds: Arc::new(bounds),
        })
    }

    /// Whose credential this is; with a session's token if the request brought one. `None` for what
    /// is unknown or over, for a token that is not this credential's, and for a job's session from
    /// elsewhere than its node.
    pub async fn identify(
        &self,
        id: &AccessKeyId,
        token: Option<&str>,
        client: Option<IpAddr>,
    ) -> Result<Option<Identity>, VaultError> {
        match (is_of_session(id), token) {
            (false, None) => self.identity(id).await,
            (true, Some(token)) => self.session(id, token, client).await,
            (true, None) | (false, Some(_)) => Ok(None),
        }
    }

    async fn session(
        &self,
        id: &AccessKeyId,
        token: &str,
        client: Option<IpAddr>,
    ) -> Result<Option<Identity>, VaultError> {
        if token.len() > limits::SESSION_TOKEN_BYTES_MAX {
            return Ok(None);
        }
        let generation = self.guard.generation().await?;
        let cached = self.guard.cached(|cache| cache.sessions.get(id).cloned());
        let same =
            cached.filter(|known| bool::from(known.token.as_bytes().ct_eq(token.as_bytes())));
        let session = match same {
            Some(session) => session,
            None => match self.unseal(id, token) {
                Some(session) => {
                    let session = Arc::new(session);
                    let scope = ScopeText::of(id, &session.bounds);
                    self.guard.keep_scope(&scope).await?;
                    let kept = Arc::clone(&session);
                    self.guard.keep(generation, |cache| {
                        let _before = cache.sessions.insert(id.clone(), kept);
                    });
                    session
                }
                None => return Ok(None),
            },
        };
        let holds = self
            .guard
            .bounds_hold(&session.bounds, &session.principal, self.now());
        if !holds.await? {
            return Ok(None);
        }
        if let Rests::Job(job) = &session.bounds.rests
            && !self.guard.is_at_node(job, client).await?
        {
            return Ok(None);
        }
        let subject = session.bounds.person().unwrap_or(&session.principal);
        let owner = self.catalog.principal(subject).await?;
        Ok(owner.map(|owner| Identity {
            principal: session.principal.clone(),
            responsible: match owner.acts_for {
                None if session.bounds.person().is_some() => Some(owner.id),
                person => person,
            },
            secret: session.secret.duplicate(),
            bounds: Some(Arc::clone(&session.bounds)),
        }))
    }

    /// Opens a session's token. What does not authenticate under this access key is nothing.
    fn unseal(&self, id: &AccessKeyId, token: &str) -> Option<Session> {
        let sealed = BASE64URL_NOPAD.decode(token.as_bytes()).ok()?;
        let plain = self
            .keyring
            .open_secret(context(id).as_bytes(), &sealed)
            .ok()?;
        let mut inside: Sealed = serde_json::from_slice(&plain).ok()?;
        let name = |text: &Option<String>| text.as_deref().map(str::parse).transpose();
        let rests = match (inside.word.take(), inside.job.take()) {
            (Some((issuer, subject)), None) => {
                let ids = |texts: &[String]| {
                    let ids = texts.iter().map(|id| id.parse());
                    ids.collect::<Result<Vec<ClaimId>, _>>().ok()
                };
                let visas = inside.visas.iter().map(|(issuer, subject, through)| {
                    Some(VisaWord {
                        issuer: issuer.clone(),
                        subject: subject.clone(),
                        through: ids(through)?,
                    })
                });
                Rests::Word(Word {
                    issuer,
                    subject,
                    through: ids(&inside.through)?,
                    visas: visas.collect::<Option<_>>()?,
                })
            }
            (None, Some(job)) => Rests::Job(job.open()?),
            (None, None) | (Some(_), Some(_)) => return None,
        };
        Some(Session {
            token: Zeroizing::new(token.to_owned()),
            principal: inside.principal.parse().ok()?,
            bounds: Arc::new(Bounds {
                project: name(&inside.project).ok()?,
                dataset: inside.dataset.as_deref().map(str::parse).transpose().ok()?,
                version: inside.version,
                purpose: inside.purpose.clone(),
                assured: Assured {
                    acr: inside.acr.take(),
                    amr: std::mem::take(&mut inside.amr),
                },
                expires: Timestamp::from_millis(inside.expires),
                rests,
            }),
            secret: SecretText::new(std::mem::take(&mut inside.secret)),
        })
    }
}
