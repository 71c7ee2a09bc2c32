//! A vault of another user's: root beside a gateway that runs as its own user.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use crate::Vault;

/// A user of no account.
const OTHER: u32 = 54_321;

/// Every file of the vault, with its length.
fn files(dir: &Path) -> Vec<(PathBuf, u64)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).expect("read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all.extend(files(&path));
        }
        let length = path.symlink_metadata().expect("there").len();
        all.push((path, length));
    }
    all.sort();
    all
}

fn give(dir: &Path, user: u32) {
    for (path, _) in files(dir) {
        chown(path, Some(user), None).expect("root");
    }
    chown(dir, Some(user), None).expect("root");
}

#[test]
fn nothing_is_written_into_a_vault_of_another_user() {
    let vault = Vault::init();
    if std::fs::metadata(vault.dir()).expect("there").uid() != 0 {
        // Root alone gives files away; `cli::belongs` has the judgement.
        return;
    }
    give(vault.dir(), OTHER);
    let before = files(vault.dir());
    let refused: [&[&str]; 4] = [
        &["principal", "create", "rob"],
        &["credential", "create", "ana"],
        &["project", "create", "lab", "--owner", "ana"],
        &["recover"],
    ];
    for words in refused {
        let hint = "runuser -u 54321 -- kluis";
        vault
            .run(words)
            .expect(2, &["this vault is user 54321's", hint]);
    }
    assert_eq!(files(vault.dir()), before, "nothing is made");

    give(vault.dir(), 0);
    vault.run(&["principal", "create", "rob"]).expect(0, &[]);
}

#[test]
fn doctor_names_what_another_user_left_and_how_to_mend_it() {
    let vault = Vault::init();
    let own = std::fs::metadata(vault.dir()).expect("there").uid();
    vault
        .run(&["doctor"])
        .expect(0, &["what the vault has is user"]);
    if own != 0 {
        return;
    }
    let all = files(vault.dir());
    let mut journal = all.iter().map(|(path, _)| path);
    let left = journal.find(|path| path.to_string_lossy().contains("journal/admin/"));
    let left = left.expect("a command's file");
    chown(left, Some(OTHER), None).expect("root");
    let told = vault.run(&["doctor"]);
    let name = left.display().to_string();
    let told = told.expect(1, &[&name, "is user 54321's, not root's", "chown -R root"]);
    assert!(!told.out.contains("those who investigate"), "{}", told.out);
    chown(left, Some(own), None).expect("root");
    vault.run(&["doctor"]).expect(0, &[]);
}
