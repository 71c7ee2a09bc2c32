//! The log's volumes: closed, kept in the store, found again, and refused where they were bent.

use super::{Vault, files, told};

impl Vault {
    /// Puts all that is under a checkpoint into volumes.
    pub(super) fn ships(&self) {
        self.serves_once();
        told(&self.audit(&["ship", "--all"]), 0, "volumes were added");
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
    told(&vault.audit(&["ship", "--all"]), 0, "0 volumes were added");
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

#[test]
fn a_young_volume_stays_open_until_it_is_old() {
    let vault = Vault::founded();
    vault.serves_once();
    told(&vault.audit(&["ship"]), 0, "0 volumes were added");
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
