//! Which known name somebody may have meant who wrote another. Only a slip of the pen is told:
//! other initials, and other numbers, are other people.

/// Letters of a word in which one slip is one, and two are.
const ONE_SLIP_LETTERS: usize = 4;
const TWO_SLIPS_LETTERS: usize = 8;

/// The first of the known names that this one may be a slip of; itself is none.
pub(super) fn near<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .find(|other| *other != name && is_slip(name, other))
}

fn is_slip(one: &str, other: &str) -> bool {
    let (one, other) = (words(one), words(other));
    if one.concat() == other.concat() {
        return true;
    }
    if one.len() != other.len() {
        return slipped(&one.concat(), &other.concat());
    }
    let pairs = one.iter().zip(&other);
    pairs.filter(|(a, b)| a != b).all(|(a, b)| slipped(a, b))
}

/// The words of a name, whatever is between them and however they are capitalised.
fn words(name: &str) -> Vec<String> {
    let words = name.split(|c: char| !c.is_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

fn slipped(one: &str, other: &str) -> bool {
    let letters = one.chars().count().min(other.chars().count());
    let slips = match letters {
        TWO_SLIPS_LETTERS.. => 2,
        ONE_SLIP_LETTERS.. => 1,
        _ => return false,
    };
    let counts = |word: &str| word.contains(|c: char| c.is_ascii_digit());
    !counts(one) && !counts(other) && strsim::damerau_levenshtein(one, other) <= slips
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_told() {
        for (wrote, meant) in [
            ("a.janssen", "a.jansen"),
            ("a.jasnen", "a.jansen"),
            ("A.Jansen", "a.jansen"),
            ("a-jansen", "a.jansen"),
            ("ajansen", "a.jansen"),
            ("laur", "laura"),
            ("a.jansen@umc.exmaple", "a.jansen@umc.example"),
            ("b.vandenberg", "b.vanderberg"),
        ] {
            let known = ["zoe", meant, "stan"];
            assert_eq!(near(wrote, known), Some(meant), "{wrote}");
        }
    }

    #[test]
    fn another_person_is_no_slip() {
        for (wrote, known) in [
            ("a.jansen", "a.jansen"),
            ("a.jansen", "b.jansen"),
            ("b.jansen@umc.example", "a.jansen@umc.example"),
            ("anna", "ana"),
            ("rob", "bob"),
            ("nurse-01", "nurse-02"),
            ("owner1", "owner2"),
            ("a.jansen", "a.devries"),
            ("laura", "marta"),
            ("", "ana"),
        ] {
            assert_eq!(near(wrote, [known]), None, "{wrote} {known}");
        }
    }
}
