//! `kluis doctor`: looks at everything that a vault stands on, says what is wrong and how to mend
//! it. It changes nothing but probes of its own in the store, which are deleted again.

mod belongs;
pub(super) mod certificate;
mod disk;
mod gate;
mod issuers;
mod keys;
mod log;
mod snapshots;
mod store;
mod volumes;

use serde_json::json;

use super::open::Desk;
use super::output::{CliError, Exit, Output};
use super::serve;
use crate::app::{load_policy, open_catalog, read_policy};
use crate::catalog::{CatalogError, SqliteCatalog};
use crate::config::Config;
use crate::keyring::KeyRing;
use crate::policy::{Severity, check, check_grants};

/// How something is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Ok,
    Warn,
    Fail,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One line of the report.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Line {
    check: &'static str,
    state: State,
    says: String,
    /// How to mend it.
    mend: Option<String>,
}

/// The report.
#[derive(Default)]
struct Report(Vec<Line>);

/// What others say of an error that mends it; that the doctor looks closer, it need not be told.
fn mend(error: &CliError) -> String {
    let others = error.hints().iter();
    let others: Vec<&str> = others
        .map(String::as_str)
        .filter(|hint| !hint.contains("`kluis doctor`"))
        .collect();
    if others.is_empty() {
        return "restore it from its backup (docs/keys.md)".to_owned();
    }
    others.join("; ")
}

impl Report {
    fn put(&mut self, check: &'static str, state: State, says: String, mend: Option<&str>) {
        self.0.push(Line {
            check,
            state,
            says,
            mend: mend.map(str::to_owned),
        });
    }

    fn ok(&mut self, check: &'static str, says: impl Into<String>) {
        self.put(check, State::Ok, says.into(), None);
    }

    fn warn(&mut self, check: &'static str, says: impl Into<String>, mend: &str) {
        self.put(check, State::Warn, says.into(), Some(mend));
    }

    fn fail(&mut self, check: &'static str, says: impl Into<String>, mend: &str) {
        self.put(check, State::Fail, says.into(), Some(mend));
    }

    /// Whether a check failed.
    fn fails(&self, check: &str) -> bool {
        let failed = |line: &Line| line.check == check && line.state == State::Fail;
        self.0.iter().any(failed)
    }

    /// An error with its causes.
    fn error(&mut self, check: &'static str, error: &dyn std::error::Error, mend: &str) {
        let told = CliError::of(Exit::No, error);
        self.fail(check, told.message(), mend);
    }
}

/// Looks at everything; 1 where something fails.
pub(super) fn run(desk: Desk<'_>, output: &mut Output) -> Result<Exit, CliError> {
    let mut report = Report::default();
    match desk.config() {
        Ok(config) => {
            report.ok("config", format!("{} is valid", desk.path.display()));
            examine(&config, desk, &mut report)?;
        }
        Err(error) => report.fail("config", error.message(), &mend(&error)),
    }
    print(&report, output)
}

fn examine(config: &Config, desk: Desk<'_>, report: &mut Report) -> Result<(), CliError> {
    belongs::look(config, report);
    let ring = keys::look(config, desk, report);
    serve::runtime()?.block_on(async {
        store::look(config, desk, report).await;
        volumes::look(config, desk, report).await;
        issuers::look(config, report).await;
    });
    gate::look(config, desk, ring.as_deref(), report);
    catalog(config, desk, ring.as_deref(), report)?;
    policy(config, report);
    log::look(config, ring.as_deref(), report);
    disk::look(config, report);
    certificate::look(config, report);
    Ok(())
}

fn print(report: &Report, output: &mut Output) -> Result<Exit, CliError> {
    for line in &report.0 {
        if output.is_json() {
            output.value(&json!({
                "check": line.check,
                "state": line.state.word(),
                "says": line.says,
                "mend": line.mend,
            }))?;
            continue;
        }
        for (row, says) in (0_u32..).zip(line.says.lines()) {
            let (state, check) = if row == 0 {
                (line.state.word(), line.check)
            } else {
                ("", "")
            };
            output.line(&format!("{state:4}  {check:9}  {says}"))?;
        }
        if let Some(mend) = &line.mend {
            output.line(&format!("                 mend: {mend}"))?;
        }
    }
    let failed = report.0.iter().any(|line| line.state == State::Fail);
    Ok(if failed { Exit::No } else { Exit::Done })
}

