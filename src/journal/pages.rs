//! Requests of a journal page by page, for whoever asks over the network: each page reads a bounded
//! piece of the lanes, and says where the next begins.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::JournalError;
use super::select::{Filter, Pairs, Request};
use super::tail::{Found, Tail, begin, lanes};
use crate::ledger::Entry;
use crate::types::limits::{RECORDS_LANES_MAX, RECORDS_SCAN_MAX};
use crate::types::{Secret, Timestamp};

/// How far a lane's clock is believed to go back.
const BACK_MS: u64 = 60_000;

/// How far the lanes were read: for each the number of the record that comes next.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cursor(Vec<(String, u64)>);

impl fmt::Display for Cursor {
    /// `lane:next,lane:next`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (lane, next)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{lane}:{next}")?;
        }
        Ok(())
    }
}

/// A text that is no cursor.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[error("this is no cursor")]
pub struct NoCursor;

impl FromStr for Cursor {
    type Err = NoCursor;

    /// Reads what [`Cursor`]'s `Display` wrote, and nothing else.
    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let mut lanes: Vec<(String, u64)> = Vec::new();
        for part in text.split(',').take(RECORDS_LANES_MAX.saturating_add(1)) {
            let (lane, next) = part.split_once(':').ok_or(NoCursor)?;
            let letters = lane
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
            if !letters || lane.is_empty() || lanes.iter().any(|(known, _)| known == lane) {
                return Err(NoCursor);
            }
            lanes.push((lane.to_owned(), next.parse().map_err(|_number| NoCursor)?));
        }
        let cursor = Self(lanes);
        if cursor.0.len() > RECORDS_LANES_MAX || cursor.to_string() != text {
            return Err(NoCursor);
        }
        Ok(cursor)
    }
}

/// A page.
pub struct Page {
    /// Requests, by the time at which they began.
    pub requests: Vec<Request>,
    /// Where the next page begins; `None` at the end of what is there now.
    pub next: Option<Cursor>,
    /// Records that are not here any more, or cannot be read.
    pub lost: u64,
    /// Requests that fit as far as they went and whose end was not met; those that the filter
    /// judges by their end are not among the page's.
    pub open: u64,
}

/// A journal's directory and key.
pub struct Pages {
    dir: PathBuf,
    key: Secret<32>,
}

/// A lane and its next record.
struct Lane {
    name: String,
    tail: Tail,
    head: Option<Found>,
    time: Timestamp,
    ended: bool,
}

impl Lane {
    fn open(dir: &Path, name: &str, key: Secret<32>, next: u64) -> Result<Self, JournalError> {
        let mut tail = Tail::open(dir, name, key, next)?;
        tail.refresh()?;
        Ok(Self {
            name: name.to_owned(),
            tail,
            head: None,
            time: Timestamp::default(),
            ended: false,
        })
    }

    fn fill(&mut self) -> Result<(), JournalError> {
        if self.head.is_none() && !self.ended {
            self.head = self.tail.read(u64::MAX)?;
            self.ended = self.head.is_none();
            if let Some(Found::Record(record, _)) = &self.head {
                self.time = record.entry.time().unwrap_or(self.time);
            }
        }
        Ok(())
    }

    /// The number of the record that comes next.
    fn next(&self) -> u64 {
        match &self.head {
            Some(Found::Record(record, _)) => record.seq,
            Some(Found::Lost(from, _)) => *from,
            None => self.tail.next(),
        }
    }
}

impl Pages {
    /// Of this journal.
    #[must_use]
    pub const fn new(dir: PathBuf, key: Secret<32>) -> Self {
        Self { dir, key }
    }

    fn lanes(&self, from: Option<&Cursor>, since: Timestamp) -> Result<Vec<Lane>, JournalError> {
        let names = lanes(&self.dir)?;
        if names.len() > RECORDS_LANES_MAX {
            return Err(JournalError::Failed {
                reason: "the journal has more lanes than a page can be made of".to_owned(),
            });
        }
        let open = names.iter().map(|name| {
            let known = from.and_then(|from| from.0.iter().find(|(lane, _)| lane == name));
            let next = match known {
                Some((_, next)) => *next,
                None => begin(&self.dir, name, self.key.duplicate(), since)?,
            };
            Lane::open(&self.dir, name, self.key.duplicate(), next)
        });
        open.collect()
    }

