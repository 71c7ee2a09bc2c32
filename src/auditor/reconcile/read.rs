//! A store's access log and its inventory, as far as they are about Kluis's buckets.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use super::super::args::LogForm;
use super::super::rows::Span;
use super::Told;
use super::judge::{Name, name};
use super::line::{Access, NoLine, Op, aws, combined, inventory};
use crate::cli::output::{CliError, Exit};
use crate::config::{Config, StoreKind};
use crate::types::limits::{RECONCILE_BLOBS_MAX, RECONCILE_LINE_BYTES_MAX, RECONCILE_LINES_MAX};
use crate::types::{BlobId, Timestamp};

/// Where blobs are in the store.
pub(super) struct Place {
    bucket: String,
    prefix: String,
    /// The bucket of the log's volumes, where they have one of their own.
    volumes: Option<String>,
}

impl Place {
    pub(super) fn of(config: &Config) -> Result<Self, CliError> {
        let bucket = config.store.bucket.clone();
        match (config.store.kind, bucket) {
            (StoreKind::S3, Some(bucket)) => Ok(Self {
                bucket,
                prefix: config.store.prefix.clone().unwrap_or_default(),
                volumes: config.volumes.bucket.clone(),
            }),
            _ => Err(CliError::new(
                Exit::Usage,
                "a directory keeps no log of who reads it; this is for S3 stores",
            )),
        }
    }

    /// What a key of a bucket stands for; `None` for what is elsewhere.
    fn name(&self, bucket: &str, key: &str) -> Option<Name> {
        if bucket == self.bucket {
            return name(key, &self.prefix);
        }
        let volumes = self.volumes.as_deref();
        let found = name(key, &self.prefix).filter(|_| volumes == Some(bucket));
        found.map(|found| match found {
            Name::Volume(_) | Name::Bucket => found,
            Name::Blob(_) | Name::Gate | Name::Foreign => Name::Foreign,
        })
    }

    /// What an access is about. Where the bucket may have been in the host's name it is about what
    /// has a name of Kluis's, or about a bucket; any other name may be another bucket's.
    fn of_access(&self, access: &Access) -> Option<Name> {
        match &access.bucket {
            Some(bucket) => self.name(bucket, &access.key),
            None => name(&access.key, &self.prefix).filter(|found| *found != Name::Foreign),
        }
    }
}

/// The name of a blob at the end of a path, wherever the path leads: no two have the same.
fn tail(access: &Access) -> Option<BlobId> {
    let last = access.key.rsplit('/').next()?;
    let id: BlobId = last.parse().ok()?;
    (id.to_string() == last).then_some(id)
}

/// The lines of a file, bounded; `take` gets each with its number.
fn lines(
    path: &Path,
    mut take: impl FnMut(u64, &str) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let wrong = |error: &dyn std::fmt::Display| {
        CliError::new(Exit::Usage, format!("{}: {error}", path.display()))
    };
    let file = File::open(path).map_err(|error| wrong(&error))?;
    let mut file = BufReader::new(file);
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        let most = u64::try_from(RECONCILE_LINE_BYTES_MAX).unwrap_or(u64::MAX);
        let read = file.by_ref().take(most).read_until(b'\n', &mut bytes);
        if read.map_err(|error| wrong(&error))? == 0 {
            break;
        }
        if bytes.len() >= RECONCILE_LINE_BYTES_MAX {
            return Err(wrong(&format!("line {number} is too long")));
        }
        if number > RECONCILE_LINES_MAX {
            return Err(wrong(&"it has too many lines for one run; part it by days"));
        }
        let text = String::from_utf8_lossy(&bytes);
        if !text.trim().is_empty() {
            take(number, &text)?;
        }
    }
    Ok(())
}

/// A store's access log, as far as it is about Kluis's bucket.
#[derive(Default)]
pub(super) struct Log {
    pub(super) accesses: Vec<(u64, Access, Name)>,
    /// What is elsewhere by its path, and ends with the name of a blob: a server may hand a request
    /// on under another path than the client's.
    pub(super) strays: Vec<(u64, Access, BlobId)>,
}

impl Log {
    pub(super) fn read(
        path: &Path,
        form: LogForm,
        place: &Place,
        told: &mut Told,
    ) -> Result<Self, CliError> {
        let mut log = Self::default();
        lines(path, |number, text| {
            let ways = match form {
                LogForm::Aws => aws(text).map(|access| access.into_iter().collect()),
                LogForm::Combined => combined(text),
            };
            log.take(number, ways, place, told);
            Ok(())
        })?;
        Ok(log)
    }

