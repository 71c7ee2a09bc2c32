//! Reads role files: lines `p, role, action, allow|deny`, one file for each role.

use super::error::RoleFault;
use super::grant::GrantEffect;
use crate::types::{Action, limits};

/// One line of a role file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RoleLine {
    /// What it speaks of.
    pub(super) action: Action,
    /// Allow or deny.
    pub(super) effect: GrantEffect,
    /// Where it stands, from 1.
    pub(super) line: usize,
}

/// Whether `name` can name a role: 1 to 64 of `a-z 0-9 -`.
pub(super) fn is_role_name(name: &str) -> bool {
    (1..=limits::ROLE_NAME_BYTES_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// The lines that could be read, and what is wrong with the others, by line.
pub(super) fn read(role: &str, text: &str) -> (Vec<RoleLine>, Vec<(usize, RoleFault)>) {
    let (mut lines, mut faults) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match read_line(role, line) {
            Ok((action, effect)) => lines.push(RoleLine {
                action,
                effect,
                line: number,
            }),
            Err(fault) => faults.push((number, fault)),
        }
    }
    (lines, faults)
}

fn read_line(role: &str, line: &str) -> Result<(Action, GrantEffect), RoleFault> {
    let mut fields = line.split(',').map(str::trim);
    let (Some(kind), Some(name), Some(action), Some(effect), None) = (
        fields.next(),
        fields.next(),
        fields.next(),
        fields.next(),
        fields.next(),
    ) else {
        return Err(RoleFault::Arity);
    };
    if kind != "p" {
        return Err(RoleFault::Kind);
    }
    if name != role {
        return Err(RoleFault::OtherRole);
    }
    let action = action.parse().map_err(|_unknown| RoleFault::Action)?;
    let effect = match effect {
        "allow" => GrantEffect::Allow,
        "deny" => GrantEffect::Deny,
        _ => return Err(RoleFault::Effect),
    };
    Ok((action, effect))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_their_numbers() {
        let (lines, faults) = read(
            "a",
            "# x\n\n  p,a , object.read,allow\r\np, a, log.read, deny",
        );
        assert_eq!(faults, []);
        let seen: Vec<_> = lines.iter().map(|l| (l.action, l.effect, l.line)).collect();
        assert_eq!(
            seen,
            [
                (Action::ObjectRead, GrantEffect::Allow, 3),
                (Action::LogRead, GrantEffect::Deny, 4)
            ]
        );
    }

    #[test]
    fn every_other_line_is_a_fault() {
        for (line, fault) in [
            ("p, a, object.read", RoleFault::Arity),
            ("p, a, object.read, allow,", RoleFault::Arity),
            ("p, a, object.read, allow, deny", RoleFault::Arity),
            ("p", RoleFault::Arity),
            ("g, a, object.read, allow", RoleFault::Kind),
            ("p2, a, object.read, allow", RoleFault::Kind),
            ("p, b, object.read, allow", RoleFault::OtherRole),
            ("p, *, object.read, allow", RoleFault::OtherRole),
            ("p, a, object.*, allow", RoleFault::Action),
            ("p, a, OBJECT.READ, allow", RoleFault::Action),
            ("p, a, \"object.read\", allow", RoleFault::Action),
            ("p, a, object.read, Allow", RoleFault::Effect),
            ("p, a, object.read, allow # why", RoleFault::Effect),
            ("p, a, object.read, ", RoleFault::Effect),
        ] {
            assert_eq!(read("a", line), (vec![], vec![(1, fault)]), "{line}");
        }
    }

    #[test]
    fn role_names_are_plain() {
        let long = "r".repeat(65);
        for bad in ["", "A", "a b", "deny:reader", "a/b", "a\n", "é", &long] {
            assert!(!is_role_name(bad), "{bad}");
        }
        assert!(is_role_name("reader-2"));
    }
}
