//! The tables, and how an older file becomes a current one.
//!
//! Step `n` leads from version `n` to version `n + 1`, from an empty file on. All steps that a file
//! lacks run in one transaction, so that a crash leaves the old version or the new one. A step that
//! was released is never edited.

use rusqlite::{Connection, OptionalExtension as _};

use super::sql;
use crate::catalog::CatalogError;

/// `Kluv`: marks the file as a catalog, so that no other program's database is taken for one.
const APPLICATION_ID: i32 = 0x4b6c_7576;

/// Version 1.
///
/// - Keys are BLOBs: SQLite compares them byte by byte, and a bound need not be UTF-8.
/// - `objects` holds what a listing returns and no more, so that its pages are dense; the rest of
///   an object lies in `bodies`, appended in order of writing.
/// - `blobs` columns hold a row's blob ids, sorted, 16 bytes each; `blobs.refs` counts the rows
///   that name a blob, `blobs.lost` is the time since which there is none.
/// - `detail` and `row` columns are in the encoding of `catalog::codec`.
const V1: &str = "
CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    schema INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    generation INTEGER NOT NULL
) STRICT;
INSERT INTO meta (id, schema, seq, generation) VALUES (1, 0, 0, 0);

CREATE TABLE changes (
    seq INTEGER PRIMARY KEY,
    mutations BLOB NOT NULL
) STRICT;

