//! What the library gathers takes room of its caller, as it comes.

use std::io;

use futures_util::stream::{self, BoxStream};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::task::JoinHandle;

use super::*;
use crate::types::limits;

type Stalling = StreamBody<BoxStream<'static, Result<Frame<Bytes>, io::Error>>>;

/// A deletion of which so many bytes come, and then its end or nothing.
fn deletion(key: &'static str, bytes: usize, ends: bool) -> Request<Stalling> {
    let mut body = b"<Delete><Object><Key>a</Key></Object></Delete>".to_vec();
    let blanks = bytes.saturating_sub(body.len());
    body.splice(8..8, std::iter::repeat_n(b' ', blanks));
    let signing = Signing {
        key,
        ..signing("UNSIGNED-PAYLOAD")
    };
    let whole = request("POST", "/b--d?delete", &[], &body);
    let (parts, _) = signed(whole, &signing).into_parts();
    let frames = stream::iter([Ok(Frame::data(Bytes::from(body)))]);
    let rest = stream::pending().take(usize::from(!ends));
    Request::from_parts(parts, StreamBody::new(frames.chain(rest).boxed()))
}

/// Deletions of one caller, which stay; those that are not turned away.
async fn hold(edge: &S3Edge, bodies: usize, bytes: usize) -> Vec<JoinHandle<(u16, String)>> {
    let crowd = (0..bodies).map(|_| {
        let (edge, stalled) = (edge.clone(), deletion(KEY, bytes, false));
        tokio::spawn(async move { read(edge.serve(stalled).await).await })
    });
    #[expect(
        clippy::needless_collect,
        reason = "all of them begin before one looks"
    )]
    let crowd: Vec<_> = crowd.collect();
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    let (turned, held): (Vec<_>, Vec<_>) = crowd.into_iter().partition(JoinHandle::is_finished);
    for turned in turned {
        let (status, text) = turned.await.unwrap();
        assert_eq!(status, 503, "{text}");
        assert!(text.contains("<Code>SlowDown</Code>"), "{text}");
    }
    held
}

#[tokio::test]
async fn many_short_bodies_of_one_caller_take_room() {
    let (edge, _log) = edge();
    let short = limits::XML_SHORT_BYTES_MAX / 2;
    let free = limits::SHORT_BODIES_MAX / limits::SHORT_BODIES_PART;
    let fit = limits::GATHERED_XML_BYTES_MAX / limits::GATHERED_PART / (2 * short);
    let held = hold(&edge, free + fit + 100, short).await;
    assert_eq!(held.len(), free + fit);
    let asked = async |key, bytes| read(edge.serve(deletion(key, bytes, true)).await).await.0;
    assert_eq!(asked(KEY, 100).await, 503);
    assert_eq!(asked(OTHER, short).await, 200);
    for held in held {
        held.abort();
    }
}

#[tokio::test]
async fn one_callers_bodies_keep_nobody_else_out() {
    let (edge, _log) = edge();
    let most = limits::XML_BODY_BYTES_MAX;
    let fit = limits::GATHERED_XML_BYTES_MAX / limits::GATHERED_PART / (2 * most);
    let held = hold(&edge, fit + 4, most).await;
    assert_eq!(held.len(), fit);
    let asked = async |key, bytes| read(edge.serve(deletion(key, bytes, true)).await).await.0;
    assert_eq!(asked(KEY, most / 2).await, 503);
    assert_eq!(asked(KEY, limits::XML_SHORT_BYTES_MAX / 2).await, 200);
    assert_eq!(asked(OTHER, most).await, 200);
    for held in held {
        held.abort();
    }
}
