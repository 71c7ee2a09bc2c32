//! The loop: read, send, keep the cursor; wait and try again where a receiver does not take it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{Batch, Follow, StreamError};
use crate::journal::Request;
use crate::types::Timestamp;
use crate::types::limits::{
    STREAM_BATCH_REQUESTS, STREAM_LOOK_MS, STREAM_RETRY_MS_MAX, STREAM_RETRY_MS_MIN,
};

/// Why a receiver did not take something, in words for the operator: no secret, nothing of a record.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[error("{0}")]
pub struct Refused(pub String);

/// Somebody who takes requests.
#[async_trait]
pub trait Receiver: Send + 'static {
    /// Hands over requests, [`STREAM_BATCH_REQUESTS`] at most. **When it says `Ok`, the receiver
    /// has them**; otherwise they come again. It must end in bounded time.
    async fn take(&mut self, requests: &[Request]) -> Result<(), Refused>;
}

/// What is told of a stream's life.
pub trait Told: Send + Sync + 'static {
    /// So many requests were taken; the newest came into the log at `time`.
    fn taken(&self, requests: usize, time: Timestamp);
    /// What came into the log at `time` waits to be taken.
    fn waiting(&self, time: Timestamp);
    /// Nothing is waiting.
    fn idle(&self);
    /// It was not taken, or the log could not be read.
    fn failed(&self, why: &str);
    /// So many records could not be read any more, and were not sent.
    fn lost(&self, records: u64);
}

/// Follows a log until it is aborted.
pub async fn run(
    follow: Follow,
    cursor: PathBuf,
    mut receiver: Box<dyn Receiver>,
    told: Arc<dyn Told>,
) {
    let follow = Arc::new(Mutex::new(follow));
    loop {
        let next = read(&follow).await;
        let batch = match next {
            Ok(Some(batch)) => batch,
            Ok(None) => {
                told.idle();
                tokio::time::sleep(Duration::from_millis(STREAM_LOOK_MS)).await;
                continue;
            }
            Err(error) => {
                told.failed(&error.to_string());
                tokio::time::sleep(Duration::from_millis(STREAM_RETRY_MS_MAX)).await;
                continue;
            }
        };
        if batch.lost > 0 {
            told.lost(batch.lost);
        }
        told.waiting(batch.time);
        hand_over(&batch, &mut *receiver, &*told).await;
        let place = batch.cursor.clone();
        let path = cursor.clone();
        let kept = tokio::task::spawn_blocking(move || place.write(&path)).await;
        match kept {
            Ok(Ok(())) => told.taken(batch.requests.len(), batch.time),
            Ok(Err(error)) => told.failed(&error.to_string()),
            Err(died) => told.failed(&died.to_string()),
        }
    }
}

async fn read(follow: &Arc<Mutex<Follow>>) -> Result<Option<Batch>, StreamError> {
    let follow = Arc::clone(follow);
    let read = tokio::task::spawn_blocking(move || {
        let mut follow = follow.lock().unwrap_or_else(PoisonError::into_inner);
        follow.next()
    });
    read.await
        .unwrap_or_else(|died| Err(StreamError::Disk(std::io::Error::other(died))))
}

/// Sends a batch, piece by piece, each until it is taken.
async fn hand_over(batch: &Batch, receiver: &mut dyn Receiver, told: &dyn Told) {
    for piece in batch.requests.chunks(STREAM_BATCH_REQUESTS) {
        let mut wait = STREAM_RETRY_MS_MIN;
        while let Err(why) = receiver.take(piece).await {
            told.failed(&why.0);
            tokio::time::sleep(Duration::from_millis(wait)).await;
            wait = wait.saturating_mul(2).min(STREAM_RETRY_MS_MAX);
        }
    }
}
