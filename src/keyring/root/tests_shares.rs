//! Custodians: any of them that are enough open the root, nobody else, and a wrong share is named.

use std::fs;

use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;
use crate::seal::testing::{Draws, Dry};
use crate::types::PrincipalId;

fn names(count: usize) -> Vec<PrincipalId> {
    let all = (0..count).map(|at| format!("custodian-{at}").parse());
    all.map(Result::unwrap).collect()
}

struct Shared {
    root: RootIdentity,
    kept: KeptRoot,
    shares: Vec<Share>,
}

fn shared(needed: u8, count: usize, seed: u64) -> Shared {
    let root = RootIdentity::generate();
    let (quorum, shares) = split(&root, needed, &names(count), &Draws::new(seed)).unwrap();
    let kept = KeptRoot::new(&root, Keeper::Custodians(quorum));
    Shared { root, kept, shares }
}

fn refusal(gathering: &mut Gathering, text: &str) -> ShareRefused {
    match gathering.add(text) {
        Ok(_taken) => panic!("taken: {text}"),
        Err(refused) => refused,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn km_any_that_are_enough_open_the_root_and_fewer_do_not(
        (count, needed, order) in (2_usize..=6).prop_flat_map(|count| {
            let all: Vec<usize> = (0..count).collect();
            (Just(count), 2..=count, subsequence(all, count).prop_shuffle())
        }),
        seed in any::<u64>(),
    ) {
        let needed_u8 = u8::try_from(needed).unwrap();
        let it = shared(needed_u8, count, seed);
        let mut gathering = it.kept.gather().unwrap();
        for (have, at) in (1..).zip(order.iter().take(needed)) {
            match gathering.add(it.shares[*at].to_text().expose()).unwrap() {
                Gathered::More { name, have: told } => {
                    prop_assert!(have < needed && told == have);
                    prop_assert_eq!(&name, &names(count)[*at]);
                }
                Gathered::Open { root, .. } => {
                    prop_assert_eq!(have, needed);
                    prop_assert_eq!(root.recipient(), it.root.recipient());
                }
            }
        }
    }
}

#[test]
fn a_wrong_or_swapped_share_is_refused_by_name() {
    let it = shared(2, 3, 1);
    let good = it.shares[0].to_text();
    let mut gathering = it.kept.gather().unwrap();
    // The data of the first under the number of the second: whoever swapped them is told.
    let swapped = Share::from_text(good.expose()).map(|mut share| {
        share.renumber(2);
        share.to_text()
    });
    let wrong = ShareRefused::Wrong {
        name: names(3)[1].clone(),
    };
    assert_eq!(refusal(&mut gathering, swapped.unwrap().expose()), wrong);
    let absent = Share::from_text(good.expose()).map(|mut share| {
        share.renumber(4);
        share.to_text()
    });
    let told = refusal(&mut gathering, absent.unwrap().expose());
    assert_eq!(told, ShareRefused::Nobody);
    assert_eq!(gathering.have(), 0, "what is refused does not count");
    let (other, again) = (shared(2, 3, 2), shared(2, 3, 1));
    for foreign in [&other.shares[0], &again.shares[0]] {
        let told = refusal(&mut gathering, foreign.to_text().expose());
        assert!(
            matches!(told, ShareRefused::OtherSet | ShareRefused::Wrong { .. }),
            "{told}"
        );
    }
    assert!(gathering.add(good.expose()).is_ok());
    let twice = ShareRefused::Twice {
        name: names(3)[0].clone(),
    };
    assert_eq!(refusal(&mut gathering, good.expose()), twice);
    let opened = gathering.add(it.shares[2].to_text().expose());
    assert!(matches!(opened, Ok(Gathered::Open { .. })));
}

#[test]
fn a_text_with_a_slip_is_no_share() {
    let it = shared(2, 2, 3);
    let text = it.shares[0].to_text();
    let text = text.expose();
    for at in 0..text.len() {
        let mut bad = text.to_owned();
        let letter = if &text[at..=at] == "0" { "1" } else { "0" };
        bad.replace_range(at..=at, letter);
        let told = Share::from_text(&bad).map(|_| ());
        assert_eq!(told, Err(ShareRefused::Damaged), "{at}");
        let cut = Share::from_text(&text[..at]).map(|_| ());
        assert_eq!(cut, Err(ShareRefused::Damaged), "cut at {at}");
    }
    for bad in [
        "",
        ":",
        "status",
        &format!("{text}0"),
        &"KLUIS-SHARE-1:".repeat(100),
    ] {
        assert!(Share::from_text(bad).is_err());
    }
    assert!(Share::from_text(&format!(" {text}\n")).is_ok());
}

#[test]
fn shares_of_a_file_whose_root_was_changed_open_nothing() {
    let it = shared(2, 2, 4);
    let Keeper::Custodians(quorum) = it.kept.keeper() else {
        panic!("custodians");
    };
    let other = KeptRoot::new(
        &RootIdentity::generate(),
        Keeper::Custodians(quorum.clone()),
    );
    let mut gathering = other.gather().unwrap();
    assert!(gathering.add(it.shares[0].to_text().expose()).is_ok());
    let told = refusal(&mut gathering, it.shares[1].to_text().expose());
    assert_eq!(told, ShareRefused::OtherRoot);
    assert_eq!(gathering.have(), 0, "and they begin again");
}

#[test]
fn numbers_that_share_nothing_are_refused() {
    let root = RootIdentity::generate();
    let draws = Draws::new(5);
    for (needed, count) in [(0, 2), (1, 2), (3, 2), (2, 1), (0, 0), (2, 17)] {
        let told = split(&root, needed, &names(count), &draws).map(|_| ());
        assert!(
            matches!(told, Err(SplitError::Numbers)),
            "{needed} of {count}"
        );
    }
    let twice = [names(1), names(1)].concat();
    let told = split(&root, 2, &twice, &draws).map(|_| ());
    assert!(matches!(told, Err(SplitError::Twice { .. })));
    let told = split(&root, 2, &names(2), &Dry).map(|_| ());
    assert!(matches!(told, Err(SplitError::Entropy(_))));
}

#[test]
fn one_share_tells_nothing_of_the_root() {
    let it = shared(2, 2, 6);
    let secret = it.root.secret_text();
    for share in &it.shares {
        let text = share.to_text();
        let hex = data_encoding::HEXLOWER.encode(&secret.as_bytes()[..8]);
        assert!(!text.expose().contains(&hex) && !text.expose().contains("AGE-"));
    }
    // The same root shared with other draws has shares that have nothing in common.
    let (_, again) = split(&it.root, 2, &names(2), &Draws::new(7)).unwrap();
    let tail = |share: &Share| share.to_text().expose()[50..60].to_owned();
    assert_ne!(tail(&again[0]), tail(&it.shares[0]));
}

#[test]
fn the_file_is_read_strictly_and_never_overwritten() {
    let held = tempfile::tempdir().unwrap();
    let path = held.path().join("root.age");
    let it = shared(2, 3, 8);
    it.kept.create(&path).unwrap();
    let again = it.kept.create(&path);
    assert!(matches!(again, Err(KeyRingError::Exists { .. })));
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains("AGE-SECRET-KEY") && text.contains("custodian-2"));
    let RootFile::Kept(kept) = RootFile::look(&path).unwrap() else {
        panic!("a kept root");
    };
    assert!(kept == it.kept && kept.recipient() == it.root.recipient());
    let Keeper::Custodians(quorum) = kept.keeper() else {
        panic!("custodians");
    };
    assert_eq!((quorum.needed(), quorum.names()), (2, names(3)));
    for (from, to) in [
        ("kluis-root = 1", "kluis-root = 2"),
        ("needed = 2", "needed = 1"),
        ("needed = 2", "needed = 4"),
        ("needed = 2", "needed  = 2"),
        ("needed = 2", "needed = 2\nmore = 1"),
        ("custodian-2", "custodian 2"),
        ("[custodians]", "[tokens]"),
        ("sum = \"", "sum = \"0"),
        ("set = \"", "set = \"x"),
        ("recipient", "recipients"),
    ] {
        assert!(text.contains(from), "{from} in {text}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let told = RootFile::look(&path);
        assert!(matches!(told, Err(KeyRingError::NotARoot { .. })), "{to}");
    }
    fs::write(&path, "anything else").unwrap();
    assert!(matches!(RootFile::look(&path), Ok(RootFile::Identity)));
    // A root that is kept elsewhere is not an identity.
    fs::write(&path, &text).unwrap();
    let told = RootIdentity::from_file(&path, None).map(|_| ());
    assert!(matches!(told, Err(KeyRingError::NotAnIdentity { .. })));
}

#[test]
fn a_share_is_sealed_for_its_custodian_alone() {
    let held = tempfile::tempdir().unwrap();
    let it = shared(2, 2, 9);
    let (hers, his) = (RootIdentity::generate(), RootIdentity::generate());
    let path = held.path().join("ana.share");
    let lock = ShareLock::Recipient(hers.recipient());
    it.shares[0].to_file(&path, &lock).unwrap();
    let again = it.shares[0].to_file(&path, &lock);
    assert!(matches!(again, Err(KeyRingError::Exists { .. })));
    let text = open_share(&path, Some(&ShareKey::Identity(&hers))).unwrap();
    assert_eq!(text.expose(), it.shares[0].to_text().expose());
    let word = SecretText::new("word".to_owned());
    for key in [
        None,
        Some(ShareKey::Identity(&his)),
        Some(ShareKey::Passphrase(&word)),
    ] {
        let told = open_share(&path, key.as_ref()).map(|_| ());
        assert!(matches!(told, Err(KeyRingError::ShareLocked { .. })));
    }
    let path = held.path().join("bob.share");
    let cheap = ScryptWork::log2(2).unwrap();
    let lock = ShareLock::Passphrase(word.duplicate(), cheap);
    it.shares[1].to_file(&path, &lock).unwrap();
    assert!(open_share(&path, Some(&ShareKey::Passphrase(&word))).is_ok());
    let other = SecretText::new("world".to_owned());
    let told = open_share(&path, Some(&ShareKey::Passphrase(&other))).map(|_| ());
    assert!(matches!(told, Err(KeyRingError::ShareLocked { .. })));
    let nobody = held.path().join("none.share");
    for lock in [
        ShareLock::Recipient("age1x".to_owned()),
        ShareLock::Passphrase(SecretText::new(String::new()), cheap),
    ] {
        assert!(it.shares[0].to_file(&nobody, &lock).is_err());
        assert!(!nobody.exists());
    }
    // One that was opened elsewhere, as `age -d` does, is its text.
    fs::write(&nobody, format!("{}\n", text.expose())).unwrap();
    assert_eq!(open_share(&nobody, None).unwrap().expose(), text.expose());
}

static_assertions::assert_not_impl_any!(Share: std::fmt::Debug, std::fmt::Display, Clone, serde::Serialize);
static_assertions::assert_not_impl_any!(Gathering: std::fmt::Debug, Clone);
