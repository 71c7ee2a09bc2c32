//! The catalog in memory: the model that the adapters are held to, a double for other tests, and
//! what `kluis recover --dry-run` rebuilds a lost catalog into.
//!
//! Plain maps under one lock, nothing counted, nothing indexed: simple enough to be believed, too
//! slow to be served from. Nothing outlives it.

mod access;
mod approvals;
mod cards;
mod chain;
mod dump;
mod keywork;
mod paging;
mod publications;
mod state;
mod versions;

use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    ApprovalRow, Catalog, CatalogError, Chain, CredentialRow, DatasetRow, ErasedWrite, IdentityRow,
    KeyWorkRow, ListQuery, MarkerRow, Mutation, NoticeMark, NoticeRow, ObjectRow, Origin, Page,
    PartPage, PrincipalRow, ProjectRow, PublicationRow, RosterEntry, RosterKind, Setting,
    SettingKind, UploadPage, UploadQuery, UploadRow, Version, VersionPage, VersionQuery,
    encode_change,
};
use crate::policy::Grant;
use crate::types::{
    AccessKeyId, ApprovalId, BlobId, BucketName, DatasetId, GrantId, KeyWorkId, ObjectKey,
    PrincipalId, ProjectName, PublicationId, Timestamp, UploadId, VersionId, VersionName, limits,
};
use dump::Dump;
use paging::{lighten, listed, page};
use state::State;

/// The model.
#[derive(Default)]
pub struct MemoryCatalog {
    state: Mutex<State>,
    dump: Mutex<Dump>,
}

impl MemoryCatalog {
    /// An empty catalog.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A state is replaced whole, so a panic in another thread leaves none half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All or none of one commit.
fn commit(state: &mut State, mutations: Vec<Mutation>) -> Result<(), CatalogError> {
    let change = encode_change(&mutations)?;
    let mut next = state.clone();
    if mutations.iter().any(Mutation::changes_access) {
        next.generation = next.generation.saturating_add(1);
    }
    for mutation in mutations {
        next.apply(mutation)?;
        next.forget_origins();
    }
    next.seq = next.seq.saturating_add(1);
    next.changes.insert(next.seq, change);
    *state = next;
    Ok(())
}

#[async_trait]
impl Catalog for MemoryCatalog {
    async fn commit(&self, mutations: Vec<Mutation>) -> Result<(), CatalogError> {
        if mutations.is_empty() {
            return Ok(());
        }
        commit(&mut self.state(), mutations)
    }

    async fn generation(&self) -> Result<u64, CatalogError> {
        Ok(self.state().generation)
    }

    async fn project(&self, name: &ProjectName) -> Result<Option<ProjectRow>, CatalogError> {
        Ok(self.state().projects.get(name).cloned())
    }

    async fn projects(
        &self,
        after: Option<&ProjectName>,
        limit: usize,
    ) -> Result<Vec<ProjectRow>, CatalogError> {
        let state = self.state();
        let rows = state.projects.values();
        let wanted = rows.filter(|row| after.is_none_or(|after| row.name > *after));
        Ok(wanted.take(limit).cloned().collect())
    }

    async fn dataset(&self, bucket: &BucketName) -> Result<Option<DatasetRow>, CatalogError> {
        let state = self.state();
        let row = state.datasets.get(bucket);
        Ok(row.filter(|row| !state.hides(&row.id)).cloned())
    }

    async fn datasets(
        &self,
        after: Option<&BucketName>,
        limit: usize,
    ) -> Result<Vec<DatasetRow>, CatalogError> {
        let state = self.state();
        let rows = state.datasets.values();
        let wanted = rows
            .filter(|row| after.is_none_or(|after| row.bucket > *after) && !state.hides(&row.id));
        Ok(wanted.take(limit).cloned().collect())
    }

    async fn principal(&self, id: &PrincipalId) -> Result<Option<PrincipalRow>, CatalogError> {
        Ok(self.state().principals.get(id).cloned())
    }

    async fn credential(&self, id: &AccessKeyId) -> Result<Option<CredentialRow>, CatalogError> {
        Ok(self.state().credentials.get(id).cloned())
    }

    async fn credentials(
        &self,
        principal: &PrincipalId,
        limit: usize,
    ) -> Result<Vec<CredentialRow>, CatalogError> {
        let state = self.state();
        let rows = state.credentials.values();
        let wanted = rows.filter(|row| row.principal == *principal);
        Ok(wanted.take(limit).cloned().collect())
    }

    async fn grants_of(
        &self,
        project: &ProjectName,
        principal: &PrincipalId,
    ) -> Result<Vec<Grant>, CatalogError> {
        let state = self.state();
        let rows = state.grants.values();
        let wanted = rows.filter(|g| g.project == *project && g.principal == *principal);
        Ok(wanted.cloned().collect())
    }

