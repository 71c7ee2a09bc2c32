//! Scopes: whose record it is, and the trees of each scope's rows. A record belongs to the projects
//! that it names, a completion to those of its intent, and what names none to the vault itself.
//!
//! ```text
//! tag  = HMAC(scope key, "kluis/log/1/tag" ‖ 00 ‖ project)[:16]              project: empty for the vault
//! seed = HMAC(scope key, "kluis/log/1/seed" ‖ 00 ‖ tag ‖ first(8) ‖ lane)    one for each scope of a segment
//! salt = HMAC(seed, seq(8))[:16]
//! leaf = SHA-256(00 ‖ seq(8) ‖ salt ‖ record)
//! ```
//!
//! The salt keeps who sees a root from guessing a short record; who is shown all of a scope's rows
//! gets its seeds, who is shown a part of them the salts of that part.

use std::collections::BTreeMap;

use ring::hmac;

use super::hash::leaf_hash;
use super::record::{Entry, Intent};
use super::segment::ScopeRoot;
use super::tlog::{Edge, Hash};
use crate::types::limits::LOG_OPEN_MAX;
use crate::types::{EventId, ProjectName, Secret};

/// Names a scope to whoever knows it.
pub type Tag = [u8; 16];

/// Keeps one record from being guessed by its leaf.
pub type Salt = [u8; 16];

/// Whose a record is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Scope {
    /// The vault's own: sessions, marks, policies, and requests that name no project.
    Vault,
    /// A project's.
    Project(ProjectName),
}

impl Scope {
    /// How it is written: the project's name, empty for the vault.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Vault => "",
            Self::Project(project) => project.as_str(),
        }
    }
}

/// What tags and seeds are made with. Its holder can tell whose rows an entry of the log has.
pub struct ScopeKey(hmac::Key);

fn half(tag: &hmac::Tag) -> [u8; 16] {
    tag.as_ref().first_chunk().copied().unwrap_or_default()
}

impl ScopeKey {
    /// From its bytes.
    #[must_use]
    pub fn new(secret: &Secret<32>) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.expose()))
    }

    /// The tag of a scope.
    #[must_use]
    pub fn tag(&self, scope: &Scope) -> Tag {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"kluis/log/1/tag\0");
        context.update(scope.name().as_bytes());
        half(&context.sign())
    }

    /// The seed of a scope's salts in the segment of `lane` that begins at `first`.
    #[must_use]
    pub fn seed(&self, tag: &Tag, lane: &str, first: u64) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"kluis/log/1/seed\0");
        context.update(tag);
        context.update(&first.to_be_bytes());
        context.update(lane.as_bytes());
        context.sign().as_ref().try_into().unwrap_or_default()
    }
}

/// Hashes the rows of one scope in one segment.
pub struct Row(hmac::Key);

impl Row {
    /// Rows salted from `seed`.
    #[must_use]
    pub fn new(seed: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, seed))
    }

    /// The salt of one record.
    #[must_use]
    pub fn salt(&self, seq: u64) -> Salt {
        half(&hmac::sign(&self.0, &seq.to_be_bytes()))
    }

    /// The leaf of a record; `buffer` is for reuse.
    #[must_use]
    pub fn leaf(&self, seq: u64, record: &[u8], buffer: &mut Vec<u8>) -> Hash {
        salted_leaf(seq, &self.salt(seq), record, buffer)
    }
}

/// The leaf of a record whose salt is known; `buffer` is for reuse.
#[must_use]
pub fn salted_leaf(seq: u64, salt: &Salt, record: &[u8], buffer: &mut Vec<u8>) -> Hash {
    buffer.clear();
    buffer.extend_from_slice(&seq.to_be_bytes());
    buffer.extend_from_slice(salt);
    buffer.extend_from_slice(record);
    leaf_hash(buffer)
}

/// The projects that a request names.
fn projects(intent: &Intent) -> Vec<Scope> {
    let source = intent.source_object.as_ref();
    let named = [Some(&intent.object), source].into_iter().flatten();
    let mut scopes: Vec<Scope> = named
        .filter_map(|object| object.project.clone().map(Scope::Project))
        .collect();
    scopes.dedup();
    scopes
}

/// The scopes of a record whose request is at hand, so that a completion is its intent's. One at
/// least, two at most.
#[must_use]
pub fn scopes_of(entry: &Entry) -> Vec<Scope> {
    let mut scopes = match entry {
        Entry::Intent { intent, .. } | Entry::Whole { intent, .. } => projects(intent),
        Entry::Completion(_)
        | Entry::Session(_)
        | Entry::Mark { .. }
        | Entry::Policy { .. }
        | Entry::Open(_) => Vec::new(),
    };
    if scopes.is_empty() {
        scopes.push(Scope::Vault);
    }
    scopes
}

/// Which scopes each record of a log belongs to. It must see the records in the log's order, for a
/// completion belongs where its intent does.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scopes {
    open: BTreeMap<EventId, Vec<Scope>>,
}

impl Scopes {
    /// With these requests open.
    #[must_use]
    pub const fn new(open: BTreeMap<EventId, Vec<Scope>>) -> Self {
        Self { open }
    }

    /// The requests that are open and name a project, with their scopes.
    #[must_use]
    pub const fn open(&self) -> &BTreeMap<EventId, Vec<Scope>> {
        &self.open
    }

