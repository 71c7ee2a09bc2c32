//! Who is in which group, and why somebody may: asked on the host and from a machine of one's own.

use std::fs;

use crate::owner::{Far, id, words};
use crate::{Vault, kluis};

fn host(far: &Far, line: &str) -> crate::Told {
    far.vault.run(&words(line, &[]))
}

/// A group `readers` with rob in it; who signs in at `sram` and claims `umc:r` is in it, too.
fn grouped() -> Far {
    let far = Far::founded();
    for line in [
        "group create readers",
        "group add readers rob",
        "group map readers --issuer sram --claim umc:r",
    ] {
        host(&far, line).expect(0, &[]);
    }
    far
}

#[test]
fn an_owner_sees_who_is_in_a_group_that_she_grants_to_and_nobody_else_does() {
    let far = grouped();
    let show = words("group show readers --project icu", &[]);
    // Before anything is granted to it, it is nobody's to look into.
    far.by("ana", &show).expect(1, &["AccessDenied"]);
    far.grant("ana", "readers", "reader", &[]).expect(0, &[]);
    let told = far.by("ana", &show).expect(0, &["MEMBER", "rob", "person"]);
    assert!(
        told.err.contains("who signs in at sram and claims umc:r"),
        "{}",
        told.err
    );
    let here = host(&far, "group show readers").expect(0, &[]);
    assert_eq!(here.out, told.out, "the same on the host");
    assert!(
        here.err.contains("who signs in at sram and claims umc:r"),
        "{}",
        here.err
    );
    for who in ["rob", "stan", "laura"] {
        let told = far.by(who, &show).expect(1, &["AccessDenied"]);
        assert!(!told.out.contains("rob"), "{who}: {}", told.out);
    }
    // Another's project, a group that is none, and no project at all.
    let of = |line: &str, code: i32| far.by("ana", &words(line, &[])).expect(code, &[]);
    of("group show readers --project lab", 1);
    of("group show nobody --project icu", 1);
    of("group show readers", 2).expect(2, &["--project"]);
    host(&far, "group show readers --project icu").expect(2, &["leave `--project` out"]);
    host(&far, "group list").expect(0, &["readers  1"]);
    // What is for the host alone says so elsewhere.
    far.run(&["group", "list"])
        .expect(2, &["this runs on the vault's host"]);
}

#[test]
fn an_owner_says_from_her_own_machine_how_records_are_kept() {
    let far = Far::founded();
    far.by("ana", &words("project log icu", &[]))
        .expect(0, &["1827", "off"]);
    let longer = words("project log icu --days 3653 --pseudonyms on", &[]);
    far.by("ana", &longer).expect(0, &["3653", "on"]);
    host(&far, "project log icu").expect(0, &["3653", "on"]);
    let shorter = words("project log icu --days 400", &[]);
    far.by("ana", &shorter).expect(1, &["AccessDenied"]);
    for who in ["laura", "rob"] {
        far.by(who, &words("project log icu", &[]))
            .expect(1, &["AccessDenied"]);
    }
}

#[test]
fn what_is_asked_of_two_persons_is_there_before_the_second_is_asked() {
    let far = Far::founded();
    let ask = |line: &str, why: &str| {
        let line = format!("approval ask {line} --reason why");
        far.by("ana", &words(&line, &[])).expect(1, &[why]);
    };
    ask(
        "break-glass icu/ecg who=nobodyhere minutes=60",
        "nobody of that name",
    );
    ask("erase icu/ecg what=object=nosuch", "NoSuchObject");
    ask("erase icu/ecg what=version=9", "NoSuchVersion");
    ask("log.shorten icu days=1827", "no longer than that");
    let none = far
        .by("ana", &words("approval list icu --json", &[]))
        .expect(0, &[]);
    assert_eq!(none.out, "");
    let line = "approval ask erase icu/ecg what=dataset --reason why";
    let asked = far.by("ana", &words(line, &["--json"])).expect(0, &[]);
    let asked: serde_json::Value = serde_json::from_str(&asked.out).expect("one act");
    let id = asked["approval"].as_str().expect("an id");
    let erase = words("key erase icu", &[id]);
    far.vault
        .run(&erase)
        .expect(1, &["it waits for a second person"]);
}

#[test]
fn why_somebody_may_knows_of_groups_that_a_session_claims() {
    let far = grouped();
    far.grant("ana", "readers", "reader", &[]).expect(0, &[]);
    let who = "policy explain --action object.read --dataset icu/ecg --key a --principal";
    let stan = |more: &[&str]| far.vault.run(&words(who, &[&["stan"], more].concat()));
    let more = "a session may be in more by what its token claims: readers";
    stan(&[]).expect(1, &["holds no grant in this project", more]);
    let told = stan(&["--claimed", "readers"]).expect(0, &["allowed: stan"]);
    assert!(!told.out.contains("may be in more"), "{}", told.out);
    let json = stan(&["--json"]).expect(1, &[]);
    let json: serde_json::Value = serde_json::from_str(&json.out).expect("one line");
    assert_eq!(json["may_claim"], serde_json::json!(["readers"]));
    for none in ["nosuch", "rob"] {
        stan(&["--claimed", none]).expect(2, &["no such group"]);
    }
    // Whom it holds for anyway is told nothing of it.
    let rob = far
        .vault
        .run(&words(who, &["rob"]))
        .expect(0, &["allowed: rob"]);
    assert!(!rob.out.contains("may be in more"), "{}", rob.out);
    // A suspended group gives nobody anything.
    host(&far, "principal suspend readers").expect(0, &[]);
    stan(&["--claimed", "readers"]).expect(1, &["denied"]);
}

