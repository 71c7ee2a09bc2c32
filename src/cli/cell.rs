//! A cell of a table: how it is written for a person, and what JSON has in its place.

use serde_json::Value;

/// Columns that hold numbers, and that JSON has as numbers.
const NUMBERS: [&str; 6] = ["objects", "bytes", "days", "writes", "number", "version"];
/// Columns that say yes or no, and that JSON has as `true` and `false`.
const BOOLEANS: [&str; 4] = ["active", "ended", "privileged", "pseudonyms"];
/// What a table says of a moment that never comes, or never was.
pub(super) const NEVER: &str = "never";
/// What a table says of the end of what has not ended.
pub(super) const NOT_DONE: &str = "not done";

/// A cell that says yes or no.
pub(super) fn yes_or_no(is: bool) -> String {
    (if is { "yes" } else { "no" }).to_owned()
}

/// A cell as JSON has it: nothing, never and not done are null, numbers are numbers, yes and no are
/// `true` and `false`; whatever else stands in a column of yes and no, as a time, stays as it is.
pub(super) fn typed(name: &str, cell: &str) -> Value {
    if cell.is_empty() || [NEVER, NOT_DONE].contains(&cell) {
        return Value::Null;
    }
    match (BOOLEANS.contains(&name), cell) {
        (true, "yes" | "on") => return true.into(),
        (true, "no" | "off") => return false.into(),
        _other => {}
    }
    if let (true, Ok(number)) = (NUMBERS.contains(&name), cell.parse::<u64>()) {
        return number.into();
    }
    cell.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_time_of_an_end_is_no_yes_or_no() {
        for (cell, said) in [
            ("2026-11-23T10:00:00Z", json!("2026-11-23T10:00:00Z")),
            (NOT_DONE, Value::Null),
            (NEVER, Value::Null),
            ("", Value::Null),
            ("no", json!(false)),
            ("off", json!(false)),
            ("yes", json!(true)),
        ] {
            assert_eq!(typed("ended", cell), said, "{cell}");
        }
    }

    #[test]
    fn what_looks_like_a_number_is_one_in_a_column_of_numbers_alone() {
        assert_eq!(typed("bytes", "7"), json!(7));
        assert_eq!(typed("permit", "7"), json!("7"));
        assert_eq!(typed("bytes", "7 GiB"), json!("7 GiB"));
    }
}
