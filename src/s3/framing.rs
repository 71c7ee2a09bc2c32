//! The framing of an aws-chunked body, followed from chunk header to chunk header.
//!
//! The library below decodes the chunks and checks their signatures, but takes a body without its
//! final chunk, or without the blank line behind the trailer, for a whole one. This parser reads
//! the same bytes beside it and knows whether the end was really there. It looks at headers and
//! trailer only and steps over the data. It does not check signatures or hashes.
//!
//! ```text
//! body    = *chunk last trailer CRLF
//! chunk   = size [";chunk-signature=" 64HEX] CRLF size-bytes CRLF     ; size > 0
//! last    = "0"  [";chunk-signature=" 64HEX] CRLF
//! trailer = *(name ":" value (CRLF / LF [CRLF]))
//! ```

use crate::vault::BodyError;

/// A chunk header: 8 digits, `;chunk-signature=`, 64 digits, CRLF: 8 + 17 + 64 + 2.
const HEADER_BYTES_MAX: usize = 91;
/// A trailer section: five checksums, a signature and room to spare.
const TRAILER_BYTES_MAX: usize = 8 * 1024;
/// Digits of a chunk's size: a chunk is shorter than 4 GiB.
const SIZE_DIGITS_MAX: usize = 8;
const SIGNATURE: &[u8] = b"chunk-signature=";
const SIGNATURE_DIGITS: usize = 64;

/// Where in the body the next byte belongs.
enum State {
    /// In a chunk header.
    Header,
    /// In a chunk's data.
    Data { left: u64 },
    /// In the CRLF behind the data, of which so many bytes were seen.
    DataEnd { seen: u8 },
    /// Behind the last chunk's header.
    Trailer,
    /// Beyond repair.
    Broken,
}

/// Follows the framing of one body.
pub(super) struct Framing {
    state: State,
    /// What was seen of the header or trailer that the state is in; one buffer for all of them.
    seen: Vec<u8>,
}

impl Framing {
    /// At the beginning of a body.
    pub(super) const fn new() -> Self {
        Self {
            state: State::Header,
            seen: Vec::new(),
        }
    }

    /// Takes the next bytes of the body.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = self.step(bytes);
        }
    }

    /// Whether the body may end here.
    pub(super) fn finish(&self) -> Result<(), BodyError> {
        match &self.state {
            State::Trailer if self.seen == b"\r\n" || self.seen.ends_with(b"\r\n\r\n") => Ok(()),
            State::Header | State::Data { .. } | State::DataEnd { .. } | State::Trailer => {
                Err(BodyError::Short)
            }
            State::Broken => Err(BodyError::Framing),
        }
    }

    /// Takes at least one byte; returns the rest.
    fn step<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        match &mut self.state {
            State::Header => {
                let (taken, rest) = through_newline(bytes);
                self.seen.extend_from_slice(taken);
                if self.seen.ends_with(b"\n") {
                    self.state = after_header(&self.seen);
                    self.seen.clear();
                } else if self.seen.len() > HEADER_BYTES_MAX {
                    self.state = State::Broken;
                }
                rest
            }
            State::Data { left } => {
                let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                if size < *left {
                    *left -= size;
                    return &[];
                }
                let (_, rest) = usize::try_from(*left)
                    .ok()
                    .and_then(|n| bytes.split_at_checked(n))
                    .unwrap_or((bytes, &[]));
                self.state = State::DataEnd { seen: 0 };
                rest
            }
            State::DataEnd { seen } => {
                let (first, rest) = bytes.split_first().unwrap_or((&0, &[]));
                self.state = match (*seen, *first) {
                    (0, b'\r') => State::DataEnd { seen: 1 },
                    (1, b'\n') => State::Header,
                    (_, _) => State::Broken,
                };
                rest
            }
            State::Trailer => {
                if self.seen.len().saturating_add(bytes.len()) > TRAILER_BYTES_MAX {
                    self.state = State::Broken;
                } else {
                    self.seen.extend_from_slice(bytes);
                }
                &[]
            }
            State::Broken => &[],
        }
    }
}

/// Splits behind the first newline, but never takes more than a header may hold.
fn through_newline(bytes: &[u8]) -> (&[u8], &[u8]) {
    let window = bytes.len().min(HEADER_BYTES_MAX.saturating_add(1));
    let end = bytes
        .iter()
        .take(window)
        .position(|b| *b == b'\n')
        .map_or(window, |at| at.saturating_add(1));
    bytes.split_at_checked(end).unwrap_or((bytes, &[]))
}

