//! Who signs where a person has a session of `kluis login` and the environment names somebody else.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::Told;
use crate::hostile::{COMMANDS, Liar, Lie};

/// Keeps a session as `kluis login` does.
fn keep(home: &Path, endpoint: &str, expires: &str) {
    let file = home.join(".kluis/session.env");
    std::fs::create_dir_all(home.join(".kluis")).expect("made");
    let text = format!(
        "AWS_ENDPOINT_URL={endpoint}\nAWS_REGION=kluis\nAWS_ACCESS_KEY_ID=KLUSSESSION\n\
         AWS_SECRET_ACCESS_KEY=s\nAWS_SESSION_TOKEN=t\n{expires}"
    );
    std::fs::write(&file, text).expect("written");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("closed");
}

/// Every command that acts over the network, and the one that says as whom.
fn commands() -> impl Iterator<Item = &'static [&'static str]> {
    const MORE: [&[&str]; 2] = [
        &["whoami"],
        &[
            "project", "defaults", "icu", "--label", "l", "--source", "s", "--basis", "b",
            "--days", "9",
        ],
    ];
    COMMANDS.into_iter().chain(MORE)
}

fn refusing() -> Liar {
    Liar::telling(Lie::Answer("403 Forbidden", String::new()))
}

/// Whoever signed in as herself does not go on as whoever else the environment names, such as a
/// service's account with more rights, because an hour has passed.
#[test]
fn a_session_that_is_over_is_never_followed_by_who_the_environment_names() {
    let liar = refusing();
    for (expires, why) in [
        (
            "KLUIS_EXPIRES=2001-01-01T00:00:00Z\n",
            "the session is over",
        ),
        ("KLUIS_EXPIRES=soon\n", "nobody is signed in"),
        ("", "nobody is signed in"),
    ] {
        let home = tempfile::tempdir().expect("a directory");
        keep(home.path(), liar.endpoint(), expires);
        for command in commands() {
            let told = liar.command(home.path(), command).output();
            let told = Told::of(&told.expect("it runs"));
            assert!([1, 2].contains(&told.code), "{command:?}: {}", told.err);
            assert!(told.err.contains(why), "{command:?}: {}", told.err);
            assert_eq!(told.out, "", "{command:?}");
        }
    }
    assert_eq!(liar.seen(), [""; 0], "nothing was asked in anybody's name");
}

#[test]
fn a_session_goes_before_the_environment_and_a_named_file_before_both() {
    let home = tempfile::tempdir().expect("a directory");
    let liar = refusing();
    keep(
        home.path(),
        liar.endpoint(),
        "KLUIS_EXPIRES=2199-01-01T00:00:00Z\n",
    );
    let file = home.path().join("named.env");
    let text = format!(
        "AWS_ENDPOINT_URL={}\nAWS_ACCESS_KEY_ID=KLUSNAMED\nAWS_SECRET_ACCESS_KEY=s\n",
        liar.endpoint()
    );
    std::fs::write(&file, text).expect("written");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("closed");
    let named = ["--credentials", "named.env"];
    let cases: [(&[&str], &str); 2] = [(&[], "KLUSSESSION"), (&named, "KLUSNAMED")];
    for (more, key) in cases {
        for command in commands() {
            let before = liar.seen().len();
            let args = [command, more].concat();
            let told = liar.command(home.path(), &args).output();
            let told = Told::of(&told.expect("it runs"));
            let said = format!("kluis: at {} as person b\n", liar.endpoint());
            assert!(told.err.starts_with(&said), "{args:?}: {}", told.err);
            let seen = liar.seen().split_off(before);
            assert!(!seen.is_empty(), "{args:?}");
            let by = format!("Credential={key}/");
            assert!(
                seen.iter().all(|head| head.contains(&by)),
                "{args:?}: {seen:?}"
            );
        }
    }
    // Without either, as the environment has it.
    std::fs::remove_file(home.path().join(".kluis/session.env")).expect("removed");
    for command in commands() {
        let before = liar.seen().len();
        let _refused = liar.command(home.path(), command).output();
        let seen = liar.seen().split_off(before);
        let by = "Credential=KLUS2222222222222222/";
        assert!(
            !seen.is_empty() && seen.iter().all(|head| head.contains(by)),
            "{command:?}"
        );
    }
}

/// With JSON the data stays as it is, and who signs stands in one line beside it.
#[test]
fn json_tells_who_signs_apart_from_the_data() {
    let liar = Liar::telling(Lie::Answer("200 OK", r#"{"notices": []}"#.to_owned()));
    let home = tempfile::tempdir().expect("a directory");
    let told = liar.command(home.path(), &["notices", "--json"]).output();
    let told = Told::of(&told.expect("it runs")).expect(0, &[]);
    assert_eq!(told.out, "");
    let line: serde_json::Value = serde_json::from_str(&told.err).expect("one line of JSON");
    let expected = serde_json::json!({"at": liar.endpoint(), "as": "b", "acts_for": null});
    assert_eq!(line, expected);
}

/// What asks a gateway as nodes do finds who signs as all others do.
#[test]
fn versions_are_asked_for_by_who_signs_elsewhere_too() {
    let home = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(home.path().join("m")).expect("made");
    let liar = refusing();
    let mut lines = vec![
        "dataset diff icu/ecg@1 icu/ecg@2 --io-timeout 1",
        "dataset verify icu/ecg@1 m --io-timeout 1",
    ];
    if cfg!(feature = "mount") {
        lines.push("mount icu/ecg@1 m --io-timeout 1");
    }
    let asked = |line: &str| {
        let before = liar.seen().len();
        let args: Vec<&str> = line.split(' ').collect();
        let told = liar.command(home.path(), &args).output();
        let told = Told::of(&told.expect("it runs"));
        (told, liar.seen().split_off(before))
    };
    let session = "KLUIS_EXPIRES=2199-01-01T00:00:00Z\n";
    keep(home.path(), liar.endpoint(), session);
    for line in &lines {
        let (told, seen) = asked(line);
        let hers = |head: &String| head.contains("Credential=KLUSSESSION/");
        assert!(
            !seen.is_empty() && seen.iter().all(hers),
            "{line}: {seen:?}"
        );
        assert_eq!(told.code, 1, "{line}: {}", told.err);
    }
    keep(
        home.path(),
        liar.endpoint(),
        "KLUIS_EXPIRES=2001-01-01T00:00:00Z\n",
    );
    for line in &lines {
        let (told, seen) = asked(line);
        assert_eq!(seen, [""; 0], "{line}: in nobody's name");
        told.expect(2, &["the session is over", "hint:"]);
    }
    std::fs::remove_file(home.path().join(".kluis/session.env")).expect("removed");
    for line in &lines {
        let (_, seen) = asked(line);
        let its = |head: &String| head.contains("Credential=KLUS2222222222222222/");
        assert!(!seen.is_empty() && seen.iter().all(its), "{line}: {seen:?}");
    }
}
