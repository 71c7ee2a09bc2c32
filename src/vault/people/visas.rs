//! Groups by visa (ID-6): what a visa asserts stands for a group of the vault, as an administrator
//! said. Whoever signs in with a token that brings such a visa of hers is a member for that
//! session, which ends before the visa does.
//!
//! All of it happens at sign-in, with keys that are in memory. A visa that is not held is left out
//! and the others count; what a session is in by visas is judged at each decision, like what it is
//! in by claims.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use data_encoding::HEXLOWER;

use crate::catalog::{ClaimRow, RosterKind};
use crate::token::{self, Claims, Visa};
use crate::types::{ClaimId, PrincipalId, Timestamp, limits};
use crate::vault::access::guard::Guard;
use crate::vault::people::claims::bounded;
use crate::vault::{Call, ErrorKind, Vault, VaultError};

/// Types that can stand for a group beside custom ones, which are URLs. What links identities
/// gives nobody anything.
const TYPES: [&str; 4] = [
    "AffiliationAndRole",
    "AcceptedTermsAndPolicies",
    "ResearcherStatus",
    "ControlledAccessGrants",
];

/// By what visas of one issuer a session is in groups.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct VisaWord {
    /// The visas' issuer.
    pub issuer: String,
    /// What it calls the principal, where that was linked to her.
    pub subject: Option<String>,
    /// What they assert and stands for a group, each in order and once.
    pub through: Vec<ClaimId>,
}

/// What a visa asserts, as far as it stands for a group; compared byte by byte.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VisaTerms {
    /// Its type.
    pub kind: String,
    /// Its value.
    pub value: String,
    /// Its source; `None` for any.
    pub source: Option<String>,
    /// On whose authority; `None` for any.
    pub by: Option<String>,
}

/// What a session's visas come to.
#[derive(Default)]
pub(in crate::vault) struct Visited {
    pub(in crate::vault) words: Vec<VisaWord>,
    pub(in crate::vault) groups: Vec<String>,
    /// When those end that it is in groups by.
    pub(in crate::vault) ends: Vec<Timestamp>,
    /// For the record; `None` where the token brought none.
    pub(in crate::vault) told: Option<Told>,
}

/// What the record says of them.
pub(in crate::vault) struct Told {
    /// The rows by which she is in groups, each with what was signed.
    pub(in crate::vault) held: String,
    /// Which of the others were not held, and why.
    pub(in crate::vault) not_held: String,
}

impl VisaTerms {
    /// What a row's name has behind the issuer: no text of it has a line's end.
    fn name(&self) -> String {
        let or_any = |text: &Option<String>| text.clone().unwrap_or_default();
        let (source, by) = (or_any(&self.source), or_any(&self.by));
        format!("{}\n{}\n{source}\n{by}", self.kind, self.value)
    }

    /// Reads a row's name, behind its issuer.
    #[must_use]
    pub fn read(name: &str) -> Option<(String, Self)> {
        let mut parts = name.split('\n').map(str::to_owned);
        let mut next = || parts.next();
        let issuer = next()?;
        let (kind, value) = (next()?, next()?);
        let or_any = |text: String| (!text.is_empty()).then_some(text);
        let terms = Self {
            kind,
            value,
            source: or_any(next()?),
            by: or_any(next()?),
        };
        parts.next().is_none().then_some((issuer, terms))
    }

    fn check(&self, issuer: &str) -> Result<(), VaultError> {
        let wrong = |why| Err(VaultError::new(ErrorKind::InvalidArgument, why));
        let plain = |text: &str| bounded(text) && !text.contains(char::is_whitespace);
        let texts = [Some(&self.value), self.source.as_ref(), self.by.as_ref()];
        if !bounded(issuer) || !texts.into_iter().flatten().all(|text| plain(text)) {
            return wrong("an issuer or a text of a visa is 1 to 255 bytes, and none is a space");
        }
        let custom = plain(&self.kind) && self.kind.starts_with("https://");
        if !custom && !TYPES.contains(&self.kind.as_str()) {
            return wrong("no type of visa that can stand for a group");
        }
        Ok(())
    }