fn after_header(line: &[u8]) -> State {
    match chunk_size(line) {
        None => State::Broken,
        Some(0) => State::Trailer,
        Some(left) => State::Data { left },
    }
}

/// The size in a chunk header with its CRLF; `None` if it is not one.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let line = line.strip_suffix(b"\r\n")?;
    let mut parts = line.splitn(2, |b| *b == b';');
    let digits = parts.next()?;
    if let Some(extension) = parts.next() {
        let hex = extension.strip_prefix(SIGNATURE)?;
        if hex.len() != SIGNATURE_DIGITS || !hex.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
    }
    if digits.is_empty()
        || digits.len() > SIZE_DIGITS_MAX
        || !digits.iter().all(u8::is_ascii_hexdigit)
    {
        return None;
    }
    u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIG: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn whole(body: &[u8]) -> Result<(), BodyError> {
        let mut framing = Framing::new();
        framing.feed(body);
        framing.finish()
    }

    /// Bodies as real clients send them.
    fn good() -> Vec<String> {
        let signed = format!(";chunk-signature={SIG}");
        vec![
            "0\r\n\r\n".to_owned(),
            format!("0{signed}\r\n\r\n"),
            format!("5{signed}\r\nhello\r\n0{signed}\r\n\r\n"),
            "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n".to_owned(),
            "A\r\n0\r\n\r\nABCDE\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n".to_owned(),
            "5\r\nhello\r\n0\r\nx-amz-checksum-crc32c:AAAAAA==\n\r\n\r\n".to_owned(),
            format!(
                "00000005{signed}\r\nhello\r\n0{signed}\r\nx-amz-checksum-sha1:AA==\r\n\
                 x-amz-trailer-signature:{SIG}\r\n\r\n"
            ),
            format!(
                "1{signed}\r\na\r\n1{signed}\r\nb\r\n0{signed}\r\nx-amz-checksum-crc32c:AA==\n\r\n\
                 x-amz-trailer-signature:{SIG}\r\n\r\n"
            ),
        ]
    }

    #[test]
    fn whole_bodies_are_whole() {
        for body in good() {
            assert_eq!(whole(body.as_bytes()), Ok(()), "{body:?}");
        }
    }

    #[test]
    fn every_truncation_is_short() {
        for body in good() {
            for end in 0..body.len() {
                let cut = &body.as_bytes()[..end];
                assert_eq!(whole(cut), Err(BodyError::Short), "{:?}", &body[..end]);
            }
        }
    }

    #[test]
    fn broken_framing_is_broken() {
        let long = format!("5;chunk-signature={SIG}0\r\nhello\r\n0\r\n\r\n");
        let endless = "1".repeat(200);
        let trailer = format!("0\r\n{}\r\n\r\n", "a:b\r\n".repeat(2000));
        for bad in [
            "g\r\n\r\n",
            "\r\nhello",
            "-5\r\nhello\r\n0\r\n\r\n",
            "+5\r\nhello\r\n0\r\n\r\n",
            "5 \r\nhello\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "5\nhello\r\n0\r\n\r\n",
            "5\r\nhello!\r\n0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5;chunk-signature=00\r\nhello\r\n0\r\n\r\n",
            "5;other=1\r\nhello\r\n0\r\n\r\n",
            "000000000\r\n\r\n",
            "000000001\r\na\r\n0\r\n\r\n",
            &long,
            &endless,
            &trailer,
        ] {
            assert_eq!(whole(bad.as_bytes()), Err(BodyError::Framing), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn cuts_between_frames_change_nothing(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..6),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                body.extend(chunk);
                body.extend(b"\r\n");
            }
            body.extend(b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n");
            let mut at: Vec<usize> = cuts.iter().map(|i| i.index(body.len())).collect();
            at.extend([0, body.len()]);
            at.sort_unstable();
            let mut framing = Framing::new();
            for pair in at.windows(2) {
                framing.feed(&body[pair[0]..pair[1]]);
            }
            prop_assert_eq!(framing.finish(), Ok(()));
            for end in 0..body.len() {
                prop_assert_eq!(whole(&body[..end]), Err(BodyError::Short));
            }
        }

        #[test]
        fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut framing = Framing::new();
            framing.feed(&bytes);
            let _verdict: Result<(), BodyError> = framing.finish();
        }
    }
}
