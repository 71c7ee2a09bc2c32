//! What each mutation does to the tables, its precondition judged in the same transaction.

use rusqlite::{Connection, params};

use super::{
    access, apply_facts, apply_object, apply_version, approvals, blobs, cards, erase, keywork,
    publications, roster, sql,
};
use crate::catalog::codec::encode_value;
use crate::catalog::{
    CatalogError, Conflict, CredentialRow, DatasetRow, Mutation, PrincipalRow, ProjectRow,
};
use crate::policy::{Grant, GrantEffect};
use crate::types::{
    AccessKeyId, DatasetId, DatasetName, KeyScope, PrincipalId, PrincipalKind, ProjectName,
    Timestamp,
};

/// The two counters of the table `meta`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Counters {
    /// The newest change's number.
    pub(super) seq: u64,
    /// How many commits changed who may do what.
    pub(super) generation: u64,
}

/// Applies one mutation.
#[expect(clippy::too_many_lines, reason = "one arm for each mutation")]
pub(super) fn apply(
    conn: &Connection,
    counters: &mut Counters,
    mutation: &Mutation,
) -> Result<(), CatalogError> {
    match mutation {
        Mutation::CreateProject(row) => create_project(conn, row),
        Mutation::CreateDataset(row) => create_dataset(conn, row),
        Mutation::DeleteDataset(id) => {
            keywork::check_hold(conn, id)?;
            keywork::check_idle(conn, id)?;
            delete_dataset(conn, id)
        }
        Mutation::CheckHold(id) => keywork::check_hold(conn, id),
        Mutation::CreatePrincipal(row) => create_principal(conn, row),
        Mutation::CreateCredential(row) => create_credential(conn, row),
        Mutation::ScopeCredential { credential, scope } => {
            scope_credential(conn, credential, scope)
        }
        Mutation::DeleteCredential(id) => {
            let delete = "DELETE FROM credentials WHERE id = ?1";
            let deleted = sql::exec(conn, delete, [id.as_str()])?;
            must(deleted == 1, Conflict::NoCredential)
        }
        Mutation::CreateGrant(grant) => create_grant(conn, grant),
        Mutation::DeleteGrant(id) => {
            let deleted = sql::exec(conn, "DELETE FROM grants WHERE id = ?1", [id.as_bytes()])?;
            must(deleted == 1, Conflict::NoGrant)
        }
        Mutation::CheckGrant { grant, terms } => access::check_grant(conn, grant, terms),
        Mutation::CheckGrants(check) => access::check_grants(conn, check),
        Mutation::SetTerms {
            grant,
            approver,
            terms,
        } => access::set_terms(conn, grant, approver, terms),
        Mutation::SetLogTerms { project, terms } => access::keep_log(conn, project, *terms),
        Mutation::CheckLogTerms { project, terms } => access::check_log(conn, project, *terms),
        Mutation::SetSuspended { principal, since } => access::suspend(conn, principal, *since),
        Mutation::AddMember { group, member } => access::add_member(conn, group, member),
        Mutation::RemoveMember { group, member } => access::remove_member(conn, group, member),
        Mutation::LinkIdentity(row) => access::link(conn, row),
        Mutation::UnlinkIdentity { issuer, subject } => access::unlink(conn, issuer, subject),
        Mutation::SpendToken {
            token,
            expires,
            now,
        } => access::spend(conn, token, *expires, *now),
        Mutation::SetDefaults { project, defaults } => {
            cards::set_defaults(conn, project, defaults.as_ref())
        }
        Mutation::SetCard { dataset, was, card } => {
            cards::set_card(conn, dataset, was.as_ref(), card)
        }
        Mutation::SetClearance {
            principal,
            clearance,
        } => cards::set_clearance(conn, principal, clearance.as_ref()),
        Mutation::AddNotice(row) => approvals::add_notice(conn, row),
        Mutation::SetRoster {
            kind,
            name,
            was,
            entry,
        } => roster::set(conn, (*kind, name), *was, entry.as_ref()),
        Mutation::CheckNodeKey(key) => roster::check_node_key(conn, key),
        Mutation::AskApproval { row, now } => approvals::ask(conn, row, *now),
        Mutation::CheckWaiting(check) => approvals::check_waiting(conn, check),
        Mutation::StepApproval { approval, step } => approvals::step(conn, approval, step),
        Mutation::NoteUses(uses) => access::note_uses(conn, uses),
        Mutation::PutObject {
            row,
            blobs,
            condition,
        } => apply_object::put(conn, row, blobs, condition),
        Mutation::DeleteObject {
            dataset,
            key,
            condition,
            now,
        } => apply_object::delete(conn, (dataset, key), condition, *now),
        Mutation::CreateUpload(row) => apply_object::create_upload(conn, row),
        Mutation::PutPart { row, blobs } => apply_object::put_part(conn, row, blobs),
        Mutation::CompleteUpload {
            upload,
            parts,
            row,
            condition,
        } => apply_object::complete(conn, upload, parts, row, condition),
        Mutation::AbortUpload { upload, now } => apply_object::abort(conn, upload, *now),
        Mutation::SetVersioning { dataset, state } => {
            apply_version::set_versioning(conn, dataset, *state)
        }
        Mutation::RemoveObject {
            dataset,
            key,
            marker,
            condition,
            now,
        } => apply_version::remove(conn, (dataset, key), marker, condition, *now),
        Mutation::DeleteVersion {
            dataset,
            key,
            version,
            condition,
            now,
        } => apply_version::delete(conn, (dataset, key), version, condition, *now),
        Mutation::SetAttached {
            dataset,
            key,
            version,
            attached,
        } => apply_facts::attach(conn, (dataset, key), version, attached),
        Mutation::SetRetention {
            dataset,
            key,
            version,
            retention,
            bypass,
            now,
        } => apply_facts::retain(conn, ((dataset, key), version), *retention, *bypass, *now),
        Mutation::SetHold {
            dataset,
            key,
            version,
            hold,
        } => apply_facts::hold(conn, ((dataset, key), version), *hold),
        Mutation::SetObjectKeyName {
            dataset,
            key,
            version,
            name,
        } => apply_facts::name_key(conn, ((dataset, key), version), name),
        Mutation::SetOrigin {
            dataset,
            key,
            version,
            origin,
        } => apply_facts::set_origin(conn, ((dataset, key), version), origin),
        Mutation::SetObjectLock { dataset, lock } => {
            apply_facts::set_object_lock(conn, dataset, lock)
        }
        Mutation::SetKeyName { dataset, name } => {
            apply_facts::set_key_name(conn, dataset, name.as_deref())
        }
        Mutation::SetUploadFacts { upload, facts } => {
            apply_object::set_upload_facts(conn, upload, facts)
        }
        Mutation::SetUploadTags { upload, tags } => {
            apply_object::set_upload_tags(conn, upload, tags)
        }
        Mutation::SetSetting {
            dataset,
            kind,
            value,
        } => apply_version::set(conn, dataset, *kind, value.as_ref()),
        Mutation::RestoreVersion {
            row,
            versioned,
            current,
            blobs,
        } => apply_version::restore(conn, row, (*versioned, *current), blobs),
        Mutation::RestoreMarker(row) => apply_version::restore_marker(conn, row),
        Mutation::Freeze(row) => publications::freeze(conn, row),
        Mutation::Issue {
            publication,
            issue,
            blobs,
        } => publications::issue(conn, publication, issue, blobs),
        Mutation::DropPublication { publication, now } => {
            publications::drop_publication(conn, publication, *now)
        }
        Mutation::RestorePublication { row, blobs } => publications::restore(conn, row, blobs),
        Mutation::RestoreFrozen {
            publication,
            row,
            versioned,
            attached,
            facts,
            live,
            blobs,
        } => {
            let own = (!live).then_some((attached, facts, blobs));
            publications::restore_row(conn, publication, (row, *versioned), own)
        }
        Mutation::BeginKeyWork(row) => keywork::begin(conn, row),
        Mutation::EraseRows { work, limit } => erase::erase_rows(conn, work, *limit),
        Mutation::Rewrap {
            dataset,
            key,
            version,
            sealed_table,
        } => keywork::rewrap(conn, (dataset, key), version, sealed_table),
        Mutation::RewrapPart {
            upload,
            number,
            version,
            sealed_table,
        } => keywork::rewrap_part(conn, (upload, *number), version, sealed_table),
        Mutation::RewrapIndex {
            publication,
            sealed_key,
        } => keywork::rewrap_index(conn, publication, sealed_key),
        Mutation::ForgetDoomed { work, blobs } => keywork::forget_doomed(conn, work, blobs),
        Mutation::EndKeyWork { work, end } => keywork::end(conn, work, end),
        Mutation::RestoreKeyWork(row) => keywork::restore(conn, row),
        Mutation::RestoreErased {
            work,
            writes,
            blobs,
        } => keywork::restore_erased(conn, work, writes, blobs),
        Mutation::RestoreBlobs(lost) => blobs::restore(conn, lost),
        Mutation::ForgetBlobs(ids) => blobs::forget(conn, ids),
        Mutation::RestoreSeq(seq) => {
            counters.seq = counters.seq.max(*seq);
            Ok(())
        }
    }
}

