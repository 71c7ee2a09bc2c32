//! What texts are held to: plain English in comments, in what is printed, and in the pages.

use super::{pages, rust};

/// `who` after such a word is no English, but where it begins a question: a log of who reads.
#[test]
fn texts_say_whoever() {
    const BEFORE: [&str; 7] = ["for", "to", "by", "of", "from", "than", "with"];
    const RIGHT: [&str; 4] = [
        "log of who read",
        "changes of who may",
        "rule of who may",
        "for who in ",
    ];
    for (name, text) in rust(&["src"]).into_iter().chain(pages()) {
        for line in text.lines() {
            let asked = RIGHT.iter().any(|right| line.contains(right));
            for word in BEFORE.iter().filter(|_| !asked) {
                let who = format!(" {word} who ");
                assert!(!line.contains(&who), "{name} says `{who}`: {line}");
            }
        }
    }
}
