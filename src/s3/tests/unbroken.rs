//! A request that is dropped is recorded all the same, and once.

use std::task::Poll;

use futures_util::{FutureExt as _, future, poll, stream};
use http_body::Frame;
use http_body_util::StreamBody;

use super::*;
use crate::ledger::AuthMethod;
use crate::s3::scope::{Origin, Scope, Sessions};
use crate::s3::unbroken::Unbroken;
use crate::s3::watch::{Watch, WatchFor};

fn scope(log: &Arc<Log>) -> Arc<Scope> {
    let (mut parts, ()) = Request::new(()).into_parts();
    let watch = Watch::new(WatchFor {
        announced: None,
        chunked: false,
        keep: false,
        idle: Duration::from_secs(30),
        within: None,
    });
    let origin = Origin::of(&mut parts, &"gateway-test".into());
    let sessions = Arc::new(Sessions::default());
    Scope::begin(&**log, "GET", origin, &sessions, &watch).unwrap()
}

/// Lets the other tasks of this thread go on.
async fn others() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_rest_goes_on_until_the_log_has_it_and_no_further() {
    let log = Arc::new(Log::default());
    let scope = scope(&log);
    let call = scope.call();
    assert_eq!(call.session.auth, AuthMethod::None);
    let (further, none) = tokio::sync::oneshot::channel::<()>();
    let recorder: Arc<dyn Recorder> = Arc::<Log>::clone(&log);
    let mut serving = Unbroken::new(Arc::clone(&scope), recorder, async move {
        tokio::task::yield_now().await;
        call.recorded.store(true, Ordering::Release);
        tokio::task::yield_now().await;
        further.send(()).unwrap();
    });
    assert!(poll!(&mut serving).is_pending());
    drop(serving);
    assert!(!scope.is_recorded());
    others().await;
    assert!(scope.is_recorded());
    // Its sender was dropped, not used.
    assert!(matches!(none.now_or_never(), Some(Err(_))));
    assert!(log.records.lock().unwrap().is_empty(), "no second record");
}

#[tokio::test(start_paused = true)]
async fn what_never_comes_to_a_record_gets_one() {
    let (edge, log) = edge();
    // The library reads the XML before the use case begins, and it never comes.
    let uri = "/b--d?delete";
    let whole = request("POST", uri, &[("content-length", "500")], b"");
    let (parts, _) = signed(whole, &signing("UNSIGNED-PAYLOAD")).into_parts();
    let endless = stream::pending::<Result<Frame<Bytes>, std::io::Error>>();
    let body = StreamBody::new(Box::pin(endless));
    let mut serving = Box::pin(edge.serve(Request::from_parts(parts, body)));
    for _ in 0..20 {
        assert!(poll!(serving.as_mut()).is_pending());
        tokio::task::yield_now().await;
    }
    drop(serving);
    assert!(log.records.lock().unwrap().is_empty());
    tokio::time::sleep(Duration::from_mins(2)).await;
    let records = std::mem::take(&mut *log.records.lock().unwrap());
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0].principal.as_deref(), Some("anna"));
}

#[tokio::test]
async fn what_was_answered_or_recorded_is_left_alone() {
    let log = Arc::new(Log::default());
    let recorder: Arc<dyn Recorder> = Arc::<Log>::clone(&log);
    let answered = Unbroken::new(scope(&log), Arc::clone(&recorder), future::ready(7));
    assert_eq!(answered.await, 7);
    let served = scope(&log);
    served.call().recorded.store(true, Ordering::Release);
    let held = Arc::new(());
    let own = Arc::clone(&held);
    let mut serving = Unbroken::new(served, recorder, async move {
        future::poll_fn(|_| Poll::<()>::Pending).await;
        drop(own);
    });
    assert!(poll!(&mut serving).is_pending());
    drop(serving);
    assert_eq!(Arc::strong_count(&held), 1, "dropped at once");
    others().await;
    assert!(log.records.lock().unwrap().is_empty());
}
