//! Random lives of a dataset against a simple model of S3: a sorted map of keys.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::support::{BUCKET, World, input, place, sample};
use crate::catalog::{ListEntry, ListQuery};
use crate::vault::{
    CompletedPart, Completing, CopySource, ErrorKind, NewObject, ReadAsk, ReadConditions, Span,
    TagMatch, VaultError, WriteConditions,
};

/// Byte order, delimiters and characters beyond ASCII all matter.
const KEYS: [&str; 8] = [
    "a",
    "a/",
    "a/b",
    "a/b/c",
    "a0",
    "b",
    "\u{e9}",
    "\u{1f600}/x",
];
const PEOPLE: [&str; 5] = ["olivia", "olivia", "dirk", "job-1", "stan"];

#[derive(Clone, Debug)]
enum When {
    Always,
    Absent,
    Present,
    /// The tag that is there, or that was there before.
    Tag(bool),
}

#[derive(Clone, Debug)]
enum Op {
    Put(usize, usize, When),
    Multipart(usize, Vec<usize>),
    Get(usize, Option<(u64, u64)>),
    Head(usize),
    Copy(usize, usize),
    CopyRange(usize, usize, u64, u64),
    Delete(usize),
    List(&'static str, Option<&'static str>, usize),
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..KEYS.len();
    let bytes = prop_oneof![0_usize..10, 65_530_usize..65_545, Just(140_000)];
    let when = prop_oneof![
        4 => Just(When::Always),
        1 => Just(When::Absent),
        1 => Just(When::Present),
        1 => any::<bool>().prop_map(When::Tag),
    ];
    let range = proptest::option::of((0_u64..150_000, 0_u64..150_000));
    let prefix = prop_oneof![Just(""), Just("a"), Just("a/"), Just("\u{e9}"), Just("zz")];
    let delimiter = prop_oneof![Just(None), Just(Some("/")), Just(Some("a/"))];
    prop_oneof![
        4 => (key.clone(), bytes.clone(), when).prop_map(|(k, b, w)| Op::Put(k, b, w)),
        1 => (key.clone(), proptest::collection::vec(bytes, 1..4))
            .prop_map(|(k, parts)| Op::Multipart(k, parts)),
        4 => (key.clone(), range).prop_map(|(k, r)| Op::Get(k, r)),
        1 => key.clone().prop_map(Op::Head),
        2 => (key.clone(), key.clone()).prop_map(|(a, b)| Op::Copy(a, b)),
        1 => (key.clone(), key.clone(), 0_u64..150_000, 0_u64..150_000)
            .prop_map(|(a, b, x, y)| Op::CopyRange(a, b, x, y)),
        1 => key.prop_map(Op::Delete),
        3 => (prefix, delimiter, 1_usize..5).prop_map(|(p, d, n)| Op::List(p, d, n)),
    ]
}

/// What S3 holds, and every tag that a key ever had.
#[derive(Default)]
struct Model {
    objects: BTreeMap<&'static str, (Vec<u8>, String)>,
    old: BTreeMap<&'static str, String>,
}

impl Model {
    fn put(&mut self, key: &'static str, bytes: Vec<u8>, etag: String) {
        if let Some((_, old)) = self.objects.insert(key, (bytes, etag)) {
            self.old.insert(key, old);
        }
    }

    fn judge(&self, key: &str, when: &When) -> Result<(), ErrorKind> {
        let there = self.objects.contains_key(key);
        match when {
            When::Absent if there => Err(ErrorKind::PreconditionFailed),
            When::Present | When::Tag(_) if !there => Err(ErrorKind::NoSuchObject),
            When::Tag(false) => Err(ErrorKind::PreconditionFailed),
            When::Always | When::Absent | When::Present | When::Tag(true) => Ok(()),
        }
    }

    fn conditions(&self, key: &str, when: &When) -> WriteConditions {
        let none = WriteConditions::default();
        let foreign = "0123456789abcdef0123456789abcdef".to_owned();
        match when {
            When::Always => none,
            When::Absent => WriteConditions {
                differs: Some(TagMatch::Any),
                ..none
            },
            When::Present => WriteConditions {
                matches: Some(TagMatch::Any),
                ..none
            },
            When::Tag(current) => {
                let now = self.objects.get(key).map(|(_, etag)| etag.clone());
                let tag = if *current {
                    now
                } else {
                    self.old.get(key).cloned()
                };
                WriteConditions {
                    matches: Some(TagMatch::Tags(vec![tag.unwrap_or(foreign)])),
                    ..none
                }
            }
        }
    }

