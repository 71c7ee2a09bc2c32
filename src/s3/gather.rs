//! Bodies that are gathered whole before anything of them is looked at: each is bounded, all of
//! them together are, one caller's are, and so is their time.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use s3s::{Body, S3Error, S3ErrorCode, S3Result};

use super::room::{Caller, Full, Place, Room, Sizes};
use super::watch::{BoxError, RawBodyError};
use crate::types::limits;

/// The rooms for all of them.
pub(super) struct Gathering {
    proved: Arc<Room>,
    unproved: Arc<Room>,
}

/// A body, whose room is taken until this is dropped.
pub(super) struct Gathered {
    /// Its bytes.
    pub(super) bytes: Bytes,
    _place: Option<Place>,
}

impl Default for Gathering {
    fn default() -> Self {
        Self {
            proved: Room::new(&Sizes {
                bytes: limits::GATHERED_BYTES_MAX,
                part: limits::GATHERED_PART,
                short: limits::GATHERED_SHORT_BYTES_MAX,
                least: 0,
            }),
            unproved: Room::new(&Sizes {
                bytes: limits::GATHERED_UNSIGNED_BYTES_MAX,
                part: limits::GATHERED_UNSIGNED_PART,
                short: 0,
                least: 0,
            }),
        }
    }
}

impl Gathering {
    /// Gathers a body of at most so many bytes. `EntityTooLarge` beyond them, `SlowDown` where
    /// there is no room, `RequestTimeout` where it does not come, `IncompleteBody` where it breaks
    /// off.
    pub(super) async fn whole(&self, body: Body, most: usize, who: Caller) -> S3Result<Gathered> {
        if body.size_hint().lower() > u64::try_from(most).unwrap_or(u64::MAX) {
            return Err(S3ErrorCode::EntityTooLarge.into());
        }
        let (room, millis) = match who {
            Caller::Person(_) => (&self.proved, limits::GATHERING_MS_MAX),
            Caller::Peer(_) => (&self.unproved, limits::GATHERING_UNSIGNED_MS_MAX),
        };
        let mut place = room.place(who);
        let gathering = gathered(body, most, |bytes| place.grow(bytes));
        match tokio::time::timeout(Duration::from_millis(millis), gathering).await {
            Ok(bytes) => Ok(Gathered {
                bytes: bytes?,
                _place: Some(place),
            }),
            Err(_elapsed) => Err(S3ErrorCode::RequestTimeout.into()),
        }
    }

    /// Nothing of a body that is not looked at.
    pub(super) const fn nothing() -> Gathered {
        Gathered {
            bytes: Bytes::new(),
            _place: None,
        }
    }
}

async fn gathered(
    mut body: Body,
    most: usize,
    mut take: impl FnMut(usize) -> Result<(), Full>,
) -> S3Result<Bytes> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error))?;
        let Ok(bytes) = frame.into_data() else {
            continue;
        };
        if all.len().saturating_add(bytes.len()) > most {
            return Err(S3ErrorCode::IncompleteBody.into());
        }
        take(bytes.len()).map_err(|Full| S3Error::new(S3ErrorCode::SlowDown))?;
        if all.is_empty() && body.is_end_stream() {
            return Ok(bytes);
        }
        all.extend_from_slice(&bytes);
    }
    Ok(all.freeze())
}

