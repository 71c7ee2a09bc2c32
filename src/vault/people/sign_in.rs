//! Sign-in by an issuer's token: what becomes a session, and whom issuers' subjects are.

use std::sync::Arc;

use crate::catalog::{IdentityRow, Mutation};
use crate::token::{self, Claims, Issuer, TokenError, VisaIssuer};
use crate::types::{DatasetName, PrincipalId, ProjectName, limits};
use crate::vault::people::assurance::Assured;
use crate::vault::people::session::{Assumed, Bounds, Rests, Word};
use crate::vault::people::visas::Told;
use crate::vault::{Call, ErrorKind, Vault, VaultError};

/// A session that is asked for with an issuer's token.
pub struct AssumeAsk<'a> {
    /// The issuer's token.
    pub token: &'a str,
    /// Only this project.
    pub project: Option<ProjectName>,
    /// Only this dataset of it.
    pub dataset: Option<DatasetName>,
    /// Only grants of this purpose.
    pub purpose: Option<String>,
    /// For how long, in milliseconds; at most an hour.
    pub lasts_ms: u64,
}

const fn why(error: TokenError) -> &'static str {
    match error {
        TokenError::TooLong => "the token is too long",
        TokenError::Malformed => "the token is malformed, or its algorithm is not accepted",
        TokenError::Issuer => "the token is of another issuer",
        TokenError::Audience => "the token is for another audience",
        TokenError::Signature => "no key of the issuer verifies the token",
        TokenError::Time => "the token is not in its time",
        TokenError::Subject => "the token names no subject",
        TokenError::Groups => "the token's groups are no bounded list of texts",
        TokenError::Passport => "the token's passport is no bounded list of visas",
    }
}

fn disbelief(error: TokenError) -> VaultError {
    let kind = if error == TokenError::Time {
        ErrorKind::TokenExpired
    } else {
        ErrorKind::TokenInvalid
    };
    // The words are the cause's own: told once.
    VaultError::new(kind, why(error))
}

/// A text of an issuer's, which must not look like words that stand behind it.
fn quoted(text: &str) -> String {
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"') {
        format!("{text:?}")
    } else {
        text.to_owned()
    }
}

/// What a record says of whoever signs in: who it is, and behind all else how she did.
fn whose(claims: &Claims) -> (String, String) {
    let subject = quoted(&claims.subject);
    let acr = quoted(claims.acr.as_deref().unwrap_or_default());
    let amr = quoted(&claims.amr.join("+"));
    (
        format!("session issuer={} subject={subject}", claims.issuer),
        format!("acr={acr} amr={amr}"),
    )
}

/// What the record of a sign-in says. Who is let in, with which credential and by which groups and
/// visas is whole, or nobody is let in.
fn told(
    (who, how): (&str, &str),
    minted: &Assumed,
    (groups, visas): (Vec<String>, Option<Told>),
) -> Result<String, VaultError> {
    let Assumed {
        id,
        principal,
        bounds,
        ..
    } = minted;
    let expires = bounds.expires;
    let (held, not_held) = visas.map_or_else(Default::default, |visas| {
        let not_held = format!(" not_held={}", visas.not_held);
        (format!(" visas={}", visas.held), not_held)
    });
    let groups = groups.join(",");
    let begin = format!(
        "{who} principal={principal} credential={id} expires={expires}{held} groups={groups}"
    );
    if begin.len() > limits::RECORD_TEXT_BYTES_MAX {
        let why = "by what the token lets somebody in is more than a record holds";
        return Err(VaultError::new(ErrorKind::TokenInvalid, why));
    }
    Ok(crate::vault::kept(&format!("{begin}{not_held} {how}")))
}

impl Vault {
    /// Who is believed about who people are, from now on.
    pub fn replace_issuers(&self, issuers: Vec<Issuer>) {
        self.issuers.store(Arc::new(issuers));
    }

    /// Whose visas are believed, from now on.
    pub fn replace_visa_issuers(&self, issuers: Vec<VisaIssuer>) {
        self.visa_issuers.store(Arc::new(issuers));
    }