/// A precondition.
pub(super) fn must(holds: bool, conflict: Conflict) -> Result<(), CatalogError> {
    if holds { Ok(()) } else { Err(conflict.into()) }
}

/// An identifier that is drawn at random must be new.
pub(super) fn must_insert(inserted: usize, what: &str) -> Result<(), CatalogError> {
    if inserted == 1 {
        Ok(())
    } else {
        Err(CatalogError::repeated(what))
    }
}

pub(super) fn need_project(conn: &Connection, name: &ProjectName) -> Result<(), CatalogError> {
    let select = "SELECT 1 FROM projects WHERE name = ?1";
    must(
        sql::exists(conn, select, [name.as_str()])?,
        Conflict::NoProject,
    )
}

fn need_principal(conn: &Connection, id: &PrincipalId) -> Result<(), CatalogError> {
    let select = "SELECT 1 FROM principals WHERE id = ?1";
    must(
        sql::exists(conn, select, [id.as_str()])?,
        Conflict::NoPrincipal,
    )
}

pub(super) fn need_dataset(conn: &Connection, id: &DatasetId) -> Result<(), CatalogError> {
    let select = "SELECT 1 FROM datasets WHERE id = ?1";
    must(
        sql::exists(conn, select, [id.as_bytes()])?,
        Conflict::NoDataset,
    )
}