    fn take(
        &mut self,
        number: u64,
        ways: Result<Vec<Access>, NoLine>,
        place: &Place,
        told: &mut Told,
    ) {
        let Ok(ways) = ways else {
            return told.unreadable(number);
        };
        if ways.is_empty() {
            told.refused = told.refused.saturating_add(1);
            return;
        }
        let last = ways.last().filter(|way| way.bucket.is_none()).cloned();
        let mut named = ways.into_iter();
        if let Some((name, access)) = named.find_map(|way| Some((place.of_access(&way)?, way))) {
            self.accesses.push((number, access, name));
        } else if let Some((id, access)) = last.and_then(|way| Some((tail(&way)?, way))) {
            self.strays.push((number, access, id));
        } else {
            told.elsewhere = told.elsewhere.saturating_add(1);
        }
    }

    /// Those of the strays that are Kluis's after all are accesses as others are.
    pub(super) fn fetch(&mut self, told: &mut Told, is: impl Fn(BlobId) -> Option<Name>) {
        for (number, access, id) in std::mem::take(&mut self.strays) {
            match is(id) {
                Some(name) => self.accesses.push((number, access, name)),
                None => told.elsewhere = told.elsewhere.saturating_add(1),
            }
        }
        self.accesses.sort_by_key(|(number, ..)| *number);
    }

    pub(super) fn blobs(&self) -> HashSet<BlobId> {
        let named = self.accesses.iter().filter_map(|(_, _, name)| match name {
            Name::Blob(id) => Some(*id),
            Name::Volume(_) | Name::Gate | Name::Bucket | Name::Foreign => None,
        });
        named
            .chain(self.strays.iter().map(|(.., id)| *id))
            .collect()
    }

    /// What was written and deleted within this log.
    pub(super) fn passing(&self) -> HashSet<BlobId> {
        let of = |op: Op| -> HashSet<BlobId> {
            let these = self
                .accesses
                .iter()
                .filter(|(_, access, _)| access.op == op);
            let named = these.filter_map(|(_, _, name)| match name {
                Name::Blob(id) => Some(*id),
                Name::Volume(_) | Name::Gate | Name::Bucket | Name::Foreign => None,
            });
            named.collect()
        };
        of(Op::Write)
            .intersection(&of(Op::Delete))
            .copied()
            .collect()
    }

    /// The time that it is about, with what may lie around it.
    pub(super) fn span(&self, slack_ms: u64) -> Span {
        let times = || {
            let strays = self.strays.iter().map(|(_, access, _)| access.at);
            self.accesses
                .iter()
                .map(|(_, access, _)| access.at)
                .chain(strays)
        };
        let first = times().min().map(|at| at.millis().saturating_sub(slack_ms));
        let last = times().max();
        Span {
            since: first.map(Timestamp::from_millis),
            until: last.map(|at| at.plus_millis(slack_ms.saturating_add(2_000))),
        }
    }
}

/// A store's inventory.
pub(super) struct Listed {
    pub(super) blobs: HashMap<BlobId, Option<Timestamp>>,
    pub(super) newest: Timestamp,
}

