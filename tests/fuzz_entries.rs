//! The fuzz entries of `fuzz/`, on every run of the tests: with random bytes, and with valid bytes
//! that were cut, bent and joined.

#[path = "../fuzz/entries.rs"]
mod entries;

use entries::{ALL, seeds};
use kluis::types::{BlobId, ETag, ObjectKey, VersionId};
use kluis::{catalog, ledger, seal, vault};
use proptest::prelude::*;

/// A seed with a piece cut out, doubled or replaced, and the entry that takes it.
fn bent() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let piece = proptest::collection::vec(any::<u8>(), 0..24);
    let at = any::<prop::sample::Index>();
    let seeds = prop::sample::select(seeds::all());
    (seeds, at, 0..40_usize, piece).prop_map(|((name, mut bytes), at, cut, piece)| {
        let at = at.index(bytes.len());
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, piece);
        (name, bytes)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn random_bytes_do_no_harm(data in proptest::collection::vec(any::<u8>(), 0..600)) {
        for (_, entry) in ALL {
            entry(&data);
        }
    }

    #[test]
    fn bent_bytes_do_no_harm((_, data) in bent()) {
        for (_, entry) in ALL {
            entry(&data);
        }
    }
}

/// Also leaves them where a fuzzer may begin with them (`fuzz/README.md`).
#[test]
fn the_seeds_are_valid() {
    let blob = Some(BlobId::from_bytes([3; 16]));
    for bytes in [1, 70_000] {
        let sealed = seeds::sealed_blob(bytes);
        let (_, plain) = seal::open_blob(&entries::data_key(), blob, &sealed).unwrap();
        assert_eq!(plain.len(), bytes);
    }
    let key: ObjectKey = "a/b".parse().unwrap();
    let etag = ETag::of(&VersionId::from_bytes([2; 16]), 1);
    let binding = entries::binding(&key, &etag, 0);
    assert!(seal::open_table(&entries::dataset_key(), &binding, &seeds::sealed_table()).is_ok());
    assert!(catalog::codec::decode(&seeds::change()).is_ok());
    assert!(ledger::decode(&seeds::record()).is_ok());
    assert!(ledger::Segment::decode(&seeds::segment()).is_ok());
    assert!(ledger::Segment::decode(&seeds::overflowing()).is_err());
    assert!(vault::Snapshot::decode(&seeds::snapshot()).is_some());
    entries::tokens::seeds_are_believed();
    let kept = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("seeds");
    for (number, (name, seed)) in seeds::all().into_iter().enumerate() {
        for (_, entry) in ALL {
            entry(&seed);
        }
        std::fs::create_dir_all(kept.join(name)).unwrap();
        std::fs::write(kept.join(name).join(number.to_string()), seed).unwrap();
    }
}

/// What the requests of the seeds get: most are served, so that what is bent was whole.
#[test]
fn the_requests_of_the_seeds_are_served() {
    let answers = entries::request::SEEDS.map(|seed| {
        let status = entries::request::serve(seed.as_bytes());
        status.map_or(0, |status| status.as_u16())
    });
    let expected = [
        206, 200, 200, 200, 200, 200, 200, 200, 200, 412, 200, 200, 404, 200, 403, 403,
    ];
    assert_eq!(answers, expected);
}

/// A target without its entry here would be fuzzed by nobody, an entry without a target neither.
#[test]
fn every_entry_has_its_target() {
    let targets = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/fuzz_targets");
    let mut files: Vec<String> = std::fs::read_dir(targets)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let mut names = ALL.map(|(name, _)| format!("{name}.rs"));
    names.sort();
    assert_eq!(files, names);
    let manifest = include_str!("../fuzz/Cargo.toml");
    for (name, _) in ALL {
        let target = format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"");
        assert!(manifest.contains(&target), "{name}");
    }
}
