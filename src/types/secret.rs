//! Secrets: wiped when dropped, never printed, compared in constant time, copied only by name.

use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, ZeroizeOnDrop};

use super::{Entropy, EntropyError};

/// `N` secret bytes. **Implements none of Debug, Display, Clone, Serialize.**
#[derive(ZeroizeOnDrop)]
pub struct Secret<const N: usize>([u8; N]);

impl<const N: usize> Secret<N> {
    /// Takes bytes over and wipes the caller's copy.
    #[must_use]
    pub fn take(bytes: &mut [u8; N]) -> Self {
        let secret = Self(*bytes);
        bytes.zeroize();
        secret
    }

    /// Draws a fresh secret.
    pub fn random(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let mut secret = Self([0; N]);
        entropy.fill(&mut secret.0)?;
        Ok(secret)
    }

    /// Fills a fresh secret in place, so that no other copy exists.
    pub fn fill_with<E>(fill: impl FnOnce(&mut [u8; N]) -> Result<(), E>) -> Result<Self, E> {
        let mut secret = Self([0; N]);
        fill(&mut secret.0)?;
        Ok(secret)
    }

    /// The bytes, for the one call that needs them.
    #[must_use]
    pub const fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// A second copy, named so that it shows in review.
    #[must_use]
    pub const fn duplicate(&self) -> Self {
        Self(self.0)
    }

    /// Whether both are the same, in constant time.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// A secret text: a passphrase, a credential's secret key.
/// **Implements none of Debug, Display, Clone, Serialize.**
#[derive(ZeroizeOnDrop)]
pub struct SecretText(String);

impl SecretText {
    /// Takes a text over.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for the one call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// A second copy, named so that it shows in review.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::{Debug, Display};

    use static_assertions::assert_not_impl_any;

    use super::*;

    assert_not_impl_any!(Secret<32>: Debug, Display, Clone, serde::Serialize);
    assert_not_impl_any!(SecretText: Debug, Display, Clone, serde::Serialize);

    #[test]
    fn taking_wipes_the_source() {
        let mut bytes = [7; 32];
        let secret = Secret::take(&mut bytes);
        assert_eq!(bytes, [0; 32]);
        assert_eq!(secret.expose(), &[7; 32]);
    }

    #[test]
    fn comparison_sees_each_byte() {
        let a = Secret::take(&mut [1; 4]);
        assert!(a.same_as(&a.duplicate()));
        assert!(!a.same_as(&Secret::take(&mut [1, 1, 1, 2])));
    }
}
