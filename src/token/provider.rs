//! The signatures that are accepted, verified by `ring`; nothing is ever signed here.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::signature::{self as accepted, UnparsedPublicKey, VerificationAlgorithm};
use signature::Verifier;

/// Algorithms with a public key. None with a shared secret: whoever reads the public key could
/// sign.
pub(super) const ACCEPTED: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory,
    verifier_factory,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes the library use this module; the same each time.
pub(super) fn install() {
    // Whoever came first installed the same.
    let _installed: Result<(), _> = PROVIDER.install_default();
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that the library asks for"
)]
fn signer_factory(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(ErrorKind::InvalidAlgorithm.into())
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that the library asks for"
)]
fn verifier_factory(
    algorithm: &Algorithm,
    key: &DecodingKey,
) -> Result<Box<dyn JwtVerifier>, Error> {
    if key.family() != algorithm.family() || !ACCEPTED.contains(algorithm) {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    Ok(Box::new(ByRing {
        algorithm: *algorithm,
        key: key.clone(),
    }))
}

struct ByRing {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl JwtVerifier for ByRing {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for ByRing {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let refused = |_unverified| signature::Error::new();
        match (rsa(self.algorithm), self.key.kind()) {
            (Some(parameters), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                let key = accepted::RsaPublicKeyComponents { n, e };
                key.verify(parameters, message, signature).map_err(refused)
            }
            (None, DecodingKeyKind::SecretOrDer(bytes)) => {
                let method = point(self.algorithm).ok_or_else(signature::Error::new)?;
                let key = UnparsedPublicKey::new(method, bytes);
                key.verify(message, signature).map_err(refused)
            }
            _other => Err(signature::Error::new()),
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what the library learns later is accepted by nobody before we say so"
)]
/// RSA of 2,048 to 8,192 bits.
fn rsa(algorithm: Algorithm) -> Option<&'static accepted::RsaParameters> {
    match algorithm {
        Algorithm::RS256 => Some(&accepted::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Some(&accepted::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Some(&accepted::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Some(&accepted::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Some(&accepted::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Some(&accepted::RSA_PSS_2048_8192_SHA512),
        _other => None,
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what the library learns later is accepted by nobody before we say so"
)]
fn point(algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    match algorithm {
        Algorithm::ES256 => Some(&accepted::ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => Some(&accepted::ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => Some(&accepted::ED25519),
        _other => None,
    }
}