    /// Makes a session for whoever the token names. A refusal is in the log when this returns.
    pub async fn assume(&self, call: &Call, ask: AssumeAsk<'_>) -> Result<Assumed, VaultError> {
        let now = self.now();
        let mut intent = Self::admin_intent(call, ask.project.as_ref(), "session");
        intent.object.dataset.clone_from(&ask.dataset);
        if let Err(error) = self.attempt(call) {
            return Err(self.turn_away(call, intent, error).await);
        }
        let claims = match token::verify(ask.token, &self.issuers.load(), now) {
            Ok(claims) => claims,
            Err(error) => {
                let error = self.failed_attempt(call, disbelief(error));
                return Err(self.turn_away(call, intent, error).await);
            }
        };
        let (who, how) = whose(&claims);
        intent.query = Some(crate::vault::kept(&format!("{who} {how}")));
        let believed = async {
            let principal = self.believed(&claims).await?;
            let through = self.through(&claims.issuer, &claims.groups).await?;
            let visited = self.visited(&claims, &principal, now).await?;
            Ok((principal, through, visited))
        };
        let (principal, through, visited) = match believed.await {
            Ok(believed) => believed,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        let lasts_ms = ask.lasts_ms.min(limits::SESSION_MS_MAX);
        let bounds = Bounds {
            project: ask.project,
            dataset: ask.dataset,
            version: None,
            purpose: ask.purpose,
            assured: Assured {
                acr: claims.acr,
                amr: claims.amr,
            },
            expires: token::session_end(now, lasts_ms, &visited.ends),
            rests: Rests::Word(Word {
                issuer: claims.issuer,
                subject: claims.subject,
                through: through.ids,
                visas: visited.words,
            }),
        };
        let made = self.mint(&principal, bounds).and_then(|minted| {
            let groups = [through.groups, visited.groups].concat();
            let told = told((&who, &how), &minted, (groups, visited.told))?;
            Ok((minted, told))
        });
        let (minted, told) = match made {
            Ok(made) => made,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        intent.query = Some(told);
        let recorded = self.begin(call, intent).await?;
        let spent = if claims.once {
            let spend = Mutation::SpendToken {
                token: claims.digest,
                expires: claims.expires,
                now: self.settled_now(),
            };
            self.commit(vec![spend]).await
        } else {
            Ok(())
        };
        recorded.settle(spent.map(|()| minted))
    }

    /// Whom the claims are about here; nobody who is not linked, or is suspended.
    async fn believed(&self, claims: &Claims) -> Result<PrincipalId, VaultError> {
        let row = self
            .catalog
            .identity(&claims.issuer, &claims.subject)
            .await?;
        let nobody = VaultError::new(ErrorKind::AccessDenied, "the subject is nobody here");
        let principal = row.ok_or(nobody)?.principal;
        if self.guard.bar(&principal).await?.is_some() {
            return Err(VaultError::new(
                ErrorKind::AccessDenied,
                "the principal is suspended",
            ));
        }
        Ok(principal)
    }

    /// Says whom an issuer's subject is.
    pub async fn link_identity(
        &self,
        call: &Call,
        (issuer, subject): (&str, &str),
        principal: PrincipalId,
    ) -> Result<(), VaultError> {
        let what = format!("link issuer={issuer} subject={subject} principal={principal}");
        let intent = Self::admin_intent(call, None, &what);
        let names = [issuer, subject];
        let bounded = |text: &&str| (1..=limits::TOKEN_SUBJECT_BYTES_MAX).contains(&text.len());
        if !names.iter().all(bounded) || names.iter().any(|t| t.chars().any(char::is_control)) {
            let why = "an issuer or a subject is 1 to 255 characters, none of them a control";
            let error = VaultError::new(ErrorKind::InvalidArgument, why);
            return Err(self.turn_away(call, intent, error).await);
        }
        let row = IdentityRow {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            principal,
            linked: self.now(),
        };
        self.administer(call, intent, vec![Mutation::LinkIdentity(row)])
            .await
    }

    /// Ends that; sessions on its word end with it.
    pub async fn unlink_identity(
        &self,
        call: &Call,
        (issuer, subject): (&str, &str),
    ) -> Result<(), VaultError> {
        let what = format!("unlink issuer={issuer} subject={subject}");
        let intent = Self::admin_intent(call, None, &what);
        let change = Mutation::UnlinkIdentity {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
        };
        self.administer(call, intent, vec![change]).await
    }
}
