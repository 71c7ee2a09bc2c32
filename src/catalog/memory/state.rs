//! The model's state and what each mutation does to it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::super::{
    ApprovalRow, Attached, BlobUse, CatalogError, Condition, Conflict, CredentialRow, DatasetRow,
    Defaults, Facts, IdentityRow, Mutation, NoticeRow, ObjectRow, Origin, PartRow, PrincipalRow,
    ProjectRow, PublicationRow, RosterEntry, RosterKind, Setting, SettingKind, UploadRow,
};
use super::keywork::Work;
use super::versions::{Older, judge, unlocked};
use crate::policy::{Grant, Terms};
use crate::types::{
    AccessKeyId, ApprovalId, BlobId, BucketName, DatasetId, GrantId, KeyScope, KeyWorkId, LogTerms,
    NoticeId, ObjectKey, PrincipalId, ProjectName, PublicationId, Timestamp, UploadId, VersionId,
    Versioning,
};

pub(super) type Blobs = BTreeSet<BlobId>;

/// Everything, each thing once.
#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) seq: u64,
    pub(super) generation: u64,
    pub(super) chain: Option<crate::catalog::Chain>,
    pub(super) projects: BTreeMap<ProjectName, ProjectRow>,
    pub(super) datasets: BTreeMap<BucketName, DatasetRow>,
    pub(super) principals: BTreeMap<PrincipalId, PrincipalRow>,
    pub(super) credentials: BTreeMap<AccessKeyId, CredentialRow>,
    pub(super) grants: BTreeMap<GrantId, Grant>,
    pub(super) grant_uses: BTreeMap<GrantId, Timestamp>,
    pub(super) credential_uses: BTreeMap<AccessKeyId, Timestamp>,
    /// By issuer and subject.
    pub(super) identities: BTreeMap<(String, String), IdentityRow>,
    /// Tokens, each with its end.
    pub(super) spent: BTreeMap<[u8; 32], Timestamp>,
    pub(super) roster: BTreeMap<(RosterKind, String), RosterEntry>,
    pub(super) approvals: BTreeMap<ApprovalId, ApprovalRow>,
    pub(super) notices: BTreeMap<NoticeId, NoticeRow>,
    /// Group and member.
    pub(super) members: BTreeSet<(PrincipalId, PrincipalId)>,
    pub(super) objects: BTreeMap<(DatasetId, ObjectKey), (ObjectRow, Blobs)>,
    /// What is older than the current object of a key, and markers, the newest first.
    pub(super) versions: BTreeMap<(DatasetId, ObjectKey), Vec<Older>>,
    pub(super) publications: BTreeMap<PublicationId, (PublicationRow, Blobs)>,
    pub(super) frozen: BTreeMap<(PublicationId, ObjectKey), (ObjectRow, Blobs)>,
    /// How the objects came out of uploads.
    pub(super) origins: BTreeMap<(DatasetId, ObjectKey, VersionId), Origin>,
    pub(super) settings: BTreeMap<(DatasetId, SettingKind), Setting>,
    pub(super) uploads: BTreeMap<UploadId, UploadRow>,
    pub(super) parts: BTreeMap<(UploadId, u32), (PartRow, Blobs)>,
    pub(super) key_works: BTreeMap<KeyWorkId, Work>,
    /// Each known blob, with the time since which no row refers to it.
    pub(super) blobs: BTreeMap<BlobId, Option<Timestamp>>,
    pub(super) changes: BTreeMap<u64, Bytes>,
}

/// Inserts what must be new.
pub(super) fn insert<K: Ord, V>(
    map: &mut BTreeMap<K, V>,
    key: K,
    value: V,
    error: CatalogError,
) -> Result<(), CatalogError> {
    if map.contains_key(&key) {
        return Err(error);
    }
    map.insert(key, value);
    Ok(())
}

/// Removes what must be there.
fn remove<K: Ord, V>(map: &mut BTreeMap<K, V>, key: &K, conflict: Conflict) -> Result<V, Conflict> {
    map.remove(key).ok_or(conflict)
}

pub(super) fn must(holds: bool, conflict: Conflict) -> Result<(), Conflict> {
    if holds { Ok(()) } else { Err(conflict) }
}

