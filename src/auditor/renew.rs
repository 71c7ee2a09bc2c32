//! Locks on volumes that are in the index: what has none yet gets one, and what is kept for longer
//! now is locked for longer. Each volume stands for itself: one that is missing or does not open is
//! told, and keeps no other from its lock.

use super::archive::{Archive, LogKeys};
use super::entries::{segments_of, signed};
use super::failures::Failures;
use super::source::DirSource;
use super::worm::{blob, held_until, version};
use crate::archive::{Held, Place};
use crate::cli::output::{CliError, Exit, Output};
use crate::cli::words::count;
use crate::types::RetentionMode;

/// What came of it.
#[derive(Default, Debug)]
pub(super) struct Renewed {
    /// Volumes that were locked, or locked for longer.
    pub(super) held: u64,
    /// Of these, such as stay in governance mode where compliance is asked for.
    pub(super) weaker: u64,
    /// Volumes that could not be locked.
    pub(super) failures: Failures,
}

impl Renewed {
    /// Says it; how a command ends that did all else.
    pub(super) fn tell(&self, output: &mut Output) -> Exit {
        if self.held > 0 {
            let held = count(self.held, "volume is", "volumes are");
            output.note(&format!("{held} locked for longer now"));
        }
        if self.weaker > 0 {
            output.note(&format!(
                "warning: {} in governance mode: the store makes no lock stricter",
                count(self.weaker, "volume stays", "volumes stay")
            ));
        }
        self.failures.tell(output)
    }
}

/// The terms by which locks are looked at: for how long, and how strictly.
pub(super) fn terms(keys: &LogKeys, mode: RetentionMode) -> String {
    let mode = match mode {
        RetentionMode::Compliance => "compliance",
        RetentionMode::Governance => "governance",
    };
    format!("{} {mode}", keys.kept.terms())
}

impl Archive {
    /// Locks what is not locked yet, and for longer or more strictly what must be. A shorter term
    /// changes no lock.
    pub(super) async fn renew(&mut self, log: &mut DirSource) -> Result<Renewed, CliError> {
        let mut renewed = Renewed::default();
        let Some(mode) = self.locks.as_ref().and_then(|locks| locks.mode) else {
            return Ok(renewed);
        };
        let terms = terms(&self.keys, mode);
        let same = self.index.terms.as_ref() == Some(&terms);
        let due = |place: &&Place| place.rows > 0 && (!same || place.held.is_none());
        let due: Vec<Place> = self.index.volumes().iter().filter(due).cloned().collect();
        if due.is_empty() && same {
            return Ok(renewed);
        }
        if !due.is_empty() {
            self.renew_all(log, &due, (mode, &mut renewed)).await?;
        }
        // What failed is looked at again.
        if renewed.failures.count == 0 {
            self.index.terms = Some(terms);
        }
        self.save()?;
        Ok(renewed)
    }

    async fn renew_all(
        &mut self,
        log: &mut DirSource,
        due: &[Place],
        (mode, renewed): (RetentionMode, &mut Renewed),
    ) -> Result<(), CliError> {
        let public = self.keys.notary.public(&self.keys.origin);
        let public = public.map_err(|error| CliError::of(Exit::Usage, &error))?;
        let (_, checkpoint) = signed(log, "checkpoint", &public)?;
        for place in due {
            match self.renew_one(log, checkpoint.size, place).await {
                Ok(None) => {}
                Ok(Some(held)) => {
                    renewed.failures.went();
                    renewed.held = renewed.held.saturating_add(1);
                    if mode == RetentionMode::Compliance && !held.compliance {
                        renewed.weaker = renewed.weaker.saturating_add(1);
                    }
                    let wrong = |error| CliError::of(Exit::No, &error);
                    self.index.hold(&place.meta, held).map_err(wrong)?;
                }
                Err(error) => {
                    let what = "is not locked as it must be";
                    if !renewed.failures.note(&place.meta, what, &error) {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Locks one volume; `None` where it is locked as it must be.
    async fn renew_one(
        &self,
        log: &mut DirSource,
        size: u64,
        place: &Place,
    ) -> Result<Option<Held>, CliError> {
        let Some(locks) = &self.locks else {
            return Ok(None);
        };
        let segments = segments_of(log, size, place)?;
        let until = held_until(&segments, place, &self.keys);
        let kept = place.held.as_ref();
        // What is over is written again without it, and locked then.
        if until <= self.keys.now || kept.is_some_and(|held| locks.keeps(held, until)) {
            return Ok(None);
        }
        let version = match kept {
            Some(held) => version(held)?,
            None => locks.version_of(&self.keys, place).await?,
        };
        locks.hold(blob(place)?, &version, until).await.map(Some)
    }
}