    /// A listing by the book: fold, sort by bytes, each once.
    fn list(&self, prefix: &str, delimiter: Option<&str>) -> Vec<String> {
        let mut entries: Vec<String> = Vec::new();
        for key in self.objects.keys().filter(|key| key.starts_with(prefix)) {
            let rest = &key[prefix.len()..];
            let folded = delimiter
                .and_then(|cut| rest.find(cut).map(|at| at + cut.len()))
                .map_or(*key, |end| &key[..prefix.len() + end]);
            if entries.last().is_none_or(|last| last != folded) {
                entries.push(folded.to_owned());
            }
        }
        entries
    }
}

/// What a principal may do at all: read, write, delete.
fn may(who: &str) -> (bool, bool, bool) {
    match who {
        "olivia" => (true, true, true),
        "dirk" => (false, true, false),
        "job-1" => (true, false, false),
        _ => (false, false, false),
    }
}

const DENIED: Result<(), ErrorKind> = Err(ErrorKind::AccessDenied);

fn plain<T>(result: Result<T, VaultError>) -> Result<(), ErrorKind> {
    result.map(drop).map_err(|error| error.kind())
}

/// Bytes that tell one write from another.
fn content(round: usize, bytes: usize) -> Vec<u8> {
    sample(bytes + round)[round..].to_vec()
}

async fn apply(world: &World, model: &mut Model, who: &str, op: &Op, round: usize) {
    let (reads, writes, deletes) = may(who);
    let call = world.call(Some(who));
    let vault = &world.vault;
    let unless = |allowed: bool, then: Result<(), ErrorKind>| if allowed { then } else { DENIED };
    match op {
        Op::Put(key, bytes, when) => {
            let key = KEYS[*key];
            let data = content(round, *bytes);
            let new = NewObject {
                conditions: model.conditions(key, when),
                ..NewObject::default()
            };
            let put = vault
                .write_object(&call, place(key), new, input(&data, 7000))
                .await;
            // What is there is told to whoever may look.
            let tells = matches!(when, When::Present | When::Tag(_));
            let want = unless(writes && (reads || !tells), model.judge(key, when));
            match put {
                Ok(row) => {
                    assert_eq!(want, Ok(()));
                    model.put(key, data, row.etag.to_string());
                }
                Err(error) => assert_eq!(Err(error.kind()), want, "{op:?} as {who}"),
            }
        }
        Op::Multipart(key, sizes) => multipart(world, model, who, KEYS[*key], sizes, round).await,
        Op::Get(key, range) => get(world, model, who, KEYS[*key], *range).await,
        Op::Head(key) => {
            let key = KEYS[*key];
            let seen = vault
                .head_object(&call, place(key), ReadAsk::default())
                .await;
            let there = model.objects.get(key);
            if let (Ok(seen), Some((bytes, etag))) = (&seen, there) {
                assert_eq!(seen.row.bytes, bytes.len() as u64);
                assert_eq!(seen.row.etag.as_str(), etag);
            }
            let want = there.map(drop).ok_or(ErrorKind::NoSuchObject);
            assert_eq!(plain(seen), unless(reads, want));
        }
        Op::Copy(from, to) => copy(world, model, who, (KEYS[*from], KEYS[*to])).await,
        Op::CopyRange(from, to, a, b) => {
            copy_range(world, model, who, (KEYS[*from], KEYS[*to]), (*a, *b)).await;
        }
        Op::Delete(key) => {
            let none = WriteConditions::default();
            let gone = vault
                .delete_object(&call, place(KEYS[*key]), none, false)
                .await;
            assert_eq!(plain(gone), unless(deletes, Ok(())));
            if deletes && let Some((_, etag)) = model.objects.remove(KEYS[*key]) {
                model.old.insert(KEYS[*key], etag);
            }
        }
        Op::List(prefix, delimiter, limit) => {
            list(world, model, who, (prefix, *delimiter), *limit).await;
        }
    }
}