impl State {
    #[expect(clippy::too_many_lines, reason = "one arm for each mutation")]
    pub(super) fn apply(&mut self, mutation: Mutation) -> Result<(), CatalogError> {
        match mutation {
            Mutation::CreateProject(row) => {
                let exists = Conflict::ProjectExists.into();
                let row = ProjectRow {
                    defaults: None,
                    log: LogTerms::default(),
                    ..row
                };
                insert(&mut self.projects, row.name.clone(), row, exists)
            }
            Mutation::SetLogTerms { project, terms } => self.keep_log(&project, terms),
            Mutation::CheckLogTerms { project, terms } => self.check_log(&project, terms),
            Mutation::CreateDataset(row) => self.create_dataset(row),
            Mutation::DeleteDataset(id) => Ok(self.drop_dataset(&id)?),
            Mutation::CheckHold(id) => Ok(self.check_hold(&id)?),
            Mutation::CreatePrincipal(row) => {
                let exists = Conflict::PrincipalExists.into();
                let row = PrincipalRow {
                    suspended: None,
                    clearance: None,
                    ..row
                };
                insert(&mut self.principals, row.id.clone(), row, exists)
            }
            Mutation::CreateCredential(row) => self.create_credential(row),
            Mutation::ScopeCredential { credential, scope } => {
                self.scope_credential(&credential, scope)
            }
            Mutation::DeleteCredential(id) => {
                let _gone: Option<Timestamp> = self.credential_uses.remove(&id);
                Ok(remove(&mut self.credentials, &id, Conflict::NoCredential).map(drop)?)
            }
            Mutation::CreateGrant(grant) => self.create_grant(grant),
            Mutation::DeleteGrant(id) => Ok(self.delete_grant(&id)?),
            Mutation::CheckGrant { grant, terms } => Ok(self.check_grant(&grant, &terms)?),
            Mutation::CheckGrants(check) => Ok(self.check_grants(&check)?),
            Mutation::SetTerms {
                grant,
                approver,
                terms,
            } => Ok(self.set_terms(&grant, approver, terms)?),
            Mutation::SetSuspended { principal, since } => Ok(self.suspend(&principal, since)?),
            Mutation::AddMember { group, member } => Ok(self.add_member(group, member)?),
            Mutation::RemoveMember { group, member } => Ok(self.remove_member(group, member)?),
            Mutation::LinkIdentity(row) => Ok(self.link(row)?),
            Mutation::UnlinkIdentity { issuer, subject } => {
                let place = (issuer, subject);
                Ok(remove(&mut self.identities, &place, Conflict::NoIdentity).map(drop)?)
            }
            Mutation::SpendToken {
                token,
                expires,
                now,
            } => Ok(self.spend(token, expires, now)?),
            Mutation::SetDefaults { project, defaults } => {
                Ok(self.set_defaults(&project, defaults)?)
            }
            Mutation::SetCard { dataset, was, card } => {
                Ok(self.set_card(&dataset, was.as_ref(), card)?)
            }
            Mutation::SetClearance {
                principal,
                clearance,
            } => Ok(self.set_clearance(&principal, clearance)?),
            Mutation::AddNotice(row) => self.add_notice(row),
            Mutation::SetRoster {
                kind,
                name,
                was,
                entry,
            } => Ok(self.set_roster((kind, name), was, entry)?),
            Mutation::CheckNodeKey(key) => Ok(self.check_node_key(&key)?),
            Mutation::AskApproval { row, now } => self.ask_approval(row, now),
            Mutation::CheckWaiting(check) => Ok(self.check_waiting(&check)?),
            Mutation::StepApproval { approval, step } => Ok(self.step_approval(&approval, &step)?),
            Mutation::NoteUses(uses) => {
                self.note_uses(uses);
                Ok(())
            }
            Mutation::PutObject {
                row,
                blobs,
                condition,
            } => self.put_object(row, &blobs, &condition),
            Mutation::DeleteObject {
                dataset,
                key,
                condition,
                now,
            } => Ok(self.delete_object(&(dataset, key), &condition, now)?),
            Mutation::CreateUpload(row) => {
                self.need_dataset(&row.dataset)?;
                let repeated = CatalogError::repeated("upload");
                let row = UploadRow {
                    tags: Vec::new(),
                    facts: Facts::default(),
                    ..row
                };
                insert(&mut self.uploads, row.id, row, repeated)
            }
            Mutation::SetUploadTags { upload, tags } => {
                let row = self.uploads.get_mut(&upload).ok_or(Conflict::NoUpload)?;
                row.tags = tags;
                Ok(())
            }
            Mutation::SetUploadFacts { upload, facts } => {
                let row = self.uploads.get_mut(&upload).ok_or(Conflict::NoUpload)?;
                row.facts = facts;
                Ok(())
            }
            Mutation::PutPart { row, blobs } => self.put_part(row, &blobs),
            Mutation::CompleteUpload {
                upload,
                parts,
                row,
                condition,
            } => Ok(self.complete(&upload, &parts, row, &condition)?),
            Mutation::AbortUpload { upload, now } => Ok(self.abort(&upload, now)?),
            Mutation::SetVersioning { dataset, state } => Ok(self.set_versioning(&dataset, state)?),
            Mutation::RemoveObject {
                dataset,
                key,
                marker,
                condition,
                now,
            } => Ok(self.remove_object(&(dataset, key), marker, &condition, now)?),
            Mutation::DeleteVersion {
                dataset,
                key,
                version,
                condition,
                now,
            } => Ok(self.delete_version(&(dataset, key), &version, &condition, now)?),
            Mutation::SetAttached {
                dataset,
                key,
                version,
                attached,
            } => {
                let row = self.written(&(dataset, key), &version)?;
                row.attached.tags = attached.tags;
                Ok(())
            }
            Mutation::SetRetention {
                dataset,
                key,
                version,
                retention,
                bypass,
                now,
            } => {
                let lock = &mut self.written(&(dataset, key), &version)?.attached.facts.lock;
                must(lock.may_become(retention, bypass, now), Conflict::Locked)?;
                lock.retention = retention;
                Ok(())
            }
            Mutation::SetHold {
                dataset,
                key,
                version,
                hold,
            } => {
                let row = self.written(&(dataset, key), &version)?;
                row.attached.facts.lock.hold = hold;
                Ok(())
            }
            Mutation::SetObjectKeyName {
                dataset,
                key,
                version,
                name,
            } => {
                let row = self.written(&(dataset, key), &version)?;
                row.attached.facts.key_name = Some(name);
                Ok(())
            }
            Mutation::SetOrigin {
                dataset,
                key,
                version,
                origin,
            } => {
                let place = (dataset, key);
                self.written(&place, &version)?;
                self.origins.insert((place.0, place.1, version), origin);
                Ok(())
            }
            Mutation::SetObjectLock { dataset, lock } => {
                let state = self.versioning(&dataset)?;
                must(state == Versioning::Enabled, Conflict::Locking)?;
                self.defaults(&dataset)?.lock = Some(lock);
                Ok(())
            }
            Mutation::SetKeyName { dataset, name } => {
                self.defaults(&dataset)?.key_name = name;
                Ok(())
            }
            Mutation::SetSetting {
                dataset,
                kind,
                value,
            } => Ok(self.set(&dataset, kind, value)?),
            Mutation::RestoreVersion {
                row,
                versioned,
                current,
                blobs,
            } => self.restore_version(row, (versioned, current), &blobs),
            Mutation::RestoreMarker(row) => Ok(self.restore_marker(row)?),
            Mutation::Freeze(row) => self.freeze(row),
            Mutation::Issue {
                publication,
                issue,
                blobs,
            } => self.issue(&publication, issue, &blobs),
            Mutation::DropPublication { publication, now } => {
                Ok(self.drop_publication(&publication, now)?)
            }
            Mutation::RestorePublication { row, blobs } => self.restore_publication(row, &blobs),
            Mutation::RestoreFrozen {
                publication,
                row,
                versioned,
                attached,
                facts,
                live: _,
                blobs,
            } => {
                let row = ObjectRow {
                    versioned,
                    attached: Attached { facts, ..attached },
                    ..row
                };
                self.restore_frozen(publication, row, &blobs)
            }
            Mutation::BeginKeyWork(row) => self.begin_key_work(row),
            Mutation::EraseRows { work, limit: _ } => Ok(self.erase_rows(&work)?),
            Mutation::Rewrap {
                dataset,
                key,
                version,
                sealed_table,
            } => Ok(self.rewrap(&(dataset, key), &version, &sealed_table)?),
            Mutation::RewrapPart {
                upload,
                number,
                version,
                sealed_table,
            } => Ok(self.rewrap_part((upload, number), &version, sealed_table)?),
            Mutation::RewrapIndex {
                publication,
                sealed_key,
            } => Ok(self.rewrap_index(&publication, sealed_key)?),
            Mutation::ForgetDoomed { work, blobs } => Ok(self.forget_doomed(&work, &blobs)?),
            Mutation::EndKeyWork { work, end } => Ok(self.end_key_work(&work, end)?),
            Mutation::RestoreKeyWork(row) => self.restore_key_work(row),
            Mutation::RestoreErased {
                work,
                writes,
                blobs,
            } => Ok(self.restore_erased(&work, writes, blobs)?),
            Mutation::RestoreBlobs(blobs) => self.restore(blobs),
            Mutation::ForgetBlobs(blobs) => {
                let gone: Blobs = blobs.into_iter().collect();
                self.blobs
                    .retain(|id, lost| lost.is_none() || !gone.contains(id));
                Ok(())
            }
            Mutation::RestoreSeq(seq) => {
                self.seq = self.seq.max(seq);
                Ok(())
            }
        }
    }

