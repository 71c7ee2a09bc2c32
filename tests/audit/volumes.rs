//! The log's volumes: closed, kept in the store, found again, and refused where they were bent.

use super::{Vault, files, told};

impl Vault {
    /// Puts all that is under a checkpoint into volumes.
    pub(super) fn ships(&self) {
        self.serves_once();
        told(&self.audit(&["ship", "--all"]), 0, "volumes added");
    }

    /// The volumes' files.
    pub(super) fn volumes(&self) -> Vec<std::path::PathBuf> {
        let all = files(&self.path("data/store/log"));
        let named =
            |path: &std::path::PathBuf| path.file_name().is_some_and(|name| name.len() == 32);
        all.into_iter().filter(named).collect()
    }
}

#[test]
fn volumes_are_added_once_and_found_again_without_their_index() {
    let vault = Vault::founded();
    vault.ships();
    // The lanes of the gateway and of commands.
    assert_eq!(vault.volumes().len(), 2);
    let index = vault.path("data/log/volumes");
    let first = std::fs::read(&index).expect("an index");
    // What was recorded since is the command that asked.
    told(&vault.audit(&["ship", "--all"]), 0, "volumes added: 0");
    assert_eq!(std::fs::read(&index).expect("read"), first);
    // A crash before the index was written: the volume is in the store, and is found there.
    std::fs::remove_file(&index).expect("removed");
    vault.ships();
    assert_eq!(vault.volumes().len(), 4);
    let again = std::fs::read_to_string(&index).expect("read");
    assert_eq!(again.matches("kluis.volume/1").count(), 4);
    let keys = std::fs::read(vault.volumes().remove(0)).expect("read");
    let shows = |word: &[u8]| keys.windows(word.len()).any(|part| part == word);
    assert!(shows(b"PARE") && shows(b"PKMT1") && !shows(b"tess") && !shows(b"principal"));
}

const FORMS: [&str; 6] = ["json", "ocsf", "fhir", "nen7513", "ldv", "csv"];

#[test]
fn people_are_shown_under_pseudonyms_and_found_by_who_holds_the_key() {
    let vault = Vault::founded();
    // Requests of `long.gone`, and the look-ups of `tess`.
    vault.was_there_long_ago();
    vault.ships();
    let (key, other) = (vault.text("icu.key"), vault.text("other.key"));
    for out in [&key, &other] {
        let new = ["pseudonym", "new", "--out", out];
        told(&super::audit(&new), 0, "controller");
        told(&super::audit(&new), 2, "exists");
    }
    let hers = ["--project", "icu", "--auditor", "tess"];
    let export = |form: &str, more: &[&str]| {
        let asks = [&["export", "--form", form], &hers[..], more].concat();
        told(&vault.audit(&asks), 0, "")
    };
    let of = |key: &str, project: &str, name: &str| {
        let asks = ["pseudonym", "of", "--key", key, "--project", project, name];
        told(&super::audit(&asks), 0, "p-").trim_end().to_owned()
    };
    let name = of(&key, "icu", "long.gone");
    assert_ne!(name, of(&key, "lab", "long.gone"));
    assert_ne!(name, of(&other, "icu", "long.gone"));
    for form in FORMS {
        assert!(export(form, &[]).contains("long.gone"), "{form}");
        let hidden = export(form, &["--pseudonyms", &key]);
        let mut words = hidden.split(|c: char| !c.is_alphanumeric() && c != '.');
        let person = words.find(|word| ["long.gone", "tess", "ana"].contains(word));
        assert_eq!(person, None, "{form}");
        // The same person is the same everywhere, and another under another key.
        assert!(hidden.contains(&name), "{form}: {hidden}");
        assert!(
            !export(form, &["--pseudonyms", &other]).contains(&name),
            "{form}"
        );
    }
    let with = [&["export", "--form", "json"], &hers[..], &["--pseudonyms"]].concat();
    told(
        &vault.audit(&[&with[..], &[&vault.text("kluis.toml")]].concat()),
        2,
        "",
    );
    let whole = ["export", "--form", "json", "--vault", "--pseudonyms", &key];
    told(&vault.audit(&whole), 2, "--project");
    // Only the key tells who is who.
    let names = vault.text("names");
    std::fs::write(&names, "nobody\ntess\nNot A Name\nlong.gone\n").expect("written");
    let resolve = |key: &str, project: &str, code| {
        let asked = ["pseudonym", "resolve", "--key", key, "--project", project];
        let all = [&asked[..], &["--names", &names, &name]].concat();
        told(&super::audit(&all), code, &name)
    };
    assert!(resolve(&key, "icu", 0).contains("long.gone"));
    resolve(&other, "icu", 1);
    resolve(&key, "lab", 1);
}

#[test]
fn a_young_volume_stays_open_until_it_is_old() {
    let vault = Vault::founded();
    vault.serves_once();
    told(&vault.audit(&["ship"]), 0, "volumes added: 0");
    assert!(vault.volumes().is_empty());
    told(
        &vault.audit(&["ship", "--every", "soon"]),
        2,
        "a time is written",
    );
}

#[test]
fn what_the_journal_no_longer_holds_is_not_made_up() {
    let vault = Vault::founded();
    vault.serves_once();
    for path in files(&vault.path("data/journal/gateway")) {
        if path.extension().is_some_and(|ending| ending == "wal") {
            let mut bytes = std::fs::read(&path).expect("read");
            bytes[400] ^= 1;
            std::fs::write(&path, bytes).expect("written");
        }
    }
    told(
        &vault.audit(&["ship", "--all"]),
        1,
        "records that are in the log",
    );
}
