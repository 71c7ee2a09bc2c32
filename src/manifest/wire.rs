//! Fixed-width integers and counted bytes, read strictly.

use super::ManifestError;

/// Bytes not read yet.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn left(&self) -> usize {
        self.0.len()
    }

    /// A second reader of the same bytes.
    pub(super) const fn peek(&self) -> Self {
        Self(self.0)
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], ManifestError> {
        let (head, tail) = self.0.split_at_checked(count).ok_or(ManifestError::Form)?;
        self.0 = tail;
        Ok(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ManifestError> {
        let (head, tail) = self.0.split_first_chunk().ok_or(ManifestError::Form)?;
        self.0 = tail;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, ManifestError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, ManifestError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, ManifestError> {
        self.array().map(u64::from_be_bytes)
    }

    /// Bytes with their count in one byte before them.
    pub(super) fn short(&mut self) -> Result<&'a [u8], ManifestError> {
        let count = self.u8()?;
        self.take(count.into())
    }

    /// Bytes with their count in two bytes before them.
    pub(super) fn counted(&mut self) -> Result<&'a [u8], ManifestError> {
        let count = self.array().map(u16::from_be_bytes)?;
        self.take(count.into())
    }

    pub(super) const fn finish(self) -> Result<(), ManifestError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(ManifestError::Form)
        }
    }
}

/// Appends bytes behind their count in one byte.
pub(super) fn put_short(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), ManifestError> {
    let count = u8::try_from(bytes.len()).map_err(|_long| ManifestError::TooLarge)?;
    out.push(count);
    out.extend_from_slice(bytes);
    Ok(())
}

/// Appends bytes behind their count in two bytes.
pub(super) fn put_counted(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), ManifestError> {
    let count = u16::try_from(bytes.len()).map_err(|_long| ManifestError::TooLarge)?;
    out.extend_from_slice(&count.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}
