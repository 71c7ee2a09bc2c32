//! How the command words what it counts.

use std::fmt::Display;

/// So many of something, in words.
pub(crate) fn count(number: impl Display, one: &str, many: &str) -> String {
    let number = number.to_string();
    let word = if number == "1" { one } else { many };
    format!("{number} {word}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        let said: Vec<String> = [0, 1, 2, 11].map(|n| count(n, "entry", "entries")).into();
        assert_eq!(said, ["0 entries", "1 entry", "2 entries", "11 entries"]);
    }
}