    /// What a visa can stand for a group by: with and without its source and authority.
    fn of(visa: &Visa) -> [Self; 4] {
        let terms = |source: Option<&String>, by: Option<&String>| Self {
            kind: visa.kind.clone(),
            value: visa.value.clone(),
            source: source.cloned(),
            by: by.cloned(),
        };
        let (source, by) = (Some(&visa.source), visa.by.as_ref());
        [
            terms(None, None),
            terms(source, None),
            terms(None, by),
            terms(source, by),
        ]
    }
}

impl Guard {
    /// Whether what a session's visas call somebody is still this principal.
    pub(in crate::vault) async fn is_about(
        &self,
        visa: &VisaWord,
        principal: &PrincipalId,
    ) -> Result<bool, VaultError> {
        match &visa.subject {
            Some(subject) => self.is_linked((&visa.issuer, subject), principal).await,
            None => Ok(true),
        }
    }
}

/// Visas that are of the person who brings them, each with the subject that was linked, if one was,
/// and its place in the passport.
#[derive(Default)]
struct Hers {
    visas: Vec<Visa>,
    linked: Vec<Option<String>>,
    places: Vec<usize>,
    not_held: Vec<(usize, &'static str)>,
}

/// A row, and by which visa it is held until when.
struct Held {
    row: ClaimRow,
    end: Timestamp,
    visa: usize,
}

impl Vault {
    /// In which groups the visas of a token put the principal that it is of.
    pub(in crate::vault) async fn visited(
        &self,
        claims: &Claims,
        principal: &PrincipalId,
        now: Timestamp,
    ) -> Result<Visited, VaultError> {
        if claims.visas.is_empty() {
            return Ok(Visited::default());
        }
        let mut hers = self.hers(claims, principal, now).await?;
        let ends = token::visas_end(&hers.visas);
        let enough = now.plus_millis(limits::SESSION_MS_MIN);
        let mut held: BTreeMap<ClaimId, Held> = BTreeMap::new();
        let known = hers.visas.iter().zip(&hers.places).zip(ends);
        for (visa, ((asserted, place), end)) in known.enumerate() {
            let end = match end {
                Some(end) if end > enough => end,
                Some(_) => {
                    hers.not_held.push((*place, "short"));
                    continue;
                }
                None => {
                    hers.not_held.push((*place, "conditions"));
                    continue;
                }
            };
            let rows = self.guard.visas_of(&asserted.issuer).await?;
            let names = VisaTerms::of(asserted).map(|terms| terms.name());
            let found: Vec<&ClaimRow> = names.iter().filter_map(|name| rows.get(name)).collect();
            if found.is_empty() {
                hers.not_held.push((*place, "unmapped"));
            }
            for row in found {
                // Of two visas that say the same, that which lasts.
                if held.get(&row.id).is_none_or(|known| known.end < end) {
                    let row = row.clone();
                    let _shorter = held.insert(row.id, Held { row, end, visa });
                }
            }
        }
        if held.len() > limits::VISAS_HELD_MAX {
            let why = "the token's visas open more groups of the vault than a session holds";
            return Err(VaultError::new(ErrorKind::TokenInvalid, why));
        }
        Ok(hers.visited(&held))
    }

