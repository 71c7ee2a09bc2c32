//! `kluis dataset verify`: a directory, held against a published version.
//!
//! What no directory can show is not looked for in one: it is counted, and whether the rest is
//! right is told without it. A folder marker is a directory there.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::args::Remote;
use super::node::{COLUMNS, Object, asked, nothing_under, objects, of_node, open};
use super::output::{CliError, Exit, Output};
use super::serve::runtime;
use super::words::count;
use crate::config::Environment;
use crate::manifest::{FileEntry, is_marker};
use crate::types::{BucketName, limits};

/// Compares a directory with a version.
pub(super) fn run(
    version: &(BucketName, u32),
    (directory, remote): (&Path, &Remote),
    environment: &Environment,
    output: &mut Output,
) -> Result<Exit, CliError> {
    if !directory.is_dir() {
        let told = format!("{} is no directory", directory.display());
        return Err(CliError::new(Exit::Usage, told).hint("it is what is held against the version"));
    }
    let pages = limits::MOUNT_PAGES_BYTES;
    let expected = runtime()?.block_on(async {
        let opened = open(remote, asked(remote, version), environment, pages).await?;
        objects(&opened).await.map_err(|error| of_node(&error))
    })?;
    if !remote.prefix.is_empty() && expected.is_empty() {
        return Err(nothing_under(&remote.prefix));
    }
    let mut rows = Vec::new();
    let mut unread: Option<String> = None;
    let (mut right, mut unsure, mut apart) = (0_u64, 0_u64, 0_u64);
    for (key, object) in &expected {
        let change = match look(directory, (key, object), &expected) {
            Looked::Same => {
                right = right.saturating_add(1);
                continue;
            }
            Looked::Unsure => {
                right = right.saturating_add(1);
                unsure = unsure.saturating_add(1);
                continue;
            }
            Looked::Apart => {
                apart = apart.saturating_add(1);
                continue;
            }
            Looked::Missing => "missing",
            Looked::Differs => "differs",
            Looked::Unread(path, why) => {
                let _first = unread.get_or_insert_with(|| cannot_read(&path, &why));
                "unread"
            }
        };
        let bytes = object.file.bytes.to_string();
        rows.push([change.to_owned(), key.clone(), bytes]);
    }
    surplus(directory, (&expected, &remote.prefix), &mut rows)?;
    let same = rows.is_empty();
    output.rows(COLUMNS, &rows)?;
    if same {
        let objects = count(right, "object is", "objects are");
        output.note(&format!("{objects} as the version says"));
    }
    if let Some(why) = unread {
        output.note(&why);
        output.hint("of a mount, its `.kluis/errors` says why: an object may be erased");
    }
    if unsure > 0 {
        output.note(&format!(
            "of {unsure} no checksum is known: their lengths are right"
        ));
    }
    if apart > 0 {
        let names = count(apart, "object has a name", "objects have names");
        output.note(&format!(
            "{names} that no directory can show: not compared here, read it through S3"
        ));
    }
    Ok(if same { Exit::Done } else { Exit::No })
}

enum Looked {
    Same,
    /// As long as it should be, and no checksum is known.
    Unsure,
    Missing,
    Differs,
    /// No directory can show it.
    Apart,
    /// It is there and cannot be read: of a mount, an object that is erased.
    Unread(PathBuf, std::io::Error),
}

fn cannot_read(path: &Path, why: &std::io::Error) -> String {
    format!("cannot read {}: {why}", path.display())
}

/// One object, as far as a directory can show it.
fn look(top: &Path, (key, object): (&str, &Object), all: &BTreeMap<String, Object>) -> Looked {
    if !object.hidden {
        return compare(&top.join(key), &object.file);
    }
    let Some(folder) = folder(key, &object.file, all) else {
        return Looked::Apart;
    };
    // Without the slash, behind which the system would follow a link.
    let found = std::fs::symlink_metadata(top.join(folder));
    if found.is_ok_and(|found| found.is_dir()) {
        Looked::Same
    } else {
        Looked::Missing
    }
}

/// The directory that a folder marker of no bytes stands for, unless an object has the name of it
/// or of one above it.
fn folder<'a>(key: &'a str, file: &FileEntry, all: &BTreeMap<String, Object>) -> Option<&'a str> {
    if file.bytes > 0 || !is_marker(key) {
        return None;
    }
    let folder = key.strip_suffix('/')?;
    let above = folder
        .match_indices('/')
        .filter_map(|(at, _)| folder.get(..at));
    let mut way = above.chain(std::iter::once(folder));
    way.all(|part| !all.contains_key(part)).then_some(folder)
}

