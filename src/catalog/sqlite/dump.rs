//! The whole catalog as mutations, page by page, out of one read transaction.
//!
//! The transaction stays open between the pages, so that all show one moment. Until the last page
//! is fetched, or another dump begins, the write-ahead log cannot be emptied and grows.

use bytes::Bytes;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, Rows, params_from_iter};

use super::{access, approvals, keywork, read, roster, rows, sql};
use crate::catalog::codec::encode_value;
use crate::catalog::people::{founding, granting, keying, naming};
use crate::catalog::rebuild::{beginning, furnishing, rebuilding};
use crate::catalog::{BlobUse, CatalogError, DoomedBlob, Mutation, Setting, Uses, Version};
use crate::types::{BlobId, DatasetId, GrantId, KeyWorkId, PublicationId, Timestamp, limits};

/// A dump that is running.
pub(super) struct Session {
    id: u64,
    /// Pages that were given out.
    pages: u64,
    /// In its read transaction.
    conn: Connection,
    /// Which kind of row comes next.
    stage: usize,
    /// The key of the last row of that kind.
    after: Key,
}

/// A row's key: one to three columns.
type Key = [Value; 3];

/// Below every text and every BLOB.
const BEGIN: Key = [
    Value::Text(String::new()),
    Value::Text(String::new()),
    Value::Text(String::new()),
];

impl Session {
    /// Begins a dump of this moment.
    pub(super) fn begin(id: u64, conn: Connection) -> Result<Self, CatalogError> {
        sql::exec(&conn, "BEGIN", [])?;
        Ok(Self {
            id,
            pages: 0,
            conn,
            stage: 0,
            after: BEGIN,
        })
    }

    /// Names the next page; good once.
    pub(super) fn cursor(&self) -> Bytes {
        encode_value(&(self.id, self.pages)).into()
    }

    /// Ends the dump; its connection.
    pub(super) fn end(self) -> Result<Connection, CatalogError> {
        sql::exec(&self.conn, "COMMIT", [])?;
        Ok(self.conn)
    }

    /// The next page, and whether more follow.
    pub(super) fn page(&mut self, bytes_max: usize) -> Result<(Vec<Mutation>, bool), CatalogError> {
        let mut sink = Sink {
            mutations: Vec::new(),
            bytes: 0,
            bytes_max,
        };
        if self.pages == 0 {
            sink.push(Mutation::RestoreSeq(read::change_seq(&self.conn)?));
        }
        self.pages = self.pages.saturating_add(1);
        while let Some(stage) = STAGES.get(self.stage) {
            let mut statement = self.conn.prepare_cached(stage.select)?;
            let columns = statement.parameter_count();
            let after = std::mem::replace(&mut self.after, BEGIN);
            let rows = statement.query(params_from_iter(after.iter().take(columns)))?;
            if let Some(last) = (stage.fill)(rows, &mut sink)? {
                self.after = last;
                return Ok((sink.mutations, true));
            }
            self.stage = self.stage.saturating_add(1);
        }
        Ok((sink.mutations, false))
    }
}

/// Mutations of one page and how many bytes they take.
struct Sink {
    mutations: Vec<Mutation>,
    bytes: usize,
    bytes_max: usize,
}

impl Sink {
    fn push(&mut self, mutation: Mutation) {
        self.bytes = self.bytes.saturating_add(encode_value(&mutation).len());
        self.mutations.push(mutation);
    }

    const fn is_full(&self) -> bool {
        self.bytes > self.bytes_max
    }
}