    /// The page at `from`, or the first; at most `limit` requests. Blocks on the disk.
    pub fn page(
        &self,
        filter: &Filter,
        from: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, JournalError> {
        let since = filter.since.unwrap_or_default();
        let since = Timestamp::from_millis(since.millis().saturating_sub(BACK_MS));
        let mut reading = Reading {
            lanes: self.lanes(from, since)?,
            pairs: Pairs::new(filter.clone()),
            requests: Vec::new(),
            lost: 0,
        };
        let mut next = None;
        for scanned in 0.. {
            let taken = reading
                .requests
                .len()
                .saturating_add(reading.pairs.waiting());
            if taken >= limit || scanned >= RECORDS_SCAN_MAX {
                next = Some(reading.cursor()?);
                break;
            }
            if !reading.step(true, filter.until)? {
                break;
            }
        }
        // The ends of what began on this page stand behind it.
        let mut behind = 0_usize;
        while reading.pairs.waiting() > 0 && behind < RECORDS_SCAN_MAX {
            behind = behind.saturating_add(1);
            if !reading.step(false, None)? {
                break;
            }
        }
        let open = u64::try_from(reading.pairs.waiting()).unwrap_or(u64::MAX);
        let mut requests = reading.requests;
        requests.extend(reading.pairs.open().cloned());
        requests.sort_by(|a, b| {
            let key = |r: &Request| (r.intent.time, r.lane.to_string(), r.seq);
            key(a).cmp(&key(b))
        });
        Ok(Page {
            requests,
            next,
            lost: reading.lost,
            open,
        })
    }
}

struct Reading {
    lanes: Vec<Lane>,
    pairs: Pairs,
    requests: Vec<Request>,
    lost: u64,
}

impl Reading {
    fn cursor(&mut self) -> Result<Cursor, JournalError> {
        for lane in &mut self.lanes {
            lane.fill()?;
        }
        let lanes = self.lanes.iter();
        Ok(Cursor(
            lanes.map(|lane| (lane.name.clone(), lane.next())).collect(),
        ))
    }