fn broken(error: &BoxError) -> S3Error {
    let mut next: Option<&(dyn Error + 'static)> = Some(&**error);
    let mut full = false;
    while let Some(error) = next {
        full |= matches!(error.downcast_ref(), Some(RawBodyError::Full));
        next = error.source();
    }
    let code = if full {
        S3ErrorCode::SlowDown
    } else {
        S3ErrorCode::IncompleteBody
    };
    code.into()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt as _, stream};
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    const API: usize = limits::API_BODY_BYTES_MAX;

    fn stan() -> Caller {
        Caller::Person("stan".parse().unwrap())
    }

    fn ana() -> Caller {
        Caller::Person("ana".parse().unwrap())
    }

    fn peer(n: u8) -> Caller {
        Caller::peer(Some([192, 0, 2, n].into()))
    }

    /// A body that says it is long, of which all but the last byte comes, and then nothing.
    fn stalled(bytes: usize) -> Body {
        let first = Frame::data(Bytes::from(vec![b'x'; bytes]));
        let frames = stream::iter([Ok::<_, Infallible>(first)]).chain(stream::pending());
        Body::http_body_unsync(StreamBody::new(frames))
    }

    /// A body of which one byte comes each second.
    fn trickle(bytes: usize) -> Body {
        let frames = stream::iter(0..bytes).then(|_| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x")))
        });
        Body::http_body_unsync(StreamBody::new(frames))
    }

    fn code(result: S3Result<Gathered>) -> S3ErrorCode {
        match result {
            Ok(_) => panic!("refused"),
            Err(error) => error.code().clone(),
        }
    }

    fn more() -> Body {
        Body::from(Bytes::from_static(b"more"))
    }

    /// Begins to gather bodies that stay, side by side.
    fn begin(
        gathering: &Arc<Gathering>,
        bodies: usize,
        (body, most, who): (fn(usize) -> Body, usize, &Caller),
    ) -> Vec<tokio::task::JoinHandle<S3ErrorCode>> {
        let begun = (0..bodies).map(|_| {
            let (gathering, who) = (Arc::clone(gathering), who.clone());
            tokio::spawn(async move { code(gathering.whole(body(most - 1), most, who).await) })
        });
        begun.collect()
    }

    #[tokio::test(start_paused = true)]
    async fn one_caller_fills_no_room_for_others() {
        let gathering = Arc::new(Gathering::default());
        let held = begin(&gathering, 64, (stalled, API, &stan()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let quarter = limits::GATHERED_BYTES_MAX / limits::GATHERED_PART;
        let taken = gathering.proved.held();
        assert!(taken <= quarter && taken > quarter / 2, "{taken}");
        // Beyond his share he is told; what is short is taken even of him.
        let refused = gathering.whole(stalled(API - 1), API, stan()).await;
        assert_eq!(code(refused), S3ErrorCode::SlowDown);
        assert!(gathering.whole(more(), API, stan()).await.is_ok());
        let long = Body::from(Bytes::from(vec![b'x'; API]));
        let hers = gathering.whole(long, API, ana()).await;
        assert_eq!(hers.ok().map(|hers| hers.bytes.len()), Some(API));
        for held in held {
            let code = held.await.unwrap();
            let fits = [S3ErrorCode::SlowDown, S3ErrorCode::RequestTimeout];
            assert!(fits.contains(&code), "{code:?}");
        }
        assert_eq!(gathering.proved.held(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_without_a_credential_fills_no_room_for_others() {
        let gathering = Arc::new(Gathering::default());
        let most = limits::API_UNSIGNED_BYTES_MAX;
        let held = begin(&gathering, 1_000, (stalled, most, &peer(1)));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let taken = gathering.unproved.held();
        assert!(taken <= limits::GATHERED_UNSIGNED_BYTES_MAX / limits::GATHERED_UNSIGNED_PART);
        let refused = gathering.whole(stalled(most - 1), most, peer(1)).await;
        assert_eq!(code(refused), S3ErrorCode::SlowDown);
        assert!(gathering.whole(more(), most, peer(2)).await.is_ok());
        assert!(gathering.whole(more(), most, ana()).await.is_ok());
        drop(held);
    }

    /// What is announced and does not come keeps nobody out.
    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_in_takes_what_has_come_and_has_its_time() {
        let gathering = Arc::new(Gathering::default());
        let held = begin(&gathering, 4_000, (trickle, API, &peer(1)));
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(gathering.unproved.held(), 4_000);
        assert!(gathering.whole(more(), API, peer(1)).await.is_ok());
        let begun = tokio::time::Instant::now();
        for held in held {
            assert_eq!(held.await.unwrap(), S3ErrorCode::RequestTimeout);
        }
        assert!(begun.elapsed() < Duration::from_millis(limits::GATHERING_UNSIGNED_MS_MAX));
        assert_eq!(gathering.unproved.held(), 0);
    }

    #[tokio::test]
    async fn room_is_taken_by_what_came_and_given_back() {
        let gathering = Gathering::default();
        for (who, taken) in [
            (ana(), 3_001),
            (peer(1), limits::GATHERED_SHORT_BYTES_MAX + 3_001),
        ] {
            let body = vec![0; limits::GATHERED_SHORT_BYTES_MAX + 3_001];
            let gathered = gathering.whole(Body::from(Bytes::from(body)), API, who);
            let gathered = gathered.await.ok();
            assert!(gathered.is_some());
            let held = gathering.proved.held() + gathering.unproved.held();
            assert_eq!(held, taken);
            drop(gathered);
        }
        assert_eq!(gathering.proved.held() + gathering.unproved.held(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn many_short_bodies_of_one_caller_take_room() {
        let gathering = Arc::new(Gathering::default());
        let short = limits::GATHERED_SHORT_BYTES_MAX;
        let free = limits::SHORT_BODIES_MAX / limits::SHORT_BODIES_PART;
        let fit = limits::GATHERED_BYTES_MAX / limits::GATHERED_PART / (short - 1);
        let held = begin(&gathering, free + fit + 100, (stalled, short, &stan()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(gathering.proved.held(), fit * (short - 1));
        let left = held.iter().filter(|held| !held.is_finished()).count();
        assert_eq!(left, free + fit);
        let refused = gathering.whole(stalled(short - 1), API, stan()).await;
        assert_eq!(code(refused), S3ErrorCode::SlowDown);
        assert!(gathering.whole(more(), API, ana()).await.is_ok());
        for held in held {
            held.abort();
        }
    }

    #[tokio::test]
    async fn more_than_the_bound_is_refused_whether_announced_or_not() {
        let gathering = Gathering::default();
        let announced = Body::from(Bytes::from(vec![0; 1025]));
        let refused = gathering.whole(announced, 1024, ana()).await;
        assert_eq!(code(refused), S3ErrorCode::EntityTooLarge);
        let frames = stream::iter([[0; 600]; 2])
            .map(|part| Ok::<_, Infallible>(Frame::data(Bytes::from(part.to_vec()))));
        let silent = Body::http_body_unsync(StreamBody::new(frames));
        let refused = gathering.whole(silent, 1024, ana()).await;
        assert_eq!(code(refused), S3ErrorCode::IncompleteBody);
    }

    #[tokio::test]
    async fn pieces_are_put_together_in_order() {
        let gathering = Gathering::default();
        let frames = stream::iter([&b"he"[..], b"", b"llo"])
            .map(|part| Ok::<_, Infallible>(Frame::data(Bytes::from_static(part))));
        let body = Body::http_body_unsync(StreamBody::new(frames));
        let gathered = gathering.whole(body, 5, ana()).await.ok();
        assert_eq!(gathered.unwrap().bytes, "hello");
    }
}
