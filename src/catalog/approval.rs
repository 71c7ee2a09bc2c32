//! What two persons agree on (AZ-10): an act that one asked for, and what became of it.

use std::fmt;
use std::str::FromStr;

use super::Conflict;
use crate::types::{
    Act, ApprovalId, DatasetName, IdError, NoticeId, PrincipalId, ProjectName, Timestamp,
};

/// Where an approval stands. It only ever goes forward.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ApprovalState {
    /// One person asked; nobody answered.
    Asked,
    /// Another person approved it; it was not done yet.
    Approved,
    /// It was refused, before it was approved or after.
    Refused,
    /// Who asked took it back.
    Withdrawn,
    /// It was done, or was begun: it is good for nothing any more.
    Spent,
}

/// One act that takes two persons.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApprovalRow {
    /// Its identity.
    pub id: ApprovalId,
    /// What was asked, exactly.
    pub act: Act,
    /// Who asked: a person.
    pub asker: PrincipalId,
    /// Why, in her words.
    pub reason: String,
    /// When she asked.
    pub asked: Timestamp,
    /// Where it stands.
    pub state: ApprovalState,
    /// At this moment it is over: nobody approves it, or does it, any more. What was refused, taken
    /// back or done is over from then on, so that what waits is found by its end.
    pub due: Timestamp,
    /// Who approved it: another person.
    pub approver: Option<PrincipalId>,
    /// Who brought it where it stands, and when.
    pub settled: Option<(PrincipalId, Timestamp)>,
}

/// A step of an approval.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApprovalStep {
    /// Where it is to stand.
    pub to: ApprovalState,
    /// Who takes the step.
    pub by: PrincipalId,
    /// When it is over from now on; of no meaning but for [`ApprovalState::Approved`].
    pub due: Timestamp,
    /// When.
    pub now: Timestamp,
}

impl ApprovalRow {
    /// Whether it waits to be approved, or to be done.
    #[must_use]
    pub fn waits(&self, now: Timestamp) -> bool {
        let open = matches!(self.state, ApprovalState::Asked | ApprovalState::Approved);
        open && now < self.due
    }

    /// The row behind a step; judged inside the transaction by every adapter, so that of two who
    /// spend one approval only one does.
    pub(super) fn step(&self, step: &ApprovalStep) -> Result<Self, Conflict> {
        use ApprovalState::{Approved, Asked, Refused, Spent, Withdrawn};
        let in_time = step.now < self.due;
        let fits = match (self.state, step.to) {
            (Asked, Approved) => in_time && step.by != self.asker,
            (Approved, Spent) => in_time,
            (Asked | Approved, Refused) => true,
            (Asked | Approved, Withdrawn) => step.by == self.asker,
            (Asked | Approved | Refused | Withdrawn | Spent, _) => false,
        };
        if !fits {
            return Err(Conflict::ApprovalOver);
        }
        let approves = step.to == Approved;
        Ok(Self {
            state: step.to,
            due: if approves {
                step.due
            } else {
                self.due.min(step.now)
            },
            approver: if approves {
                Some(step.by.clone())
            } else {
                self.approver.clone()
            },
            settled: Some((step.by.clone(), step.now)),
            ..self.clone()
        })
    }
}

/// What must hold of a project's acts that wait, of those whose asker is not suspended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WaitingCheck {
    /// The project.
    pub project: ProjectName,
    /// Of this asker's fewer than `own_below` wait.
    pub asker: PrincipalId,
    /// See `asker`.
    pub own_below: u32,
    /// Fewer than this wait.
    pub all_below: u32,
    /// Now.
    pub now: Timestamp,
}

impl WaitingCheck {
    /// Judges, by the askers of what waits. Pure, so that all adapters judge alike.
    pub(super) fn judge<'a>(
        &self,
        askers: impl Iterator<Item = &'a PrincipalId>,
    ) -> Result<(), Conflict> {
        let (mut own, mut all) = (0_u32, 0_u32);
        for asker in askers {
            all = all.saturating_add(1);
            own = own.saturating_add(u32::from(*asker == self.asker));
        }
        if own >= self.own_below || all >= self.all_below {
            return Err(Conflict::TooManyWait);
        }
        Ok(())
    }
}

/// Where a page of notices, which go from the newest back, begins: behind this one. Written
/// `MILLISECONDS-ID`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct NoticeMark {
    /// When the last one of the page before was told.
    pub at: Timestamp,
    /// Which one of that moment.
    pub id: NoticeId,
}

impl fmt::Display for NoticeMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.at.millis(), self.id)
    }
}

impl FromStr for NoticeMark {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (at, id) = text.split_once('-').ok_or(IdError::Id)?;
        let id = id.parse()?;
        let at = at.parse().map_err(|_no_number| IdError::Id)?;
        let mark = Self {
            at: Timestamp::from_millis(at),
            id,
        };
        // One way to write it: no sign, no zeros in front.
        let same = mark.to_string() == text;
        same.then_some(mark).ok_or(IdError::Id)
    }
}

/// What somebody is told of her datasets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoticeRow {
    /// Its identity.
    pub id: NoticeId,
    /// Who is told.
    pub to: PrincipalId,
    /// When.
    pub at: Timestamp,
    /// Of which project.
    pub project: ProjectName,
    /// Of which dataset, if of one.
    pub dataset: Option<DatasetName>,
    /// What.
    pub text: String,
}

impl NoticeRow {
    /// Where the page begins that goes on behind it.
    #[must_use]
    pub const fn mark(&self) -> NoticeMark {
        NoticeMark {
            at: self.at,
            id: self.id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_written_in_one_way() {
        let id = "07070707070707070707070707070707";
        for at in [0, 1, u64::MAX] {
            let text = format!("{at}-{id}");
            assert_eq!(text.parse::<NoticeMark>().unwrap().to_string(), text);
        }
        let wrong = [
            "",
            "-",
            "7",
            id,
            "7-",
            &format!("-{id}"),
            &format!("-7-{id}"),
            &format!("+7-{id}"),
            &format!("07-{id}"),
            &format!(" 7-{id}"),
            &format!("7-{id} "),
            &format!("7-{id}0"),
            &format!("7-{}", id.replace('0', "A")),
            &format!("18446744073709551616-{id}"),
        ];
        for wrong in wrong {
            assert!(wrong.parse::<NoticeMark>().is_err(), "{wrong}");
        }
    }
}