#[test]
fn what_is_good_for_nothing_as_things_stand_is_hinted_at() {
    let far = Far::founded();
    let hints = [
        "no node is enrolled in partition nosuch",
        "version 9 of ecg is not published",
    ];
    let narrow = ["--partition", "nosuch", "--version", "9"];
    far.grant("ana", "rob", "reader", &narrow).expect(0, &hints);
    // Who only asks for it learns nothing of what nodes there are.
    let told = far.grant(
        "ana",
        "rob",
        "reader",
        &[&narrow[..], &["--propose"]].concat(),
    );
    let told = told.expect(0, &[]);
    assert!(!told.err.contains("partition nosuch"), "{}", told.err);
    let set = words("dataset set icu/ecg --use-class nosuchclass", &[]);
    far.by("ana", &set)
        .expect(0, &["no node is enrolled for the use class nosuchclass"]);
    let plain = words("dataset set icu/ecg --source s", &[]);
    let told = far.by("ana", &plain).expect(0, &[]);
    assert!(!told.err.contains("hint"), "{}", told.err);
}

#[test]
fn a_grant_of_a_role_that_is_gone_is_told() {
    let far = Far::founded();
    let given = id(&far.grant("ana", "rob", "reader", &[]).expect(0, &[]));
    let dir = far.vault.path("policy");
    let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    fs::create_dir_all(dir.join("roles")).expect("made");
    fs::copy(shipped.join("model.conf"), dir.join("model.conf")).expect("copied");
    for role in fs::read_dir(shipped.join("roles")).expect("roles") {
        let role = role.expect("a role").path();
        let name = role.file_name().expect("a name");
        if name != "reader.csv" {
            fs::copy(&role, dir.join("roles").join(name)).expect("copied");
        }
    }
    let set = format!("[policy]\ndir = \"{}\"", dir.display());
    far.vault.edit("[policy]", &set);
    let why = format!("warning: grant {given}: the policy has no role reader: it gives nothing");
    far.vault.run(&["grant", "list", "icu"]).expect(0, &[&why]);
    let says = format!("grant {given} of icu: no role reader is in the policy");
    let doctor = far.vault.run(&["doctor"]);
    assert!(doctor.out.contains(&says), "{}", doctor.out);
}

#[test]
fn issuers_that_are_at_fault_are_told() {
    let vault = Vault::founded();
    vault.edit("# issuers = \"\"", "issuers = \"issuers.toml\"");
    let both = |expected: &str| {
        let check = vault
            .run(&["config", "check"])
            .expect(2, &[expected, "docs/sign-in.md"]);
        assert_eq!(check.out, "");
        let doctor = vault
            .run(&["doctor"])
            .expect(1, &["fail  issuers", expected]);
        assert!(
            doctor.out.contains("mend: docs/sign-in.md"),
            "{}",
            doctor.out
        );
    };
    both("issuers.toml");
    let write = |text: &str| fs::write(vault.path("issuers.toml"), text).expect("written");
    write("[[issuer]]\nname = \"k8s\"\n");
    both("is at fault");
    write(
        "[[issuer]]\nname = \"k8s\"\nurl = \"https://k8s\"\naudience = \"kluis\"\n\
         jwks_url = \"https://127.0.0.1:1/keys\"\nca_file = \"k8s-ca.pem\"\n",
    );
    both("the certificates to trust cannot be read");
    write("");
    vault.run(&["config", "check"]).expect(0, &["is valid"]);
    vault.run(&["doctor"]).expect(0, &["ok    issuers"]);
    // A name that the file does not have is taken, and said.
    let link = words("principal link ana --issuer idpp --subject s", &[]);
    vault
        .run(&link)
        .expect(0, &["warning: `identity.issuers` names no issuer idpp"]);
    vault
        .run(&["principal", "links", "nosuchp"])
        .expect(1, &["no such principal"]);
}

#[test]
fn a_token_that_cannot_be_used_is_no_silence_of_the_gateway() {
    let desk = tempfile::tempdir().expect("a directory");
    let run = |token: &std::path::Path| {
        let mut command = kluis();
        command
            .current_dir(desk.path())
            .env("HOME", desk.path())
            .arg("whoami");
        command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
        command.env("AWS_ROLE_ARN", "arn:aws:iam::kluis:role/kluis");
        command.env("AWS_WEB_IDENTITY_TOKEN_FILE", token);
        crate::Told::of(&command.output().expect("it runs"))
    };
    let token = desk.path().join("token");
    let told = run(&token).expect(2, &["No such file"]);
    assert!(
        !told.err.contains("hint") && !told.err.contains("answer"),
        "{}",
        told.err
    );
    fs::write(&token, "a.b.c").expect("written");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(&token, open).expect("opened");
    let told = run(&token).expect(2, &["others can read", "chmod 600"]);
    assert!(
        !told.err.contains("hint") && !told.err.contains("answer"),
        "{}",
        told.err
    );
}
