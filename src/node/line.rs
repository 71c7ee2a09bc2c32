//! Connections to one server, kept between requests.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::GatewayError;
use crate::store::s3::Dialer;
use crate::types::limits;

/// A connection.
type Line = SendRequest<Full<Bytes>>;
/// Takes a body's next piece; an error ends the request.
pub(super) type Take<'a> = &'a mut (dyn FnMut(&[u8]) -> Result<(), GatewayError> + Send);

/// How patient one try is.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// With a connection.
    pub(super) dial: Duration,
    /// With the head of an answer.
    pub(super) head: Duration,
    /// With nothing coming of a body.
    pub(super) idle: Duration,
}

/// Connections to one server.
pub(super) struct Lines {
    dialer: Dialer,
    idle: Mutex<Vec<Line>>,
    permits: Semaphore,
    patience: Patience,
}

/// Whether so many bytes in this time are fewer than come from a server that means to answer: a
/// byte now and then would hold who waits for it for ever.
fn drips(elapsed: Duration, idle: Duration, bytes: usize) -> bool {
    let millis = bytes.saturating_mul(1_000) / limits::NODE_PACE_BYTES;
    let due = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
    elapsed > idle.saturating_add(due)
}

fn broken(error: &dyn std::fmt::Display) -> GatewayError {
    GatewayError::Unreachable(error.to_string())
}

impl Lines {
    /// At most so many at once.
    pub(super) fn new(dialer: Dialer, most: usize, patience: Patience) -> Self {
        Self {
            dialer,
            idle: Mutex::default(),
            permits: Semaphore::new(most),
            patience,
        }
    }

    /// Waits so long for the head of an answer.
    pub(super) const fn wait(&mut self, head: Duration) {
        self.patience.head = head;
    }

    /// The `Host` header.
    pub(super) fn authority(&self) -> &str {
        self.dialer.authority()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Line>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One request, made anew for each connection that is tried: its answer's body, piece by piece.
    /// `judge` sees the head, and has the body where it refuses the answer.
    pub(super) async fn read<J: Future<Output = GatewayError> + Send>(
        &self,
        make: &(dyn Fn() -> Result<Request<Full<Bytes>>, GatewayError> + Sync),
        judge: impl Fn(Response<Incoming>) -> Result<Response<Incoming>, J> + Send,
        take: Take<'_>,
    ) -> Result<(), GatewayError> {
        let permit = self.permits.acquire().await;
        let _permit = permit.map_err(|error| broken(&error))?;
        let (mut line, answer) = Box::pin(self.send(make)).await?;
        let mut body = match judge(answer) {
            Ok(answer) => answer.into_body(),
            Err(refused) => return Err(refused.await),
        };
        let idle = self.patience.idle;
        let (began, mut bytes) = (Instant::now(), 0_usize);
        while let Some(frame) = timeout(idle, body.frame())
            .await
            .map_err(|error| broken(&error))?
        {
            let frame = frame.map_err(|error| broken(&error))?;
            if let Some(piece) = frame.data_ref() {
                take(piece)?;
                bytes = bytes.saturating_add(piece.len());
            }
            if drips(began.elapsed(), idle, bytes) {
                return Err(broken(&"the answer comes too slowly"));
            }
        }
        if timeout(idle, line.ready())
            .await
            .is_ok_and(|ready| ready.is_ok())
        {
            self.idle().push(line);
        }
        Ok(())
    }

    async fn send(
        &self,
        make: &(dyn Fn() -> Result<Request<Full<Bytes>>, GatewayError> + Sync),
    ) -> Result<(Line, Response<Incoming>), GatewayError> {
        loop {
            let kept = self.idle().pop();
            let reused = kept.is_some();
            let mut line = match kept {
                Some(line) => line,
                None => self.dial().await?,
            };
            match timeout(self.patience.head, line.send_request(make()?)).await {
                Ok(Ok(answer)) => return Ok((line, answer)),
                // A server that was restarted has closed what was idle.
                Ok(Err(_closed)) if reused => {}
                Ok(Err(error)) => return Err(broken(&error)),
                Err(error) => return Err(broken(&error)),
            }
        }
    }

    async fn dial(&self) -> Result<Line, GatewayError> {
        let dialed = self.dialer.dial(Arc::new(AtomicU64::new(0)));
        let wire = timeout(self.patience.dial, dialed).await;
        let wire = wire.map_err(|error| broken(&error))?;
        let wire = wire.map_err(|error| broken(&error))?;
        let made = http1::Builder::new()
            .max_buf_size(limits::NODE_WIRE_BUFFER_BYTES)
            .handshake(TokioIo::new(wire))
            .await;
        let (line, connection) = made.map_err(|error| broken(&error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
        });
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_drips_is_left_and_who_is_slow_is_waited_for() {
        let idle = Duration::from_secs(20);
        let pace = limits::NODE_PACE_BYTES;
        for (elapsed, bytes, expected) in [
            (19, 0, false),
            (21, 1, true),
            (3_600, 190, true),
            (60, 40 * pace, false),
            (61, 40 * pace, true),
            (3_600, 3_600 * pace, false),
            (u64::from(u32::MAX), usize::MAX, false),
        ] {
            let told = drips(Duration::from_secs(elapsed), idle, bytes);
            assert_eq!(told, expected, "{bytes} bytes in {elapsed} s");
        }
    }
}