CREATE TABLE projects (
    name TEXT NOT NULL PRIMARY KEY,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE datasets (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    project TEXT NOT NULL REFERENCES projects (name),
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    creator TEXT NOT NULL,
    UNIQUE (project, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE principals (
    id TEXT NOT NULL PRIMARY KEY,
    workload INTEGER NOT NULL CHECK (workload IN (0, 1)),
    acts_for TEXT,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE credentials (
    id TEXT NOT NULL PRIMARY KEY,
    principal TEXT NOT NULL REFERENCES principals (id),
    sealed_secret BLOB NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX credentials_of ON credentials (principal, id);

CREATE TABLE grants (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    project TEXT NOT NULL REFERENCES projects (name),
    principal TEXT NOT NULL REFERENCES principals (id),
    row BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX grants_in ON grants (project, principal, id);
CREATE INDEX grants_of ON grants (principal, project);

CREATE TABLE blobs (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    refs INTEGER NOT NULL CHECK (refs >= 0),
    lost INTEGER,
    CHECK ((refs = 0) = (lost IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX blobs_lost ON blobs (lost, id) WHERE refs = 0;

CREATE TABLE objects (
    dataset BLOB NOT NULL REFERENCES datasets (id),
    key BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    etag TEXT NOT NULL,
    modified INTEGER NOT NULL,
    version BLOB NOT NULL CHECK (length(version) = 16),
    body INTEGER NOT NULL,
    PRIMARY KEY (dataset, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE bodies (
    id INTEGER PRIMARY KEY,
    detail BLOB NOT NULL,
    blobs BLOB NOT NULL,
    sealed_table BLOB NOT NULL
) STRICT;

CREATE TABLE uploads (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    dataset BLOB NOT NULL REFERENCES datasets (id),
    key BLOB NOT NULL,
    initiated INTEGER NOT NULL,
    row BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX uploads_in ON uploads (dataset, key, initiated, id);
CREATE INDEX uploads_by_age ON uploads (initiated, id);

CREATE TABLE parts (
    upload BLOB NOT NULL REFERENCES uploads (id),
    number INTEGER NOT NULL,
    version BLOB NOT NULL CHECK (length(version) = 16),
    blobs BLOB NOT NULL,
    row BLOB NOT NULL,
    PRIMARY KEY (upload, number)
) STRICT, WITHOUT ROWID;
";

/// Version 2: versions of objects, and settings of datasets.
///
/// - `objects` goes on holding the newest version of a key, unless that is a delete marker;
///   `versions` holds markers and everything older, the newest of a key at the lowest `place`.
/// - A version without a `body` is a marker. `versioned` is 0 for what clients call `null`.
/// - `uploads.tags` is `NULL` for none.
/// - `bodies.detail` may end with what is attached to the object.
const V2: &str = "
ALTER TABLE datasets ADD COLUMN versioning INTEGER NOT NULL DEFAULT 0
    CHECK (versioning IN (0, 1, 2));
ALTER TABLE objects ADD COLUMN versioned INTEGER NOT NULL DEFAULT 0 CHECK (versioned IN (0, 1));

ALTER TABLE uploads ADD COLUMN tags BLOB;

CREATE TABLE versions (
    dataset BLOB NOT NULL REFERENCES datasets (id),
    key BLOB NOT NULL,
    place INTEGER NOT NULL,
    version BLOB NOT NULL CHECK (length(version) = 16),
    versioned INTEGER NOT NULL CHECK (versioned IN (0, 1)),
    bytes INTEGER NOT NULL,
    etag TEXT NOT NULL,
    modified INTEGER NOT NULL,
    body INTEGER,
    PRIMARY KEY (dataset, key, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX versions_by_name ON versions (dataset, key, version);
CREATE INDEX versions_null ON versions (dataset, key, place) WHERE versioned = 0;

CREATE TABLE settings (
    dataset BLOB NOT NULL REFERENCES datasets (id),
    kind BLOB NOT NULL CHECK (length(kind) = 1),
    value BLOB NOT NULL,
    PRIMARY KEY (dataset, kind)
) STRICT, WITHOUT ROWID;
";

/// Version 3: Object Lock, key names, where an object came from; each `NULL` for none.
///
/// - `facts` hold what locks a version and the name of its key, in their encoding.
/// - `bodies.origin` may be large and is read by few requests.
const V3: &str = "
ALTER TABLE datasets ADD COLUMN object_lock BLOB;
ALTER TABLE datasets ADD COLUMN key_name TEXT;
ALTER TABLE bodies ADD COLUMN facts BLOB;
ALTER TABLE bodies ADD COLUMN origin BLOB;
ALTER TABLE uploads ADD COLUMN facts BLOB;
";

/// Version 4: terms of grants, groups, suspension, last uses.
///
/// - `grants.terms` is `NULL` for the default.
/// - A group is a principal with `grouped` 1 and `workload` 0.
const V4: &str = "
ALTER TABLE grants ADD COLUMN terms BLOB;
ALTER TABLE grants ADD COLUMN used INTEGER;
ALTER TABLE credentials ADD COLUMN used INTEGER;
ALTER TABLE principals ADD COLUMN grouped INTEGER NOT NULL DEFAULT 0 CHECK (grouped IN (0, 1));
ALTER TABLE principals ADD COLUMN suspended INTEGER;

CREATE TABLE members (
    team TEXT NOT NULL REFERENCES principals (id),
    member TEXT NOT NULL REFERENCES principals (id),
    PRIMARY KEY (team, member)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_of ON members (member, team);
";

/// Version 5: datasets frozen as published versions.
///
/// - `frozen` is like `objects`, and shares its `bodies`. `held` says of a body how many frozen
///   rows refer to it, and whether an object or older version does.
/// - `publications.number` is `NULL` until the version is issued; `blobs` are its manifest's.
const V5: &str = "
CREATE TABLE publications (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    dataset BLOB NOT NULL REFERENCES datasets (id),
    number INTEGER CHECK (number > 0),
    frozen INTEGER NOT NULL,
    row BLOB NOT NULL,
    blobs BLOB NOT NULL,
    UNIQUE (dataset, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX publications_stale ON publications (frozen) WHERE number IS NULL;

CREATE TABLE frozen (
    publication BLOB NOT NULL REFERENCES publications (id),
    key BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    etag TEXT NOT NULL,
    modified INTEGER NOT NULL,
    version BLOB NOT NULL CHECK (length(version) = 16),
    body INTEGER NOT NULL,
    versioned INTEGER NOT NULL CHECK (versioned IN (0, 1)),
    PRIMARY KEY (publication, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE held (
    body INTEGER PRIMARY KEY,
    frozen INTEGER NOT NULL CHECK (frozen >= 0),
    live INTEGER NOT NULL CHECK (live IN (0, 1))
) STRICT;
";

/// Version 6: whom issuers' subjects are, and tokens that are spent.
const V6: &str = "
CREATE TABLE identities (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    principal TEXT NOT NULL REFERENCES principals (id),
    linked INTEGER NOT NULL,
    PRIMARY KEY (issuer, subject),
    UNIQUE (principal, issuer)
) STRICT, WITHOUT ROWID;

CREATE TABLE spent (
    token BLOB NOT NULL PRIMARY KEY CHECK (length(token) = 32),
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX spent_by_end ON spent (expires, token);
";

/// Version 7: acts that take two persons.
const V7: &str = "
CREATE TABLE approvals (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    project TEXT NOT NULL REFERENCES projects (name),
    asked INTEGER NOT NULL,
    due INTEGER NOT NULL,
    row BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX approvals_in ON approvals (project, asked, id);
CREATE INDEX approvals_by_end ON approvals (due, id);
";

/// Version 8: how a project's records are kept in the log; `NULL` for the default.
const V8: &str = "
ALTER TABLE projects ADD COLUMN log BLOB;
";

/// Version 9: the roster. `entry` is in the encoding of `catalog::codec`, and has the kind too.
const V9: &str = "
CREATE TABLE roster (
    kind BLOB NOT NULL CHECK (length(kind) = 1),
    name TEXT NOT NULL,
    entry BLOB NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
";

/// Version 10: work on keys, begun and not begun again.
///
/// - Rows sealed under a key below `datasets.key_floor` are refused; 4294967295 is a dataset that
///   is being erased, which nobody sees.
/// - `erased` lists what an erasure took out, `doomed` the blobs that it took references from.
const V10: &str = "
ALTER TABLE datasets ADD COLUMN key_floor INTEGER NOT NULL DEFAULT 0;

CREATE TABLE key_works (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    dataset BLOB NOT NULL CHECK (length(dataset) = 16),
    begun INTEGER NOT NULL,
    open INTEGER NOT NULL CHECK (open IN (0, 1)),
    row BLOB NOT NULL,
    tally BLOB NOT NULL,
    ended BLOB,
    CHECK ((open = 0) = (ended IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX key_works_by_age ON key_works (begun, id);
CREATE UNIQUE INDEX key_works_open ON key_works (dataset) WHERE open = 1;

CREATE TABLE erased (
    work BLOB NOT NULL REFERENCES key_works (id),
    number INTEGER NOT NULL,
    key BLOB NOT NULL,
    version BLOB NOT NULL CHECK (length(version) = 16),
    bytes INTEGER NOT NULL,
    PRIMARY KEY (work, number),
    UNIQUE (work, key, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE doomed (
    work BLOB NOT NULL REFERENCES key_works (id),
    blob BLOB NOT NULL CHECK (length(blob) = 16),
    shared INTEGER NOT NULL CHECK (shared IN (0, 1)),
    PRIMARY KEY (work, blob)
) STRICT, WITHOUT ROWID;
";

/// Version 11: descriptions of datasets, defaults of projects, clearances; each `NULL` for none.
const V11: &str = "
ALTER TABLE projects ADD COLUMN defaults BLOB;
ALTER TABLE datasets ADD COLUMN card BLOB;
ALTER TABLE principals ADD COLUMN clearance TEXT;
";

/// Version 12: what people are told of their datasets.
const V12: &str = "
CREATE TABLE notices (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    person TEXT NOT NULL,
    at INTEGER NOT NULL,
    row BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX notices_to ON notices (person, at, id);
CREATE INDEX notices_by_time ON notices (at, id);
";

/// Version 13: organisations tell who their people are, in rows of the roster. No table is new; an
/// older program, which would not see who is active no more, must not open the file.
const V13: &str = "-- rows of the roster of kinds 3 to 6";

/// Version 14: how far the snapshots are; `codec` has its encoding. No row: it is found out.
const V14: &str = "
CREATE TABLE chain (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    state BLOB NOT NULL
) STRICT;
";

/// Version 15: scopes of credentials, `NULL` for none; and rows of the roster of kind 12. An older
/// program, which would see the credential and not its scope, must not open the file.
const V15: &str = "ALTER TABLE credentials ADD COLUMN scope BLOB;";

/// Every step, oldest first.
pub(super) const STEPS: &[&str] = &[
    V1, V2, V3, V4, V5, V6, V7, V8, V9, V10, V11, V12, V13, V14, V15,
];

/// Brings a file, an empty one too, to the newest version; refuses a newer and a foreign one.
pub(super) fn migrate(conn: &Connection, steps: &[&str]) -> Result<(), CatalogError> {
    let known = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    if version(conn, known)? == known {
        return Ok(());
    }
    conn.execute_batch("BEGIN IMMEDIATE")?;
    if let Err(error) = run_steps(conn, steps, known) {
        conn.execute_batch("ROLLBACK")?;
        return Err(error);
    }
    Ok(conn.execute_batch("COMMIT")?)
}

fn run_steps(conn: &Connection, steps: &[&str], known: u32) -> Result<(), CatalogError> {
    // Judged again under the lock: another process may have been faster.
    let found = usize::try_from(version(conn, known)?).unwrap_or(usize::MAX);
    for step in steps.iter().skip(found) {
        conn.execute_batch(step)?;
    }
    conn.pragma_update(None, "application_id", APPLICATION_ID)?;
    conn.pragma_update(None, "user_version", known)?;
    sql::exec(conn, "UPDATE meta SET schema = ?1", [known])?;
    Ok(())
}

/// The file's version, 0 for an empty one, at most `known`.
pub(super) fn version(conn: &Connection, known: u32) -> Result<u32, CatalogError> {
    let found: u32 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i32 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: u32 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 && found == 0 {
        return Ok(0);
    }
    if application != APPLICATION_ID {
        return Err(CatalogError::Damaged {
            what: "file: it belongs to another program",
        });
    }
    if found > known {
        return Err(CatalogError::Schema { found, known });
    }
    let told: Option<u32> = conn
        .query_row("SELECT schema FROM meta", [], |row| row.get(0))
        .optional()?;
    if found == 0 || told != Some(found) {
        return Err(CatalogError::Damaged {
            what: "schema version",
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A step that a later version might bring.
    const NEXT: &str = "ALTER TABLE projects ADD COLUMN note TEXT;";
    /// The newest version.
    const KNOWN: u32 = 15;

    /// The steps of a program that is newer by one, and by another that fails.
    fn newer<'a>(more: &[&'a str]) -> Vec<&'a str> {
        [STEPS, more].concat()
    }

    fn fresh() -> Connection {
        Connection::open_in_memory().unwrap()
    }

    #[test]
    fn an_empty_file_gets_every_table() {
        let conn = fresh();
        migrate(&conn, STEPS).unwrap();
        migrate(&conn, STEPS).unwrap();
        assert_eq!(version(&conn, KNOWN), Ok(KNOWN));
    }

    #[test]
    fn an_older_file_keeps_its_rows() {
        let conn = fresh();
        migrate(&conn, STEPS).unwrap();
        let project = "INSERT INTO projects (name, created) VALUES ('icu', 7)";
        conn.execute(project, []).unwrap();
        migrate(&conn, &newer(&[NEXT])).unwrap();
        assert_eq!(version(&conn, KNOWN + 1), Ok(KNOWN + 1));
        let row: (String, u64, Option<String>) = conn
            .query_row("SELECT name, created, note FROM projects", [], |row| {
                Ok((row.get(0)?, row.get::<_, u32>(1)?.into(), row.get(2)?))
            })
            .unwrap();
        assert_eq!(row, ("icu".into(), 7, None));
    }

    #[test]
    fn a_failing_step_leaves_the_old_version() {
        let conn = fresh();
        migrate(&conn, STEPS).unwrap();
        assert!(migrate(&conn, &newer(&[NEXT, "CREATE TABLE projects (x);"])).is_err());
        assert_eq!(version(&conn, KNOWN), Ok(KNOWN));
        assert!(conn.prepare("SELECT note FROM projects").is_err());
    }

    #[test]
    fn a_newer_file_is_refused() {
        let conn = fresh();
        migrate(&conn, &newer(&[NEXT])).unwrap();
        let refused = CatalogError::Schema {
            found: KNOWN + 1,
            known: KNOWN,
        };
        assert_eq!(migrate(&conn, STEPS), Err(refused));
    }

    #[test]
    fn a_foreign_file_is_refused() {
        let conn = fresh();
        conn.execute_batch("CREATE TABLE notes (text TEXT)")
            .unwrap();
        assert!(matches!(
            migrate(&conn, STEPS),
            Err(CatalogError::Damaged { .. })
        ));
    }

    #[test]
    fn two_versions_that_differ_are_damage() {
        let conn = fresh();
        migrate(&conn, STEPS).unwrap();
        conn.execute("UPDATE meta SET schema = 1", []).unwrap();
        assert!(matches!(
            migrate(&conn, STEPS),
            Err(CatalogError::Damaged { .. })
        ));
    }

    /// A file of the first released version, with an object, a part and their blobs.
    #[test]
    fn a_file_of_version_1_becomes_one_of_the_newest() {
        let conn = fresh();
        migrate(&conn, &[V1]).unwrap();
        let row = "INSERT INTO projects VALUES ('icu', 7);
            INSERT INTO datasets VALUES (zeroblob(16), 'icu', 'ecg', 7, 'ann');
            INSERT INTO objects VALUES (zeroblob(16), x'61', 0, 'e', 7, zeroblob(16), 1);";
        conn.execute_batch(row).unwrap();
        migrate(&conn, STEPS).unwrap();
        assert_eq!(version(&conn, KNOWN), Ok(KNOWN));
        let state = "SELECT versioning, versioned, object_lock IS NULL FROM datasets, objects";
        let state: (u8, u8, bool) = conn
            .query_row(state, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .unwrap();
        assert_eq!(state, (0, 0, true), "nothing was versioned before");
    }

    /// Principals and grants of version 2 are in force as they were.
    #[test]
    fn a_file_of_version_2_keeps_its_grants_in_force() {
        let conn = fresh();
        migrate(&conn, &[V1, V2]).unwrap();
        let rows = "INSERT INTO projects VALUES ('icu', 7);
            INSERT INTO principals VALUES ('ann', 0, NULL, 7);
            INSERT INTO grants VALUES (zeroblob(16), 'icu', 'ann', x'00');";
        conn.execute_batch(rows).unwrap();
        migrate(&conn, STEPS).unwrap();
        let select = "SELECT grouped, suspended IS NULL, terms IS NULL FROM principals, grants";
        let state: (u8, bool, bool) = conn
            .query_row(select, [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .unwrap();
        assert_eq!(state, (0, true, true));
    }
}
