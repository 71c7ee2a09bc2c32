//! What goes of a volume when the time of some of its scopes is over. A row stays as long as any
//! scope that it belongs to keeps it.

use std::collections::BTreeSet;

use super::fold::Row;
use crate::ledger::{ScopeKey, Tag, scopes_of};

/// The rows that stay of a volume once the records of these scopes have gone.
#[must_use]
pub fn remaining(rows: Vec<Row>, key: &ScopeKey, expired: &BTreeSet<Tag>) -> Vec<Row> {
    let kept = |row: &Row| {
        let scopes = scopes_of(&row.entry);
        scopes
            .iter()
            .any(|scope| !expired.contains(&key.tag(scope)))
    };
    rows.into_iter().filter(kept).collect()
}
