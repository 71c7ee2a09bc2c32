//! A vault of another user's: root beside a gateway that runs as its own user.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
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

/// What was laid into the directory where somebody runs a command would act as her.
#[test]
fn a_configuration_that_others_could_have_laid_here_is_refused() {
    let vault = Vault::init();
    let file = vault.dir().join("kluis.toml");
    let run = |args: &[&str]| {
        let mut kluis = std::process::Command::new(env!("CARGO_BIN_EXE_kluis"));
        kluis.current_dir(vault.dir()).args(args);
        let output = kluis.output().expect("it runs");
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told).into_owned();
        (output.status.code(), told)
    };
    let mode = |path: &Path, mode: u32| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, mode).expect("ours");
    };
    assert_eq!(run(&["config", "check"]).0, Some(0));
    let commands: [&[&str]; 7] = [
        &["config", "check"],
        &["doctor"],
        &["audit", "tail"],
        &["grant", "list", "icu"],
        &["dataset", "list"],
        &["project", "list"],
        &["serve"],
    ];
    let before = files(vault.dir());
    for (path, open, right) in [(&*file, 0o666, 0o600), (vault.dir(), 0o777, 0o700)] {
        mode(path, open);
        for words in commands {
            let (code, told) = run(words);
            // A doctor's finding is an answer.
            let refused = if words == ["doctor"] { 1 } else { 2 };
            assert_eq!(code, Some(refused), "{words:?}: {told}");
            assert!(told.contains("kluis.toml here is not taken"), "{told}");
            assert!(told.contains("--config ./kluis.toml"), "{told}");
        }
        let (code, told) = run(&["--config", "./kluis.toml", "config", "check"]);
        assert_eq!(code, Some(0), "{told}");
        mode(path, right);
    }
    if std::fs::metadata(&file).expect("there").uid() == 0 {
        chown(&file, Some(OTHER), None).expect("root");
        for words in commands {
            let (code, told) = run(words);
            // A doctor's finding is an answer.
            let refused = if words == ["doctor"] { 1 } else { 2 };
            assert_eq!(code, Some(refused), "{words:?}: {told}");
            assert!(told.contains("is user 54321's"), "{told}");
        }
        chown(&file, Some(0), None).expect("root");
    }
    assert_eq!(files(vault.dir()), before, "nothing is made");
    assert_eq!(run(&["config", "check"]).0, Some(0));
}
