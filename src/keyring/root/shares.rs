//! Shamir's secret sharing of the root identity: any `needed` of its custodians open it, fewer
//! learn nothing (Shamir, "How to share a secret", 1979; over GF(256), byte by byte).
//!
//! ```text
//! share = "KLUIS-SHARE-1:" set (32 hex) ":" number ":" data (hex) ":" check (8 hex)
//! check = the first 4 bytes of SHA-256 of all before it: a slip of the hand
//! sum   = SHA-256("kluis share v1" ‖ 0 ‖ set ‖ number ‖ data), in the root's file: which is whose
//! ```
//!
//! The sums tell nothing of the shares, each of which is as random as a key. A share that is not
//! the one that its custodian was given is refused by name, before anything is combined; what is
//! combined must be the identity whose public half stands in the file. It knows no file or socket.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use rand_core::{Infallible, TryCryptoRng, TryRng};
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use vsss_rs::Gf256;
use zeroize::Zeroizing;

use super::RootIdentity;
use crate::types::limits::{CUSTODIANS_MAX, SHARE_BYTES_MAX};
use crate::types::{Entropy, EntropyError, PrincipalId, SecretText};

/// How a share's text begins.
const SHARE_PREFIX: &str = "KLUIS-SHARE-1";
/// What a share's sum is made over, first.
const SUM_LABEL: &[u8] = b"kluis share v1\0";
/// Bytes of the check at a share's end.
const CHECK_BYTES: usize = 4;

/// Why the root cannot be split so. At fault: who asked for it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// One that opens alone is no sharing; more than there are is a vault that never opens.
    #[error(
        "of n custodians at least 2 and at most n are needed, and n is at most {CUSTODIANS_MAX}"
    )]
    Numbers,
    /// A custodian is named twice.
    #[error("a custodian is named twice custodian={name}")]
    Twice {
        /// Who.
        name: PrincipalId,
    },
    /// The machine gave no randomness.
    #[error("no share can be made without randomness")]
    Entropy(#[source] EntropyError),
    /// The library refused.
    #[error("the root could not be split, please report this")]
    Library,
}

/// Why a share is not taken. At fault: who handed it over.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
#[non_exhaustive]
pub enum ShareRefused {
    /// Not a share's text, or one with a slip in it.
    #[error("this is no share, or it was damaged on its way")]
    Damaged,
    /// A share of another split: of another vault, or from before a new sharing.
    #[error(
        "this share is of another sharing: of another vault, or from before it was shared anew"
    )]
    OtherSet,
    /// There is no custodian of this number.
    #[error("this share has a number that no custodian has")]
    Nobody,
    /// The share says that it is a custodian's, and is not what that one was given.
    #[error("this is not the share that was given to custodian={name}")]
    Wrong {
        /// Whose it says that it is.
        name: PrincipalId,
    },
    /// The custodian's share is here already.
    #[error("the share is here already custodian={name}")]
    Twice {
        /// Whose.
        name: PrincipalId,
    },
    /// All shares are right, and what they make is not the root of this file.
    #[error("the shares do not make this root: the file of the root was changed")]
    OtherRoot,
}

/// One custodian in the root's file.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
struct Custodian {
    name: String,
    sum: String,
}

/// Who keeps a root, and how many of them open it.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Quorum {
    set: String,
    needed: u8,
    share: Vec<Custodian>,
}

/// What one custodian keeps. **Implements none of Debug, Display, Clone, Serialize.**
pub struct Share {
    set: [u8; 16],
    number: u8,
    data: Zeroizing<Vec<u8>>,
}

impl Share {
    /// Its text, one line.
    #[must_use]
    pub fn to_text(&self) -> SecretText {
        let head = format!(
            "{SHARE_PREFIX}:{}:{}:",
            HEXLOWER.encode(&self.set),
            self.number
        );
        // The room is exact: a text that grew would leave the share in the memory it left.
        let hex = self.data.len().saturating_mul(2);
        let room = head
            .len()
            .saturating_add(hex)
            .saturating_add(1 + 2 * CHECK_BYTES);
        let mut text = String::with_capacity(room);
        text.push_str(&head);
        HEXLOWER.encode_append(&self.data, &mut text);
        let check = check_of(&text);
        text.push(':');
        text.push_str(&check);
        SecretText::new(text)
    }

