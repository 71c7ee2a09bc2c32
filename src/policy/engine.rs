//! The casbin enforcers: built once from checked lines, then only asked. Never the cached one,
//! which answers *allow* after a revocation, and never `load_policy`, which is not atomic.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use casbin::function_map::OperatorFunction;
use casbin::rhai::Dynamic;
use casbin::{CoreApi as _, DefaultModel, Enforcer, EventData, Logger, Model as _};
use futures_util::FutureExt as _;

use super::error::PolicyError;
use super::held;
use super::model::{EFFECT, LINE, Model, REQUEST};
use super::verdicts::{Lit, Verdict, Verdicts};

/// One line as casbin sees it: role, action, effect.
pub(super) type Row = [String; 3];

/// Enforcers over the lines of some roles: one for each action, made when it is first asked about.
/// casbin evaluates every line that it has, at about a microsecond each, and the model's first
/// condition, which is fixed, passes over all that name another action: they are left out here.
pub(super) struct Engine {
    model: Model,
    lines: HashMap<String, Lines>,
}

/// The lines about one action, never none: casbin evaluates a model without lines as if there were
/// one of empty texts.
#[derive(Default)]
struct Lines {
    rows: Vec<Row>,
    /// `None` within when casbin refused them.
    enforcer: OnceLock<Option<Enforcer>>,
    verdicts: Verdicts,
}

impl Engine {
    /// Files the lines; the order among those of one action is kept.
    pub(super) fn new(model: &Model, rows: Vec<Row>) -> Self {
        let mut lines = HashMap::<String, Lines>::new();
        for row in rows {
            let [_, action, _] = &row;
            lines.entry(action.clone()).or_default().rows.push(row);
        }
        Self {
            model: model.clone(),
            lines,
        }
    }

    /// Asks about an action, which the request names too; `None` when the engine failed, which is
    /// a deny. `holds` says of a role what the model's function says in this request.
    pub(super) fn ask(
        &self,
        action: &str,
        holds: impl Fn(&str) -> bool,
        request: impl FnOnce() -> Vec<Dynamic>,
    ) -> Option<Arc<Verdict>> {
        let Some(lines) = self.lines.get(action) else {
            return Some(Arc::default());
        };
        let answers = lines.rows.iter().map(|[role, ..]| holds(role));
        let lit = Lit::of(answers).filter(|_| self.model.is_built_in);
        if let Some(known) = lit.and_then(|lit| lines.verdicts.find(lit)) {
            debug_assert_eq!(
                lines.enforce(&self.model, request()).as_ref(),
                Some(&*known)
            );
            return Some(known);
        }
        let verdict = Arc::new(lines.enforce(&self.model, request())?);
        if let Some(lit) = lit {
            lines.verdicts.keep(lit, &verdict);
        }
        Some(verdict)
    }
}

impl Lines {
    fn enforce(&self, model: &Model, request: Vec<Dynamic>) -> Option<Verdict> {
        let made = self
            .enforcer
            .get_or_init(|| enforcer(&model.matcher, &self.rows).ok());
        let (allowed, rows) = made.as_ref()?.enforce_ex(request).ok()?;
        Some(Verdict { allowed, rows })
    }
}

/// Builds an enforcer. Rows are handed over as vectors, so no text in them is ever parsed.
pub(super) fn enforcer(matcher: &str, rows: &[Row]) -> Result<Enforcer, PolicyError> {
    let mut definitions = DefaultModel::default();
    for (section, value) in [("r", REQUEST), ("p", LINE), ("e", EFFECT), ("m", matcher)] {
        definitions.add_def(section, section, value);
    }
    for row in rows {
        definitions.add_policy("p", "p", row.to_vec());
    }
    // Without an adapter there is nothing to wait for: the future is ready at once.
    let mut enforcer = Enforcer::new_raw(definitions, ())
        .now_or_never()
        .ok_or(PolicyError::EngineWaited)?
        .map_err(|error| PolicyError::Engine(Box::new(error)))?;
    // The default logger keeps a thread for each enforcer.
    enforcer.set_logger(Box::new(Silent));
    enforcer.add_function("holds", OperatorFunction::Arg6(held::holds));
    Ok(enforcer)
}

/// Says nothing: Kluis writes its own records, and casbin's would show object keys.
struct Silent;

impl Logger for Silent {
    fn enable_log(&mut self, _enabled: bool) {}

    fn is_enabled(&self) -> bool {
        false
    }

    fn print_enforce_log(&self, _request: Vec<String>, _allowed: bool, _cached: bool) {}

    fn print_mgmt_log(&self, _event: &EventData) {}

    fn print_explain_log(&self, _rules: Vec<String>) {}

    fn print_status_log(&self, _enabled: bool) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::model;

    fn engine(rows: &[[&str; 3]]) -> Engine {
        let model = model::read(include_str!("../../policies/model.conf")).unwrap();
        let rows: Vec<Row> = rows.iter().map(|row| row.map(str::to_owned)).collect();
        Engine::new(&model, rows)
    }

    const LINE: [&str; 3] = ["reader", "object.read", "allow"];

    #[test]
    fn a_failure_of_the_engine_is_no_verdict() {
        let engine = engine(&[LINE]);
        for values in [0, 1, 5, 7] {
            let verdict = engine.ask(LINE[1], |_| true, || vec![Dynamic::UNIT; values]);
            assert!(verdict.is_none(), "{values}");
        }
    }

    #[test]
    fn values_of_wrong_types_match_no_line() {
        let engine = engine(&[LINE]);
        let texts = |text: &str| vec![Dynamic::from(text.to_owned()); 6];
        for values in [texts(""), texts("object.read"), vec![Dynamic::UNIT; 6]] {
            let allowed = engine
                .ask(LINE[1], |_| false, || values)
                .is_some_and(|verdict| verdict.allowed);
            assert!(!allowed);
        }
    }

    #[test]
    fn without_lines_nothing_is_asked_and_nothing_allowed() {
        let verdict = engine(&[]).ask(LINE[1], |_| true, Vec::new).unwrap();
        assert!(!verdict.allowed && verdict.rows.is_empty());
    }
}
