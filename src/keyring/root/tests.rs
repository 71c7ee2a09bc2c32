//! Identity files: plain and encrypted, and what is refused as none.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn cheap() -> ScryptWork {
    ScryptWork::log2(2).unwrap()
}

fn passphrase(text: &str) -> SecretText {
    SecretText::new(text.to_owned())
}

fn refusal(path: &Path, text: Option<&str>) -> KeyRingError {
    let text = text.map(passphrase);
    RootIdentity::from_file(path, text.as_ref())
        .map(|_| ())
        .unwrap_err()
}

#[test]
fn a_plain_file_round_trips() {
    let held = tempfile::tempdir().unwrap();
    let path = held.path().join("root.txt");
    let root = RootIdentity::generate();
    root.to_file(&path, None, cheap()).unwrap();
    assert!(!file_needs_passphrase(&path).unwrap());
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = RootIdentity::from_file(&path, None).unwrap();
    assert_eq!(again.recipient(), root.recipient());
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(&root.recipient()) && text.ends_with('\n'));
}

#[test]
fn a_file_with_a_passphrase_opens_with_it_alone() {
    let held = tempfile::tempdir().unwrap();
    let path = held.path().join("root.age");
    let root = RootIdentity::generate();
    root.to_file(&path, Some(&passphrase("right")), cheap())
        .unwrap();
    assert!(file_needs_passphrase(&path).unwrap());
    let bytes = fs::read(&path).unwrap();
    assert!(!bytes.windows(15).any(|w| w == b"AGE-SECRET-KEY-"));
    let again = RootIdentity::from_file(&path, Some(&passphrase("right"))).unwrap();
    assert_eq!(again.recipient(), root.recipient());
    let wrong = refusal(&path, Some("wrong"));
    assert!(matches!(wrong, KeyRingError::PassphraseWrong { .. }));
    let none = refusal(&path, None);
    assert!(matches!(none, KeyRingError::PassphraseNeeded { .. }));
    let mut bad = bytes;
    let last = bad.len() - 1;
    bad[last] ^= 1;
    fs::write(&path, &bad).unwrap();
    assert!(matches!(
        refusal(&path, Some("right")),
        KeyRingError::PassphraseWrong { .. }
    ));
}

#[test]
fn the_work_is_ours_to_choose_and_bounded() {
    assert_eq!(ScryptWork::log2(18), Some(ScryptWork::STANDARD));
    for bad in [0, 23, 64, 255] {
        assert_eq!(ScryptWork::log2(bad), None);
    }
    let held = tempfile::tempdir().unwrap();
    let path = held.path().join("root.age");
    let root = RootIdentity::generate();
    root.to_file(&path, Some(&passphrase("p")), cheap())
        .unwrap();
    let bytes = fs::read(&path).unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let stanza = text.lines().find(|l| l.starts_with("-> scrypt ")).unwrap();
    assert!(stanza.ends_with(" 2"), "{stanza}");
    // A file that asks for hours of work and gigabytes.
    let at = text.find(stanza).unwrap() + stanza.len() - 1;
    let heavy = [&bytes[..at], b"30", &bytes[at + 1..]].concat();
    fs::write(&path, heavy).unwrap();
    let refused = refusal(&path, Some("p"));
    assert!(matches!(
        refused,
        KeyRingError::PassphraseWork { required: 30, .. }
    ));
}

#[test]
fn identity_files_are_never_overwritten() {
    let held = tempfile::tempdir().unwrap();
    let path = held.path().join("root.txt");
    fs::write(&path, b"precious").unwrap();
    for text in [None, Some(passphrase("p"))] {
        let made = RootIdentity::generate().to_file(&path, text.as_ref(), cheap());
        assert!(matches!(made, Err(KeyRingError::Exists { .. })));
    }
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    assert_eq!(fs::read_dir(held.path()).unwrap().count(), 1);
    let empty = passphrase("");
    let path = held.path().join("other");
    let made = RootIdentity::generate().to_file(&path, Some(&empty), cheap());
    assert!(matches!(made, Err(KeyRingError::PassphraseEmpty)));
    assert!(!path.exists());
}

#[test]
fn what_is_no_identity_file_is_refused_without_showing_it() {
    let held = tempfile::tempdir().unwrap();
    let path = held.path().join("file");
    let root = RootIdentity::generate();
    let good = root.to_text();
    let line = good.lines().last().unwrap();
    let twice = format!("{line}\n{line}\n");
    let cut = &line[..line.len() - 1];
    let lower = line.to_lowercase();
    let public = root.recipient();
    let encrypted = root.encrypt(b"x").unwrap();
    for bad in [
        &b""[..],
        b"# nothing\n",
        b"\xff\xfe",
        twice.as_bytes(),
        cut.as_bytes(),
        lower.as_bytes(),
        public.as_bytes(),
        &encrypted,
    ] {
        fs::write(&path, bad).unwrap();
        let refused = refusal(&path, Some("p"));
        assert!(
            matches!(refused, KeyRingError::NotAnIdentity { .. }),
            "{refused}"
        );
        assert!(!format!("{refused} {refused:?}").contains("AGE-SECRET-KEY-1Q"));
        assert!(!format!("{refused} {refused:?}").contains(cut));
    }
    assert!(matches!(
        refusal(&held.path().join("none"), None),
        KeyRingError::Io { .. }
    ));
}

#[test]
fn comments_and_empty_lines_are_passed_over() {
    let held = tempfile::tempdir().unwrap();
    let path = held.path().join("file");
    let root = RootIdentity::generate();
    let text = format!("\n# a\r\n\n{}\r\n", root.to_text().lines().last().unwrap());
    fs::write(&path, text).unwrap();
    let read = RootIdentity::from_file(&path, None).unwrap();
    assert_eq!(read.recipient(), root.recipient());
}
