//! Bodies between the library's streams and the vault's: lengths are exact in both directions, and
//! an error cuts the stream instead of ending it.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use s3s::dto::StreamingBlob;
use s3s::stream::aws_chunked_stream::AwsChunkedStreamError;
use s3s::stream::upload_stream::UploadStreamError;
use s3s::stream::{ByteStream, RemainingLength};
use s3s::{BodySizeLimitExceeded, StdError};

use super::watch::RawBodyError;
use crate::vault::{BodyChecks, BodyError, Input, PlainBody, VaultError};

/// Wraps a request's decoded body for the vault.
pub(super) fn input(blob: Option<StreamingBlob>, bytes: u64, checks: BodyChecks) -> Input {
    let inner = blob.unwrap_or_else(|| StreamingBlob::from(Bytes::new()));
    Input {
        bytes,
        body: Box::pin(Decoded {
            inner,
            left: bytes,
            over: false,
        }),
        checks,
    }
}

/// A decoded body of an announced length.
struct Decoded {
    inner: StreamingBlob,
    left: u64,
    over: bool,
}

impl Stream for Decoded {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.over {
            return Poll::Ready(None);
        }
        let item = match ready!(Pin::new(&mut this.inner).poll_next(cx)) {
            None if this.left == 0 => None,
            None => Some(Err(BodyError::Short)),
            Some(Err(error)) => Some(Err(body_error(error.as_ref()))),
            Some(Ok(bytes)) => Some(match less(this.left, &bytes) {
                None => Err(BodyError::Framing),
                Some(left) => {
                    this.left = left;
                    Ok(bytes)
                }
            }),
        };
        this.over = !matches!(item, Some(Ok(_)));
        Poll::Ready(item)
    }
}

/// `left` less the length of `bytes`; `None` when they are more.
fn less(left: u64, bytes: &Bytes) -> Option<u64> {
    left.checked_sub(u64::try_from(bytes.len()).ok()?)
}

/// What an error of the body means: the first cause in its chain that says.
fn body_error(error: &(dyn Error + 'static)) -> BodyError {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(raw) = error.downcast_ref::<RawBodyError>() {
            return match raw {
                RawBodyError::Stalled => BodyError::Stalled,
                RawBodyError::Broken(_) | RawBodyError::Full => BodyError::Short,
                RawBodyError::TooLarge => BodyError::Framing,
            };
        }
        if let Some(chunked) = error.downcast_ref::<AwsChunkedStreamError>() {
            match chunked {
                AwsChunkedStreamError::Underlying(_) => {}
                AwsChunkedStreamError::SignatureMismatch => return BodyError::Signature,
                AwsChunkedStreamError::Incomplete => return BodyError::Short,
                AwsChunkedStreamError::FormatError
                | AwsChunkedStreamError::LengthMismatch
                | AwsChunkedStreamError::ChunkMetaTooLarge(..)
                | AwsChunkedStreamError::ChunkDataTooLarge(..)
                | AwsChunkedStreamError::TrailersTooLarge(..)
                | AwsChunkedStreamError::TooManyTrailerHeaders(..) => return BodyError::Framing,
            }
        }
        if let Some(upload) = error.downcast_ref::<UploadStreamError>() {
            match upload {
                UploadStreamError::Underlying(_) => {}
                UploadStreamError::Sha256Mismatch => return BodyError::PayloadHash,
                UploadStreamError::LengthMismatch => return BodyError::Framing,
                UploadStreamError::Incomplete => return BodyError::Short,
            }
        }
        if error.is::<BodySizeLimitExceeded>() {
            return BodyError::Framing;
        }
        next = error.source();
    }
    BodyError::Short
}

/// A response's stream did not keep to its length. At fault: the vault.
#[derive(Debug, thiserror::Error)]
#[error("the object's stream is not as long as the object")]
struct WrongLength;

/// Wraps an object's plaintext as a response body of exactly `bytes` bytes.
pub(super) fn output(body: PlainBody, bytes: u64) -> StreamingBlob {
    StreamingBlob::new(Plain {
        inner: body,
        left: bytes,
        last: None,
        over: false,
    })
}

/// Reads the end of a stream of no bytes, so that its record is completed.
pub(super) async fn drain_empty(mut body: PlainBody) -> Result<(), VaultError> {
    use futures_util::StreamExt as _;
    while let Some(piece) = body.next().await {
        let _nothing: Bytes = piece?;
    }
    Ok(())
}

/// **The last piece is withheld until the inner stream has confirmed its end**, so that a client
/// never holds a body of the right length whose end did not authenticate.
struct Plain {
    inner: PlainBody,
    left: u64,
    last: Option<Bytes>,
    over: bool,
}

impl Plain {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, StdError>>> {
        loop {
            match ready!(self.inner.as_mut().poll_next(cx)) {
                None if self.left == 0 => return Poll::Ready(self.last.take().map(Ok)),
                None => return Poll::Ready(Some(Err(Box::new(WrongLength)))),
                Some(Err(error)) => return Poll::Ready(Some(Err(Box::new(error)))),
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => match less(self.left, &piece) {
                    None => return Poll::Ready(Some(Err(Box::new(WrongLength)))),
                    Some(0) => {
                        self.left = 0;
                        self.last = Some(piece);
                    }
                    Some(left) => {
                        self.left = left;
                        return Poll::Ready(Some(Ok(piece)));
                    }
                },
            }
        }
    }
}

