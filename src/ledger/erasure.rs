//! Certificates of erasure: a text that the log's key signs, as it signs checkpoints, and behind it
//! the list of what was erased, which the text holds a digest of.
//!
//! ```text
//! kluis erasure certificate v1
//! log kluis/4f…                          the log that also has a record of this text's SHA-256
//! …one line for each field, in the order of `Certificate`…
//! digest 9c…                             SHA-256(before ‖ line) over the list, from 32 zero bytes
//!
//! — kluis/4f… base64                     c2sp.org/signed-note
//!
//! <version> <bytes> <key>                one line for each write
//! ```

use std::fmt::Write as _;

use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA256, digest};

use super::tlog::{Note, NoteError, Signer, VerifierKey};
use crate::types::{BucketName, DatasetId, KeyWorkId, PrincipalId, Timestamp};

/// The first line. No log is called so, and no checkpoint has the lines that follow.
const HEAD: &str = "kluis erasure certificate v1";
/// What was done, as NIST SP 800-88r2 calls it.
const METHOD: &str = "cryptographic erase: AES-256 keys destroyed, ciphertext deleted";

/// Why a certificate is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[non_exhaustive]
pub enum CertificateError {
    /// Not the form of a certificate.
    #[error("this is not a certificate of erasure")]
    Malformed,
    /// Not signed by the log, or changed since.
    #[error("the certificate does not hold")]
    Note(#[from] NoteError),
    /// Signed under a name that is not the log's.
    #[error("the certificate names another log than the key that signed it")]
    OtherLog,
    /// The list is not the one that was signed.
    #[error("the list of what was erased is not the one that was signed")]
    List,
}

/// What is certified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// The log that signs it.
    pub log: String,
    /// The erasure.
    pub work: KeyWorkId,
    /// The dataset.
    pub dataset: DatasetId,
    /// What it was called.
    pub bucket: BucketName,
    /// `dataset`, `object KEY`, `version NAME of KEY`, or `published version N`.
    pub scope: String,
    /// Who asked for it.
    pub asked_by: PrincipalId,
    /// Who approved.
    pub approved_by: PrincipalId,
    /// Why, on one line.
    pub reason: String,
    /// When it began: from then on nothing of it was readable.
    pub begun: Timestamp,
    /// When all of it was done.
    pub ended: Timestamp,
    /// The versions of the dataset's key that were destroyed.
    pub keys: Vec<u32>,
    /// In how many copies of the keys they were destroyed too.
    pub copies: u64,
    /// How many writes were erased.
    pub writes: u64,
    /// Their plaintext bytes.
    pub bytes: u64,
    /// How many blobs were deleted from the store.
    pub blobs: u64,
    /// How many blobs stay because copies in other places refer to them.
    pub kept: u64,
    /// The digest of the list.
    pub digest: [u8; 32],
}

/// A certificate that holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certified {
    /// What it says.
    pub certificate: Certificate,
    /// SHA-256 of its text, as a record of the log has it.
    pub hash: [u8; 32],
}

impl Certificate {
    /// What is signed.
    #[must_use]
    pub fn text(&self) -> String {
        let keys: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        let fields = [
            ("log", self.log.clone()),
            ("work", self.work.to_string()),
            ("dataset", format!("{} {}", self.dataset, self.bucket)),
            ("scope", self.scope.clone()),
            ("asked-by", self.asked_by.to_string()),
            ("approved-by", self.approved_by.to_string()),
            ("reason", self.reason.clone()),
            ("begun", self.begun.millis().to_string()),
            ("ended", self.ended.millis().to_string()),
            ("method", METHOD.to_owned()),
            ("keys", keys.join(",")),
            ("copies", self.copies.to_string()),
            ("writes", self.writes.to_string()),
            ("bytes", self.bytes.to_string()),
            ("blobs-deleted", self.blobs.to_string()),
            ("blobs-kept", self.kept.to_string()),
            ("digest", HEXLOWER.encode(&self.digest)),
        ];
        let mut text = format!("{HEAD}\n");
        for (name, value) in fields {
            // Writing to a string does not fail.
            if writeln!(text, "{name} {value}").is_err() {
                return String::new();
            }
        }
        text
    }

