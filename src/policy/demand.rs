//! What a project demands of how people signed in (OpenID Connect Core 1.0, section 2: `acr` and
//! `amr`; RFC 8176), and how well a caller is known.

use crate::types::Action;

/// What a project demands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Demand {
    /// One of these classes; empty for any.
    pub acr: Vec<String>,
    /// All of these methods.
    pub amr: Vec<String>,
    /// Only of whoever reads the project's log.
    pub log_only: bool,
}

/// How well a caller is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Assurance<'a> {
    /// A command on the vault's own host: no sign-in says more than that.
    Host,
    /// What the sign-in said; nothing, of a lasting credential.
    Told {
        /// Its class.
        acr: Option<&'a str>,
        /// Its methods.
        amr: &'a [String],
    },
}

impl Default for Assurance<'_> {
    fn default() -> Self {
        Self::Told {
            acr: None,
            amr: &[],
        }
    }
}

impl Demand {
    /// Whether nothing is demanded.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.acr.is_empty() && self.amr.is_empty()
    }

    /// Whether a caller is known well enough for this.
    #[must_use]
    pub fn is_met(&self, action: Action, assurance: Assurance<'_>) -> bool {
        if self.log_only && action != Action::LogRead {
            return true;
        }
        match assurance {
            Assurance::Host => true,
            Assurance::Told { acr, amr } => {
                let class = self.acr.iter().any(|class| Some(class.as_str()) == acr);
                (self.acr.is_empty() || class) && self.amr.iter().all(|one| amr.contains(one))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(acr: &[&str], amr: &[&str], log_only: bool) -> Demand {
        let texts = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
        Demand {
            acr: texts(acr),
            amr: texts(amr),
            log_only,
        }
    }

    #[test]
    fn a_demand_is_met_by_one_class_and_all_methods() {
        let (mfa, none) = (["pwd".to_owned(), "mfa".to_owned()], []);
        let told = |acr, amr| Assurance::Told { acr, amr };
        let read = Action::ObjectRead;
        for (demand, assurance, met) in [
            (demand(&[], &[], false), told(None, &none[..]), true),
            (
                demand(&["a", "b"], &[], false),
                told(Some("b"), &none[..]),
                true,
            ),
            (
                demand(&["a", "b"], &[], false),
                told(Some("c"), &none[..]),
                false,
            ),
            (
                demand(&["a"], &[], false),
                told(Some("A"), &none[..]),
                false,
            ),
            (demand(&["a"], &[], false), told(None, &mfa[..]), false),
            (demand(&[], &["mfa"], false), told(None, &mfa[..]), true),
            (
                demand(&[], &["mfa", "hwk"], false),
                told(None, &mfa[..]),
                false,
            ),
            (
                demand(&["a"], &["mfa"], false),
                told(Some("a"), &none[..]),
                false,
            ),
            (demand(&["a"], &["mfa"], false), Assurance::Host, true),
            (demand(&["a"], &[], false), Assurance::default(), false),
        ] {
            assert_eq!(
                demand.is_met(read, assurance),
                met,
                "{demand:?} {assurance:?}"
            );
        }
    }

    #[test]
    fn the_log_alone_may_demand_it() {
        let demand = demand(&[], &["mfa"], true);
        for action in Action::ALL {
            let met = demand.is_met(*action, Assurance::default());
            assert_eq!(met, *action != Action::LogRead, "{action}");
        }
    }
}
