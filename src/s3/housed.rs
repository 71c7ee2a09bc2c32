//! A body that the library gathers before its handler sees anything: its bytes take room of its
//! caller as they come, until the request is over.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::room::Room;
use super::scope::Scope;
use super::watch::{BoxError, RawBodyError};

/// Where the room is, and who keeps the place.
pub(super) struct Housing {
    /// The room for all such bodies.
    pub(super) room: Arc<Room>,
    /// The request.
    pub(super) scope: Arc<Scope>,
    /// How often each byte is held.
    pub(super) copies: usize,
}

/// See the module.
pub(super) struct Housed<B> {
    inner: B,
    housing: Option<Housing>,
}

impl<B> Housed<B> {
    /// A body with room of its own, or one that needs none since nobody gathers it.
    pub(super) const fn new(inner: B, housing: Option<Housing>) -> Self {
        Self { inner, housing }
    }

    /// Whose bytes they are is known here: nothing is gathered before the signature was checked.
    fn take(&self, bytes: usize) -> Result<(), RawBodyError> {
        let Some(housing) = &self.housing else {
            return Ok(());
        };
        let held = bytes.saturating_mul(housing.copies);
        let taken = housing.scope.house(&housing.room, held);
        taken.map_err(|_full| RawBodyError::Full)
    }
}

impl<B> Body for Housed<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_frame(cx);
        polled.map(|frame| {
            let frame = match frame? {
                Ok(frame) => frame,
                Err(error) => return Some(Err(error.into())),
            };
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            Some(this.take(bytes).map(|()| frame).map_err(Into::into))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
