//! The key of a file of the log, wrapped as the tools of Apache Parquet wrap data keys on the
//! spot, so that they open the file with the master key alone.
//!
//! ```text
//! wrapped  = base64( nonce(12) ‖ AES-256-GCM(master key, nonce, file key, aad = name) )
//! material = {"keyMaterialType":"PKMT1", …, "masterKeyID": name, "wrappedDEK": wrapped, …}
//! ```
//!
//! A nonce of 12 random bytes is safe for 2^32 files under one master key.

use data_encoding::BASE64;
use zeroize::Zeroizing;

use super::suite::{Cipher, Suite, TAG_BYTES};
use super::{OpenError, Refusal, SealError};
use crate::types::{Entropy, Secret};

const NONCE_BYTES: usize = 12;

/// Wraps `key` under `master` for whoever looks the master key up by `name`.
pub fn wrap_file_key(
    master: &Secret<32>,
    name: &str,
    key: &Secret<32>,
    entropy: &dyn Entropy,
) -> Result<String, SealError> {
    let mut nonce = [0; NONCE_BYTES];
    entropy.fill(&mut nonce).map_err(SealError::Entropy)?;
    let mut sealed = Zeroizing::new(*key.expose());
    let cipher = Cipher::new(Suite::Aes256Gcm, master)?;
    let tag = cipher.seal(nonce, name.as_bytes(), sealed.as_mut_slice())?;
    Ok(BASE64.encode(&[&nonce[..], sealed.as_slice(), &tag].concat()))
}

/// Opens what [`wrap_file_key`] wrapped under the same key and name.
pub fn open_file_key(
    master: &Secret<32>,
    name: &str,
    wrapped: &str,
) -> Result<Secret<32>, OpenError> {
    open(master, name, wrapped).ok_or_else(|| OpenError::from(Refusal::Segment))
}

fn open(master: &Secret<32>, name: &str, wrapped: &str) -> Option<Secret<32>> {
    let mut bytes = Zeroizing::new(BASE64.decode(wrapped.as_bytes()).ok()?);
    if bytes.len() != NONCE_BYTES + 32 + TAG_BYTES {
        return None;
    }
    let (nonce, sealed) = bytes.split_first_chunk_mut::<NONCE_BYTES>()?;
    let cipher = Cipher::new(Suite::Aes256Gcm, master).ok()?;
    let plain = cipher.open(*nonce, name.as_bytes(), sealed)?;
    let plain: &mut [u8; 32] = plain.try_into().ok()?;
    Some(Secret::take(plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::testing::Draws;

    #[test]
    fn a_key_is_opened_by_its_master_key_and_name_alone() {
        let master = Secret::take(&mut [1; 32]);
        let key = Secret::take(&mut [2; 32]);
        let wrapped = wrap_file_key(&master, "files", &key, &Draws::new(1)).unwrap();
        let opened = open_file_key(&master, "files", &wrapped).unwrap();
        assert_eq!(opened.expose(), key.expose());
        assert!(open_file_key(&master, "other", &wrapped).is_err());
        assert!(open_file_key(&Secret::take(&mut [3; 32]), "files", &wrapped).is_err());
        let bytes = BASE64.decode(wrapped.as_bytes()).unwrap();
        for at in 0..bytes.len() {
            let mut bent = bytes.clone();
            bent[at] ^= 1;
            assert!(open_file_key(&master, "files", &BASE64.encode(&bent)).is_err());
            let cut = BASE64.encode(&bytes[..at]);
            assert!(open_file_key(&master, "files", &cut).is_err());
        }
        assert!(open_file_key(&master, "files", "no base64").is_err());
    }
}