fn create_project(conn: &Connection, row: &ProjectRow) -> Result<(), CatalogError> {
    let insert = "INSERT INTO projects (name, created) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    let created = sql::time(row.created)?;
    let inserted = sql::exec(conn, insert, params![row.name.as_str(), created])?;
    must(inserted == 1, Conflict::ProjectExists)
}

fn create_dataset(conn: &Connection, row: &DatasetRow) -> Result<(), CatalogError> {
    need_project(conn, &row.bucket.project)?;
    let insert = "INSERT INTO datasets (id, project, name, created, creator)
        VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
    let inserted = sql::exec(
        conn,
        insert,
        params![
            row.id.as_bytes(),
            row.bucket.project.as_str(),
            row.bucket.dataset.as_str(),
            sql::time(row.created)?,
            row.creator.as_str()
        ],
    )?;
    must(inserted == 1, Conflict::DatasetExists)
}

pub(super) fn delete_dataset(conn: &Connection, id: &DatasetId) -> Result<(), CatalogError> {
    need_dataset(conn, id)?;
    let objects = "SELECT 1 FROM objects WHERE dataset = ?1 LIMIT 1";
    let uploads = "SELECT 1 FROM uploads WHERE dataset = ?1 LIMIT 1";
    let versions = "SELECT 1 FROM versions WHERE dataset = ?1 LIMIT 1";
    let published = "SELECT 1 FROM publications WHERE dataset = ?1 LIMIT 1";
    let holds_any = sql::exists(conn, objects, [id.as_bytes()])?
        || sql::exists(conn, versions, [id.as_bytes()])?
        || sql::exists(conn, uploads, [id.as_bytes()])?
        || sql::exists(conn, published, [id.as_bytes()])?;
    must(!holds_any, Conflict::DatasetNotEmpty)?;
    drop_grants(conn, id)?;
    sql::exec(
        conn,
        "DELETE FROM settings WHERE dataset = ?1",
        [id.as_bytes()],
    )?;
    sql::exec(conn, "DELETE FROM datasets WHERE id = ?1", [id.as_bytes()])?;
    Ok(())
}

