//! No request goes unrecorded because its client went away.
//!
//! When a client hangs up, or its time is over, the server drops the request wherever it stands;
//! its record may be half on its way. So what is left of it goes on by itself, until the log has
//! it and not a step further.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::scope::{Recorder, Scope};
use crate::vault::Turned;

/// How long the rest of an abandoned request may take until it is recorded: longer than the log
/// may keep a record waiting. Then it is recorded as what it is.
const REST: Duration = Duration::from_secs(30);

/// A request that is recorded even if it is dropped.
pub(super) struct Unbroken<T: 'static> {
    rest: Option<BoxFuture<'static, T>>,
    scope: Arc<Scope>,
    recorder: Arc<dyn Recorder>,
}

impl<T: 'static> Unbroken<T> {
    /// Serves the request of this scope.
    pub(super) fn new(
        scope: Arc<Scope>,
        recorder: Arc<dyn Recorder>,
        serving: impl Future<Output = T> + Send + 'static,
    ) -> Self {
        Self {
            rest: Some(Box::pin(serving)),
            scope,
            recorder,
        }
    }
}

impl<T: 'static> Future for Unbroken<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(rest) = &mut self.rest else {
            return Poll::Pending;
        };
        let answer = rest.as_mut().poll(context);
        if answer.is_ready() {
            self.rest = None;
        }
        answer
    }
}

impl<T: 'static> Drop for Unbroken<T> {
    fn drop(&mut self) {
        let Some(mut rest) = self.rest.take() else {
            return;
        };
        if self.scope.is_recorded() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            tracing::error!("a request was dropped outside of the server");
            return;
        };
        let (scope, recorder) = (Arc::clone(&self.scope), Arc::clone(&self.recorder));
        drop(runtime.spawn(async move {
            let until_recorded = poll_fn(|context| match rest.as_mut().poll(context) {
                // What would have been answered is nobody's any more.
                Poll::Ready(_answer) => Poll::Ready(()),
                Poll::Pending if scope.is_recorded() => Poll::Ready(()),
                Poll::Pending => Poll::Pending,
            });
            let late = tokio::time::timeout(REST, until_recorded).await.is_err();
            drop(rest);
            if late && !scope.is_recorded() {
                record(&*recorder, &scope).await;
            }
        }));
    }
}

async fn record(recorder: &dyn Recorder, scope: &Scope) {
    let turned = Turned {
        bucket: None,
        key: None,
        status: 408,
        reason: "abandoned",
    };
    if let Err(error) = recorder.record(&scope.call(), turned).await {
        tracing::warn!(reason = %error.reason(), "an abandoned request could not be recorded");
    }
}