fn compare(path: &Path, expected: &FileEntry) -> Looked {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return Looked::Missing;
    };
    if !metadata.is_file() || metadata.len() != expected.bytes {
        return Looked::Differs;
    }
    let Some(crc64) = expected.crc64 else {
        return Looked::Unsure;
    };
    match checksum(path) {
        Ok(found) if found == crc64 => Looked::Same,
        Ok(_other) => Looked::Differs,
        Err(why) => Looked::Unread(path.to_owned(), why),
    }
}

fn checksum(path: &Path) -> std::io::Result<u64> {
    let mut file = File::open(path)?;
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
    let mut buffer = vec![0; limits::STORE_BATCH_BYTES];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        digest.update(buffer.get(..count).unwrap_or_default());
    }
    Ok(digest.finalize())
}

/// Files of the directory that the version does not have, as far as they would be in the part that
/// is asked for. Symbolic links are not followed.
fn surplus(
    top: &Path,
    (expected, prefix): (&BTreeMap<String, Object>, &str),
    rows: &mut Vec<[String; 3]>,
) -> Result<(), CliError> {
    let mut left: Vec<PathBuf> = vec![top.to_owned()];
    while let Some(directory) = left.pop() {
        let unread = |path: &Path| {
            let path = path.to_owned();
            move |why| CliError::new(Exit::Usage, cannot_read(&path, &why))
        };
        for entry in std::fs::read_dir(&directory).map_err(unread(&directory))? {
            let entry = entry.map_err(unread(&directory))?;
            let path = entry.path();
            if entry.file_type().map_err(unread(&path))?.is_dir() {
                left.push(path);
                continue;
            }
            let below = path.strip_prefix(top).unwrap_or(&path);
            let key = below.to_string_lossy().into_owned();
            if key.starts_with(prefix) && !expected.contains_key(&key) {
                let bytes = entry.metadata().map_err(unread(&path))?.len().to_string();
                rows.push(["surplus".to_owned(), key, bytes]);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{ETag, Timestamp, VersionId};

    /// An object of these bytes, of which a directory can show the name or not.
    fn object(text: &str, hidden: bool) -> Object {
        let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
        digest.update(text.as_bytes());
        let file = FileEntry {
            bytes: text.len().try_into().unwrap(),
            modified: Timestamp::default(),
            version: VersionId::from_bytes([1; 16]),
            etag: ETag::of(&VersionId::from_bytes([1; 16]), 0),
            crc64: Some(digest.finalize()),
            commitment: [0; 32],
        };
        Object { file, hidden }
    }

    #[test]
    fn a_folder_marker_is_a_directory_and_what_none_can_show_is_not_looked_for() {
        let top = tempfile::tempdir().unwrap();
        for folder in ["there", "full", "f", "way"] {
            std::fs::create_dir(top.path().join(folder)).unwrap();
        }
        std::fs::write(top.path().join("file"), "x").unwrap();
        std::fs::write(top.path().join("secret"), "y").unwrap();
        std::os::unix::fs::symlink("there", top.path().join("linked")).unwrap();
        let absolute = format!("/{}", top.path().join("secret").display());
        let objects = [
            ("file", "x", false, "same"),
            ("there", "x", false, "differs"),
            ("absent", "x", false, "missing"),
            ("there/", "", true, "apart"),
            ("full/", "bytes", true, "apart"),
            ("way/", "", true, "same"),
            ("gone/", "", true, "missing"),
            ("linked/", "", true, "missing"),
            ("file/", "", true, "apart"),
            ("file/below/", "", true, "apart"),
            ("file/under", "z", true, "apart"),
            ("f//", "", true, "apart"),
            (".kluis/", "", true, "apart"),
            (&absolute, "y", true, "apart"),
        ];
        let all = objects.iter().map(|(key, text, hidden, _)| {
            let key = (*key).to_owned();
            (key, object(text, *hidden))
        });
        let all: BTreeMap<String, Object> = all.collect();
        for (key, _, _, told) in objects {
            let found = match look(top.path(), (key, &all[key]), &all) {
                Looked::Same => "same",
                Looked::Unsure => "unsure",
                Looked::Missing => "missing",
                Looked::Differs => "differs",
                Looked::Apart => "apart",
                Looked::Unread(..) => "unread",
            };
            assert_eq!(found, told, "{key}");
        }
    }

    /// A file that is there and fails when it is read, as a mount's does whose object is erased.
    #[test]
    fn what_cannot_be_read_is_told_as_that() {
        let all = BTreeMap::from([("mem".to_owned(), object("", false))]);
        let looked = look(Path::new("/proc/self"), ("mem", &all["mem"]), &all);
        let Looked::Unread(path, why) = looked else {
            panic!("it has no first byte");
        };
        let told = cannot_read(&path, &why);
        assert!(told.starts_with("cannot read /proc/self/mem: "), "{told}");
    }
}