/// What was allowed on a dataset is not allowed on the next one of its name, which holds other
/// data.
fn drop_grants(conn: &Connection, id: &DatasetId) -> Result<(), CatalogError> {
    let select = "SELECT grants.row, name FROM grants JOIN datasets USING (project)
        WHERE datasets.id = ?1";
    let grants = sql::all(conn, select, [id.as_bytes()], |row| {
        let (grant, name): (Grant, DatasetName) =
            (sql::get_encoded(row, 0)?, sql::get_name(row, 1)?);
        let allows = grant.effect == GrantEffect::Allow && grant.dataset == Some(name);
        Ok(allows.then_some(grant.id))
    })?;
    for grant in grants.into_iter().flatten() {
        sql::exec(conn, "DELETE FROM grants WHERE id = ?1", [grant.as_bytes()])?;
    }
    Ok(())
}

fn create_principal(conn: &Connection, row: &PrincipalRow) -> Result<(), CatalogError> {
    let insert = "INSERT INTO principals (id, workload, acts_for, created, grouped)
        VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
    let inserted = sql::exec(
        conn,
        insert,
        params![
            row.id.as_str(),
            row.kind == PrincipalKind::Workload,
            row.acts_for.as_ref().map(PrincipalId::as_str),
            sql::time(row.created)?,
            row.kind == PrincipalKind::Group,
        ],
    )?;
    must(inserted == 1, Conflict::PrincipalExists)
}

fn scope_credential(
    conn: &Connection,
    id: &AccessKeyId,
    scope: &KeyScope,
) -> Result<(), CatalogError> {
    let update = "UPDATE credentials SET scope = ?2 WHERE id = ?1 AND scope IS NULL";
    let scoped = sql::exec(conn, update, params![id.as_str(), encode_value(scope)])?;
    must_insert(scoped, "scope")
}

fn create_credential(conn: &Connection, row: &CredentialRow) -> Result<(), CatalogError> {
    need_principal(conn, &row.principal)?;
    let insert = "INSERT INTO credentials (id, principal, sealed_secret, created, expires)
        VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
    let expires = row.expires.map(Timestamp::millis).map(sql::int);
    let inserted = sql::exec(
        conn,
        insert,
        params![
            row.id.as_str(),
            row.principal.as_str(),
            &*row.sealed_secret,
            sql::time(row.created)?,
            expires.transpose()?
        ],
    )?;
    must_insert(inserted, "credential")
}

fn create_grant(conn: &Connection, grant: &Grant) -> Result<(), CatalogError> {
    need_project(conn, &grant.project)?;
    need_principal(conn, &grant.principal)?;
    let insert = "INSERT INTO grants (id, project, principal, row)
        VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
    let inserted = sql::exec(
        conn,
        insert,
        params![
            grant.id.as_bytes(),
            grant.project.as_str(),
            grant.principal.as_str(),
            encode_value(grant)
        ],
    )?;
    must_insert(inserted, "grant")
}