impl Listed {
    pub(super) fn read(path: &Path, place: &Place, told: &mut Told) -> Result<Self, CliError> {
        let mut listed = Self {
            blobs: HashMap::new(),
            newest: Timestamp::default(),
        };
        lines(path, |number, text| {
            let Ok((bucket, key, at)) = inventory(text) else {
                told.unreadable(number);
                return Ok(());
            };
            listed.newest = listed.newest.max(at.unwrap_or_default());
            match place.name(&bucket, &key) {
                Some(Name::Blob(id)) => drop(listed.blobs.insert(id, at)),
                Some(Name::Foreign) => told.foreign.push((number, key)),
                Some(Name::Volume(_) | Name::Gate | Name::Bucket) | None => {
                    told.elsewhere = told.elsewhere.saturating_add(1);
                }
            }
            if listed.blobs.len() > RECONCILE_BLOBS_MAX || told.foreign.len() > 10_000 {
                let told = "the inventory names more than can be held";
                return Err(CliError::new(Exit::Unavailable, told));
            }
            Ok(())
        })?;
        if listed.newest == Timestamp::default() {
            let wants = "the inventory says of nothing when it was written";
            return Err(CliError::new(Exit::Usage, wants)
                .hint("S3 Inventory writes it where LastModifiedDate is among its fields"));
        }
        Ok(listed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOB: &str = "00ff00ff00ff00ff00ff00ff00ff00ff";

    fn place(prefix: &str) -> Place {
        Place {
            bucket: "blobs".to_owned(),
            prefix: prefix.to_owned(),
            volumes: Some("volumes".to_owned()),
        }
    }

    /// What a request is taken for: its name, whether it is a stray, and what was counted.
    fn read(prefix: &str, request: &str) -> (Option<Name>, Option<BlobId>, Told) {
        let line = format!(
            "127.0.0.1 - - [22/Nov/2026:13:00:00 +0000] \"{request} HTTP/1.1\" 200 100 \"-\" \"-\""
        );
        let (mut log, mut told) = (Log::default(), Told::default());
        log.take(1, combined(&line), &place(prefix), &mut told);
        let named = log.accesses.first().map(|(.., name)| *name);
        let stray = log.strays.first().map(|(.., id)| *id);
        let found = usize::from(named.is_some()) + usize::from(stray.is_some());
        let counted = told.refused + told.elsewhere + told.unread;
        assert_eq!(found + usize::try_from(counted).unwrap(), 1, "{request}");
        (named, stray, told)
    }

    #[test]
    fn au_8_a_blob_is_a_blob_however_its_path_is_written() {
        let blob = Some(Name::Blob(BLOB.parse().unwrap()));
        for path in [
            "/blobs/k/B",
            "//blobs/k/B",
            "/./blobs/k/B",
            "/x/../blobs/k/B",
            "/x/%2e%2e/blobs/k/B",
            "/:blobs/k/B",
            // By the host's name.
            "/k/B",
            "//k/B",
        ] {
            let request = format!("GET {}", path.replace('B', BLOB));
            assert_eq!(read("k/", &request).0, blob, "{request}");
            let request = format!("PUT {}", path.replace('B', BLOB).replace("/k/", "/"));
            assert!(read("", &request).0.is_some(), "{request}");
        }
        for (path, name) in [
            ("/x/../blobs/k/log/B", "Volume"),
            ("/k/log/B", "Volume"),
            ("/volumes/k/log/B", "Volume"),
            ("/k/gate/B", "Gate"),
            ("/x/../blobs/k/other", "Foreign"),
        ] {
            let request = format!("DELETE {}", path.replace('B', BLOB));
            let found = read("k/", &request).0.map(|name| format!("{name:?}"));
            assert!(found.is_some_and(|it| it.starts_with(name)), "{request}");
        }
    }

    #[test]
    fn au_8_what_is_asked_of_a_bucket_by_the_hosts_name_is_kept() {
        for request in ["POST /?delete", "PUT /?policy", "GET /?list-type=2"] {
            assert_eq!(read("k/", request).0, Some(Name::Bucket), "{request}");
        }
    }

    /// A server hands a request on under another path than the client's: what it names tells.
    #[test]
    fn au_8_a_blobs_name_elsewhere_is_held_against_the_catalog() {
        let id = Some(BLOB.parse().unwrap());
        for path in ["/s3/blobs/k/B", "/other/B", "/swift/v1/blobs/k/B"] {
            let request = format!("GET {}", path.replace('B', BLOB));
            assert_eq!(read("k/", &request).1, id, "{request}");
        }
        let line = format!(
            "1 - - [22/Nov/2026:13:00:00 +0000] \"GET /s3/{BLOB} HTTP/1.1\" 200 1 \"-\" \"-\""
        );
        for (is, kept, elsewhere) in [(true, 1, 0), (false, 0, 1)] {
            let (mut log, mut told) = (Log::default(), Told::default());
            log.take(1, combined(&line), &place("k/"), &mut told);
            assert_eq!(log.blobs().len(), 1);
            log.fetch(&mut told, |id| is.then_some(Name::Blob(id)));
            assert_eq!((log.accesses.len(), told.elsewhere), (kept, elsewhere));
        }
    }

    #[test]
    fn what_is_elsewhere_is_left_there() {
        for request in [
            "GET /",
            "GET /other/x",
            "PUT /other",
            "GET /other/?list-type=2",
            "POST /other?delete",
            "PUT /kluis-of-others",
            "GET /k",
        ] {
            let (name, stray, told) = read("k", request);
            assert_eq!((name, stray), (None, None), "{request}");
            assert_eq!(told.elsewhere, 1, "{request}");
        }
        let (_, _, told) = read("k/", "GET blobs/k");
        assert_eq!(told.unread, 1);
    }
}