    /// Reads exactly what [`Self::text`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_prefix(HEAD)?.strip_prefix('\n')?.lines();
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let log = field("log")?.to_owned();
        let work = field("work")?.parse().ok()?;
        let (dataset, bucket) = field("dataset")?.split_once(' ')?;
        let (project, name) = bucket.split_once("--")?;
        let found = Self {
            log,
            work,
            dataset: dataset.parse().ok()?,
            bucket: BucketName {
                project: project.parse().ok()?,
                dataset: name.parse().ok()?,
            },
            scope: field("scope")?.to_owned(),
            asked_by: field("asked-by")?.parse().ok()?,
            approved_by: field("approved-by")?.parse().ok()?,
            reason: field("reason")?.to_owned(),
            begun: Timestamp::from_millis(field("begun")?.parse().ok()?),
            ended: Timestamp::from_millis(field("ended")?.parse().ok()?),
            keys: {
                (field("method")? == METHOD).then_some(())?;
                let keys = field("keys")?.split(',').filter(|key| !key.is_empty());
                keys.map(|key| key.parse().ok()).collect::<Option<_>>()?
            },
            copies: field("copies")?.parse().ok()?,
            writes: field("writes")?.parse().ok()?,
            bytes: field("bytes")?.parse().ok()?,
            blobs: field("blobs-deleted")?.parse().ok()?,
            kept: field("blobs-kept")?.parse().ok()?,
            digest: HEXLOWER
                .decode(field("digest")?.as_bytes())
                .ok()?
                .try_into()
                .ok()?,
        };
        // One text for each certificate: what reads otherwise is none.
        (found.text() == text).then_some(found)
    }

    /// The signed text.
    pub fn sign(&self, signer: &Signer) -> Result<String, CertificateError> {
        let text = self.text();
        // What a hostile name could smuggle in as a line of its own does not come back.
        Self::parse(&text)
            .filter(|again| again == self)
            .ok_or(CertificateError::Malformed)?;
        Ok(Note::sign(text, signer)?.to_string())
    }

    /// Checks a certificate with its list against the log's key.
    pub fn verify(file: &str, key: &VerifierKey) -> Result<Certified, CertificateError> {
        let (head, rest) = file.split_once("\n\n").ok_or(CertificateError::Malformed)?;
        let (signatures, list) = rest.split_once("\n\n").ok_or(CertificateError::Malformed)?;
        let note = Note::parse(format!("{head}\n\n{signatures}\n").as_bytes())?;
        note.verify(key)?;
        let certificate = Self::parse(note.text()).ok_or(CertificateError::Malformed)?;
        if certificate.log != key.name() {
            return Err(CertificateError::OtherLog);
        }
        certificate.check_list(list)?;
        Ok(Certified {
            hash: hash_of(note.text()),
            certificate,
        })
    }

    fn check_list(&self, list: &str) -> Result<(), CertificateError> {
        let whole = list.is_empty() || list.ends_with('\n');
        let (mut writes, mut bytes, mut sum) = (0_u64, 0_u64, [0; 32]);
        for line in list.lines() {
            let length = line
                .split(' ')
                .nth(1)
                .and_then(|text| text.parse::<u64>().ok());
            bytes = bytes.saturating_add(length.ok_or(CertificateError::List)?);
            writes = writes.saturating_add(1);
            let mut context = Context::new(&SHA256);
            context.update(&sum);
            context.update(line.as_bytes());
            for (to, from) in sum.iter_mut().zip(context.finish().as_ref()) {
                *to = *from;
            }
        }
        let same = (writes, bytes, sum) == (self.writes, self.bytes, self.digest);
        if whole && same {
            Ok(())
        } else {
            Err(CertificateError::List)
        }
    }
}

/// SHA-256 of a certificate's text.
#[must_use]
pub fn hash_of(text: &str) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out
        .iter_mut()
        .zip(digest(&SHA256, text.as_bytes()).as_ref())
    {
        *to = *from;
    }
    out
}