/// One kind of row.
struct Stage {
    /// Selects what comes after a key, in order of key.
    select: &'static str,
    /// Takes rows until the page is full; then the last row's key, at the end `None`.
    fill: fn(Rows<'_>, &mut Sink) -> Result<Option<Key>, CatalogError>,
}

/// The kinds, in the order of dependence.
const STAGES: [Stage; 25] = [
    Stage {
        select: "SELECT name, created, log, defaults FROM projects WHERE name > ?1 ORDER BY name",
        fill: |rows, sink| fill_many(rows, sink, [0, 0, 0], |r| rows::project(r).map(founding)),
    },
    Stage {
        select:
            "SELECT id, project, name, created, creator, versioning, object_lock, key_name, card
            FROM datasets
            WHERE (project, name) > (?1, ?2) ORDER BY project, name",
        fill: |rows, sink| {
            fill(rows, sink, [1, 2], |r| {
                rows::dataset(r).map(Mutation::CreateDataset)
            })
        },
    },
    Stage {
        select:
            "SELECT id, workload, acts_for, created, grouped, suspended, clearance FROM principals
            WHERE id > ?1 ORDER BY id",
        fill: |rows, sink| fill_many(rows, sink, [0, 0, 0], |r| rows::principal(r).map(naming)),
    },
    Stage {
        select: "SELECT id, principal, sealed_secret, created, expires, scope FROM credentials
            WHERE id > ?1 ORDER BY id",
        fill: |rows, sink| fill_many(rows, sink, [0, 0, 0], |r| rows::credential(r).map(keying)),
    },
    Stage {
        select: "SELECT id, project, principal, row, terms FROM grants WHERE id > ?1 ORDER BY id",
        fill: |rows, sink| fill_many(rows, sink, [0, 0, 0], |r| rows::grant(r).map(granting)),
    },
    Stage {
        select: "SELECT team, member FROM members
            WHERE (team, member) > (?1, ?2) ORDER BY team, member",
        fill: |rows, sink| fill(rows, sink, [0, 1], add_member),
    },
    Stage {
        select: "SELECT issuer, subject, principal, linked FROM identities
            WHERE (issuer, subject) > (?1, ?2) ORDER BY issuer, subject",
        fill: |rows, sink| {
            fill(rows, sink, [0, 1], |r| {
                access::identity_row(r).map(Mutation::LinkIdentity)
            })
        },
    },
    Stage {
        select: "SELECT token, expires FROM spent WHERE token > ?1 ORDER BY token",
        fill: |rows, sink| fill(rows, sink, [0, 0], spend),
    },
    Stage {
        select: "SELECT kind, name, entry FROM roster
            WHERE (kind, name) > (?1, ?2) ORDER BY kind, name",
        fill: |rows, sink| fill(rows, sink, [0, 1], roster::restore),
    },
    Stage {
        select: "SELECT id, used FROM grants WHERE id > ?1 AND used IS NOT NULL ORDER BY id",
        fill: |rows, sink| fill(rows, sink, [0, 0], note_grant),
    },
    Stage {
        select: "SELECT id, used FROM credentials WHERE id > ?1 AND used IS NOT NULL ORDER BY id",
        fill: |rows, sink| fill(rows, sink, [0, 0], note_credential),
    },
    Stage {
        select: "SELECT id, project, row FROM approvals WHERE id > ?1 ORDER BY id",
        fill: |rows, sink| fill(rows, sink, [0, 0], approvals::dumped),
    },
    Stage {
        select: "SELECT id, person, row FROM notices WHERE id > ?1 ORDER BY id",
        fill: |rows, sink| fill(rows, sink, [0, 0], approvals::dumped_notice),
    },
    Stage {
        select: "SELECT id, coalesce(lost, 0) FROM blobs WHERE id > ?1 ORDER BY id",
        fill: fill_blobs,
    },
    Stage {
        select: "SELECT dataset, key, version, bytes, etag, modified, detail, sealed_table,
                versioned, facts, blobs, origin
            FROM objects LEFT JOIN bodies ON bodies.id = objects.body
            WHERE (dataset, key) > (?1, ?2) ORDER BY dataset, key",
        fill: |rows, sink| fill_many(rows, sink, [0, 1, 1], put_object),
    },
    Stage {
        select: "SELECT dataset, key, version, bytes, etag, modified, detail, sealed_table,
                versioned, facts, body, blobs, place, origin
            FROM versions LEFT JOIN bodies ON bodies.id = versions.body
            WHERE (dataset, key, place) > (?1, ?2, ?3) ORDER BY dataset, key, place",
        fill: |rows, sink| fill_many(rows, sink, [0, 1, 12], restore_version),
    },
    Stage {
        select:
            "SELECT id, project, name, created, creator, versioning, object_lock, key_name, card
            FROM datasets
            WHERE (project, name) > (?1, ?2) ORDER BY project, name",
        fill: |rows, sink| {
            fill_many(rows, sink, [1, 2, 2], |r| {
                rows::dataset(r).map(|row| furnishing(&row))
            })
        },
    },
    Stage {
        select: "SELECT dataset, kind, value FROM settings
            WHERE (dataset, kind) > (?1, ?2) ORDER BY dataset, kind",
        fill: |rows, sink| fill(rows, sink, [0, 1], set_setting),
    },
    Stage {
        select: "SELECT id, dataset, row, tags, facts FROM uploads WHERE id > ?1 ORDER BY id",
        fill: |rows, sink| fill_many(rows, sink, [0, 0, 0], |r| rows::upload(r).map(beginning)),
    },
    Stage {
        select: "SELECT upload, number, row, blobs FROM parts
            WHERE (upload, number) > (?1, ?2) ORDER BY upload, number",
        fill: |rows, sink| fill(rows, sink, [0, 1], put_part),
    },
    Stage {
        select: "SELECT id, row, blobs FROM publications WHERE id > ?1 ORDER BY id",
        fill: |rows, sink| fill(rows, sink, [0, 0], restore_publication),
    },
    Stage {
        select: "SELECT dataset, key, version, bytes, etag, modified, detail, sealed_table,
                versioned, facts, bodies.blobs, publication, live
            FROM frozen LEFT JOIN publications ON publications.id = frozen.publication
                LEFT JOIN bodies ON bodies.id = frozen.body
                LEFT JOIN held ON held.body = frozen.body
            WHERE (publication, key) > (?1, ?2) ORDER BY publication, key",
        fill: |rows, sink| fill(rows, sink, [11, 1], restore_frozen),
    },
    // Last: from here on rows under keys that are no longer in use are refused.
    Stage {
        select: "SELECT id, row, tally, ended FROM key_works WHERE id > ?1 ORDER BY id",
        fill: |rows, sink| {
            fill(rows, sink, [0, 0], |r| {
                keywork::work(r).map(Mutation::RestoreKeyWork)
            })
        },
    },
    Stage {
        select: "SELECT key, version, bytes, work, number FROM erased
            WHERE (work, number) > (?1, ?2) ORDER BY work, number",
        fill: |rows, sink| fill(rows, sink, [3, 4], restore_erased),
    },
    Stage {
        select: "SELECT work, blob, shared FROM doomed
            WHERE (work, blob) > (?1, ?2) ORDER BY work, blob",
        fill: |rows, sink| fill(rows, sink, [0, 1], restore_doomed),
    },
];

/// One mutation per row; `key` are the columns of the row's key.
fn fill(
    rows: Rows<'_>,
    sink: &mut Sink,
    [first, second]: [usize; 2],
    read: impl Fn(&Row<'_>) -> Result<Mutation, CatalogError>,
) -> Result<Option<Key>, CatalogError> {
    fill_many(rows, sink, [first, second, second], |row| {
        read(row).map(|mutation| vec![mutation])
    })
}

/// Any number of mutations per row.
fn fill_many(
    mut rows: Rows<'_>,
    sink: &mut Sink,
    [first, second, third]: [usize; 3],
    read: impl Fn(&Row<'_>) -> Result<Vec<Mutation>, CatalogError>,
) -> Result<Option<Key>, CatalogError> {
    while let Some(row) = rows.next()? {
        for mutation in read(row)? {
            sink.push(mutation);
        }
        if sink.is_full() {
            return Ok(Some([row.get(first)?, row.get(second)?, row.get(third)?]));
        }
    }
    Ok(None)
}

/// Many blobs to a mutation. Those that a row refers to lose the time given here when that row
/// shares them.
fn fill_blobs(mut rows: Rows<'_>, sink: &mut Sink) -> Result<Option<Key>, CatalogError> {
    let mut blobs: Vec<(BlobId, Timestamp)> = Vec::new();
    while let Some(row) = rows.next()? {
        let id = sql::get_id(row, 0).map(BlobId::from_bytes)?;
        blobs.push((id, sql::get_time(row, 1)?));
        if blobs.len() >= limits::CATALOG_RESTORE_BLOBS_MAX {
            sink.push(Mutation::RestoreBlobs(std::mem::take(&mut blobs)));
            if sink.is_full() {
                return Ok(Some([row.get(0)?, row.get(0)?, row.get(0)?]));
            }
        }
    }
    if !blobs.is_empty() {
        sink.push(Mutation::RestoreBlobs(blobs));
    }
    Ok(None)
}

fn restore_erased(row: &Row<'_>) -> Result<Mutation, CatalogError> {
    Ok(Mutation::RestoreErased {
        work: KeyWorkId::from_bytes(sql::get_id(row, 3)?),
        writes: vec![keywork::erased_write(row)?],
        blobs: Vec::new(),
    })
}

fn restore_doomed(row: &Row<'_>) -> Result<Mutation, CatalogError> {
    Ok(Mutation::RestoreErased {
        work: KeyWorkId::from_bytes(sql::get_id(row, 0)?),
        writes: Vec::new(),
        blobs: vec![DoomedBlob {
            id: BlobId::from_bytes(sql::get_id(row, 1)?),
            shared: row.get(2)?,
        }],
    })
}

fn add_member(row: &Row<'_>) -> Result<Mutation, CatalogError> {
    Ok(Mutation::AddMember {
        group: sql::get_name(row, 0)?,
        member: sql::get_name(row, 1)?,
    })
}

/// Nothing is forgotten as it is put back.
fn spend(row: &Row<'_>) -> Result<Mutation, CatalogError> {
    Ok(Mutation::SpendToken {
        token: row.get(0)?,
        expires: sql::get_time(row, 1)?,
        now: Timestamp::default(),
    })
}

fn note_grant(row: &Row<'_>) -> Result<Mutation, CatalogError> {
    let id = GrantId::from_bytes(sql::get_id(row, 0)?);
    Ok(Mutation::NoteUses(Uses {
        grants: vec![(id, sql::get_time(row, 1)?)],
        credentials: Vec::new(),
    }))
}

fn note_credential(row: &Row<'_>) -> Result<Mutation, CatalogError> {
    Ok(Mutation::NoteUses(Uses {
        grants: Vec::new(),
        credentials: vec![(sql::get_name(row, 0)?, sql::get_time(row, 1)?)],
    }))
}

fn put_object(row: &Row<'_>) -> Result<Vec<Mutation>, CatalogError> {
    let origin = sql::get_some(row, 11)?;
    Ok(rebuilding(
        rows::object(row)?,
        origin,
        shared(row, 10)?,
        true,
    ))
}

fn restore_version(row: &Row<'_>) -> Result<Vec<Mutation>, CatalogError> {
    Ok(match rows::version(row)? {
        Version::Object(object) => {
            rebuilding(object, sql::get_some(row, 13)?, shared(row, 11)?, false)
        }
        Version::Marker(marker) => vec![Mutation::RestoreMarker(marker)],
    })
}

fn set_setting(row: &Row<'_>) -> Result<Mutation, CatalogError> {
    let value: Setting = sql::get_encoded(row, 2)?;
    Ok(Mutation::SetSetting {
        dataset: DatasetId::from_bytes(sql::get_id(row, 0)?),
        kind: value.kind(),
        value: Some(value),
    })
}

fn restore_publication(row: &Row<'_>) -> Result<Mutation, CatalogError> {
    Ok(Mutation::RestorePublication {
        row: super::publications::publication(row)?,
        blobs: shared(row, 2)?,
    })
}

fn restore_frozen(row: &Row<'_>) -> Result<Mutation, CatalogError> {
    let object = rows::object(row)?;
    Ok(Mutation::RestoreFrozen {
        publication: PublicationId::from_bytes(sql::get_id(row, 11)?),
        versioned: object.versioned,
        attached: object.attached.clone(),
        facts: object.attached.facts.clone(),
        live: row.get(12)?,
        blobs: shared(row, 10)?,
        row: object,
    })
}

fn put_part(row: &Row<'_>) -> Result<Mutation, CatalogError> {
    Ok(Mutation::PutPart {
        row: rows::part(row)?,
        blobs: shared(row, 3)?,
    })
}

/// The blobs of a row, all restored before.
fn shared(row: &Row<'_>, column: usize) -> Result<BlobUse, CatalogError> {
    Ok(BlobUse {
        fresh: Vec::new(),
        shared: sql::get_ids(row, column)?,
    })
}

/// The statements, for a look at their plans.
#[cfg(test)]
pub(super) fn selects() -> impl Iterator<Item = &'static str> {
    STAGES.iter().map(|stage| stage.select)
}