    /// The visas of a token that their issuers signed, in their time, and that are of the
    /// principal.
    async fn hers(
        &self,
        claims: &Claims,
        principal: &PrincipalId,
        now: Timestamp,
    ) -> Result<Hers, VaultError> {
        let issuers = self.visa_issuers.load_full();
        let mut hers = Hers::default();
        for (place, text) in claims.visas.iter().enumerate() {
            let visa = match token::verify_visa(text, &claims.audience, &issuers, now) {
                Ok(visa) => visa,
                Err(error) => {
                    hers.not_held.push((place, error.word()));
                    continue;
                }
            };
            let of_token = visa.issuer == claims.issuer || visa.same_subject;
            let linked = if of_token && visa.subject == claims.subject {
                None
            } else {
                let subject = (visa.issuer.as_str(), visa.subject.as_str());
                if !self.guard.is_linked(subject, principal).await? {
                    hers.not_held.push((place, "subject"));
                    continue;
                }
                Some(visa.subject.clone())
            };
            hers.visas.push(visa);
            hers.linked.push(linked);
            hers.places.push(place);
        }
        Ok(hers)
    }

    /// Says that what an issuer's visas assert stands for a group. Sessions made from now on are in
    /// it.
    pub async fn map_visa(
        &self,
        call: &Call,
        (issuer, terms): (&str, &VisaTerms),
        group: PrincipalId,
    ) -> Result<(), VaultError> {
        let id = ClaimId::random(self.entropy.as_ref())?;
        let what = format!("map issuer={issuer} group={group} id={id} {}", told(terms));
        let mut intent = Self::admin_intent(call, None, &what);
        if let Err(error) = terms.check(issuer) {
            return Err(self.turn_away(call, intent, error).await);
        }
        // Records of sign-ins name the row alone, so this one has the whole of it.
        intent.query = Some(what);
        let name = terms.name();
        let place = (RosterKind::Visa, issuer, name.as_str());
        self.map(call, intent, place, (id, group)).await
    }

    /// Ends that: who is in the group by it is refused within a second, what she reads is cut
    /// within a minute.
    pub async fn unmap_visa(
        &self,
        call: &Call,
        (issuer, terms): (&str, &VisaTerms),
    ) -> Result<(), VaultError> {
        let what = format!("unmap issuer={issuer} {}", told(terms));
        let intent = Self::admin_intent(call, None, &what);
        if let Err(error) = terms.check(issuer) {
            return Err(self.turn_away(call, intent, error).await);
        }
        let name = terms.name();
        let place = (RosterKind::Visa, issuer, name.as_str());
        self.unmap(call, intent, place).await
    }
}

/// What a visa asserts, for the record of whoever said so.
fn told(terms: &VisaTerms) -> String {
    let any = |text: &Option<String>| text.clone().unwrap_or_else(|| "*".to_owned());
    let (source, by) = (any(&terms.source), any(&terms.by));
    let VisaTerms { kind, value, .. } = terms;
    format!("visa={kind} value={value} source={source} by={by}")
}

impl Hers {
    fn visited(mut self, held: &BTreeMap<ClaimId, Held>) -> Visited {
        let mut visited = Visited::default();
        let mut told = String::new();
        for (id, Held { row, end, visa }) in held {
            let (Some(by), Some(linked)) = (self.visas.get(*visa), self.linked.get(*visa)) else {
                continue;
            };
            let same = |word: &&mut VisaWord| word.issuer == by.issuer && word.subject == *linked;
            match visited.words.iter_mut().find(same) {
                Some(word) => word.through.push(*id),
                None => visited.words.push(VisaWord {
                    issuer: by.issuer.clone(),
                    subject: linked.clone(),
                    through: vec![*id],
                }),
            }
            visited.ends.push(*end);
            visited.groups.push(row.group.to_string());
            let comma = if told.is_empty() { "" } else { "," };
            let signed = HEXLOWER.encode(by.digest.get(..8).unwrap_or_default());
            // Writing to a String cannot fail.
            let _infallible = write!(told, "{comma}{id}@{signed}");
        }
        visited.groups.sort_unstable();
        visited.groups.dedup();
        self.not_held.sort_unstable();
        let not_held = self.not_held.iter().map(|(at, why)| format!("{at}:{why}"));
        visited.told = Some(Told {
            held: told,
            not_held: not_held.collect::<Vec<_>>().join(","),
        });
        visited
    }
}
