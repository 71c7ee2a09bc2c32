//! Pages of the model's rows.

use super::super::{ListEntry, ListQuery, ObjectRow, Page, listing};
use crate::types::limits;

/// At most `limit` of what follows, and whether that was not all.
pub(super) fn page<T>(items: impl Iterator<Item = T>, limit: usize) -> (Vec<T>, bool) {
    let mut items = items.peekable();
    let taken: Vec<T> = items.by_ref().take(limit).collect();
    (taken, limit > 0 && items.peek().is_some())
}

fn entry(query: &ListQuery, row: &ObjectRow) -> ListEntry {
    listing::folded(query, row.key.as_str()).map_or_else(
        || ListEntry::Object {
            key: row.key.clone(),
            bytes: row.bytes,
            etag: row.etag.clone(),
            modified: row.modified,
        },
        |prefix| ListEntry::Prefix(prefix.into()),
    )
}

fn entry_text(entry: &ListEntry) -> &str {
    match entry {
        ListEntry::Object { key, .. } => key.as_str(),
        ListEntry::Prefix(prefix) => prefix,
    }
}

/// One page of a listing of these, which are in order of key.
pub(super) fn listed<'a>(rows: impl Iterator<Item = &'a ObjectRow>, query: &ListQuery) -> Page {
    let after = query.after.as_deref().unwrap_or_default();
    let mut entries: Vec<ListEntry> = rows
        .filter(|row| row.key.as_str().starts_with(&query.prefix))
        .map(|row| entry(query, row))
        .filter(|entry| entry_text(entry) > after)
        .collect();
    entries.dedup();
    let limit = query.limit.min(limits::PAGE_ENTRIES_MAX);
    let (entries, more) = page(entries.into_iter(), limit);
    Page { entries, more }
}

/// Leaves out of a page what comes once it weighs [`limits::PAGE_BYTES_MAX`]; whether it did.
pub(super) fn lighten<T>(rows: &mut Vec<T>, weigh: impl Fn(&T) -> usize) -> bool {
    let mut bytes = 0_usize;
    let fits = rows.iter().take_while(|row| {
        let room = bytes < limits::PAGE_BYTES_MAX;
        bytes = bytes.saturating_add(weigh(row));
        room
    });
    let (fits, all) = (fits.count(), rows.len());
    rows.truncate(fits);
    fits < all
}