    fn defaults(&mut self, dataset: &DatasetId) -> Result<&mut Defaults, Conflict> {
        let mut rows = self.datasets.values_mut();
        let row = rows.find(|row| row.id == *dataset);
        row.map(|row| &mut row.defaults).ok_or(Conflict::NoDataset)
    }

    /// Drops what is known of objects that are gone.
    pub(super) fn forget_origins(&mut self) {
        let mut origins = std::mem::take(&mut self.origins);
        origins.retain(|(dataset, key, version), _| {
            self.written(&(*dataset, key.clone()), version).is_ok()
        });
        self.origins = origins;
    }

    fn need_principal(&self, id: &PrincipalId) -> Result<(), Conflict> {
        must(self.principals.contains_key(id), Conflict::NoPrincipal)
    }

    pub(super) fn need_dataset(&self, id: &DatasetId) -> Result<(), Conflict> {
        let there = self.datasets.values().any(|row| row.id == *id);
        must(there, Conflict::NoDataset)
    }

    fn create_credential(&mut self, row: CredentialRow) -> Result<(), CatalogError> {
        self.need_principal(&row.principal)?;
        let repeated = CatalogError::repeated("credential");
        let row = CredentialRow { scope: None, ..row };
        insert(&mut self.credentials, row.id.clone(), row, repeated)
    }

