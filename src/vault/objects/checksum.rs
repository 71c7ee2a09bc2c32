//! Checksums of plaintext while it passes: CRC-64/NVME always, others when asked for.

use data_encoding::BASE64;
use md5::Digest as _;

use crate::types::{ChecksumKind, Checksums};
use crate::vault::error::{ErrorKind, VaultError};

/// Computes checksums of one body.
pub(in crate::vault) struct Checksummer {
    crc64: crc_fast::Digest,
    others: Vec<(ChecksumKind, Running)>,
    md5: Option<(md5::Md5, [u8; 16])>,
    expected: Vec<(ChecksumKind, String)>,
}

enum Running {
    Crc(crc_fast::Digest),
    Sha(ring::digest::Context),
}

impl Running {
    fn new(kind: ChecksumKind) -> Self {
        match kind {
            ChecksumKind::Crc32 => {
                Self::Crc(crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32IsoHdlc))
            }
            ChecksumKind::Crc32c => {
                Self::Crc(crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi))
            }
            ChecksumKind::Crc64Nvme => {
                Self::Crc(crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme))
            }
            ChecksumKind::Sha1 => Self::Sha(ring::digest::Context::new(
                &ring::digest::SHA1_FOR_LEGACY_USE_ONLY,
            )),
            ChecksumKind::Sha256 => Self::Sha(ring::digest::Context::new(&ring::digest::SHA256)),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc(digest) => digest.update(bytes),
            Self::Sha(context) => context.update(bytes),
        }
    }

    fn text(self, kind: ChecksumKind) -> String {
        match self {
            Self::Crc(digest) => crc_text(kind, digest.finalize()),
            Self::Sha(context) => BASE64.encode(context.finish().as_ref()),
        }
    }
}

/// A CRC as S3 writes it: big-endian bytes in base64, 4 or 8 of them.
fn crc_text(kind: ChecksumKind, value: u64) -> String {
    let bytes = value.to_be_bytes();
    match kind {
        ChecksumKind::Crc64Nvme => BASE64.encode(&bytes),
        ChecksumKind::Crc32 | ChecksumKind::Crc32c | ChecksumKind::Sha1 | ChecksumKind::Sha256 => {
            BASE64.encode(bytes.last_chunk::<4>().unwrap_or(&[0; 4]))
        }
    }
}

impl Checksummer {
    pub(in crate::vault) fn new(
        expected: Vec<(ChecksumKind, String)>,
        compute: &[ChecksumKind],
        md5: Option<[u8; 16]>,
    ) -> Self {
        let mut kinds: Vec<_> = expected.iter().map(|(kind, _)| *kind).collect();
        kinds.extend_from_slice(compute);
        kinds.sort_unstable();
        kinds.dedup();
        kinds.retain(|kind| *kind != ChecksumKind::Crc64Nvme);
        Self {
            crc64: crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme),
            others: kinds
                .into_iter()
                .map(|kind| (kind, Running::new(kind)))
                .collect(),
            md5: md5.map(|expected| (md5::Md5::new(), expected)),
            expected,
        }
    }

    pub(in crate::vault) fn update(&mut self, bytes: &[u8]) {
        self.crc64.update(bytes);
        for (_, running) in &mut self.others {
            running.update(bytes);
        }
        if let Some((md5, _)) = &mut self.md5 {
            md5.update(bytes);
        }
    }

    /// The checksums, once all that was expected agrees; `trailing` are those that came behind the
    /// body.
    pub(in crate::vault) fn finish(
        self,
        trailing: &[(ChecksumKind, String)],
    ) -> Result<Checksums, VaultError> {
        if let Some((md5, expected)) = self.md5
            && <[u8; 16]>::from(md5.finalize()) != expected
        {
            return Err(VaultError::new(
                ErrorKind::BadDigest,
                "the body's MD5 is another",
            ));
        }
        let crc64 = crc_text(ChecksumKind::Crc64Nvme, self.crc64.finalize());
        let mut values = vec![(ChecksumKind::Crc64Nvme, crc64)];
        values.extend(
            self.others
                .into_iter()
                .map(|(kind, running)| (kind, running.text(kind))),
        );
        values.sort_unstable_by_key(|(kind, _)| *kind);
        let sums = Checksums {
            values,
            composite: false,
        };
        for (kind, expected) in self.expected.iter().chain(trailing) {
            if sums.get(*kind) != Some(expected) {
                return Err(VaultError::new(
                    ErrorKind::BadDigest,
                    "a checksum is another",
                ));
            }
        }
        Ok(sums)
    }
}

