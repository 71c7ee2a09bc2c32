//! Many files brought before they are opened: their keys in one request, their contents in a pack,
//! or one by one from the store or the disk.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;
use tokio::sync::oneshot;

use super::buffers::Chunk;
use super::content::{Contents, Source};
use super::opening::Wanted;
use super::pack::Unpacking;
use super::{Kind, NodeError, Place};
use crate::manifest::FileEntry;
use crate::seal::layout;
use crate::types::limits;
use crate::wire::{ObjectRun, RunsRequest};

/// A file that is to be brought.
struct File {
    place: Place,
    key: String,
    entry: Box<FileEntry>,
}

/// A file whose contents a pack brings, and who waits for them.
struct Expected {
    source: Arc<Source>,
    opened: oneshot::Sender<Chunk>,
}

impl Contents {
    /// Brings files, in this order, as far as they are files and not here. It ends when the keys
    /// and the contents are there, or will not come; nobody has to wait for it.
    pub async fn bring(self: Arc<Self>, places: Vec<Place>) {
        for batch in places.chunks(limits::NODE_BROUGHT_MAX) {
            self.bring_batch(batch).await;
        }
    }

    async fn bring_batch(self: &Arc<Self>, places: &[Place]) {
        let files = self.files(places).await;
        let missing = files.iter().filter(|file| !self.keys.has(&file.key));
        let (runs, keys) = runs(missing);
        if !keys.is_empty() {
            self.keys.bring(&runs, &keys).await;
        }
        let mut packed: Vec<(File, Arc<Source>)> = Vec::new();
        let mut single = Vec::new();
        for file in files {
            let Some(table) = self.keys.held(&file.key, &file.entry) else {
                continue;
            };
            let key = file.key.clone();
            let source = Arc::new(Source { key, table });
            let small = file.entry.bytes <= limits::PACK_OBJECT_BYTES_MAX;
            let Some(first) = source.table.extents().first() else {
                continue;
            };
            let at = (first.blob, 0);
            if self.chunks.is_wanted(&at) {
                continue;
            }
            if small && source.table.extents().len() == 1 && !self.has_on_disk(first, 0) {
                packed.push((file, source));
            } else {
                single.push((source, at));
            }
        }
        let sources: Vec<Arc<Source>> = packed.iter().map(|(_, one)| Arc::clone(one)).collect();
        if packed.len() == 1 || self.is_straight(&sources).await {
            single.extend(sources.into_iter().filter_map(|source| {
                let at = (source.table.extents().first()?.blob, 0);
                Some((source, at))
            }));
        } else {
            for pack in packs(packed) {
                // As many at once as there are turns: more wait here, and with them who brings.
                let Ok(turn) = Arc::clone(&self.bringing).acquire_owned().await else {
                    return;
                };
                let contents = Arc::clone(self);
                tokio::spawn(async move {
                    contents.bring_pack(pack).await;
                    drop(turn);
                });
            }
        }
        for (source, at) in single {
            self.start(source, at);
        }
    }

    /// What stands at places, of those that are files with bytes.
    async fn files(&self, places: &[Place]) -> Vec<File> {
        let mut files = Vec::new();
        for place in places {
            let Ok(found) = self.version.at(*place).await else {
                continue;
            };
            if let Ok(key) = found.key()
                && let Kind::File(entry) = found.kind
                && entry.bytes > 0
            {
                let place = *place;
                files.push(File { place, key, entry });
            }
        }
        files
    }

    /// One pack: each file's reader waits for its frame, or fetches it where it does not come.
    async fn bring_pack(self: &Arc<Self>, packed: Vec<(File, Arc<Source>)>) {
        let (runs, _) = runs(packed.iter().map(|(file, _)| file));
        let mut expected = HashMap::new();
        for (file, source) in packed {
            let Some(extent) = source.table.extents().first() else {
                continue;
            };
            let opened = self.expect((extent.blob, 0));
            expected.insert(file.key, Expected { source, opened });
        }
        let runs = runs.into_iter();
        let runs = runs.map(|(from, count)| ObjectRun { from, count });
        let wanted = RunsRequest {
            runs: runs.collect(),
        };
        let body = serde_json::to_vec(&wanted).unwrap_or_default();
        let asking = self
            .version
            .asking(Method::POST, "pack", String::new(), body.into());
        let mut unpacking = Unpacking::default();
        let mut each = |key: &str, sealed: &[u8]| {
            if let Some(one) = expected.remove(key) {
                match self.open_whole(&one.source, sealed) {
                    // Who waited may have gone.
                    Ok(plain) => drop(one.opened.send(plain)),
                    Err(error) => tracing::warn!(%error, "a file of a pack is passed over"),
                }
            }
        };
        let mut take = |piece: &[u8]| unpacking.take(piece, &mut each);
        let read = self.version.gateway().read(&asking, &mut take).await;
        if read.is_err() || !unpacking.is_whole() {
            tracing::debug!("a pack did not come to its end");
        }
    }

    /// Opens a whole sealed blob.
    fn open_whole(&self, source: &Source, sealed: &[u8]) -> Result<Chunk, NodeError> {
        let extent = source.table.extents().first().ok_or(NodeError::Absent)?;
        let wanted = Wanted::new(extent, 0)?;
        let mut opening = self.opening(extent, &wanted);
        opening.take(sealed)?;
        self.opened(&wanted, opening)
    }
}

/// Files as packs of a bounded length.
fn packs(files: Vec<(File, Arc<Source>)>) -> Vec<Vec<(File, Arc<Source>)>> {
    let mut packs: Vec<Vec<(File, Arc<Source>)>> = Vec::new();
    let mut left = 0;
    for file in files {
        let sealed = layout::sealed_bytes(file.0.entry.bytes);
        match packs.last_mut() {
            Some(pack) if sealed <= left => pack.push(file),
            _ => {
                packs.push(vec![file]);
                left = limits::PACK_BYTES_MAX;
            }
        }
        left = left.saturating_sub(sealed);
    }
    packs
}

/// Files as runs: what stands side by side in the manifest and follows in order of key is one.
/// With all their keys.
fn runs<'a>(files: impl Iterator<Item = &'a File>) -> (Vec<(String, usize)>, Vec<String>) {
    let mut runs: Vec<(String, usize)> = Vec::new();
    let mut keys: Vec<String> = Vec::new();
    let mut before: Option<Place> = None;
    for file in files {
        let follows = before.is_some_and(|before| {
            before.page == file.place.page && before.slot.checked_add(1) == Some(file.place.slot)
        });
        let same = |other: &String| directory(other) == directory(&file.key);
        match runs.last_mut() {
            Some((_, count)) if follows && keys.last().is_some_and(same) => {
                *count = count.saturating_add(1);
            }
            _ => runs.push((file.key.clone(), 1)),
        }
        keys.push(file.key.clone());
        before = Some(file.place);
    }
    (runs, keys)
}

fn directory(key: &str) -> &str {
    key.rsplit_once('/').map_or("", |(directory, _)| directory)
}