    fn scope_credential(&mut self, id: &AccessKeyId, scope: KeyScope) -> Result<(), CatalogError> {
        let row = self.credentials.get_mut(id);
        let row = row.filter(|row| row.scope.is_none());
        row.ok_or_else(|| CatalogError::repeated("scope"))?.scope = Some(Box::new(scope));
        Ok(())
    }

    fn create_grant(&mut self, grant: Grant) -> Result<(), CatalogError> {
        let project = self.projects.contains_key(&grant.project);
        must(project, Conflict::NoProject)?;
        self.need_principal(&grant.principal)?;
        let repeated = CatalogError::repeated("grant");
        let grant = Grant {
            terms: Terms::default(),
            ..grant
        };
        insert(&mut self.grants, grant.id, grant, repeated)
    }

    fn create_dataset(&mut self, row: DatasetRow) -> Result<(), CatalogError> {
        must(
            self.projects.contains_key(&row.bucket.project),
            Conflict::NoProject,
        )?;
        let id_is_new = self.need_dataset(&row.id).is_err();
        must(id_is_new, Conflict::DatasetExists)?;
        let exists = Conflict::DatasetExists.into();
        let row = DatasetRow {
            versioning: Versioning::Off,
            defaults: Defaults::default(),
            card: None,
            ..row
        };
        insert(&mut self.datasets, row.bucket.clone(), row, exists)
    }

    pub(super) fn delete_dataset(&mut self, id: &DatasetId) -> Result<(), Conflict> {
        self.need_dataset(id)?;
        let empty = !self.objects.keys().any(|(dataset, _)| dataset == id)
            && !self.versions.keys().any(|(dataset, _)| dataset == id)
            && !self.uploads.values().any(|row| row.dataset == *id)
            && !self
                .publications
                .values()
                .any(|(row, _)| row.dataset == *id);
        must(empty, Conflict::DatasetNotEmpty)?;
        self.drop_grants_on(id);
        self.datasets.retain(|_, row| row.id != *id);
        self.settings.retain(|(dataset, _), _| dataset != id);
        Ok(())
    }

    fn set(
        &mut self,
        dataset: &DatasetId,
        kind: SettingKind,
        value: Option<Setting>,
    ) -> Result<(), Conflict> {
        self.need_dataset(dataset)?;
        let place = (*dataset, kind);
        match value.filter(|value| value.kind() == kind) {
            Some(value) => drop(self.settings.insert(place, value)),
            None => drop(self.settings.remove(&place)),
        }
        Ok(())
    }

    pub(super) fn check(
        &self,
        dataset: &DatasetId,
        key: &ObjectKey,
        when: &Condition,
    ) -> Result<(), Conflict> {
        let there = self.objects.get(&(*dataset, key.clone()));
        judge(when, there.map(|(row, _)| row))
    }

