//! XML that a client sends: compared with the checksums that came with it.

use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use s3s::dto::Checksum;
use s3s::{S3Request, S3Result};

use super::scope_of;
use crate::s3::translate::checksums;
use crate::types::ChecksumKind;
use crate::vault::{ErrorKind, VaultError};

/// Compares the XML with the checksums that came with it; the library does not.
pub(super) fn verify_xml<T>(request: &S3Request<T>) -> S3Result<()> {
    let expected = checksums::in_headers(&request.headers)?;
    let md5 = checksums::content_md5(&request.headers)?;
    if expected.is_empty() && md5.is_none() {
        return Ok(());
    }
    let sums = sums_of(&scope_of(request)?.watch().kept());
    let found = |kind: ChecksumKind| match kind {
        ChecksumKind::Crc32 => sums.checksum_crc32.as_deref(),
        ChecksumKind::Crc32c => sums.checksum_crc32c.as_deref(),
        ChecksumKind::Crc64Nvme => sums.checksum_crc64nvme.as_deref(),
        ChecksumKind::Sha1 => sums.checksum_sha1.as_deref(),
        ChecksumKind::Sha256 => sums.checksum_sha256.as_deref(),
    };
    let md5 = md5.map(|md5| data_encoding::BASE64.encode(&md5));
    let holds = expected
        .iter()
        .all(|(kind, text)| found(*kind) == Some(text.as_str()))
        && md5.is_none_or(|md5| sums.checksum_md5 == Some(md5));
    if holds {
        Ok(())
    } else {
        Err(VaultError::new(ErrorKind::BadDigest, "the XML's checksum is another").into())
    }
}

fn sums_of(body: &[u8]) -> Checksum {
    let mut hasher = ChecksumHasher {
        crc32: Some(Crc32::default()),
        crc32c: Some(Crc32c::default()),
        crc64nvme: Some(Crc64Nvme::default()),
        sha1: Some(Sha1::default()),
        sha256: Some(Sha256::default()),
        md5: Some(Md5::default()),
        ..ChecksumHasher::default()
    };
    hasher.update(body);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_run_over_all_pieces() {
        let sums = sums_of(b"hello");
        assert_eq!(sums.checksum_crc32.as_deref(), Some("NhCmhg=="));
        assert_eq!(
            sums.checksum_md5.as_deref(),
            Some("XUFAKrxLKna5cZ2REBfFkg==")
        );
    }
}