fn catalog(
    config: &Config,
    desk: Desk<'_>,
    ring: Option<&KeyRing>,
    report: &mut Report,
) -> Result<(), CliError> {
    let path = &config.catalog.path;
    if !path.exists() {
        report.fail(
            "catalog",
            format!("{} is not there", path.display()),
            "`kluis recover` rebuilds it from the store and the keys",
        );
        return Ok(());
    }
    match SqliteCatalog::inspect(path) {
        Ok(faults) if faults.is_empty() => {
            report.ok("catalog", format!("{} is sound", path.display()));
        }
        Ok(faults) => {
            report.fail(
                "catalog",
                faults.join("\n"),
                "move the file away and rebuild it with `kluis recover`",
            );
            return Ok(());
        }
        Err(error) => {
            report.error("catalog", &error, catalog_mend(&error));
            return Ok(());
        }
    }
    if let (Some(ring), Ok(catalog)) = (ring, open_catalog(config)) {
        let catalog: crate::catalog::SharedCatalog = catalog;
        let runtime = serve::runtime()?;
        match runtime.block_on(super::dataset::of(&catalog, None)) {
            Ok(datasets) => keys::of_datasets(ring, &datasets, report),
            Err(error) => report.fail("catalog", error.message(), "`kluis recover` rebuilds it"),
        }
        let looked = snapshots::look(&catalog, (config, desk), ring, report);
        if let Err(error) = runtime.block_on(looked) {
            report.error("snapshots", &error, catalog_mend(&error));
        }
        keys::of_copies(ring, report);
        if let Err(error) = runtime.block_on(grants(config, &catalog, report)) {
            report.fail(
                "policy",
                error.message(),
                "`kluis recover` rebuilds the catalog",
            );
        }
        match runtime.block_on(catalog.open_key_works()) {
            Ok(open) => keys::of_works(&open, report),
            Err(error) => report.error("catalog", &error, "`kluis recover` rebuilds it"),
        }
    }
    Ok(())
}

/// Grants whose role the policy does not have: whoever holds one is told of it as in force.
async fn grants(
    config: &Config,
    catalog: &crate::catalog::SharedCatalog,
    report: &mut Report,
) -> Result<(), CliError> {
    let Ok(policy) = load_policy(config.policy.dir.as_deref()) else {
        return Ok(());
    };
    for project in super::project::all(catalog).await? {
        let most = crate::types::limits::GUARD_CACHE_MAX;
        let held = catalog.grants(&project.name, most).await?;
        for id in check_grants(&policy, &held) {
            let role = held.iter().find(|grant| grant.id == id);
            let role = role.map(|grant| grant.role.as_str()).unwrap_or_default();
            let says = format!(
                "grant {id} of {}: no role {role} is in the policy",
                project.name
            );
            report.warn(
                "policy",
                says,
                "bring the role back, or withdraw the grant: it gives nothing, and denies \
                 everything if it is one that denies",
            );
        }
    }
    Ok(())
}

const fn catalog_mend(error: &CatalogError) -> &'static str {
    match error {
        CatalogError::Schema { .. } => "run the version of Kluis that wrote it, or a later one",
        CatalogError::Damaged { .. } => "move the file away and rebuild it with `kluis recover`",
        CatalogError::Conflict(_)
        | CatalogError::Busy
        | CatalogError::Full
        | CatalogError::Failed { .. } => {
            "see that this user may read and write it and its directory"
        }
    }
}

fn policy(config: &Config, report: &mut Report) {
    const MEND: &str = "`kluis policy check` names every fault; docs/policy.md explains the files";
    if config.policy.host_approves {
        report.warn(
            "policy",
            "commands on this host may approve in an owner's name",
            "where owners are other people, `policy.host_approves = false`",
        );
    }
    let dir = config.policy.dir.as_deref();
    let source = match read_policy(dir) {
        Ok(source) => source,
        Err(error) => return report.error("policy", &error, MEND),
    };
    for finding in check(&source) {
        match finding.kind.severity() {
            Severity::Warning => report.warn("policy", finding.to_string(), "review the line"),
            Severity::Error => report.fail("policy", finding.to_string(), MEND),
        }
    }
    if report.fails("policy") {
        return;
    }
    match load_policy(dir) {
        Ok(policy) => {
            let roles = policy.roles().join(", ");
            report.ok("policy", format!("it compiles; roles: {roles}"));
        }
        Err(error) => report.error("policy", &error, MEND),
    }
}

#[cfg(test)]
mod tests {
    use super::super::output::tests::captured;
    use super::*;

    #[test]
    fn a_host_that_may_approve_for_owners_is_told() {
        let told = |setting: &str| {
            let text = format!("[policy]\nhost_approves = {setting}\n");
            let config = Config::parse(&text, std::path::Path::new("etc")).unwrap();
            let mut report = Report::default();
            policy(&config, &mut report);
            let warned = |line: &Line| line.state == State::Warn && line.says.contains("owner");
            report.0.iter().any(warned)
        };
        assert!(told("true") && !told("false"));
    }

    #[test]
    fn a_warning_is_no_failure_and_a_failure_is_one() {
        let mut report = Report::default();
        report.ok("config", "valid");
        report.warn("disk", "nearly full", "make room");
        let (mut output, out, _) = captured(false);
        assert_eq!(print(&report, &mut output).unwrap(), Exit::Done);
        assert_eq!(
            out.text(),
            "ok    config     valid\nwarn  disk       nearly full\n                 mend: make room\n"
        );
        report.fail("keys", "gone\nall", "restore");
        let (mut output, out, _) = captured(true);
        assert_eq!(print(&report, &mut output).unwrap(), Exit::No);
        assert_eq!(out.text().lines().count(), 3);
        assert!(out.text().contains("\"state\":\"fail\""));
    }
}
