//! Rows of the log, volume by volume, for commands that look at each.

use super::archive::{Archive, unreadable};
use crate::archive::{Place, Row, rows_of};
use crate::cli::output::CliError;
use crate::ledger::{Scope, scopes_of};
use crate::types::{ProjectName, Timestamp};

/// From when to when something began.
#[derive(Clone, Copy, Default)]
pub(super) struct Span {
    pub(super) since: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
}

impl Span {
    /// Whether a volume can have rows of this time.
    pub(super) fn touches(self, place: &Place) -> bool {
        self.since
            .is_none_or(|since| place.newest_ms >= since.millis())
            && self
                .until
                .is_none_or(|until| place.oldest_ms < until.millis())
    }

    /// Whether a request of this time began in it.
    pub(super) fn holds(self, time: Timestamp) -> bool {
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time < until)
    }
}

/// Whether a row may be seen: one of this project, or any where there is none.
pub(super) fn in_scope(row: &Row, seen: Option<&ProjectName>) -> bool {
    let Some(project) = seen else { return true };
    let mine = |scope: &Scope| matches!(scope, Scope::Project(name) if name == project);
    scopes_of(&row.entry).iter().any(mine)
}

/// Hands each row of the volumes that touch `span` to `take`; a request that is open where its
/// volume ends comes once, from where it ended or among the newest.
pub(super) async fn volumes(
    archive: &Archive,
    span: Span,
    mut take: impl FnMut(&str, Row) -> Result<(), CliError>,
) -> Result<(), CliError> {
    for place in archive.index.volumes() {
        if !span.touches(place) {
            continue;
        }
        let volume = archive.volume(place).await?;
        let mut failed = None;
        let read = rows_of(&volume, |row| {
            if failed.is_none() && !row.is_open() {
                failed = take(&place.meta.lane, row).err();
            }
            Ok(())
        });
        read.map_err(|error| unreadable(&error))?;
        if let Some(error) = failed {
            return Err(error);
        }
    }
    Ok(())
}
