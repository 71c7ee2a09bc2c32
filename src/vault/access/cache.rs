//! What the guard remembers between two changes of the catalog, and its bound.

use std::collections::HashMap;
use std::sync::Arc;

use crate::catalog::{CredentialRow, DatasetRow, JobRow, LifecycleRule, NodeRow, PublicationRow};
use crate::policy::{ProjectPolicy, SubjectPolicy};
use crate::types::{
    AccessKeyId, BucketName, DatasetId, PrincipalId, ProjectName, Rank, SecretText, Timestamp,
};
use crate::vault::Bounds;
use crate::vault::log::kept::ScopeText;
use crate::vault::people::claims::{Claimant, Claimed};
use crate::vault::people::session::Session;

/// A credential with what its owner is.
pub(super) struct Known {
    pub(super) row: CredentialRow,
    pub(super) responsible: Option<PrincipalId>,
    pub(super) secret: SecretText,
    /// What its scope binds it to; `None` for a credential that carries all its owner's rights.
    pub(super) bounds: Option<(Arc<Bounds>, ScopeText)>,
}

/// What an answer was read under: what is kept of it must not outlive either.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::vault) struct Seen {
    /// The catalog's generation.
    pub(super) generation: u64,
    /// How often this process dropped what it had: another policy changes no catalog.
    pub(super) epoch: u64,
}

#[derive(Default)]
pub(in crate::vault) struct Cache {
    pub(super) seen: Seen,
    pub(super) checked: Timestamp,
    pub(super) credentials: HashMap<AccessKeyId, Arc<Known>>,
    /// Each with the rank of its label.
    pub(super) datasets: HashMap<BucketName, (DatasetRow, Rank)>,
    pub(super) publications: HashMap<(DatasetId, u32), Arc<PublicationRow>>,
    /// When objects expire; `None` for a dataset whose objects do not.
    pub(in crate::vault) lifecycles: HashMap<DatasetId, Option<Arc<[LifecycleRule]>>>,
    pub(in crate::vault) projects: HashMap<ProjectName, Arc<ProjectPolicy>>,
    pub(in crate::vault) subjects: HashMap<(ProjectName, PrincipalId), Arc<SubjectPolicy>>,
    /// The same, of sessions that are in groups by what their tokens claim.
    pub(in crate::vault) claimants: HashMap<Claimant, Arc<SubjectPolicy>>,
    /// What an issuer's tokens claim and stands for a group.
    pub(in crate::vault) claims: HashMap<String, Arc<Claimed>>,
    /// What an issuer's visas assert and stands for a group.
    pub(in crate::vault) visas: HashMap<String, Arc<Claimed>>,
    pub(in crate::vault) sessions: HashMap<AccessKeyId, Arc<Session>>,
    /// By issuer and subject; nobody is kept too.
    pub(in crate::vault) links: HashMap<(String, String), Option<PrincipalId>>,
    /// What keeps one looks again before it says no: a job that starts clears nothing.
    pub(in crate::vault) jobs: HashMap<String, Arc<JobRow>>,
    pub(in crate::vault) nodes: HashMap<String, Arc<NodeRow>>,
}

impl Cache {
    /// Drops every answer.
    pub(super) fn clear(&mut self) {
        *self = Self {
            seen: self.seen,
            checked: self.checked,
            ..Self::default()
        };
    }

    /// Starts anew where one kind of answers has reached `most`.
    pub(super) fn make_room(&mut self, most: usize) {
        if self.fullest() >= most {
            self.clear();
        }
    }

    /// How many answers there are of the kind that has most. A kind that is not named here does
    /// not compile.
    fn fullest(&self) -> usize {
        let Self {
            seen: _,
            checked: _,
            credentials,
            datasets,
            publications,
            lifecycles,
            projects,
            subjects,
            claimants,
            claims,
            visas,
            sessions,
            links,
            jobs,
            nodes,
        } = self;
        let access = [credentials.len(), sessions.len(), links.len(), jobs.len()];
        let data = [datasets.len(), publications.len(), lifecycles.len()];
        let rights = [projects.len(), subjects.len(), claimants.len()];
        let others = [claims.len(), visas.len(), nodes.len()];
        let all = access.into_iter().chain(data).chain(rights).chain(others);
        all.max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    /// Whether the cache starts anew once two answers of a kind are in it, and not before.
    fn is_bounded(mut put: impl FnMut(&mut Cache, &str)) {
        let mut cache = Cache {
            checked: Timestamp::from_millis(7),
            ..Cache::default()
        };
        put(&mut cache, "a");
        cache.make_room(2);
        assert_eq!(cache.fullest(), 1, "there is room for another");
        put(&mut cache, "b");
        cache.make_room(2);
        assert_eq!(cache.fullest(), 0, "this kind has no bound");
        assert_eq!(cache.checked, Timestamp::from_millis(7));
    }

    #[test]
    fn every_kind_of_answers_is_bounded() {
        let id = |name: &str| DatasetId::from_bytes([name.as_bytes()[0]; 16]);
        let policy = Arc::new(Policy::builtin().unwrap());
        is_bounded(|cache, name| {
            cache.lifecycles.insert(id(name), None);
        });
        is_bounded(|cache, name| {
            let project: ProjectName = name.repeat(3).parse().unwrap();
            let rights = ProjectPolicy::new(&policy, &project).unwrap();
            cache.projects.insert(project, Arc::new(rights));
        });
        is_bounded(|cache, name| {
            cache.claims.insert(name.to_owned(), Arc::default());
        });
        is_bounded(|cache, name| {
            cache.visas.insert(name.to_owned(), Arc::default());
        });
        is_bounded(|cache, name| {
            cache.links.insert((name.to_owned(), String::new()), None);
        });
        is_bounded(|cache, name| {
            let row = NodeRow {
                cluster: "c".to_owned(),
                key: [0; 32],
                networks: Vec::new(),
                enrolled: Timestamp::default(),
                partition: None,
                uses: Vec::new(),
            };
            cache.nodes.insert(name.to_owned(), Arc::new(row));
        });
    }
}
