//! The subset of deterministic CBOR (RFC 8949 section 4.2.1) that records use: unsigned integers,
//! byte and text strings, arrays, maps with ascending integer keys, true and false. Whatever is not
//! the one shortest form of these is refused.

use super::codec::CodecError;

const UINT: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;

/// Appends canonical items to a buffer.
pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>);

impl Writer<'_> {
    /// A head in its shortest form.
    fn head(&mut self, major: u8, value: u64) {
        let major = major << 5;
        let add = |additional: u8| major.saturating_add(additional);
        if let Ok(small) = u8::try_from(value) {
            if small < 24 {
                self.0.push(add(small));
            } else {
                self.0.extend_from_slice(&[add(24), small]);
            }
        } else if let Ok(short) = u16::try_from(value) {
            self.0.push(add(25));
            self.0.extend_from_slice(&short.to_be_bytes());
        } else if let Ok(word) = u32::try_from(value) {
            self.0.push(add(26));
            self.0.extend_from_slice(&word.to_be_bytes());
        } else {
            self.0.push(add(27));
            self.0.extend_from_slice(&value.to_be_bytes());
        }
    }

    /// A length always fits: no buffer is longer than 2^64.
    fn sized(&mut self, major: u8, len: usize) {
        self.head(major, u64::try_from(len).unwrap_or(u64::MAX));
    }

    pub(super) fn uint(&mut self, value: u64) {
        self.head(UINT, value);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.sized(BYTES, bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// A text of at most `max` bytes.
    pub(super) fn text(&mut self, text: &str, max: usize) -> Result<(), CodecError> {
        if text.len() > max {
            return Err(CodecError::TooLong);
        }
        self.sized(TEXT, text.len());
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }

    pub(super) fn bool(&mut self, value: bool) {
        self.0.push(if value { TRUE } else { FALSE });
    }

    pub(super) fn array(&mut self, len: usize) {
        self.sized(ARRAY, len);
    }

    /// A map of `fixed` entries and those of `optional` that are there.
    pub(super) fn map(&mut self, fixed: usize, optional: &[bool]) {
        let there = optional.iter().filter(|there| **there).count();
        self.sized(MAP, fixed.saturating_add(there));
    }
}

/// Reads canonical items; each length is checked against what is left.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Nothing may follow.
    pub(super) const fn end(&self) -> Result<(), CodecError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(CodecError::Trailing)
        }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(CodecError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(CodecError::Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn head(&mut self, major: u8) -> Result<u64, CodecError> {
        let [first] = self.take_array()?;
        if first >> 5 != major {
            return Err(CodecError::Type);
        }
        let (value, least) = match first & 0x1f {
            small @ 0..24 => return Ok(u64::from(small)),
            24 => (u64::from(u8::from_be_bytes(self.take_array()?)), 24),
            25 => (u64::from(u16::from_be_bytes(self.take_array()?)), 0x100),
            26 => (u64::from(u32::from_be_bytes(self.take_array()?)), 0x1_0000),
            27 => (u64::from_be_bytes(self.take_array()?), 0x1_0000_0000),
            _reserved_or_indefinite => return Err(CodecError::Canonical),
        };
        if value < least {
            return Err(CodecError::Canonical);
        }
        Ok(value)
    }

    /// A length of at most `max`.
    fn sized(&mut self, major: u8, max: usize) -> Result<usize, CodecError> {
        match usize::try_from(self.head(major)?) {
            Ok(len) if len <= max => Ok(len),
            _ => Err(CodecError::TooLong),
        }
    }

    pub(super) fn uint(&mut self) -> Result<u64, CodecError> {
        self.head(UINT)
    }

    /// A byte string of exactly `N` bytes.
    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        if self.head(BYTES)? != u64::try_from(N).unwrap_or(u64::MAX) {
            return Err(CodecError::Value);
        }
        self.take_array()
    }

    pub(super) fn text(&mut self, max: usize) -> Result<&'a str, CodecError> {
        let len = self.sized(TEXT, max)?;
        std::str::from_utf8(self.take(len)?).map_err(|_not_utf8| CodecError::Utf8)
    }

    pub(super) fn bool(&mut self) -> Result<bool, CodecError> {
        match self.take_array()? {
            [FALSE] => Ok(false),
            [TRUE] => Ok(true),
            _ => Err(CodecError::Type),
        }
    }

    pub(super) fn array(&mut self, max: usize) -> Result<usize, CodecError> {
        self.sized(ARRAY, max)
    }

    /// Opens a map; its keys are asked for in ascending order.
    pub(super) fn map(&mut self) -> Result<Fields, CodecError> {
        // No map of a record has more than 24 keys.
        let left = self.sized(MAP, 24)?;
        Ok(Fields {
            left,
            seen: None,
            pending: None,
        })
    }
}

/// Where the reading of a map stands.
pub(super) struct Fields {
    left: usize,
    seen: Option<u64>,
    pending: Option<u64>,
}

impl Fields {
    /// Whether `key` is there; its value is then next in `reader`. A key that was not asked for
    /// is unknown, one that does not ascend is out of order or double.
    pub(super) fn has(&mut self, reader: &mut Reader<'_>, key: u64) -> Result<bool, CodecError> {
        if self.pending.is_none() && self.left > 0 {
            let found = reader.uint()?;
            if self.seen.is_some_and(|seen| found <= seen) {
                return Err(CodecError::Canonical);
            }
            self.left = self.left.saturating_sub(1);
            self.seen = Some(found);
            self.pending = Some(found);
        }
        match self.pending {
            Some(found) if found == key => {
                self.pending = None;
                Ok(true)
            }
            Some(found) if found < key => Err(CodecError::Unknown),
            Some(_) | None => Ok(false),
        }
    }

    /// `key` must be there.
    pub(super) fn need(&mut self, reader: &mut Reader<'_>, key: u64) -> Result<(), CodecError> {
        if self.has(reader, key)? {
            Ok(())
        } else {
            Err(CodecError::Missing)
        }
    }

    /// No further key may be there.
    pub(super) const fn end(self) -> Result<(), CodecError> {
        if self.left == 0 && self.pending.is_none() {
            Ok(())
        } else {
            Err(CodecError::Unknown)
        }
    }
}
