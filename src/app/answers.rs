//! Which bytes of a connection are answers: an HTTP/2 peer can have this side write control frames
//! for ever, an acknowledgement for each PING, and none of them is progress.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pace::Pace;

/// A frame's head: length(3) type(1) flags(1) stream(4) (RFC 9113, section 4.1).
const FRAME_HEAD_BYTES: u32 = 9;
/// Frames that carry answers: DATA, HEADERS, CONTINUATION.
const ANSWERS: [u8; 3] = [0, 1, 9];

/// What is spoken on a connection, as far as what was written shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoken {
    /// Nothing was written yet.
    Unknown,
    /// HTTP/1: every byte is of an answer.
    Http1,
    /// HTTP/2, in the middle of a frame or between two.
    Http2(Frame),
}

/// Where in a frame the writer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    /// Bytes of its head that were written.
    head: u32,
    /// Bytes of its payload that are still to come; while the head is written, as far as known.
    left: u32,
    /// Whether it carries an answer.
    answer: bool,
}

impl Frame {
    const START: Self = Self {
        head: 0,
        left: 0,
        answer: false,
    };
}

impl Spoken {
    /// Follows what is written; how many bytes of it are of answers.
    fn follow(&mut self, bytes: &[u8]) -> u64 {
        let Some(first) = bytes.first() else {
            return 0;
        };
        if *self == Self::Unknown {
            // A server of HTTP/2 begins with a short SETTINGS, one of HTTP/1 with its name.
            *self = match first {
                0 => Self::Http2(Frame::START),
                _ => Self::Http1,
            };
        }
        match self {
            Self::Unknown => 0,
            Self::Http1 => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::Http2(frame) => frame.follow(bytes),
        }
    }
}

impl Frame {
    fn follow(&mut self, mut bytes: &[u8]) -> u64 {
        let mut answers = 0u64;
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.head < FRAME_HEAD_BYTES {
                match self.head {
                    0..3 => self.left = (self.left << 8) | u32::from(byte),
                    3 => self.answer = ANSWERS.contains(&byte),
                    _ => {}
                }
                self.head = self.head.saturating_add(1);
                bytes = rest;
            } else {
                let here = bytes
                    .len()
                    .min(usize::try_from(self.left).unwrap_or(usize::MAX));
                let taken = u32::try_from(here).unwrap_or(u32::MAX);
                self.left = self.left.saturating_sub(taken);
                if self.answer {
                    answers = answers.saturating_add(u64::from(taken));
                }
                bytes = bytes.get(here..).unwrap_or_default();
            }
            if self.head == FRAME_HEAD_BYTES && self.left == 0 {
                *self = Self::START;
            }
        }
        answers
    }
}

/// What a server writes, above TLS: tells the pace how much of it is answers, before the socket
/// below takes any.
pub(super) struct AnswersIo<T> {
    inner: T,
    pace: Arc<Pace>,
    spoken: Spoken,
}

impl<T> AnswersIo<T> {
    pub(super) const fn new(inner: T, pace: Arc<Pace>) -> Self {
        Self {
            inner,
            pace,
            spoken: Spoken::Unknown,
        }
    }

    /// Announces the answers among what is to be written; where that ends, if all of it is.
    fn announce<'b>(&self, slices: impl Iterator<Item = &'b [u8]>) -> (u64, Spoken) {
        let mut spoken = self.spoken;
        let answers = slices.map(|slice| spoken.follow(slice)).sum();
        self.pace.owe(answers);
        (answers, spoken)
    }

    /// Takes back what was announced and not written.
    fn settle<'b>(
        &mut self,
        (announced, end): (u64, Spoken),
        polled: &Poll<io::Result<usize>>,
        slices: impl Iterator<Item = &'b [u8]> + Clone,
    ) {
        let written = match polled {
            Poll::Ready(Ok(written)) => *written,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        };
        if written == slices.clone().map(<[u8]>::len).sum::<usize>() {
            self.spoken = end;
            return;
        }
        let mut left = written;
        let mut answers = 0u64;
        for slice in slices {
            let part = slice.get(..left.min(slice.len())).unwrap_or_default();
            answers = answers.saturating_add(self.spoken.follow(part));
            left = left.saturating_sub(part.len());
        }
        self.pace.owe_less(announced.saturating_sub(answers));
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for AnswersIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, out)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for AnswersIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let announced = self.announce(std::iter::once(bytes));
        let polled = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.settle(announced, &polled, std::iter::once(bytes));
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let announced = self.announce(slices.iter().map(|slice| &**slice));
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.settle(announced, &polled, slices.iter().map(|slice| &**slice));
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of `kind` with `len` bytes.
    fn frame(kind: u8, len: usize) -> Vec<u8> {
        let size = u32::try_from(len).unwrap().to_be_bytes();
        let mut frame = vec![size[1], size[2], size[3], kind, 0, 0, 0, 0, 1];
        frame.resize(9 + len, 0);
        frame
    }

    #[test]
    fn all_of_http1_is_answers() {
        let mut spoken = Spoken::Unknown;
        assert_eq!(spoken.follow(b"HTTP/1.1 200 OK\r\n"), 17);
        assert_eq!(spoken.follow(&[0; 5]), 5);
        assert_eq!(spoken, Spoken::Http1);
    }

    #[test]
    fn of_http2_answers_are_heads_and_data() {
        let mut spoken = Spoken::Unknown;
        // SETTINGS, its acknowledgement, WINDOW_UPDATE, PING, RST_STREAM, GOAWAY.
        for (kind, len) in [(4, 30), (4, 0), (8, 4), (6, 8), (3, 4), (7, 8)] {
            assert_eq!(spoken.follow(&frame(kind, len)), 0, "{kind}");
        }
        for (kind, len) in [(1, 100), (9, 20), (0, 16_384), (0, 0)] {
            let len_counted = u64::try_from(len).unwrap();
            assert_eq!(spoken.follow(&frame(kind, len)), len_counted, "{kind}");
        }
        assert_eq!(spoken, Spoken::Http2(Frame::START));
    }

    #[test]
    fn it_is_the_same_however_the_bytes_are_cut() {
        let mut all = frame(4, 6);
        for (kind, len) in [(6, 8), (1, 40), (0, 70_000), (6, 8), (0, 1), (4, 0)] {
            all.extend(frame(kind, len));
        }
        for cut in [1, 2, 3, 8, 9, 10, 17, 1000, all.len()] {
            let mut spoken = Spoken::Unknown;
            let counted: u64 = all.chunks(cut).map(|part| spoken.follow(part)).sum();
            assert_eq!(counted, 70_041, "pieces of {cut}");
        }
    }

    #[test]
    fn nothing_written_says_nothing() {
        let mut spoken = Spoken::Unknown;
        assert_eq!(spoken.follow(&[]), 0);
        assert_eq!(spoken, Spoken::Unknown);
    }
}
