//! A request as a message of syslog (RFC 5424), framed for TLS (RFC 5425): the record's JSON behind
//! a header that names it.
//!
//! ```text
//! <110>1 2027-03-02T08:15:04.498Z vault kluis - object.read [kluis@32473 id="…" lane="…" seq="7"] BOM{…}
//! ```
//!
//! 32473 is the number that RFC 5612 keeps for examples: Kluis has none of its own.

use std::fmt::Write as _;

use crate::journal::Request;
use crate::ledger::Outcome;
use crate::ledger::export::Form;

/// Log audit (RFC 5424, table 1).
const FACILITY: u8 = 13;
/// RFC 5424, section 6.2.4.
const HOST_BYTES_MAX: usize = 255;

/// How messages are written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Syslog {
    host: String,
    form: Form,
}

impl Syslog {
    /// Messages of this host.
    #[must_use]
    pub fn new(host: &str, form: Form) -> Self {
        let fine = !host.is_empty()
            && host.len() <= HOST_BYTES_MAX
            && host.bytes().all(|b| b.is_ascii_graphic());
        Self {
            host: if fine { host } else { "-" }.to_owned(),
            form,
        }
    }

    /// A request's message; `None` for what the form has no line for.
    #[must_use]
    pub fn message(&self, request: &Request) -> Option<String> {
        let body = self.form.line(&request.view())?;
        let completion = request.completion.as_ref();
        let time = completion.map_or(request.intent.time, |end| end.time);
        let severity = match completion.map(|end| end.outcome) {
            Some(Outcome::Success) => 6,
            Some(Outcome::Refused) => 4,
            Some(Outcome::Failed | Outcome::Aborted | Outcome::OpenAtCrash) | None => 3,
        };
        let event = request
            .intent
            .action
            .map_or("admin", |action| action.as_str());
        let id = uuid::Uuid::from_bytes(*request.intent.event.as_bytes());
        let priority = u16::from(FACILITY)
            .saturating_mul(8)
            .saturating_add(severity);
        let mut out = String::with_capacity(body.len().saturating_add(256));
        // The event's word, the lane and the numbers hold nothing that would need an escape.
        let _written = write!(
            out,
            "<{priority}>1 {time} {} kluis - {event} [kluis@32473 id=\"{id}\" lane=\"{}\" seq=\"{}\"] \u{feff}{body}",
            self.host, request.lane, request.seq,
        );
        Some(out)
    }
}

/// A message as a stream carries it: its length in bytes, a space, itself.
pub fn frame(message: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(message.len().to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(message.as_bytes());
}
