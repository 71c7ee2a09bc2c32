//! A record as one line of text for a terminal, made of its `kluis.audit/1` JSON alone: so it is
//! the same whether the record was read here or came over the network. No control character comes
//! out of it, whatever the record holds.

use std::fmt::{self, Write as _};

use serde_json::Value;

use super::view::parse_event;

/// `time outcome who address operation object status bytes rule-or-reason event`, blank where
/// unknown.
#[must_use]
pub fn line(record: &Value) -> String {
    let mut out = String::new();
    // Writing to a text cannot fail.
    let _written = write_line(&mut out, record).is_ok();
    out
}

fn text<'a>(record: &'a Value, pointer: &str) -> Option<Plain<'a>> {
    record.pointer(pointer).and_then(Value::as_str).map(Plain)
}

fn number(record: &Value, pointer: &str) -> u64 {
    record
        .pointer(pointer)
        .and_then(Value::as_u64)
        .unwrap_or_default()
}

fn write_line(out: &mut String, record: &Value) -> fmt::Result {
    let time = text(record, "/time").or_else(|| text(record, "/time_end"));
    let outcome = text(record, "/outcome/detail").unwrap_or(Plain("intent"));
    let who = text(record, "/actor/sub").unwrap_or(Plain("-"));
    let time = time.unwrap_or(Plain("-"));
    write!(out, "{time} {:<13} {who}", outcome.to_string())?;
    if let Some(address) = text(record, "/client/ip") {
        write!(out, " {address}")?;
    }
    if let Some(operation) = text(record, "/operation") {
        write!(out, " {operation}")?;
        write_object(out, record)?;
        if record.get("range").is_some() {
            let (from, len) = (number(record, "/range/off"), number(record, "/range/len"));
            write!(out, " [{from}+{len}]")?;
        }
        if let Some(query) = text(record, "/query") {
            write!(out, " query={query}")?;
        }
    }
    if record.get("outcome").is_some() {
        let (status, bytes) = (
            number(record, "/outcome/code"),
            number(record, "/bytes_sent"),
        );
        write!(out, " {status} {bytes} B")?;
        if let Some(reason) = text(record, "/outcome/reason") {
            write!(out, " reason={reason}")?;
        }
    }
    if let Some(rule) = text(record, "/policy/rule") {
        write!(out, " rule={rule}")?;
    }
    match text(record, "/event_id").and_then(|id| parse_event(id.0)) {
        Some(event) => write!(out, " event={event}"),
        None => Ok(()),
    }
}

fn write_object(out: &mut String, record: &Value) -> fmt::Result {
    let Some(project) = text(record, "/object/project") else {
        return Ok(());
    };
    write!(out, " {project}")?;
    if let Some(dataset) = text(record, "/object/dataset") {
        write!(out, "/{dataset}")?;
    }
    match text(record, "/object/key") {
        Some(key) => write!(out, ":{key}"),
        None => Ok(()),
    }
}

/// A foreign text for a terminal: control characters, and those that turn the direction of writing
/// or hide, are escaped, so that no record can move the cursor or pass for another line.
#[derive(Clone, Copy)]
struct Plain<'a>(&'a str);

/// Whether a character is not seen itself, and moves or hides others.
#[must_use]
pub const fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
    )
}

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                c if is_hidden(c) => write!(f, "{}", c.escape_unicode())?,
                c if c.is_control() => write!(f, "{}", c.escape_default())?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::super::view::View;
    use super::*;

    #[test]
    fn a_request_is_one_line() {
        let (session, event) = (samples::session(), samples::event(1));
        let (intent, completion) = (samples::intent(event), samples::completion(event));
        let mut view = View {
            lane: "gw-1",
            seq: 9,
            session: Some(&session),
            intent: Some(&intent),
            completion: Some(&completion),
        };
        let told = view.to_string();
        let begins = "2027-03-02T08:15:04.112Z success       j.devries 10.12.4.17 GetObject \
            icu-sepsis/ecg-2024:records/00001.dat [0+65536] query=records/ 206 ";
        assert!(told.starts_with(begins), "{told}");
        let ends = " rule=p, reader, object.read, allow event=01010101010101010101010101010101";
        assert!(told.ends_with(ends), "{told}");
        view.completion = None;
        assert!(
            view.to_string().contains("Z intent        j.devries"),
            "{view}"
        );
        view.intent = None;
        view.session = None;
        view.completion = Some(&completion);
        let told = view.to_string();
        assert!(
            told.starts_with("2027-03-02T08:15:04.498Z success       - 206 "),
            "{told}"
        );
    }

    #[test]
    fn what_is_no_record_is_a_line_all_the_same() {
        use serde_json::json;
        for (record, expected) in [
            (json!({}), "- intent        -"),
            (json!([1, 2]), "- intent        -"),
            (
                json!({"time": 7, "operation": "\u{1b}[2J", "event_id": "x", "object": "y"}),
                "- intent        - \\u{1b}[2J",
            ),
            (
                json!({"outcome": {"detail": "a\nb", "code": -1}, "actor": {"sub": "\u{202e}z"}}),
                "- a\\nb          \\u{202e}z 0 0 B",
            ),
        ] {
            assert_eq!(line(&record), expected, "{record}");
        }
    }
}