    fn put_object(
        &mut self,
        row: ObjectRow,
        blobs: &BlobUse,
        condition: &Condition,
    ) -> Result<(), CatalogError> {
        self.need_dataset(&row.dataset)?;
        self.check_floor(&row.dataset, &row.sealed_table)?;
        self.check(&row.dataset, &row.key, condition)?;
        let held = self.hold(blobs)?;
        Ok(self.install(row, held)?)
    }

    fn delete_object(
        &mut self,
        place: &(DatasetId, ObjectKey),
        condition: &Condition,
        now: Timestamp,
    ) -> Result<(), Conflict> {
        let state = self.versioning(&place.0)?;
        must(state == Versioning::Off, Conflict::Versioned)?;
        self.check(&place.0, &place.1, condition)?;
        if let Some((row, blobs)) = self.objects.remove(place) {
            unlocked(&row, now)?;
            self.lose(&blobs, now);
        }
        Ok(())
    }

    fn abort(&mut self, upload: &UploadId, now: Timestamp) -> Result<(), Conflict> {
        remove(&mut self.uploads, upload, Conflict::NoUpload)?;
        let blobs = self.take_parts(upload);
        self.lose(&blobs, now);
        Ok(())
    }

    fn restore(&mut self, blobs: Vec<(BlobId, Timestamp)>) -> Result<(), CatalogError> {
        blobs.into_iter().try_for_each(|(id, lost)| {
            let repeated = CatalogError::repeated("blob");
            insert(&mut self.blobs, id, Some(lost), repeated)
        })
    }

    fn put_part(&mut self, row: PartRow, blobs: &BlobUse) -> Result<(), CatalogError> {
        let upload = self.uploads.get(&row.upload).ok_or(Conflict::NoUpload)?;
        self.check_floor(&upload.dataset, &row.sealed_table)?;
        let held = self.hold(blobs)?;
        let (place, now) = ((row.upload, row.number), row.modified);
        if let Some((_, old)) = self.parts.insert(place, (row, held)) {
            self.lose(&old, now);
        }
        Ok(())
    }

    fn complete(
        &mut self,
        upload: &UploadId,
        parts: &[(u32, VersionId)],
        row: ObjectRow,
        condition: &Condition,
    ) -> Result<(), Conflict> {
        let begun = remove(&mut self.uploads, upload, Conflict::NoUpload)?;
        let same_place = (begun.dataset, &begun.key) == (row.dataset, &row.key);
        must(same_place, Conflict::NoUpload)?;
        let mut held = Blobs::new();
        for (number, version) in parts {
            let part = self.parts.get(&(*upload, *number));
            let (_, blobs) = part
                .filter(|(part, _)| part.version == *version)
                .ok_or(Conflict::PartChanged)?;
            held.extend(blobs);
        }
        self.check_floor(&row.dataset, &row.sealed_table)?;
        self.check(&row.dataset, &row.key, condition)?;
        let old = self.take_parts(upload);
        let now = row.modified;
        self.install(row, held)?;
        self.lose(&old, now);
        Ok(())
    }

    pub(super) fn take_parts(&mut self, upload: &UploadId) -> Blobs {
        let mut blobs = Blobs::new();
        self.parts.retain(|(of, _), (_, held)| {
            if of == upload {
                blobs.append(held);
            }
            of != upload
        });
        blobs
    }

    /// The blobs that a new row holds.
    pub(super) fn hold(&mut self, blobs: &BlobUse) -> Result<Blobs, CatalogError> {
        let fresh: Blobs = blobs.fresh.iter().copied().collect();
        for id in &fresh {
            insert(&mut self.blobs, *id, None, CatalogError::repeated("blob"))?;
        }
        for id in &blobs.shared {
            *self.blobs.get_mut(id).ok_or(Conflict::BlobGone)? = None;
        }
        Ok(fresh
            .into_iter()
            .chain(blobs.shared.iter().copied())
            .collect())
    }

    /// Notes the loss of those that no row refers to any more.
    pub(super) fn lose(&mut self, blobs: &Blobs, now: Timestamp) {
        let held = |id: &BlobId| {
            let mut older = self.versions.values().flatten();
            self.objects.values().any(|(_, held)| held.contains(id))
                || older.any(|(_, held)| held.contains(id))
                || self.parts.values().any(|(_, held)| held.contains(id))
                || self.frozen.values().any(|(_, held)| held.contains(id))
                || self
                    .publications
                    .values()
                    .any(|(_, held)| held.contains(id))
        };
        let lost: Vec<BlobId> = blobs.iter().filter(|id| !held(id)).copied().collect();
        for id in lost {
            self.blobs.insert(id, Some(now));
        }
    }
}
