//! The second place of one lane: each run of bytes of its files is a blob, one on its way at a
//! time, with the digest of the one before.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::blob::{Batch, Digest, digest};
use super::names::{Item, Kind, batch_number};
use super::place::{Place, Sending};
use super::standing::Standing;
use super::{GateError, OnPut, broken, restore};
use crate::journal::{JournalError, LaneFiles, Late, Replica};
use crate::store::StoreError;
use crate::types::limits::GATE_PUT_MS_MAX;

/// How long one try is waited for; tests of a store that hangs are not to take that long.
const TRY: Duration = if cfg!(test) {
    Duration::from_millis(400)
} else {
    Duration::from_millis(GATE_PUT_MS_MAX)
};

/// How often a lane is taken from whoever still writes it.
const TAKES: u32 = 3;

/// How far a lane is in the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Head {
    /// The number of the next batch's file, if it begins one.
    pub(super) ordinal: u64,
    /// The number of the next batch in the file before that.
    pub(super) index: u64,
    /// That of the newest batch; zeros before the first.
    pub(super) previous: Digest,
}

impl Head {
    /// Which batch comes next; `begins`: a file does.
    pub(super) fn next(&self, begins: bool) -> Option<Item> {
        let number = if begins {
            batch_number(self.ordinal, 0)
        } else {
            batch_number(self.ordinal.checked_sub(1)?, self.index)
        };
        number.map(|number| Item::new(Kind::Batch, number))
    }

    /// That batch is there.
    pub(super) const fn pass(&mut self, begins: bool, digest: Digest) {
        if begins {
            self.ordinal = self.ordinal.saturating_add(1);
            self.index = 1;
        } else {
            self.index = self.index.saturating_add(1);
        }
        self.previous = digest;
    }
}

/// A batch that is not known to be in the store.
struct UnderWay {
    item: Item,
    begins: bool,
    /// The same bytes however often they are sent.
    sealed: Bytes,
    began: Instant,
    /// The current try, and since when.
    sending: Option<(Sending, Instant)>,
}

/// A lane's second place in the store.
pub(super) struct StoreReplica {
    place: Arc<Place>,
    lane: String,
    on_put: Option<OnPut>,
    head: Head,
    under_way: Option<UnderWay>,
    standing: Arc<Standing>,
}

impl StoreReplica {
    pub(super) fn of(
        place: &Arc<Place>,
        lane: &str,
        (standing, on_put): (Arc<Standing>, Option<OnPut>),
    ) -> Self {
        Self {
            place: Arc::clone(place),
            lane: lane.to_owned(),
            on_put,
            head: Head::default(),
            under_way: None,
            standing,
        }
    }

    /// Brings the two to one state, and takes the lane over from whoever wrote it before.
    fn take(&mut self, files: &LaneFiles) -> Result<(), GateError> {
        self.head = restore::reconcile(&self.place, &self.lane, files)?;
        restore::take_over(&self.place, &self.lane, (files, &mut self.head))?;
        let next = self.head.next(false);
        self.standing.reach(next.map_or(0, |item| item.number));
        Ok(())
    }

    /// Looks how the current try ended, and begins another where it did badly.
    fn attempt(&mut self, patience: Duration) -> Result<(), Late> {
        let asked = Instant::now();
        let Some(under_way) = &mut self.under_way else {
            return Ok(());
        };
        let (sending, since) = if let Some(sending) = under_way.sending.take() {
            sending
        } else {
            let sealed = under_way.sealed.clone();
            let sent = self.place.send(&self.lane, under_way.item, sealed);
            (sent, Instant::now())
        };
        let answer = match sending.wait(patience) {
            Some(answer) => answer,
            None if since.elapsed() < TRY => {
                under_way.sending = Some((sending, since));
                return Err(Late::Slow);
            }
            None => {
                sending.give_up();
                return Err(Late::Slow);
            }
        };
        match answer {
            Ok(()) => {}
            // By a try whose answer was lost; or by another.
            Err(StoreError::Taken) => {
                let ours = (under_way.item, &under_way.sealed);
                // Where that takes longer it is sent, and asked, again.
                let left = patience.saturating_sub(asked.elapsed());
                if !self.place.has(&self.lane, ours, left).map_err(failed)? {
                    self.standing.supersede();
                    return Err(Late::Superseded);
                }
            }
            Err(error) => return Err(failed(error)),
        }
        if let Some(told) = &self.on_put {
            told(under_way.began.elapsed());
        }
        self.head.pass(under_way.begins, digest(&under_way.sealed));
        self.under_way = None;
        Ok(())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "a converter for map_err")]
fn failed(error: StoreError) -> Late {
    Late::Failed(error.to_string())
}

impl Replica for StoreReplica {
    fn reconcile(&mut self, lane: &Path) -> Result<(), JournalError> {
        let files = LaneFiles::of(lane, &self.lane, self.place.log_key())?;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.take(&files) {
                // What another sent last arrived in between: it belongs to the log.
                Err(GateError::Journal(JournalError::Superseded)) if tries < TAKES => {}
                told => return told.map_err(GateError::into_journal),
            }
        }
    }

    fn begin(&mut self, first: u64, offset: u64, bytes: &[u8]) -> Result<(), Late> {
        if self.standing.is_superseded() {
            return Err(Late::Superseded);
        }
        if self.under_way.is_some() {
            return Err(Late::Slow);
        }
        let begins = offset == 0;
        let item = self.head.next(begins);
        let item =
            item.ok_or_else(|| Late::Failed(broken("its numbers are used up").to_string()))?;
        let plain = Batch::encode(&self.head.previous, (first, offset), bytes);
        let sealed = self.place.seal(&self.lane, item, &plain);
        let sealed = sealed.map_err(|error| Late::Failed(error.to_string()))?;
        self.standing.reach(item.number.saturating_add(1));
        let began = Instant::now();
        let sending = self.place.send(&self.lane, item, sealed.clone());
        self.under_way = Some(UnderWay {
            item,
            begins,
            sealed,
            began,
            sending: Some((sending, began)),
        });
        Ok(())
    }

    fn settle(&mut self, patience: Duration) -> Result<(), Late> {
        if self.standing.is_superseded() {
            return Err(Late::Superseded);
        }
        self.attempt(patience)
    }
}