async fn get(world: &World, model: &Model, who: &str, key: &str, range: Option<(u64, u64)>) {
    let span = range.map_or(Span::All, |(first, last)| Span::Between(first, last));
    let got = world
        .get(who, key, span)
        .await
        .map_err(|error| error.kind());
    let want = match (may(who).0, model.objects.get(key)) {
        (false, _) => Err(ErrorKind::AccessDenied),
        (true, None) => Err(ErrorKind::NoSuchObject),
        (true, Some((bytes, _))) => cut(bytes, range).ok_or(ErrorKind::InvalidRange),
    };
    assert!(got == want, "{key} {range:?} as {who}");
}

fn cut(bytes: &[u8], range: Option<(u64, u64)>) -> Option<Vec<u8>> {
    let Some((first, last)) = range else {
        return Some(bytes.to_vec());
    };
    let (first, last) = (first as usize, last as usize);
    (first <= last && first < bytes.len())
        .then(|| bytes[first..=last.min(bytes.len() - 1)].to_vec())
}

async fn copy(
    world: &World,
    model: &mut Model,
    who: &str,
    (from, to): (&'static str, &'static str),
) {
    let source = CopySource {
        place: place(from),
        conditions: ReadConditions::default(),
        span: Span::All,
    };
    let call = world.call(Some(who));
    let none = WriteConditions::default();
    let copied = world
        .vault
        .copy_object(&call, source, place(to), None, none)
        .await;
    let (reads, writes, _) = may(who);
    let there = model.objects.get(from).map(|(bytes, _)| bytes.clone());
    match (reads && writes, there) {
        (false, _) => assert_eq!(plain(copied), DENIED),
        (true, None) => assert_eq!(plain(copied), Err(ErrorKind::NoSuchObject)),
        (true, Some(bytes)) => model.put(to, bytes, copied.unwrap().etag.to_string()),
    }
}

async fn begin(world: &World, who: &str, key: &str) -> Result<String, ErrorKind> {
    let call = world.call(Some(who));
    let begun = world
        .vault
        .create_upload(&call, place(key), NewObject::default(), None)
        .await;
    begun
        .map(|row| row.id.to_string())
        .map_err(|error| error.kind())
}

async fn complete(world: &World, who: &str, key: &str, upload: &str, tags: Vec<String>) -> String {
    let parts = (1..).zip(tags).map(|(number, etag)| CompletedPart {
        number,
        etag,
        checksums: Vec::new(),
    });
    let completing = Completing {
        parts: parts.collect(),
        ..Completing::default()
    };
    let call = world.call(Some(who));
    let done = world
        .vault
        .complete_upload(&call, place(key), upload, completing)
        .await;
    done.unwrap().etag.to_string()
}

async fn multipart(
    world: &World,
    model: &mut Model,
    who: &str,
    key: &'static str,
    sizes: &[usize],
    round: usize,
) {
    let upload = begin(world, who, key).await;
    if !may(who).1 {
        assert_eq!(upload.map(drop), DENIED);
        return;
    }
    let upload = upload.unwrap();
    let (mut whole, mut tags) = (Vec::new(), Vec::new());
    for (number, bytes) in (1..).zip(sizes) {
        let data = content(round, *bytes);
        let call = world.call(Some(who));
        let part = world
            .vault
            .put_part(&call, place(key), &upload, number, input(&data, 9000))
            .await;
        tags.push(part.unwrap().0.etag.to_string());
        whole.extend(data);
    }
    let etag = complete(world, who, key, &upload, tags).await;
    model.put(key, whole, etag);
}