    /// Reads a share's text.
    pub fn from_text(text: &str) -> Result<Self, ShareRefused> {
        let read = || {
            let text = text.trim();
            if text.len() > SHARE_BYTES_MAX {
                return None;
            }
            let (rest, check) = text.rsplit_once(':')?;
            if check != check_of(rest) {
                return None;
            }
            let mut parts = rest.split(':');
            let (prefix, set) = (parts.next()?, parts.next()?);
            let (number, data) = (parts.next()?, parts.next()?);
            if prefix != SHARE_PREFIX || parts.next().is_some() {
                return None;
            }
            let data = Zeroizing::new(HEXLOWER.decode(data.as_bytes()).ok()?);
            Some(Self {
                set: set_of(set)?,
                number: number.parse().ok()?,
                data,
            })
        };
        read().ok_or(ShareRefused::Damaged)
    }

    /// Says that it is another custodian's, as a swap does.
    #[cfg(test)]
    pub(super) const fn renumber(&mut self, number: u8) {
        self.number = number;
    }

    fn sum(&self) -> String {
        let mut context = Context::new(&SHA256);
        for part in [SUM_LABEL, &self.set, &[self.number], &self.data] {
            context.update(part);
        }
        HEXLOWER.encode(context.finish().as_ref())
    }
}

fn set_of(text: &str) -> Option<[u8; 16]> {
    let bytes = HEXLOWER.decode(text.as_bytes()).ok()?;
    bytes.try_into().ok()
}

fn check_of(text: &str) -> String {
    let digest = ring::digest::digest(&SHA256, text.as_bytes());
    let (check, _) = digest.as_ref().split_at(CHECK_BYTES);
    HEXLOWER.encode(check)
}

/// The library wants a generator that cannot fail: one that failed hands out nothing that is used.
struct Draws<'a> {
    entropy: &'a dyn Entropy,
    failed: Option<EntropyError>,
}

impl TryRng for Draws<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        if let Err(error) = self.entropy.fill(out) {
            self.failed = Some(error);
        }
        Ok(())
    }
}

impl TryCryptoRng for Draws<'_> {}

/// Splits a root among custodians, `needed` of whom open it: what stands in its file, and each
/// one's share in their order.
pub fn split(
    root: &RootIdentity,
    needed: u8,
    names: &[PrincipalId],
    entropy: &dyn Entropy,
) -> Result<(Quorum, Vec<Share>), SplitError> {
    let count = u8::try_from(names.len()).map_err(|_many| SplitError::Numbers)?;
    if needed < 2 || needed > count || count > CUSTODIANS_MAX {
        return Err(SplitError::Numbers);
    }
    for (at, name) in names.iter().enumerate() {
        if names.iter().take(at).any(|other| other == name) {
            return Err(SplitError::Twice { name: name.clone() });
        }
    }
    let mut set = [0; 16];
    entropy.fill(&mut set).map_err(SplitError::Entropy)?;
    let mut draws = Draws {
        entropy,
        failed: None,
    };
    let secret = root.secret_text();
    let split = Gf256::split_bytes(needed.into(), count.into(), secret.as_bytes(), &mut draws);
    // Taken over at once, so that they are wiped whatever happens next.
    let parts = split.map_err(|_library| SplitError::Library)?;
    let parts: Vec<Zeroizing<Vec<u8>>> = parts.into_iter().map(Zeroizing::new).collect();
    if let Some(error) = draws.failed {
        return Err(SplitError::Entropy(error));
    }
    let mut shares = Vec::with_capacity(parts.len());
    for part in &parts {
        let (number, data) = part.split_first().ok_or(SplitError::Library)?;
        shares.push(Share {
            set,
            number: *number,
            data: Zeroizing::new(data.to_vec()),
        });
    }
    let numbered = (1_u8..).zip(&shares).all(|(at, share)| at == share.number);
    if !numbered || shares.len() != names.len() {
        return Err(SplitError::Library);
    }
    let custodian = |(name, share): (&PrincipalId, &Share)| Custodian {
        name: name.to_string(),
        sum: share.sum(),
    };
    let quorum = Quorum {
        set: HEXLOWER.encode(&set),
        needed,
        share: names.iter().zip(&shares).map(custodian).collect(),
    };
    Ok((quorum, shares))
}

