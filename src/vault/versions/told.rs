//! What nodes tell of what was read. It is a node's word, and stands in the log as no more than it
//! can be: of an object that the version has, within its length, each byte once.

use futures_util::future::join_all;

use super::release::version;
use crate::catalog::PublicationRow;
use crate::ledger::{Completion, Intent, Outcome};
use crate::types::{Action, ByteRange, ObjectKey, limits};
use crate::vault::access::proof::{Authorized, policy_ref};
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::log::record::flagged;
use crate::vault::{Call, Vault};

/// What a node says was read through one open file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadReport {
    /// The object.
    pub key: ObjectKey,
    /// Ranges of its plaintext that were handed to programs, in order, apart from each other.
    pub ranges: Vec<ByteRange>,
}

/// The parts of `ranges` that lie within so many bytes, in order, each byte once. Else who tells
/// could make sums over the log what she likes.
fn within(mut ranges: Vec<ByteRange>, bytes: u64) -> Vec<ByteRange> {
    ranges.sort_unstable_by_key(|range| (range.start(), range.end()));
    let mut apart: Vec<ByteRange> = Vec::new();
    for range in ranges {
        let from = apart.last().map_or(0, |last| last.end());
        let start = range.start().max(from);
        apart.extend(ByteRange::new(start, range.end().min(bytes)));
    }
    apart
}

impl Vault {
    /// Puts into the log what a node says was read. The release of the keys is the proof that it
    /// may have been; this says how much of it was.
    pub async fn report_reads(
        &self,
        call: &Call,
        bucket: &str,
        reports: Vec<ReadReport>,
    ) -> Result<(), VaultError> {
        let proof = self
            .authorize(call, bucket, None, Action::DatasetHead)
            .await?;
        let nothing = VaultError::new(ErrorKind::InvalidArgument, "there is nothing to tell");
        let known = match version(&proof) {
            Ok((row, _)) if !reports.is_empty() => Ok(row),
            Ok(_) => Err(nothing),
            Err(error) => Err(error),
        };
        let row = match known {
            Ok(row) => row,
            Err(error) => {
                let intent = Self::intent_of(call, &proof);
                return Err(self.turn_away(call, intent, error).await);
            }
        };
        let notes = reports
            .into_iter()
            .take(limits::RELEASE_KEYS_MAX)
            .enumerate()
            .map(|(at, report)| self.report(call, (&proof, &row), at, report));
        join_all(notes).await.into_iter().collect()
    }

    async fn report(
        &self,
        call: &Call,
        (proof, row): (&Authorized, &PublicationRow),
        at: usize,
        report: ReadReport,
    ) -> Result<(), VaultError> {
        let mut intent: Intent = Self::intent_of(call, proof);
        intent.action = Some(Action::ObjectRead);
        if at > 0 {
            intent.event = self.new_event()?;
        }
        let event = intent.event;
        // What is told after the right has ended is kept, as refused: nothing is lost by telling.
        let decision = self.may_read(call, proof, &report.key).await?;
        intent.policy = Some(policy_ref(&decision));
        let object = self.catalog.frozen(&row.id, &report.key).await?;
        let ranges = object
            .as_ref()
            .map(|object| within(report.ranges, object.bytes));
        let ranges = ranges.unwrap_or_default();
        intent.object.key = Some(report.key);
        let number = proof.number().unwrap_or_default();
        let texts: Vec<String> = ranges
            .iter()
            .map(|range| format!("{}-{}", range.start(), range.end()))
            .collect();
        let mut text = format!("version={number} read={}", texts.join(","));
        text.truncate(limits::RECORD_TEXT_BYTES_MAX);
        intent.query = Some(text);
        let first = ranges.first().map(|range| range.start());
        let last = ranges.last().map(|range| range.end());
        intent.range = first.zip(last).and_then(|(a, b)| ByteRange::new(a, b));
        let bytes = ranges.iter().map(|range| range.len());
        let (outcome, status, reason) = match (decision.allowed, object.is_some()) {
            (true, true) => (Outcome::Success, 200, ""),
            (true, false) => (Outcome::Failed, 404, "the version has no such object"),
            (false, _) => {
                let late = "told after the right to read had ended";
                (Outcome::Refused, 403, late)
            }
        };
        let completion = Completion {
            event,
            time: self.now(),
            outcome,
            status,
            reason: reason.to_owned(),
            bytes: bytes.fold(0, u64::saturating_add),
            object_bytes: object.map(|object| object.bytes),
        };
        self.guard.used(&decision, intent.time);
        self.guard.signed(&call.session, intent.time);
        self.journal
            .note(&call.session, flagged(intent), completion)
            .await?;
        call.mark_recorded();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Pairs = &'static [(u64, u64)];

    fn ranges(pairs: &[(u64, u64)]) -> Vec<ByteRange> {
        let pairs = pairs.iter().map(|(a, b)| ByteRange::new(*a, *b).unwrap());
        pairs.collect()
    }

    #[test]
    fn what_lies_beyond_the_end_or_was_told_already_counts_nothing() {
        let cases: [(Pairs, u64, Pairs); 8] = [
            (&[], 10, &[]),
            (&[(0, 10)], 10, &[(0, 10)]),
            (&[(0, u64::MAX)], 10, &[(0, 10)]),
            (&[(10, 11), (u64::MAX - 1, u64::MAX)], 10, &[]),
            (&[(0, 1)], 0, &[]),
            (&[(0, 4), (0, 4), (2, 6)], 10, &[(0, 4), (4, 6)]),
            (&[(6, 8), (0, 2)], 10, &[(0, 2), (6, 8)]),
            (&[(0, 9), (1, 2), (3, 4)], 10, &[(0, 9)]),
        ];
        for (told, bytes, counted) in cases {
            assert_eq!(within(ranges(told), bytes), ranges(counted), "{told:?}");
        }
    }

    proptest! {
        #[test]
        fn each_byte_that_is_there_counts_once(
            told in prop::collection::vec((0..40_u64, 1..20_u64), 0..12),
            bytes in 0..50_u64,
        ) {
            let told: Vec<_> = told.into_iter().map(|(at, len)| (at, at + len)).collect();
            let counted = within(ranges(&told), bytes);
            let there = |at: &u64| told.iter().any(|(a, b)| (a..b).contains(&at));
            let expected: Vec<u64> = (0..bytes).filter(there).collect();
            let all: Vec<u64> = counted.iter().flat_map(|r| r.start()..r.end()).collect();
            prop_assert_eq!(all, expected);
        }
    }
}