/// SHA-256 of the text in a signed certificate, without a look at the signature.
#[must_use]
pub fn hash_of_signed(note: &str) -> Option<[u8; 32]> {
    Some(hash_of(Note::parse(note.as_bytes()).ok()?.text()))
}

#[cfg(test)]
mod tests {
    use super::super::tlog::KeyKind;
    use super::*;
    use crate::types::Secret;

    const LIST: &str = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a 7 a/scan 1.dcm\n\
        0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b 0 b\n";

    fn signer(seed: u8) -> Signer {
        Signer::new("kluis/test", KeyKind::Note, &Secret::take(&mut [seed; 32])).unwrap()
    }

    fn certificate() -> Certificate {
        let mut sum = [0_u8; 32];
        for line in LIST.lines() {
            sum = *digest(&SHA256, &[&sum[..], line.as_bytes()].concat())
                .as_ref()
                .first_chunk()
                .unwrap();
        }
        Certificate {
            log: "kluis/test".into(),
            work: KeyWorkId::from_bytes([1; 16]),
            dataset: DatasetId::from_bytes([2; 16]),
            bucket: BucketName {
                project: "icu".parse().unwrap(),
                dataset: "ecg".parse().unwrap(),
            },
            scope: "object a/scan 1.dcm".into(),
            asked_by: "olivia".parse().unwrap(),
            approved_by: "bob".parse().unwrap(),
            reason: "withdrawn consent".into(),
            begun: Timestamp::from_millis(5),
            ended: Timestamp::from_millis(9),
            keys: vec![1, 2],
            copies: 1,
            writes: 2,
            bytes: 7,
            blobs: 3,
            kept: 0,
            digest: sum,
        }
    }

    fn file() -> String {
        format!("{}\n{LIST}", certificate().sign(&signer(1)).unwrap())
    }

    #[test]
    fn a_certificate_holds_under_the_logs_key_alone() {
        let held = Certificate::verify(&file(), signer(1).public()).unwrap();
        assert_eq!(held.certificate, certificate());
        assert_eq!(held.hash, hash_of(&certificate().text()));
        assert!(Certificate::verify(&file(), signer(2).public()).is_err());
        let other = Signer::new("kluis/other", KeyKind::Note, &Secret::take(&mut [1; 32])).unwrap();
        let foreign = format!("{}\n{LIST}", certificate().sign(&other).unwrap());
        assert_eq!(
            Certificate::verify(&foreign, other.public()),
            Err(CertificateError::OtherLog)
        );
    }

    #[test]
    fn every_changed_byte_is_refused() {
        let good = file();
        for at in 0..good.len() {
            let mut bent = good.clone().into_bytes();
            bent[at] ^= 1;
            let Ok(bent) = String::from_utf8(bent) else {
                continue;
            };
            let verified = Certificate::verify(&bent, signer(1).public());
            assert!(verified.is_err(), "byte {at}");
        }
        for cut in 0..good.len() {
            if let Some(cut) = good.get(..cut) {
                assert!(Certificate::verify(cut, signer(1).public()).is_err());
            }
        }
        let longer = format!("{good}x");
        assert!(Certificate::verify(&longer, signer(1).public()).is_err());
    }

    #[test]
    fn a_line_that_is_smuggled_in_is_not_signed() {
        for reason in ["a\nkeys 9", "", "a\n", "\u{1}"] {
            let forged = Certificate {
                reason: reason.into(),
                ..certificate()
            };
            let signed = forged.sign(&signer(1));
            assert_eq!(signed.is_ok(), reason.is_empty(), "{reason:?}");
        }
    }

    #[test]
    fn a_checkpoint_is_no_certificate_nor_the_other_way() {
        let note = Note::sign("kluis/test\n3\nAAAA\n".into(), &signer(1)).unwrap();
        let file = format!("{note}\n");
        assert_eq!(
            Certificate::verify(&file, signer(1).public()),
            Err(CertificateError::Malformed)
        );
        assert!(!certificate().text().starts_with("kluis/test\n"));
    }
}
