//! The operator's log: text or JSON lines on standard error.
//!
//! `log.level` sets how much Kluis itself says. What it is built from says at most what is worth
//! an operator's eye at `info`: below that, s3s logs the `Authorization` header and the signer of
//! store requests what it signs.

use std::io::IsTerminal as _;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{MakeWriter, layer};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use crate::config::{Environment, Log, LogFormat, LogLevel, Variable};

/// The most that code of others may say.
const FOREIGN_MAX: LevelFilter = LevelFilter::INFO;

/// A log is set up already. At fault: the caller, who asked twice.
#[derive(Debug, thiserror::Error)]
#[error("the log is set up already")]
pub struct LogError(#[source] tracing::subscriber::SetGlobalDefaultError);

/// Sends the log of this process to standard error, for good.
pub fn start(log: &Log, environment: &Environment) -> Result<(), LogError> {
    let terminal = std::io::stderr().is_terminal();
    let style = Style::of(log.format, terminal, environment.has(Variable::NoColor));
    tracing::subscriber::set_global_default(subscriber(log.level, style, std::io::stderr))
        .map_err(LogError)
}

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Text { colour: bool },
    Json,
}

impl Style {
    const fn of(format: LogFormat, terminal: bool, no_colour: bool) -> Self {
        match format {
            LogFormat::Json => Self::Json,
            LogFormat::Auto if !terminal => Self::Json,
            LogFormat::Auto | LogFormat::Text => Self::Text {
                colour: terminal && !no_colour,
            },
        }
    }
}

fn subscriber<W>(level: LogLevel, style: Style, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    Registry::default().with(lines(style, writer).with_filter(filter(level)))
}

fn lines<S, W>(style: Style, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    match style {
        Style::Text { colour } => layer().with_ansi(colour).with_writer(writer).boxed(),
        Style::Json => layer()
            .json()
            .flatten_event(true)
            .with_writer(writer)
            .boxed(),
    }
}

fn filter(level: LogLevel) -> Targets {
    let own = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new()
        .with_default(own.min(FOREIGN_MAX))
        // Each refused client would be an error of the library's; the audit log has them all.
        .with_target("s3s", LevelFilter::OFF)
        .with_target("kluis", own)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0
                .lock()
                .expect("not poisoned")
                .extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: LogLevel, style: Style, say: impl FnOnce()) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = subscriber(level, style, move || writer.clone());
        tracing::subscriber::with_default(subscriber, say);
        let bytes = sink.0.lock().expect("not poisoned").clone();
        String::from_utf8(bytes).expect("text")
    }

    const TEXT: Style = Style::Text { colour: false };

    #[test]
    fn code_of_others_stays_silent_below_info_whatever_is_asked() {
        for level in [LogLevel::Debug, LogLevel::Trace] {
            let told = logged(level, TEXT, || {
                tracing::debug!(target: "s3s::service", "authorization canary");
                tracing::debug!(target: "s3s", "authorization canary");
                tracing::trace!(target: "aws_sigv4::http_request::sign", "canary");
                tracing::trace!(target: "h2::proto", "canary");
                tracing::trace!(target: "hyper::proto", "canary");
                tracing::debug!(target: "kluis::vault", "ours");
            });
            assert!(told.contains("ours"), "{told}");
            assert!(
                told.contains("kluis_like") || !told.contains("authorization"),
                "{told}"
            );
            assert!(!told.contains("s3s") && !told.contains("aws_") && !told.contains("h2::"));
        }
    }

    #[test]
    fn code_of_others_is_as_quiet_as_ours() {
        let told = logged(LogLevel::Error, TEXT, || {
            tracing::warn!(target: "hyper", "theirs");
            tracing::warn!(target: "kluis", "ours");
            tracing::error!(target: "hyper", "failure");
        });
        assert!(told.contains("failure") && !told.contains("ours") && !told.contains("theirs"));
    }

    #[test]
    fn refused_clients_do_not_fill_the_log() {
        let told = logged(LogLevel::Trace, TEXT, || {
            tracing::error!(target: "s3s::ops", "a request body, with keys in it");
        });
        assert!(told.is_empty(), "{told}");
    }

    #[test]
    fn json_lines_are_json() {
        let told = logged(LogLevel::Info, Style::Json, || {
            tracing::info!(bytes = 7, "line\nbreak \u{1b}[31m");
            tracing::info!("second");
        });
        let lines: Vec<serde_json::Value> = told
            .lines()
            .map(|line| serde_json::from_str(line).expect("an object in each line"))
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["bytes"], 7);
        assert_eq!(lines[0]["message"], "line\nbreak \u{1b}[31m");
    }

    #[test]
    fn text_lines_cannot_be_broken_by_what_they_quote() {
        let told = logged(LogLevel::Info, TEXT, || {
            tracing::info!(name = "a\nERROR forged", "one");
        });
        assert_eq!(told.lines().count(), 1, "{told}");
    }

    #[test]
    fn colour_is_for_terminals_that_want_it() {
        let style = |terminal, no_colour| Style::of(LogFormat::Auto, terminal, no_colour);
        assert_eq!(style(true, false), Style::Text { colour: true });
        assert_eq!(style(true, true), TEXT);
        assert_eq!(style(false, false), Style::Json);
        assert_eq!(Style::of(LogFormat::Text, false, false), TEXT);
        assert_eq!(Style::of(LogFormat::Json, true, false), Style::Json);
    }
}
