//! Files in the vault that are not its owner's, as a command leaves them that another user ran: the
//! gateway can read or write none of them.

use std::collections::VecDeque;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Report;
use crate::cli::belongs::{name, owner, user_of};
use crate::config::{Config, StoreKind};

/// Files that are named one by one.
const SHOWN_MAX: usize = 5;
/// Files that are looked at below one directory; a store may have many more.
const LOOKED_MAX: usize = 200_000;

/// Looks through what the gateway writes.
pub(super) fn look(config: &Config, report: &mut Report) {
    let Some(owner) = owner(config) else { return };
    let catalog = &config.catalog.path;
    let beside = |end: &str| {
        let mut path = catalog.clone().into_os_string();
        path.push(end);
        PathBuf::from(path)
    };
    let mut places = vec![
        (config.journal.dir.clone(), owner),
        (config.proof.dir.clone(), owner),
        (config.keys.dir.clone(), owner),
        (beside("-wal"), owner),
        (beside("-shm"), owner),
    ];
    if config.store.kind == StoreKind::Local {
        // Whose a store is, a file server may say in its own way.
        let store = &config.store.path;
        places.extend(user_of(store).map(|user| (store.clone(), user)));
    }
    let mut fine = true;
    for (place, user) in places {
        fine &= one(&place, user, report);
    }
    if fine {
        report.ok(
            "owner",
            format!("what the vault has is user {}'s", name(owner)),
        );
    }
}

/// Whether all at and below a place is a user's; what is not is told.
fn one(place: &Path, user: u32, report: &mut Report) -> bool {
    let others = others(place, user);
    if others.is_empty() {
        return true;
    }
    let user = name(user);
    let shown = others.iter().take(SHOWN_MAX);
    let mut says: Vec<String> = shown
        .map(|(path, other)| {
            format!(
                "{} is user {}'s, not {user}'s",
                path.display(),
                name(*other)
            )
        })
        .collect();
    if others.len() > SHOWN_MAX {
        says.push(format!(
            "and {} more",
            others.len().saturating_sub(SHOWN_MAX)
        ));
    }
    let mend = format!(
        "as root: `chown -R {user} {}`; run `kluis` as {user}",
        place.display()
    );
    report.fail("owner", says.join("\n"), &mend);
    false
}

/// What is not a user's, each with whose it is. No link is followed below the place.
fn others(place: &Path, user: u32) -> Vec<(PathBuf, u32)> {
    let mut others = Vec::new();
    let mut looked = 0_usize;
    let mut folders = VecDeque::new();
    match user_of(place) {
        None => return others,
        Some(other) if other != user => others.push((place.to_owned(), other)),
        Some(_) => {}
    }
    folders.push_back(place.to_owned());
    while let Some(folder) = folders.pop_front() {
        // A file is no folder; what cannot be read is told by whoever reads it.
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            looked = looked.saturating_add(1);
            if looked > LOOKED_MAX {
                return others;
            }
            // Of a link, its own; one that has gone meanwhile is nobody's.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.uid() != user {
                others.push((entry.path(), metadata.uid()));
            }
            if metadata.is_dir() {
                folders.push_back(entry.path());
            }
        }
    }
    others
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn what_is_anothers_is_named_with_how_to_mend_it_and_what_is_ones_own_is_not() {
        let place = tempfile::tempdir().unwrap();
        let below = place.path().join("admin");
        std::fs::create_dir(&below).unwrap();
        for n in 0..7 {
            std::fs::write(below.join(n.to_string()), "").unwrap();
        }
        std::os::unix::fs::symlink("/proc/1", below.join("link")).unwrap();
        let own = user_of(place.path()).unwrap();
        let mut report = Report::default();
        assert!(one(place.path(), own, &mut report));
        assert!(
            one(&place.path().join("none"), own, &mut report),
            "not there"
        );
        assert!(report.0.is_empty());
        let stranger = own.wrapping_add(54_321);
        assert!(!one(place.path(), stranger, &mut report));
        let line = report.0.pop().unwrap();
        assert!(line.state == State::Fail && line.says.lines().count() == SHOWN_MAX + 1);
        assert!(line.says.contains("and 5 more"), "{}", line.says);
        let mend = line.mend.unwrap();
        let path = place.path().display().to_string();
        assert!(
            mend.contains(&format!("chown -R {stranger} {path}")),
            "{mend}"
        );
    }
}