impl Quorum {
    /// Whether a file can say this: numbers in range, names that are names, sums that are sums.
    pub(super) fn is_whole(&self) -> bool {
        let count = u8::try_from(self.share.len()).unwrap_or(u8::MAX);
        let sum = |text: &str| HEXLOWER_PERMISSIVE.decode_len(text.len()) == Ok(32);
        (2..=count).contains(&self.needed)
            && count <= CUSTODIANS_MAX
            && set_of(&self.set).is_some()
            && self.names().len() == self.share.len()
            && self.share.iter().all(|one| sum(&one.sum))
    }

    /// How many are needed.
    #[must_use]
    pub const fn needed(&self) -> u8 {
        self.needed
    }

    /// The custodians, in order.
    #[must_use]
    pub fn names(&self) -> Vec<PrincipalId> {
        let names = self.share.iter().map(|one| one.name.parse());
        names.filter_map(Result::ok).collect()
    }

    /// Whose share this is; the one that its custodian was given.
    fn owner(&self, share: &Share) -> Result<PrincipalId, ShareRefused> {
        if set_of(&self.set) != Some(share.set) {
            return Err(ShareRefused::OtherSet);
        }
        let at = usize::from(share.number).checked_sub(1);
        let custodian = at.and_then(|at| self.share.get(at));
        let custodian = custodian.ok_or(ShareRefused::Nobody)?;
        let name = custodian.name.parse();
        let name: PrincipalId = name.map_err(|_no_name| ShareRefused::Nobody)?;
        if share.sum() != custodian.sum {
            return Err(ShareRefused::Wrong { name });
        }
        Ok(name)
    }
}

/// How far the custodians are.
pub enum Gathered {
    /// More are needed.
    More {
        /// Whose share was taken.
        name: PrincipalId,
        /// How many there are now.
        have: usize,
    },
    /// The root.
    Open {
        /// Whose share was the last.
        name: PrincipalId,
        /// What they opened.
        root: RootIdentity,
    },
}

/// Shares as they come in. **Implements none of Debug, Clone.**
pub struct Gathering {
    quorum: Quorum,
    recipient: String,
    shares: Vec<(PrincipalId, Share)>,
}

impl Gathering {
    /// Begins without any.
    pub(super) const fn new(quorum: Quorum, recipient: String) -> Self {
        Self {
            quorum,
            recipient,
            shares: Vec::new(),
        }
    }

    /// Who keeps the root.
    #[must_use]
    pub const fn quorum(&self) -> &Quorum {
        &self.quorum
    }

    /// How many shares are here.
    #[must_use]
    pub const fn have(&self) -> usize {
        self.shares.len()
    }

    /// Takes a share's text.
    pub fn add(&mut self, text: &str) -> Result<Gathered, ShareRefused> {
        let share = Share::from_text(text)?;
        let name = self.quorum.owner(&share)?;
        if self.shares.iter().any(|(other, _)| *other == name) {
            return Err(ShareRefused::Twice { name });
        }
        self.shares.push((name.clone(), share));
        if self.shares.len() < usize::from(self.quorum.needed) {
            let have = self.shares.len();
            return Ok(Gathered::More { name, have });
        }
        let root = self.combine().ok_or(ShareRefused::OtherRoot);
        if root.is_err() {
            self.shares.clear();
        }
        Ok(Gathered::Open { name, root: root? })
    }

    /// The root, if these shares make the one of the file.
    fn combine(&self) -> Option<RootIdentity> {
        let part = |(_, share): &(PrincipalId, Share)| {
            let mut part = Vec::with_capacity(share.data.len().saturating_add(1));
            part.push(share.number);
            part.extend_from_slice(&share.data);
            part
        };
        let parts: Zeroizing<Vec<Vec<u8>>> = Zeroizing::new(self.shares.iter().map(part).collect());
        let secret = Zeroizing::new(Gf256::combine_bytes(&*parts).ok()?);
        let root = RootIdentity::from_secret_text(&secret)?;
        (root.recipient() == self.recipient).then_some(root)
    }
}