impl Stream for Plain {
    type Item = Result<Bytes, StdError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.over {
            return Poll::Ready(None);
        }
        let item = ready!(this.poll_piece(cx));
        this.over = !matches!(item, Some(Ok(_))) || (this.left == 0 && this.last.is_none());
        Poll::Ready(item)
    }
}

impl ByteStream for Plain {
    fn remaining_length(&self) -> RemainingLength {
        let withheld = self.last.as_ref().map_or(0, Bytes::len);
        usize::try_from(self.left).map_or_else(
            |_too_long| RemainingLength::unknown(),
            |left| RemainingLength::new_exact(left.saturating_add(withheld)),
        )
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};

    use super::*;
    use crate::vault::ErrorKind;

    fn pieces(texts: &[&'static str]) -> Vec<Result<Bytes, VaultError>> {
        texts
            .iter()
            .map(|text| Ok(Bytes::from_static(text.as_bytes())))
            .collect()
    }

    async fn sent(items: Vec<Result<Bytes, VaultError>>, bytes: u64) -> (Vec<u8>, bool) {
        let mut blob = output(Box::pin(stream::iter(items)), bytes);
        let mut out = Vec::new();
        while let Some(item) = blob.next().await {
            match item {
                Ok(piece) => out.extend(piece),
                Err(_) => return (out, false),
            }
        }
        (out, true)
    }

    #[tokio::test]
    async fn an_object_is_sent_whole() {
        assert_eq!(
            sent(pieces(&["he", "", "llo"]), 5).await,
            (b"hello".to_vec(), true)
        );
        assert_eq!(sent(pieces(&[]), 0).await, (Vec::new(), true));
    }

    #[tokio::test]
    async fn the_last_piece_waits_for_the_end() {
        let mut items = pieces(&["he", "llo"]);
        items.push(Err(VaultError::new(
            ErrorKind::Integrity,
            "no last segment",
        )));
        assert_eq!(sent(items, 5).await, (b"he".to_vec(), false));
        assert_eq!(
            sent(pieces(&["he", "llo", "!"]), 5).await,
            (b"he".to_vec(), false)
        );
        assert_eq!(sent(pieces(&["he"]), 5).await, (b"he".to_vec(), false));
        assert_eq!(sent(pieces(&["hello!"]), 5).await, (Vec::new(), false));
    }

    #[tokio::test]
    async fn the_length_is_exact_until_the_end() {
        let mut blob = output(Box::pin(stream::iter(pieces(&["he", "llo"]))), 5);
        assert_eq!(blob.remaining_length().exact(), Some(5));
        let _two: Option<Result<Bytes, StdError>> = blob.next().await;
        assert_eq!(blob.remaining_length().exact(), Some(3));
        let _three: Option<Result<Bytes, StdError>> = blob.next().await;
        assert_eq!(blob.remaining_length().exact(), Some(0));
    }

    async fn taken(texts: &[&'static str], bytes: u64) -> Result<Vec<u8>, BodyError> {
        let items: Vec<Result<Bytes, UploadStreamError>> = texts
            .iter()
            .map(|text| Ok(Bytes::from_static(text.as_bytes())))
            .collect();
        let blob = StreamingBlob::wrap(stream::iter(items));
        let mut input = input(Some(blob), bytes, BodyChecks::default());
        let mut out = Vec::new();
        while let Some(item) = input.body.next().await {
            out.extend(item?);
        }
        Ok(out)
    }

    #[tokio::test]
    async fn a_request_body_has_its_announced_length() {
        assert_eq!(taken(&["he", "llo"], 5).await, Ok(b"hello".to_vec()));
        assert_eq!(taken(&[], 0).await, Ok(Vec::new()));
        assert_eq!(taken(&["hell"], 5).await, Err(BodyError::Short));
        assert_eq!(taken(&["hello", "!"], 5).await, Err(BodyError::Framing));
    }

    #[test]
    fn causes_are_found_at_any_depth() {
        let inner: StdError = Box::new(RawBodyError::Stalled);
        let deep: StdError = Box::new(AwsChunkedStreamError::Underlying(inner));
        let deeper = UploadStreamError::Underlying(deep);
        assert_eq!(body_error(&deeper), BodyError::Stalled);
        for (error, expected) in [
            (
                AwsChunkedStreamError::SignatureMismatch,
                BodyError::Signature,
            ),
            (AwsChunkedStreamError::Incomplete, BodyError::Short),
            (AwsChunkedStreamError::LengthMismatch, BodyError::Framing),
            (
                AwsChunkedStreamError::ChunkDataTooLarge(9, 1),
                BodyError::Framing,
            ),
        ] {
            assert_eq!(body_error(&error), expected);
        }
        assert_eq!(
            body_error(&UploadStreamError::Sha256Mismatch),
            BodyError::PayloadHash
        );
        assert_eq!(body_error(&std::fmt::Error), BodyError::Short);
    }
}