async fn copy_range(
    world: &World,
    model: &mut Model,
    who: &str,
    (from, to): (&'static str, &'static str),
    (first, last): (u64, u64),
) {
    let (reads, writes, _) = may(who);
    if !writes {
        return;
    }
    let upload = begin(world, who, to).await.unwrap();
    let source = CopySource {
        place: place(from),
        conditions: ReadConditions::default(),
        span: Span::Between(first, last),
    };
    let call = world.call(Some(who));
    let part = world
        .vault
        .copy_part(&call, source, place(to), &upload, 1)
        .await;
    let there = model.objects.get(from).map(|(bytes, _)| bytes);
    let want = match (reads, there) {
        (false, _) => Err(ErrorKind::AccessDenied),
        (true, None) => Err(ErrorKind::NoSuchObject),
        // Unlike a read, what is copied is never cut to what is there.
        (true, Some(bytes)) => cut(bytes, Some((first, last)))
            .filter(|_| last < bytes.len() as u64)
            .ok_or(ErrorKind::InvalidRange),
    };
    match want {
        Err(kind) => assert_eq!(plain(part), Err(kind), "{first}-{last}"),
        Ok(bytes) => {
            let tags = vec![part.unwrap().0.etag.to_string()];
            let etag = complete(world, who, to, &upload, tags).await;
            model.put(to, bytes, etag);
        }
    }
}

/// All pages of a listing, each of at most `limit` entries.
async fn list(
    world: &World,
    model: &Model,
    who: &str,
    (prefix, delimiter): (&str, Option<&str>),
    limit: usize,
) {
    let mut query = ListQuery {
        prefix: prefix.to_owned(),
        delimiter: delimiter.map(str::to_owned),
        after: None,
        limit,
    };
    let mut all = Vec::new();
    loop {
        let call = world.call(Some(who));
        let page = world.vault.list_objects(&call, BUCKET, query.clone()).await;
        if !may(who).0 {
            assert_eq!(plain(page), DENIED);
            return;
        }
        let page = page.unwrap();
        assert!(page.entries.len() <= limit);
        for entry in page.entries {
            all.push(match entry {
                ListEntry::Object {
                    key, bytes, etag, ..
                } => {
                    let (want, tag) = &model.objects[key.as_str()];
                    assert_eq!((bytes, etag.as_str()), (want.len() as u64, tag.as_str()));
                    key.to_string()
                }
                ListEntry::Prefix(prefix) => prefix,
            });
        }
        if !page.more {
            break;
        }
        query.after = all.last().cloned();
    }
    assert_eq!(
        all,
        model.list(prefix, delimiter),
        "{prefix:?} {delimiter:?}"
    );
}

fn live(ops: &[(usize, Op)]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(async {
        let world = World::new().await;
        let mut model = Model::default();
        for (round, (who, op)) in ops.iter().enumerate() {
            apply(&world, &mut model, PEOPLE[*who], op, round).await;
        }
        for key in KEYS {
            get(&world, &model, "olivia", key, None).await;
        }
        list(&world, &model, "olivia", ("", None), 1000).await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_dataset_lives_as_s3_would_have_it(
        ops in proptest::collection::vec((0..PEOPLE.len(), op()), 1..40)
    ) {
        live(&ops);
    }
}

/// A copy onto itself keeps its blobs while the row that held them is replaced.
#[test]
fn a_copy_onto_itself() {
    live(&[
        (0, Op::Put(0, 140_000, When::Always)),
        (0, Op::Copy(0, 0)),
        (0, Op::CopyRange(0, 0, 65_000, 70_000)),
        (0, Op::Get(0, Some((1, 5)))),
    ]);
}

/// `If-Match` with the tag of an earlier life.
#[test]
fn a_tag_of_an_earlier_object() {
    live(&[
        (0, Op::Put(2, 3, When::Always)),
        (0, Op::Delete(2)),
        (0, Op::Put(2, 3, When::Tag(false))),
        (0, Op::Put(2, 3, When::Absent)),
        (0, Op::Put(2, 3, When::Tag(false))),
        (0, Op::Put(2, 3, When::Tag(true))),
    ]);
}

/// `a/` is an object and the folded beginning of others.
#[test]
fn a_key_that_is_also_a_prefix() {
    live(&[
        (0, Op::Put(1, 1, When::Always)),
        (0, Op::Put(2, 1, When::Always)),
        (0, Op::Put(4, 1, When::Always)),
        (3, Op::List("", Some("/"), 1)),
        (3, Op::List("a/", Some("/"), 1)),
        (3, Op::List("a", Some("a/"), 2)),
    ]);
}