    /// Takes the oldest record of all lanes; `false` where there is none, or none before `until`.
    /// Without `begins` only the ends of what began before are taken.
    fn step(&mut self, begins: bool, until: Option<Timestamp>) -> Result<bool, JournalError> {
        for lane in &mut self.lanes {
            lane.fill()?;
        }
        let lanes = self.lanes.iter_mut().filter(|lane| lane.head.is_some());
        let Some(lane) = lanes.min_by_key(|lane| lane.time) else {
            return Ok(false);
        };
        if until.is_some_and(|until| lane.time > until.plus_millis(BACK_MS)) {
            return Ok(false);
        }
        match lane.head.take() {
            Some(Found::Lost(from, to)) if begins => {
                self.lost = self.lost.saturating_add(to.saturating_sub(from));
            }
            Some(Found::Record(record, _))
                if begins || matches!(record.entry, Entry::Completion(_)) =>
            {
                self.requests.extend(self.pairs.push(*record));
            }
            Some(Found::Lost(..) | Found::Record(..)) | None => {}
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::tests::support::{Counter, HandClock, config, event, secret};
    use crate::journal::{CompletionSlot, Journal as _, Wal};
    use crate::ledger::{Outcome, samples};
    use crate::types::Clock as _;
    use std::sync::Arc;

    #[test]
    fn a_cursor_has_one_spelling() {
        for good in ["a:0", "gateway:18,commands:7"] {
            assert_eq!(good.parse::<Cursor>().unwrap().to_string(), good);
        }
        let many: Vec<String> = (0..=RECORDS_LANES_MAX).map(|n| format!("l{n}:0")).collect();
        for bad in [
            "",
            "a",
            "a:",
            ":1",
            "a:-1",
            "a:01",
            "a:+1",
            "a:1,",
            "a:1,a:2",
            "A:1",
            "../x:1",
            "a:99999999999999999999",
            &many.join(","),
        ] {
            assert_eq!(bad.parse::<Cursor>(), Err(NoCursor), "{bad}");
        }
    }

    /// A moment of the journal's own clock.
    fn begun(ms: u64) -> Timestamp {
        HandClock::new().now().plus_millis(ms)
    }

    /// Twenty requests, refusals among them, the last of them open.
    async fn journal(dir: &Path) -> (Arc<Wal>, Box<dyn CompletionSlot>) {
        let wal = Wal::open(config(dir), HandClock::new(), Counter::new()).unwrap();
        let session = Arc::new(samples::session());
        let mut held = None;
        for n in 0..20 {
            let mut intent = samples::intent(event(n));
            intent.time = begun(u64::from(n));
            let mut end = samples::completion(event(n));
            end.time = intent.time;
            if n % 2 == 0 {
                end.outcome = Outcome::Refused;
                wal.note(&session, intent, end).await.unwrap();
            } else {
                let slot = wal.begin(&session, intent).await.unwrap();
                if n < 19 {
                    slot.complete(end);
                } else {
                    held = Some(slot);
                }
            }
        }
        let last = samples::intent(event(99));
        wal.note(&session, last, samples::completion(event(99)))
            .await
            .unwrap();
        (wal, held.unwrap())
    }

    fn all(pages: &Pages, filter: &Filter, limit: usize) -> Vec<(u64, Option<Outcome>)> {
        let (mut seen, mut from) = (Vec::new(), None);
        loop {
            let page = pages.page(filter, from.as_ref(), limit).unwrap();
            assert_eq!(page.lost, 0);
            assert!(page.requests.len() <= limit);
            let rows = page.requests.iter();
            seen.extend(rows.map(|r| (r.seq, r.completion.as_ref().map(|end| end.outcome))));
            match page.next {
                Some(next) => from = Some(next.to_string().parse().unwrap()),
                None => return seen,
            }
        }
    }

    #[tokio::test]
    async fn pages_of_any_size_show_the_same_requests_once() {
        let dir = tempfile::tempdir().unwrap();
        let (wal, _open) = journal(dir.path()).await;
        let pages = Pages::new(dir.path().to_owned(), secret());
        let whole = all(&pages, &Filter::default(), 1_000);
        assert_eq!(whole.len(), 21);
        assert_eq!(whole.iter().filter(|(_, end)| end.is_none()).count(), 1);
        for limit in [1, 2, 3, 7, 20, 21, 22] {
            assert_eq!(all(&pages, &Filter::default(), limit), whole, "{limit}");
        }
        let refused = Filter {
            outcome: Some(Outcome::Refused),
            ..Filter::default()
        };
        for limit in [1, 4, 100] {
            assert_eq!(all(&pages, &refused, limit).len(), 10, "{limit}");
        }
        let until = Filter {
            until: Some(begun(5)),
            ..Filter::default()
        };
        assert_eq!(all(&pages, &until, 2).len(), 5);
        // What comes later is on the page behind the cursor.
        let first = pages.page(&Filter::default(), None, 21).unwrap();
        let next = first.next.unwrap();
        let session = Arc::new(samples::session());
        let (intent, end) = (samples::intent(event(100)), samples::completion(event(100)));
        wal.note(&session, intent, end).await.unwrap();
        let page = pages.page(&Filter::default(), Some(&next), 10).unwrap();
        assert_eq!(page.requests.len(), 1);
        assert!(page.next.is_none());
    }

    #[tokio::test]
    async fn what_is_gone_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (wal, open) = journal(dir.path()).await;
        drop(open);
        wal.close().await.unwrap();
        let pages = Pages::new(dir.path().to_owned(), secret());
        let file = crate::journal::file::files_of(&dir.path().join("gw-1"))
            .unwrap()
            .remove(0);
        let mut bytes = std::fs::read(&file.1).unwrap();
        bytes[400] ^= 1;
        std::fs::write(&file.1, bytes).unwrap();
        while crate::journal::Rest::take(dir.path(), "gw-1")
            .unwrap()
            .is_none()
        {}
        let again = Wal::open(config(dir.path()), HandClock::new(), Counter::new());
        if let Ok(again) = again {
            again.close().await.unwrap();
            let page = pages.page(&Filter::default(), None, 100).unwrap();
            assert!(page.lost > 0 || page.requests.len() < 21);
        }
        // Whatever a cursor says, nothing breaks.
        for text in ["gw-1:0", "gw-1:18446744073709551615", "other:5"] {
            let cursor: Cursor = text.parse().unwrap();
            assert!(
                pages.page(&Filter::default(), Some(&cursor), 5).is_ok(),
                "{text}"
            );
        }
    }
}
