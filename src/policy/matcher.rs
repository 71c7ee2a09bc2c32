//! The matcher of a model: two fixed conditions, then conditions that can only narrow.
//!
//! casbin hands the matcher to a script engine that bounds neither depth nor what may be called.
//! So the text is held to a small grammar first:
//!
//! ```text
//! matcher   = "r.act == p.act" "&&" "holds(r.sub, p.role, r.dom, r.dataset, r.key, r.now)"
//!             { "&&" condition }
//! condition = [ "!" ] "(" condition { ("&&" | "||") condition } ")"  |  side ("==" | "!=") side
//! side      = "r.dom" | "r.dataset" | "r.act" | '"' text '"'
//! ```
//!
//! A further condition says nothing of `p`, so it is false for allowing and denying lines alike:
//! it removes lines of both kinds for a request as a whole, and what is left without a line is
//! denied. **No text of a model can allow more than the built-in one.**

use super::error::ModelFault;
use crate::types::limits;

const FIXED: &str = "r.act == p.act && holds(r.sub, p.role, r.dom, r.dataset, r.key, r.now)";

/// Checks a matcher's text.
pub(super) fn check(text: &str) -> Result<(), ModelFault> {
    if text.len() > limits::POLICY_MATCHER_BYTES_MAX {
        return Err(ModelFault::TooLarge);
    }
    let fixed = tokens(FIXED)?;
    let all = tokens(text)?;
    let Some(rest) = all.strip_prefix(fixed.as_slice()) else {
        return Err(ModelFault::Conditions);
    };
    let mut reader = Reader { rest };
    while !reader.rest.is_empty() {
        reader.expect(Token::And)?;
        reader.condition(0)?;
    }
    Ok(())
}

/// Whether a matcher is the two fixed conditions and nothing else.
pub(super) fn is_fixed(text: &str) -> bool {
    tokens(text).is_ok_and(|all| tokens(FIXED).is_ok_and(|fixed| all == fixed))
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Token<'a> {
    Word(&'a str),
    Text(&'a str),
    Equal,
    Unequal,
    And,
    Or,
    Not,
    Open,
    Close,
    Comma,
}

/// Cuts a text into tokens; each takes at least one byte, so the loop ends with the text.
fn tokens(text: &str) -> Result<Vec<Token<'_>>, ModelFault> {
    let signs = [
        ("==", Token::Equal),
        ("!=", Token::Unequal),
        ("&&", Token::And),
        ("||", Token::Or),
        ("!", Token::Not),
        ("(", Token::Open),
        (")", Token::Close),
        (",", Token::Comma),
    ];
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let sign = signs
            .iter()
            .find_map(|(sign, token)| rest.strip_prefix(sign).map(|rest| (*token, rest)));
        let (token, after) = match sign {
            Some(found) => found,
            None => word(rest).ok_or(ModelFault::Narrowing)?,
        };
        out.push(token);
        rest = after.trim_start();
    }
    Ok(out)
}

/// A text in quotes or a name with dots.
fn word(rest: &str) -> Option<(Token<'_>, &str)> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if let Some(inside) = rest.strip_prefix('"') {
        let (text, after) = inside.split_once('"')?;
        // casbin rewrites `r.` and `p.` even inside quotes; a text that holds one would change.
        let rewritten = text
            .rsplit('.')
            .skip(1)
            .any(|part| part.rsplit('-').next().is_some_and(is_definition_name));
        return (text.chars().all(plain) && !rewritten).then_some((Token::Text(text), after));
    }
    let end = rest.find(|c| !plain(c)).unwrap_or(rest.len());
    let (name, after) = rest.split_at_checked(end)?;
    (!name.is_empty()).then_some((Token::Word(name), after))
}

/// `r`, `p`, `r2` and so on.
fn is_definition_name(name: &str) -> bool {
    name.strip_prefix(['r', 'p'])
        .is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
}

struct Reader<'t, 'a> {
    rest: &'t [Token<'a>],
}

