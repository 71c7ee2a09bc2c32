//! What casbin said, by what it rests on.
//!
//! A line of the built-in matcher asks for its action, which all lines of one enforcer share, and
//! for `holds`. So the verdict follows from one answer of `holds` for each line; casbin, which
//! takes ten times as long to ask, need not say the same again. **What is remembered says nothing
//! of a subject, a place or a time**: `holds` is asked anew at each decision, so a right that is
//! withdrawn, has ended or lies elsewhere counts at once, which casbin's own cached enforcer gets
//! wrong.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::types::limits::VERDICTS_MAX;

/// What casbin found.
#[derive(PartialEq, Eq, Debug, Default)]
pub(super) struct Verdict {
    /// The effect of all matching lines together.
    pub(super) allowed: bool,
    /// The matching lines, in order; a denying line ends them.
    pub(super) rows: Vec<Vec<String>>,
}

/// For which lines `holds` is true, by their order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Lit(u64);

impl Lit {
    /// Of the lines' answers; `None` of more lines than a word has bits.
    pub(super) fn of(answers: impl ExactSizeIterator<Item = bool>) -> Option<Self> {
        if answers.len() > 64 {
            return None;
        }
        let bits = answers.zip(0_u32..);
        Some(Self(bits.fold(0, |word, (answer, bit)| {
            word | (u64::from(answer) << bit)
        })))
    }
}

/// The verdicts of one enforcer, which never changes its lines.
#[derive(Default)]
pub(super) struct Verdicts {
    known: ArcSwap<Vec<(Lit, Arc<Verdict>)>>,
}

impl Verdicts {
    /// The verdict on these answers, if it was given before.
    pub(super) fn find(&self, lit: Lit) -> Option<Arc<Verdict>> {
        let known = self.known.load();
        let found = known.iter().find(|(of, _)| *of == lit);
        found.map(|(_, verdict)| Arc::clone(verdict))
    }

    /// Remembers one; not beyond [`VERDICTS_MAX`], from where on casbin is asked each time.
    pub(super) fn keep(&self, lit: Lit, verdict: &Arc<Verdict>) {
        self.known.rcu(|known| {
            let mut known = Vec::clone(known);
            if known.len() < VERDICTS_MAX && known.iter().all(|(of, _)| *of != lit) {
                known.push((lit, Arc::clone(verdict)));
            }
            known
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lit(answers: &[bool]) -> Option<Lit> {
        Lit::of(answers.iter().copied())
    }

    fn verdict(allowed: bool) -> Arc<Verdict> {
        Arc::new(Verdict {
            allowed,
            rows: Vec::new(),
        })
    }

    #[test]
    fn every_answer_counts_at_its_place() {
        let all: Vec<_> = (0..16_u32)
            .map(|n| lit(&[n & 1 > 0, n & 2 > 0, n & 4 > 0, n & 8 > 0]).unwrap())
            .collect();
        for (i, one) in all.iter().enumerate() {
            assert!(all.iter().skip(i + 1).all(|other| one != other), "{one:?}");
        }
        assert!(lit(&[true; 64]).is_some());
        assert_eq!(lit(&[true; 65]), None, "a line must not be left out");
    }

    #[test]
    fn a_verdict_is_found_by_its_own_answers_alone() {
        let verdicts = Verdicts::default();
        let (yes, no) = (lit(&[true, false]).unwrap(), lit(&[true, true]).unwrap());
        assert!(verdicts.find(yes).is_none());
        verdicts.keep(yes, &verdict(true));
        assert!(verdicts.find(yes).unwrap().allowed);
        assert!(verdicts.find(no).is_none());
        verdicts.keep(no, &verdict(false));
        verdicts.keep(no, &verdict(true));
        assert!(!verdicts.find(no).unwrap().allowed, "the first stays");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let verdicts = Verdicts::default();
        for n in 0..2 * u64::try_from(VERDICTS_MAX).unwrap() {
            verdicts.keep(Lit(n), &verdict(true));
        }
        assert_eq!(verdicts.known.load().len(), VERDICTS_MAX);
    }
}
