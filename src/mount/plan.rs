//! The plan: paths in the order in which a job is going to open them, one a line.
//!
//! `.kluis/plan` is a symbolic link to a file in memory that the mount's owner alone may write: the
//! mount itself stays read-only. A plan that was not written to for a moment is taken, and its file
//! emptied. Where root mounts for another, the file is that one's and its directory stays root's:
//! who writes the file cannot put another in its place.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;
use tokio::time::Instant;

use super::own::{self, Own};
use super::state::State;
use crate::node::Version;
use crate::types::limits;

/// How often the file is looked at; as long it must have been left alone.
const LOOK: Duration = Duration::from_millis(300);
/// Where files in memory are, and where else it may lie.
const PLACES: [&str; 2] = ["/dev/shm", "/tmp"];

/// The file; it goes with this.
pub(super) struct PlanFile {
    own: Own,
    path: PathBuf,
}

impl PlanFile {
    /// Makes one in a directory of its own, which nobody else may enter, and removes what mounts of
    /// this account left that were killed. `name`: the directory's, which nobody may guess.
    /// `writer`: the account that may write it, if it is not this one.
    pub(super) fn new(name: &str, writer: Option<u32>) -> io::Result<Self> {
        // Another account has to get through to the file, and no further.
        let mode = if writer.is_some() { 0o711 } else { 0o700 };
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for place in PLACES.map(Path::new) {
            own::sweep(place);
            match Own::new(place, name, mode) {
                Ok((own, file)) => {
                    if writer.is_some() {
                        fchown(&file, writer, None)?;
                    }
                    let path = own.file();
                    return Ok(Self { own, path });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// What the link in the mount says.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How it stands: its length and when it was written; `None` if it is empty or gone.
    fn written(&self) -> Option<(u64, SystemTime)> {
        let metadata = std::fs::symlink_metadata(&self.path).ok()?;
        let written = (metadata.len(), metadata.modified().ok()?);
        (metadata.is_file() && written.0 > 0).then_some(written)
    }

    /// Removes the file. The kernel may hold the rest of a mount for as long as a file is open.
    pub(super) fn remove(&self) {
        if let Err(error) = self.own.remove() {
            tracing::debug!(%error, "the directory of the plan is gone, or left");
        }
    }

    /// What was written, which is then gone.
    fn take(&self) -> io::Result<Vec<u8>> {
        let mut options = File::options();
        options.read(true).write(true);
        options.custom_flags(i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default());
        let file = options.open(&self.path)?;
        // As long as it is, so that it is not held twice while it grows.
        let length = file.metadata()?.len().min(limits::PLAN_BYTES_MAX);
        let mut text = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        (&file)
            .take(limits::PLAN_BYTES_MAX)
            .read_to_end(&mut text)?;
        file.set_len(0)?;
        Ok(text)
    }
}

/// Looks for plans and puts them in force.
pub(super) async fn watch(state: Arc<State>) {
    let mut seen = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let now = state.plan.written();
        if now.is_none() || now != seen {
            seen = now;
            continue;
        }
        seen = None;
        let begin = Instant::now();
        match state.plan.take() {
            Ok(text) => {
                let order = resolve(&state.version, &text).await;
                tracing::info!(files = order.len(), "a plan is in force");
                state.planned(order);
            }
            Err(error) => tracing::warn!(%error, "a plan cannot be read"),
        }
        // Whoever writes plans has a tenth of a core for it, whatever they cost.
        tokio::time::sleep(begin.elapsed().saturating_mul(9)).await;
    }
}

/// A path's directory, with its slash, and its name.
type Parts<'a> = (&'a [u8], &'a [u8]);

/// Where the lines of a plan are in its text: 8 bytes each, whatever they hold.
fn lines(text: &[u8]) -> Vec<(u32, u32)> {
    let mut at = 0_usize;
    let spans = text.split(|byte| *byte == b'\n').map(|line| {
        let from = at;
        let to = from.saturating_add(line.len());
        at = to.saturating_add(1);
        (from, to)
    });
    let spans = spans.filter(|(from, to)| from < to);
    let spans = spans.filter_map(|(from, to)| Some((from.try_into().ok()?, to.try_into().ok()?)));
    spans.take(limits::PLAN_FILES_MAX).collect()
}

fn line(text: &[u8], (from, to): (u32, u32)) -> Parts<'_> {
    let span = usize::try_from(from).ok().zip(usize::try_from(to).ok());
    let line = span.and_then(|(from, to)| text.get(from..to));
    split(clean(line.unwrap_or_default()))
}

/// The files of a plan, as numbers in the manifest; lines that name none are passed over.
async fn resolve(version: &Version, text: &[u8]) -> Vec<u32> {
    /// No file's number.
    const NONE: u32 = u32::MAX;
    let lines = lines(text);
    let at = |number: u32| {
        let span = usize::try_from(number).ok().and_then(|n| lines.get(n));
        span.copied().unwrap_or_default()
    };
    // In the manifest's order, so that each of its pages is looked at once.
    let count = u32::try_from(lines.len()).unwrap_or_default();
    let mut sorted: Vec<u32> = (0..count).collect();
    sorted.sort_unstable_by_key(|number| line(text, at(*number)));
    let mut found: Vec<u32> = vec![NONE; lines.len()];
    for number in sorted {
        let (directory, name) = line(text, at(number));
        let entry = version.find(directory, name).await.ok();
        let file = entry.and_then(|entry| version.number(entry.place));
        let slot = usize::try_from(number).ok().and_then(|n| found.get_mut(n));
        if let (Some(file), Some(slot)) = (file, slot) {
            *slot = u32::try_from(file).unwrap_or(NONE);
        }
    }
    found.retain(|file| *file != NONE);
    found
}

/// A line without what editors and shells leave around a path.
fn clean(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.strip_prefix(b"./").unwrap_or(line)
}

fn split(path: &[u8]) -> Parts<'_> {
    let cut = path.iter().rposition(|byte| *byte == b'/');
    path.split_at(cut.map_or(0, |at| at.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_file_is_its_owners_alone_is_emptied_when_taken_and_goes_with_the_mount() {
        let plan = PlanFile::new("kluis-test-of-plans", None).unwrap();
        let path = plan.path().to_owned();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert!(plan.written().is_none());
        std::fs::write(&path, "a\nb\n").unwrap();
        assert_eq!(plan.written().unwrap().0, 4);
        assert_eq!(plan.take().unwrap(), b"a\nb\n");
        assert!(plan.written().is_none());
        drop(plan);
        assert!(!path.parent().unwrap().exists());
    }

    #[test]
    fn a_link_in_the_place_of_the_file_is_not_followed() {
        let plan = PlanFile::new("kluis-test-of-links", None).unwrap();
        let top = tempfile::tempdir().unwrap();
        let other = top.path().join("other");
        std::fs::write(&other, "not a plan").unwrap();
        std::fs::remove_file(&plan.path).unwrap();
        std::os::unix::fs::symlink(&other, &plan.path).unwrap();
        assert!(plan.written().is_none() && plan.take().is_err());
        assert_eq!(std::fs::read(&other).unwrap(), b"not a plan");
    }

    #[test]
    fn lines_are_found_where_they_are_and_bounded() {
        let text = b"a/b\n\n./c\r\nlast";
        let found = lines(text);
        let parts: Vec<Parts<'_>> = found.iter().map(|span| line(text, *span)).collect();
        let told = [(&b"a/"[..], &b"b"[..]), (b"", b"c"), (b"", b"last")];
        assert_eq!(parts, told);
        assert!(lines(b"").is_empty() && lines(b"\n\n").is_empty());
        let most = lines(&b"a\n".repeat(limits::PLAN_FILES_MAX + 5)).len();
        assert_eq!(most, limits::PLAN_FILES_MAX);
    }

    #[test]
    fn lines_are_paths_below_the_top() {
        assert_eq!(split(clean(b"./a/b/c\r")), (&b"a/b/"[..], &b"c"[..]));
        assert_eq!(split(clean(b"c")), (&b""[..], &b"c"[..]));
        assert_eq!(split(clean(b"/")), (&b"/"[..], &b""[..]));
    }
}