impl<'a> Reader<'_, 'a> {
    fn next(&mut self) -> Result<Token<'a>, ModelFault> {
        let (first, rest) = self.rest.split_first().ok_or(ModelFault::Narrowing)?;
        self.rest = rest;
        Ok(*first)
    }

    fn expect(&mut self, token: Token<'_>) -> Result<(), ModelFault> {
        (self.next()? == token)
            .then_some(())
            .ok_or(ModelFault::Narrowing)
    }

    fn take(&mut self, token: Token<'_>) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == token => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn condition(&mut self, depth: usize) -> Result<(), ModelFault> {
        if depth > limits::POLICY_MATCHER_DEPTH_MAX {
            return Err(ModelFault::TooLarge);
        }
        let negated = self.take(Token::Not);
        if self.take(Token::Open) {
            self.condition(depth.saturating_add(1))?;
            while self.take(Token::And) || self.take(Token::Or) {
                self.condition(depth.saturating_add(1))?;
            }
            return self.expect(Token::Close);
        }
        // `!r.act == "x"` would negate the name, not the comparison.
        if negated {
            return Err(ModelFault::Narrowing);
        }
        self.side()?;
        if !self.take(Token::Equal) {
            self.expect(Token::Unequal)?;
        }
        self.side()
    }

    fn side(&mut self) -> Result<(), ModelFault> {
        match self.next()? {
            Token::Text(_) | Token::Word("r.dom" | "r.dataset" | "r.act") => Ok(()),
            Token::Word(_)
            | Token::Equal
            | Token::Unequal
            | Token::And
            | Token::Or
            | Token::Not
            | Token::Open
            | Token::Close
            | Token::Comma => Err(ModelFault::Narrowing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrowing_conditions_are_taken() {
        for more in [
            "",
            r#" && r.act != "object.export""#,
            r#" && (r.dom == "a" || !(r.dataset == "b" && "c" != r.act))"#,
            "  &&  r.dom==r.dataset",
            r#" && r.dom != "r" && r.act != "or.x" && r.act != "a_p.x""#,
        ] {
            assert_eq!(check(&format!("{FIXED}{more}")), Ok(()), "{more}");
        }
    }

    #[test]
    fn whatever_could_widen_or_harm_is_refused() {
        let deep = format!(" && {}r.dom == r.act{}", "(".repeat(9), ")".repeat(9));
        let very_deep = format!(" && {}", "(".repeat(1_900));
        let nots = format!(" && {}(r.dom == r.act)", "!".repeat(500));
        for more in [
            r#" || r.act == "object.read""#,
            " || true",
            " && true",
            r#" && p.eft == "allow""#,
            r#" && p.role != "deny:reader""#,
            r#" && (r.dom == "a" || p.eft == "allow")"#,
            r#" && eval("1 == 1")"#,
            r#" && regexMatch(r.key, "a.*")"#,
            r#" && r.key == "a""#,
            r#" && r.act == "r.act""#,
            r#" && r.act == "a, p2.x""#,
            r#" && r.act == "x.a-p2.x""#,
            r#" && r.act == "p..""#,
            r#" && r.act == "a\"b""#,
            r#" && r.act == "unfinished"#,
            r#" && !r.act == "x""#,
            " && (r.dom == r.act",
            " && r.dom == r.act)",
            " && r.dom = r.act",
            " && r.dom == r.act; r.dom == r.act",
            " && { r.dom == r.act }",
            " &&",
            " && r.dom",
            " # comment",
            " && \u{2003}é",
            &deep,
            &very_deep,
            &nots,
        ] {
            assert!(check(&format!("{FIXED}{more}")).is_err(), "{more}");
        }
    }

    #[test]
    fn the_fixed_conditions_must_stand_first() {
        for bad in [
            "",
            "true",
            "r.act == p.act",
            "holds(r.sub, p.role, r.dom, r.dataset, r.key, r.now)",
            "r.act == p.act || holds(r.sub, p.role, r.dom, r.dataset, r.key, r.now)",
            r#"r.dom == "a" && r.act == p.act && holds(r.sub, p.role, r.dom, r.dataset, r.key, r.now)"#,
            "r.act == p.act && holds(r.sub, p.role, r.dom, r.dataset, r.now, r.key)",
        ] {
            assert_eq!(check(bad), Err(ModelFault::Conditions), "{bad}");
        }
        let long = format!("{FIXED}{}", " ".repeat(limits::POLICY_MATCHER_BYTES_MAX));
        assert_eq!(check(&long), Err(ModelFault::TooLarge));
    }
}
