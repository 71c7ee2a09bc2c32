//! The issuers whose tokens and visas are believed, and whether their keys can be had.

use super::super::config_command::ISSUERS_MEND;
use super::Report;
use crate::app::look_at_issuers;
use crate::config::Config;

/// Looks at the file that names them, and fetches what it says is fetched.
pub(super) async fn look(config: &Config, report: &mut Report) {
    let Some(file) = &config.identity.issuers else {
        return;
    };
    let found = look_at_issuers(file, true).await;
    for why in &found.faults {
        report.fail("issuers", why, ISSUERS_MEND);
    }
    if found.faults.is_empty() {
        let says = match found.names.as_slice() {
            [] => format!("{} names nobody", file.display()),
            names => format!("their keys are there: {}", names.join(", ")),
        };
        report.ok("issuers", says);
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    async fn told(text: Option<&str>) -> Vec<(State, String)> {
        let dir = tempfile::tempdir().unwrap();
        if let Some(text) = text {
            std::fs::write(dir.path().join("issuers.toml"), text).unwrap();
        }
        let config = "[identity]\nissuers = 'issuers.toml'\n";
        let config = Config::parse(config, dir.path()).unwrap();
        let mut report = Report::default();
        look(&config, &mut report).await;
        let lines = report.0.into_iter();
        lines.map(|line| (line.state, line.says)).collect()
    }

    /// A port that nobody listens on any more.
    fn closed() -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/keys", listener.local_addr().unwrap())
    }

    #[tokio::test]
    async fn issuers_that_are_not_in_force_fail_one_by_one() {
        let missing = told(None).await;
        assert_eq!(missing.len(), 1);
        assert!(missing[0].0 == State::Fail && missing[0].1.contains("issuers.toml"));
        let entry = |name: &str, url: &str| {
            format!(
                "[[issuer]]\nname = '{name}'\nurl = 'https://{name}'\naudience = 'kluis'\n\
                 jwks_url = '{url}'\n"
            )
        };
        let (k8s, sram) = (entry("k8s", &closed()), entry("sram", "https://sram/"));
        let two = format!("{k8s}{sram}ca_file = 'no.pem'");
        let lines = told(Some(&two)).await;
        assert!(lines.iter().all(|(state, _)| *state == State::Fail) && lines.len() == 2);
        assert!(lines[0].1.contains("issuer=k8s") && lines[0].1.contains("the connection failed"));
        assert!(lines[1].1.contains("issuer=sram") && lines[1].1.contains("no.pem"));
        let none = told(Some("")).await;
        assert!(none[0].0 == State::Ok && none[0].1.ends_with("names nobody"));
    }
}
