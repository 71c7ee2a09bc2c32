//! Public keys of Ed25519 that nobody has: under them anybody makes signatures that hold.

/// The encodings of the points of the curve (RFC 8032, section 5.1) whose order divides 8,
/// canonical or not, without the bit of the sign; y = p and y = p + 1 decode as 0 and 1. For such a
/// key A, S = 0 and R = -kA fit each message whose k does (Chalkias, Garillot, Nikolaenko 2020,
/// "Taming the many `EdDSAs`", section 4).
const SMALL_ORDER: [[u8; 32]; 7] = [
    edge(0x00, 0x00, 0x00),
    edge(0x01, 0x00, 0x00),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
    edge(0xec, 0xff, 0x7f),
    edge(0xed, 0xff, 0x7f),
    edge(0xee, 0xff, 0x7f),
];

/// The least byte, those between, the greatest.
const fn edge(least: u8, between: u8, greatest: u8) -> [u8; 32] {
    let mut bytes = [between; 32];
    bytes[0] = least;
    bytes[31] = greatest;
    bytes
}

/// Whether an Ed25519 public key is a point of small order: then signatures under it prove nothing,
/// and whoever takes a key from outside refuses it.
#[must_use]
pub fn is_small_order(key: &[u8; 32]) -> bool {
    let mut unsigned = *key;
    unsigned[31] &= 0x7f;
    SMALL_ORDER.contains(&unsigned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

    /// The verifier below takes a signature that nobody made, for one message in eight or so.
    #[test]
    fn what_is_refused_is_what_can_be_forged() {
        let mut forged = 0;
        for key in SMALL_ORDER {
            for sign in [0, 0x80] {
                let mut key = key;
                key[31] |= sign;
                assert!(is_small_order(&key));
                // R is the neutral point, S is 0.
                let mut signature = [0_u8; 64];
                signature[0] = 1;
                let public = UnparsedPublicKey::new(&ED25519, key);
                let holds = |n: u8| public.verify(&[n], &signature).is_ok();
                forged += u32::from((0..=255).any(holds));
            }
        }
        assert!(forged >= 8, "the attack is real: {forged}");
    }

    #[test]
    fn keys_that_somebody_has_are_not_of_small_order() {
        for seed in 0..=255 {
            let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
            let public: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
            assert!(!is_small_order(&public));
        }
    }
}
