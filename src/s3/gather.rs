//! Bodies that are gathered whole before anything of them is looked at: each is bounded, all of
//! them together are, and so is their time. Bytes that trickle in hold no memory for ever.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body as _;
use s3s::{Body, S3Error, S3ErrorCode, S3Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::types::limits;

/// What a permit of the semaphores stands for.
const UNIT: usize = 1024;

/// Whose word a body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Proof {
    /// A credential has signed the request, or an organisation's is with it.
    Proved,
    /// Nobody is known yet.
    Unproved,
}

/// The room for one kind of bodies.
struct Room {
    units: Arc<Semaphore>,
    time: Duration,
}

impl Room {
    fn new(bytes: usize, millis: u64) -> Self {
        Self {
            units: Arc::new(Semaphore::new(bytes / UNIT)),
            time: Duration::from_millis(millis),
        }
    }
}

/// The room for all of them.
pub(super) struct Gathering {
    proved: Room,
    unproved: Room,
    xml: Arc<Semaphore>,
}

/// A body, whose room is taken until this is dropped.
#[derive(Debug)]
pub(super) struct Gathered {
    /// Its bytes.
    pub(super) bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl Default for Gathering {
    fn default() -> Self {
        Self {
            proved: Room::new(limits::GATHERED_BYTES_MAX, limits::GATHERING_MS_MAX),
            unproved: Room::new(
                limits::GATHERED_UNSIGNED_BYTES_MAX,
                limits::GATHERING_UNSIGNED_MS_MAX,
            ),
            xml: Arc::new(Semaphore::new(limits::GATHERED_XML_BYTES_MAX / UNIT)),
        }
    }
}

impl Gathering {
    /// Gathers a body of at most so many bytes. `EntityTooLarge` beyond them, `SlowDown` where
    /// others hold all the room, `RequestTimeout` where it does not come, `IncompleteBody` where
    /// it breaks off.
    pub(super) async fn whole(
        &self,
        mut body: Body,
        most: usize,
        proof: Proof,
    ) -> S3Result<Gathered> {
        let hint = body.size_hint();
        if hint.lower() > u64::try_from(most).unwrap_or(u64::MAX) {
            return Err(S3ErrorCode::EntityTooLarge.into());
        }
        let told = hint.upper().and_then(|upper| usize::try_from(upper).ok());
        let len = told.map_or(most, |told| told.min(most));
        let room = match proof {
            Proof::Proved => &self.proved,
            Proof::Unproved => &self.unproved,
        };
        let units = u32::try_from(len.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let taken = Arc::clone(&room.units).try_acquire_many_owned(units);
        let taken = taken.map_err(|_full| S3Error::new(S3ErrorCode::SlowDown))?;
        match tokio::time::timeout(room.time, body.store_all_limited(most)).await {
            Ok(Ok(bytes)) => Ok(Gathered {
                bytes,
                _room: Some(taken),
            }),
            Ok(Err(_cut)) => Err(S3ErrorCode::IncompleteBody.into()),
            Err(_elapsed) => Err(S3ErrorCode::RequestTimeout.into()),
        }
    }

    /// Room for a body that the library gathers, until this is dropped. `None` for a short one;
    /// `SlowDown` where others hold all the room.
    pub(super) fn reserve(&self, announced: Option<u64>) -> S3Result<Option<OwnedSemaphorePermit>> {
        let most = limits::XML_BODY_BYTES_MAX;
        let told = announced.and_then(|bytes| usize::try_from(bytes).ok());
        let len = told.map_or(most, |told| told.min(most));
        if len <= limits::XML_SHORT_BYTES_MAX {
            return Ok(None);
        }
        let units = u32::try_from(len.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let taken = Arc::clone(&self.xml).try_acquire_many_owned(units);
        taken
            .map(Some)
            .map_err(|_full| S3Error::new(S3ErrorCode::SlowDown))
    }

    /// Nothing of a body that is not looked at.
    pub(super) const fn nothing() -> Gathered {
        Gathered {
            bytes: Bytes::new(),
            _room: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt as _, stream};
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    /// A body of which one byte comes each second.
    fn trickle(bytes: usize) -> Body {
        let frames = stream::iter(0..bytes).then(|_| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x")))
        });
        Body::http_body_unsync(StreamBody::new(frames))
    }

    fn code(result: S3Result<Gathered>) -> S3ErrorCode {
        result.expect_err("refused").code().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_in_holds_its_room_so_long_and_no_longer() {
        let gathering = Arc::new(Gathering::default());
        let most = limits::GATHERED_UNSIGNED_BYTES_MAX / 2;
        let held: Vec<_> = (0..2)
            .map(|_| {
                let gathering = Arc::clone(&gathering);
                tokio::spawn(async move {
                    let body = trickle(1_000_000);
                    code(gathering.whole(body, most, Proof::Unproved).await)
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let more = || Body::from(Bytes::from_static(b"more"));
        let refused = gathering.whole(more(), 1024, Proof::Unproved).await;
        assert_eq!(code(refused), S3ErrorCode::SlowDown);
        // Who has signed hers is not kept out by those who have not.
        let hers = gathering.whole(more(), 1024, Proof::Proved).await;
        assert_eq!(hers.expect("room of its own").bytes, "more");
        for held in held {
            assert_eq!(held.await.unwrap(), S3ErrorCode::RequestTimeout);
        }
        assert!(gathering.whole(more(), 1024, Proof::Unproved).await.is_ok());
    }

    #[tokio::test]
    async fn room_is_taken_by_what_is_announced_and_given_back() {
        let gathering = Gathering::default();
        let all = gathering.unproved.units.available_permits();
        let body = Body::from(Bytes::from(vec![0; 3 * UNIT + 1]));
        let gathered = gathering.whole(body, 16 * UNIT, Proof::Unproved).await;
        let gathered = gathered.expect("there is room");
        assert_eq!(gathering.unproved.units.available_permits(), all - 4);
        drop(gathered);
        assert_eq!(gathering.unproved.units.available_permits(), all);
    }

    #[tokio::test]
    async fn xml_has_a_room_of_its_own_which_short_bodies_do_not_need() {
        let gathering = Gathering::default();
        let most = u64::try_from(limits::XML_BODY_BYTES_MAX).unwrap();
        let mut held = Vec::new();
        // What says nothing of its length, or lies, takes as much as there may be.
        for announced in [None, Some(most), Some(u64::MAX)].into_iter().cycle() {
            match gathering.reserve(announced) {
                Ok(room) => held.push(room.expect("it is no short one")),
                Err(full) => {
                    assert_eq!(*full.code(), S3ErrorCode::SlowDown);
                    break;
                }
            }
        }
        let all = limits::GATHERED_XML_BYTES_MAX / limits::XML_BODY_BYTES_MAX;
        assert_eq!(held.len(), all);
        let short = u64::try_from(limits::XML_SHORT_BYTES_MAX).unwrap();
        assert!(
            gathering
                .reserve(Some(short))
                .is_ok_and(|room| room.is_none())
        );
        assert!(gathering.reserve(Some(short + 1)).is_err());
        held.clear();
        assert!(gathering.reserve(Some(short + 1)).is_ok());
    }

    #[tokio::test]
    async fn more_than_the_bound_is_refused_whether_announced_or_not() {
        let gathering = Gathering::default();
        let announced = Body::from(Bytes::from(vec![0; 1025]));
        let refused = gathering.whole(announced, 1024, Proof::Proved).await;
        assert_eq!(code(refused), S3ErrorCode::EntityTooLarge);
        let frames = stream::iter([[0; 600]; 2])
            .map(|part| Ok::<_, Infallible>(Frame::data(Bytes::from(part.to_vec()))));
        let silent = Body::http_body_unsync(StreamBody::new(frames));
        let refused = gathering.whole(silent, 1024, Proof::Proved).await;
        assert_eq!(code(refused), S3ErrorCode::IncompleteBody);
    }
}