    /// The scopes of the next record; one at least, two at most.
    pub fn of(&mut self, entry: &Entry) -> Vec<Scope> {
        let mut scopes = match entry {
            Entry::Intent { intent, .. } => {
                let scopes = projects(intent);
                if !scopes.is_empty() {
                    self.open.insert(intent.event, scopes.clone());
                    if self.open.len() > LOG_OPEN_MAX {
                        // The oldest: event ids begin with their time.
                        self.open.pop_first();
                    }
                }
                scopes
            }
            Entry::Completion(completion) => {
                self.open.remove(&completion.event).unwrap_or_default()
            }
            Entry::Whole { intent, .. } => projects(intent),
            Entry::Session(_) | Entry::Mark { .. } | Entry::Policy { .. } | Entry::Open(_) => {
                Vec::new()
            }
        };
        if scopes.is_empty() {
            scopes.push(Scope::Vault);
        }
        scopes
    }
}

/// The trees of one segment, while its records come in.
pub struct SegmentTrees<'a> {
    key: &'a ScopeKey,
    lane: &'a str,
    first: u64,
    trees: BTreeMap<Scope, (Tag, Row, Edge)>,
    buffer: Vec<u8>,
}

impl<'a> SegmentTrees<'a> {
    /// A segment of `lane` that begins at `first`.
    #[must_use]
    pub const fn new(key: &'a ScopeKey, lane: &'a str, first: u64) -> Self {
        Self {
            key,
            lane,
            first,
            trees: BTreeMap::new(),
            buffer: Vec::new(),
        }
    }

    /// How many scopes have rows.
    #[must_use]
    pub fn scopes(&self) -> usize {
        self.trees.len()
    }

    /// Adds a record to a scope.
    pub fn push(&mut self, scope: &Scope, seq: u64, record: &[u8]) {
        if let Some((_, row, edge)) = self.trees.get_mut(scope) {
            edge.push(row.leaf(seq, record, &mut self.buffer));
            return;
        }
        let tag = self.key.tag(scope);
        let row = Row::new(&self.key.seed(&tag, self.lane, self.first));
        let mut edge = Edge::new();
        edge.push(row.leaf(seq, record, &mut self.buffer));
        self.trees.insert(scope.clone(), (tag, row, edge));
    }

    /// The roots, by ascending tag.
    #[must_use]
    pub fn roots(&self) -> Vec<ScopeRoot> {
        let roots = self.trees.values().map(|(tag, _, edge)| ScopeRoot {
            tag: *tag,
            count: edge.size(),
            root: edge.root(),
        });
        let mut roots: Vec<ScopeRoot> = roots.collect();
        roots.sort_unstable_by_key(|root| root.tag);
        roots
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{ObjectRef, samples};

    fn event(n: u8) -> EventId {
        EventId::from_bytes([n; 16])
    }

    fn project(name: &str) -> Scope {
        Scope::Project(name.parse().unwrap())
    }

    fn intent(n: u8, names: [Option<&str>; 2]) -> Entry {
        let object = |name: Option<&str>| ObjectRef {
            project: name.map(|name| name.parse().unwrap()),
            ..ObjectRef::default()
        };
        let mut intent = samples::bare_intent(event(n));
        intent.object = object(names[0]);
        intent.source_object = names[1].map(|name| object(Some(name)));
        Entry::Intent {
            session: [0; 32],
            intent,
        }
    }

    #[test]
    fn a_completion_belongs_where_its_intent_does() {
        let mut scopes = Scopes::default();
        let completion = |n| Entry::Completion(samples::completion(event(n)));
        assert_eq!(scopes.of(&intent(1, [Some("a"), None])), [project("a")]);
        assert_eq!(
            scopes.of(&intent(2, [Some("a"), Some("b")])),
            [project("a"), project("b")]
        );
        assert_eq!(
            scopes.of(&intent(3, [Some("a"), Some("a")])),
            [project("a")]
        );
        assert_eq!(scopes.of(&intent(4, [None, None])), [Scope::Vault]);
        assert_eq!(scopes.of(&completion(2)), [project("a"), project("b")]);
        assert_eq!(scopes.of(&completion(1)), [project("a")]);
        assert_eq!(scopes.of(&completion(4)), [Scope::Vault]);
        // A second completion, or one of a request that nobody began.
        assert_eq!(scopes.of(&completion(1)), [Scope::Vault]);
        assert_eq!(scopes.open().len(), 1);
        assert_eq!(scopes.of(&Entry::Open(vec![event(3)])), [Scope::Vault]);
    }

    #[test]
    fn tags_and_seeds_differ_in_each_of_their_parts() {
        let key = ScopeKey::new(&Secret::take(&mut [1; 32]));
        let other = ScopeKey::new(&Secret::take(&mut [2; 32]));
        let tag = key.tag(&project("a"));
        assert_ne!(tag, key.tag(&project("b")));
        assert_ne!(tag, key.tag(&Scope::Vault));
        assert_ne!(tag, other.tag(&project("a")));
        let seed = key.seed(&tag, "gateway", 1);
        assert_ne!(seed, key.seed(&tag, "gateway", 2));
        assert_ne!(seed, key.seed(&tag, "admin", 1));
        assert_ne!(seed, key.seed(&[0; 16], "gateway", 1));
        assert_ne!(seed, other.seed(&tag, "gateway", 1));
    }

    #[test]
    fn a_leaf_binds_number_salt_and_record() {
        let mut buffer = Vec::new();
        let row = Row::new(&[1; 32]);
        let leaf = row.leaf(1, b"record", &mut buffer);
        assert_ne!(leaf, row.leaf(2, b"record", &mut buffer));
        assert_ne!(leaf, row.leaf(1, b"recorD", &mut buffer));
        assert_ne!(leaf, Row::new(&[2; 32]).leaf(1, b"record", &mut buffer));
        assert_ne!(leaf, leaf_hash(b"record"));
    }
}