    async fn grants(
        &self,
        project: &ProjectName,
        limit: usize,
    ) -> Result<Vec<Grant>, CatalogError> {
        let state = self.state();
        let wanted = state.grants.values().filter(|g| g.project == *project);
        Ok(wanted.take(limit).cloned().collect())
    }

    async fn projects_of(&self, principal: &PrincipalId) -> Result<Vec<ProjectName>, CatalogError> {
        let state = self.state();
        let holds = |g: &&Grant| {
            let member = (g.principal.clone(), principal.clone());
            g.principal == *principal || state.members.contains(&member)
        };
        let wanted = state.grants.values().filter(holds);
        let mut names: Vec<ProjectName> = wanted.map(|g| g.project.clone()).collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    async fn grant(&self, id: &GrantId) -> Result<Option<Grant>, CatalogError> {
        Ok(self.state().grants.get(id).cloned())
    }

    async fn groups_of(&self, principal: &PrincipalId) -> Result<Vec<PrincipalId>, CatalogError> {
        self.state().groups_of(principal)
    }

    async fn members(
        &self,
        group: &PrincipalId,
        after: Option<&PrincipalId>,
        limit: usize,
    ) -> Result<Vec<PrincipalId>, CatalogError> {
        Ok(self.state().members(group, after, limit))
    }

    async fn identity(
        &self,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<IdentityRow>, CatalogError> {
        let place = (issuer.to_owned(), subject.to_owned());
        Ok(self.state().identities.get(&place).cloned())
    }

    async fn identities_of(
        &self,
        principal: &PrincipalId,
        limit: usize,
    ) -> Result<Vec<IdentityRow>, CatalogError> {
        let state = self.state();
        let rows = state.identities.values();
        let own = rows.filter(|row| row.principal == *principal);
        Ok(own.take(limit).cloned().collect())
    }

    async fn roster(
        &self,
        kind: RosterKind,
        name: &str,
    ) -> Result<Option<RosterEntry>, CatalogError> {
        let place = (kind, name.to_owned());
        Ok(self.state().roster.get(&place).cloned())
    }

    async fn roster_page(
        &self,
        kind: RosterKind,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, RosterEntry)>, CatalogError> {
        let begin = (Bound::Excluded((kind, after.to_owned())), Bound::Unbounded);
        let state = self.state();
        let rows = state.roster.range(begin);
        let rows = rows.take_while(|((of, _), _)| *of == kind).take(limit);
        Ok(rows
            .map(|((_, name), entry)| (name.clone(), entry.clone()))
            .collect())
    }

    async fn grant_uses(
        &self,
        project: &ProjectName,
        limit: usize,
    ) -> Result<Vec<(GrantId, Timestamp)>, CatalogError> {
        let state = self.state();
        let grants = state.grants.values().filter(|g| g.project == *project);
        let used = grants.filter_map(|g| Some((g.id, *state.grant_uses.get(&g.id)?)));
        Ok(used.take(limit).collect())
    }

    async fn credential_uses(
        &self,
        principal: &PrincipalId,
        limit: usize,
    ) -> Result<Vec<(AccessKeyId, Timestamp)>, CatalogError> {
        let state = self.state();
        let rows = state.credentials.values();
        let own = rows.filter(|row| row.principal == *principal);
        let used = own.filter_map(|row| {
            let used = state.credential_uses.get(&row.id)?;
            Some((row.id.clone(), *used))
        });
        Ok(used.take(limit).collect())
    }

    async fn approval(&self, id: &ApprovalId) -> Result<Option<ApprovalRow>, CatalogError> {
        Ok(self.state().approvals.get(id).cloned())
    }

    async fn waiting(
        &self,
        project: &ProjectName,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<ApprovalRow>, CatalogError> {
        let state = self.state();
        Ok(approvals::newest(state.waiting_in(project, now), limit))
    }

    async fn approvals(
        &self,
        project: &ProjectName,
        limit: usize,
    ) -> Result<Vec<ApprovalRow>, CatalogError> {
        Ok(approvals::newest(self.state().approvals_in(project), limit))
    }

    async fn notices(
        &self,
        to: &PrincipalId,
        before: Option<NoticeMark>,
        limit: usize,
    ) -> Result<Vec<NoticeRow>, CatalogError> {
        Ok(self.state().notices_to(to, before, limit))
    }

    async fn object(
        &self,
        dataset: &DatasetId,
        key: &ObjectKey,
    ) -> Result<Option<ObjectRow>, CatalogError> {
        let state = self.state();
        let found = state.objects.get(&(*dataset, key.clone()));
        Ok(found.map(|(row, _)| row.clone()))
    }

    async fn version(
        &self,
        dataset: &DatasetId,
        key: &ObjectKey,
        name: &VersionName,
    ) -> Result<Option<Version>, CatalogError> {
        Ok(self.state().find_version(&(*dataset, key.clone()), name))
    }

    async fn origin(
        &self,
        dataset: &DatasetId,
        key: &ObjectKey,
        version: &VersionId,
    ) -> Result<Option<Origin>, CatalogError> {
        let origins = &self.state().origins;
        Ok(origins.get(&(*dataset, key.clone(), *version)).cloned())
    }

    async fn latest_marker(
        &self,
        dataset: &DatasetId,
        key: &ObjectKey,
    ) -> Result<Option<MarkerRow>, CatalogError> {
        Ok(self.state().latest_marker(&(*dataset, key.clone())))
    }

    async fn versions(
        &self,
        dataset: &DatasetId,
        query: &VersionQuery,
    ) -> Result<VersionPage, CatalogError> {
        Ok(self.state().list_versions(dataset, query))
    }

    async fn setting(
        &self,
        dataset: &DatasetId,
        kind: SettingKind,
    ) -> Result<Option<Setting>, CatalogError> {
        Ok(self.state().settings.get(&(*dataset, kind)).cloned())
    }

    async fn list(&self, dataset: &DatasetId, query: &ListQuery) -> Result<Page, CatalogError> {
        let state = self.state();
        let rows = state.objects.values().map(|(row, _)| row);
        Ok(listed(rows.filter(|row| row.dataset == *dataset), query))
    }

    async fn publication(
        &self,
        dataset: &DatasetId,
        number: u32,
    ) -> Result<Option<PublicationRow>, CatalogError> {
        let before = number.saturating_sub(1);
        let all = self.publications(dataset, before, 1).await?;
        let named = |row: &PublicationRow| row.issue.as_ref().map(|issue| issue.number);
        Ok(all.into_iter().find(|row| named(row) == Some(number)))
    }

    async fn publications(
        &self,
        dataset: &DatasetId,
        after: u32,
        limit: usize,
    ) -> Result<Vec<PublicationRow>, CatalogError> {
        Ok(self.state().issued(dataset, after, limit))
    }

    async fn stale_publications(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<PublicationRow>, CatalogError> {
        Ok(self.state().stale(before, limit))
    }

    async fn unissued(
        &self,
        dataset: &DatasetId,
        after: Option<PublicationId>,
        limit: usize,
    ) -> Result<Vec<PublicationRow>, CatalogError> {
        Ok(self.state().unissued(dataset, after, limit))
    }

    async fn frozen(
        &self,
        publication: &PublicationId,
        key: &ObjectKey,
    ) -> Result<Option<ObjectRow>, CatalogError> {
        let state = self.state();
        let found = state.frozen.get(&(*publication, key.clone()));
        Ok(found.map(|(row, _)| row.clone()))
    }

    async fn frozen_from(
        &self,
        publication: &PublicationId,
        from: &str,
        limit: usize,
    ) -> Result<Vec<ObjectRow>, CatalogError> {
        let state = self.state();
        let rows = state.frozen.iter();
        let rows = rows.filter(|((of, key), _)| of == publication && key.as_str() >= from);
        let rows = rows.map(|(_, (row, _))| row.clone());
        let mut rows: Vec<_> = rows.take(limit.min(limits::PAGE_ENTRIES_MAX)).collect();
        lighten(&mut rows, |row| row.sealed_table.len());
        Ok(rows)
    }

    async fn list_frozen(
        &self,
        publication: &PublicationId,
        query: &ListQuery,
    ) -> Result<Page, CatalogError> {
        let state = self.state();
        let rows = state.frozen.iter();
        let rows = rows.filter(|((of, _), _)| of == publication);
        Ok(listed(rows.map(|(_, (row, _))| row), query))
    }

    async fn upload(&self, id: &UploadId) -> Result<Option<UploadRow>, CatalogError> {
        Ok(self.state().uploads.get(id).cloned())
    }

    async fn uploads(
        &self,
        dataset: &DatasetId,
        query: &UploadQuery,
    ) -> Result<UploadPage, CatalogError> {
        let state = self.state();
        let mut rows: Vec<&UploadRow> = state
            .uploads
            .values()
            .filter(|row| row.dataset == *dataset && row.key.as_str().starts_with(&query.prefix))
            .collect();
        rows.sort_unstable_by_key(|row| (&row.key, row.initiated, row.id));
        let wanted = |row: &&&UploadRow| match &query.after {
            None => true,
            Some((key, None)) => row.key.as_str() > key.as_str(),
            Some((key, Some(id))) => {
                // An upload that is gone meanwhile stands for the beginning of its key.
                let last = state
                    .uploads
                    .get(id)
                    .filter(|last| last.dataset == *dataset && last.key.as_str() == key.as_str());
                last.map_or_else(
                    || row.key.as_str() >= key.as_str(),
                    |last| (&row.key, row.initiated, row.id) > (&last.key, last.initiated, last.id),
                )
            }
        };
        let limit = query.limit.min(limits::PAGE_ENTRIES_MAX);
        let (uploads, more) = page(rows.iter().filter(wanted).copied().cloned(), limit);
        Ok(UploadPage { uploads, more })
    }

    async fn parts(
        &self,
        upload: &UploadId,
        after: u32,
        limit: usize,
    ) -> Result<PartPage, CatalogError> {
        let state = self.state();
        let span = (
            Bound::Excluded((*upload, after)),
            Bound::Included((*upload, u32::MAX)),
        );
        let rows = state.parts.range(span).map(|(_, (row, _))| row.clone());
        let (mut parts, more) = page(rows, limit.min(limits::PAGE_ENTRIES_MAX));
        let heavy = lighten(&mut parts, |part| part.sealed_table.len());
        let more = more || heavy;
        Ok(PartPage { parts, more })
    }

    async fn known_blobs(&self, ids: &[BlobId]) -> Result<Vec<bool>, CatalogError> {
        let state = self.state();
        Ok(ids.iter().map(|id| state.blobs.contains_key(id)).collect())
    }

    async fn claim_unreferenced(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<BlobId>, CatalogError> {
        let mut state = self.state();
        let mut lost: Vec<(Timestamp, BlobId)> = state
            .blobs
            .iter()
            .filter_map(|(id, lost)| lost.filter(|lost| *lost < before).map(|lost| (lost, *id)))
            .collect();
        lost.sort_unstable();
        let claimed: Vec<BlobId> = lost.into_iter().take(limit).map(|(_, id)| id).collect();
        if !claimed.is_empty() {
            commit(&mut state, vec![Mutation::ForgetBlobs(claimed.clone())])?;
        }
        Ok(claimed)
    }

    async fn key_works(
        &self,
        dataset: Option<&DatasetId>,
        after: Option<(Timestamp, KeyWorkId)>,
        limit: usize,
    ) -> Result<Vec<KeyWorkRow>, CatalogError> {
        Ok(self.state().works_after(dataset, after, limit))
    }

    async fn open_key_works(&self) -> Result<Vec<KeyWorkRow>, CatalogError> {
        Ok(self.state().open_works())
    }

    async fn key_work(&self, id: &KeyWorkId) -> Result<Option<KeyWorkRow>, CatalogError> {
        let state = self.state();
        Ok(state.key_works.get(id).map(|work| work.row.clone()))
    }

    async fn erased(
        &self,
        id: &KeyWorkId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<ErasedWrite>, CatalogError> {
        Ok(self.state().erased(id, from, limit))
    }

    async fn doomed(
        &self,
        id: &KeyWorkId,
        limit: usize,
    ) -> Result<(Vec<BlobId>, u64), CatalogError> {
        Ok(self.state().doomed(id, limit))
    }

    async fn writes(
        &self,
        dataset: &DatasetId,
        after: Option<(&ObjectKey, VersionId)>,
        limit: usize,
    ) -> Result<Vec<ObjectRow>, CatalogError> {
        Ok(self.state().writes_after(dataset, after, limit))
    }

    async fn change_seq(&self) -> Result<u64, CatalogError> {
        Ok(self.state().seq)
    }

    async fn changes(
        &self,
        after: u64,
        bytes_max: usize,
    ) -> Result<Vec<(u64, Bytes)>, CatalogError> {
        Ok(self.state().changes_after(after, bytes_max))
    }

    async fn chain(&self) -> Result<Option<Chain>, CatalogError> {
        Ok(self.state().chain.clone())
    }

    async fn keep_chain(&self, chain: &Chain) -> Result<(), CatalogError> {
        self.state().keep_chain(chain);
        Ok(())
    }

    async fn dump(
        &self,
        cursor: Option<Bytes>,
        bytes_max: usize,
    ) -> Result<(Vec<Mutation>, Option<Bytes>), CatalogError> {
        let frozen = cursor.is_none().then(|| self.state().dump());
        let mut dump = self.dump.lock().unwrap_or_else(PoisonError::into_inner);
        dump.step((cursor, frozen), bytes_max)
    }
}