/// The checksum of a whole object from its parts' checksums and lengths: CRCs combine to that of
/// the bytes.
pub(in crate::vault) fn combine_crc(
    kind: ChecksumKind,
    parts: impl Iterator<Item = (Option<String>, u64)>,
) -> Option<String> {
    let algorithm = match kind {
        ChecksumKind::Crc32 => crc_fast::CrcAlgorithm::Crc32IsoHdlc,
        ChecksumKind::Crc32c => crc_fast::CrcAlgorithm::Crc32Iscsi,
        ChecksumKind::Crc64Nvme => crc_fast::CrcAlgorithm::Crc64Nvme,
        ChecksumKind::Sha1 | ChecksumKind::Sha256 => return None,
    };
    let mut whole: Option<u64> = None;
    for (text, bytes) in parts {
        let value = crc_value(&text?)?;
        whole = Some(match whole {
            None => value,
            Some(before) => crc_fast::checksum_combine(algorithm, before, value, bytes),
        });
    }
    whole.map(|value| crc_text(kind, value))
}

fn crc_value(text: &str) -> Option<u64> {
    let bytes = BASE64.decode(text.as_bytes()).ok()?;
    let mut wide = [0; 8];
    wide.get_mut(8_usize.checked_sub(bytes.len())?..)?
        .copy_from_slice(&bytes);
    Some(u64::from_be_bytes(wide))
}

/// S3's composite checksum: the checksum of the parts' checksums, and their number behind a hyphen.
pub(in crate::vault) fn composite(
    kind: ChecksumKind,
    parts: impl Iterator<Item = Option<String>>,
) -> Option<String> {
    let mut running = Running::new(kind);
    let mut count = 0_u32;
    for text in parts {
        running.update(&BASE64.decode(text?.as_bytes()).ok()?);
        count = count.saturating_add(1);
    }
    Some(format!("{}-{count}", running.text(kind)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "123456789", the check input of the CRC catalogue.
    const CHECK: &[u8] = b"123456789";

    fn sums(kinds: &[ChecksumKind]) -> Checksums {
        let mut summer = Checksummer::new(Vec::new(), kinds, None);
        summer.update(CHECK);
        summer.finish(&[]).unwrap()
    }

    #[test]
    fn published_check_values() {
        let sums = sums(&[
            ChecksumKind::Crc32,
            ChecksumKind::Crc32c,
            ChecksumKind::Sha1,
            ChecksumKind::Sha256,
        ]);
        let hex = |kind| {
            data_encoding::HEXLOWER
                .encode(&BASE64.decode(sums.get(kind).unwrap().as_bytes()).unwrap())
        };
        assert_eq!(hex(ChecksumKind::Crc32), "cbf43926");
        assert_eq!(hex(ChecksumKind::Crc32c), "e3069283");
        assert_eq!(hex(ChecksumKind::Crc64Nvme), "ae8b14860a799888");
        assert_eq!(
            hex(ChecksumKind::Sha1),
            "f7c3bc1d808e04732adf679965ccc34ca7ae3441"
        );
    }

    #[test]
    fn a_wrong_checksum_is_refused_wherever_it_stood() {
        let wrong = vec![(ChecksumKind::Crc32, "AAAAAA==".to_owned())];
        let mut summer = Checksummer::new(wrong.clone(), &[], None);
        summer.update(CHECK);
        assert_eq!(summer.finish(&[]).unwrap_err().kind(), ErrorKind::BadDigest);
        let mut summer = Checksummer::new(Vec::new(), &[ChecksumKind::Crc32], None);
        summer.update(CHECK);
        assert_eq!(
            summer.finish(&wrong).unwrap_err().kind(),
            ErrorKind::BadDigest
        );
        let summer = Checksummer::new(Vec::new(), &[], None);
        assert_eq!(
            summer.finish(&wrong).unwrap_err().kind(),
            ErrorKind::BadDigest,
            "not computed"
        );
        let mut summer = Checksummer::new(Vec::new(), &[], Some([0; 16]));
        summer.update(CHECK);
        assert_eq!(summer.finish(&[]).unwrap_err().kind(), ErrorKind::BadDigest);
    }

    #[test]
    fn crcs_of_parts_combine_to_that_of_the_whole() {
        for kind in [
            ChecksumKind::Crc32,
            ChecksumKind::Crc32c,
            ChecksumKind::Crc64Nvme,
        ] {
            let part = |bytes: &[u8]| {
                let mut summer = Checksummer::new(Vec::new(), &[kind], None);
                summer.update(bytes);
                let text = summer.finish(&[]).unwrap().get(kind).unwrap().to_owned();
                (Some(text), u64::try_from(bytes.len()).unwrap())
            };
            let whole = combine_crc(kind, [part(b"1234"), part(b""), part(b"56789")].into_iter());
            assert_eq!(whole.as_deref(), sums(&[kind]).get(kind));
        }
        assert_eq!(
            combine_crc(ChecksumKind::Crc32, [(None, 1)].into_iter()),
            None
        );
        assert_eq!(combine_crc(ChecksumKind::Sha256, std::iter::empty()), None);
    }
}
