//! Parts of a version: who holds a right to a prefix is handed what lies under it, and no name,
//! page, key or byte of anything else.

use super::published::{V1, records, run};
use super::support::{BUCKET, World, kind, sample};
use crate::ledger::Outcome;
use crate::manifest::{Index, Page, Part, SignerKey, digest};
use crate::policy::GrantEffect;
use crate::seal::{DataKey, open_blob};
use crate::types::{Action, ObjectKey};
use crate::vault::{ErrorKind, VaultError};

/// Enough objects with long names for more than one page.
const MANY: usize = 1_000;

/// A version with `a/…`, `adults/…` and `z`, of which anna may read `adults/`.
async fn published() -> World {
    let world = World::new().await;
    for key in [
        "a/secret-1",
        "adults/1",
        "adults/sub/2",
        "adultsecret",
        "z/secret-2",
    ] {
        world.put("olivia", key, &sample(10)).await.unwrap();
    }
    granted(&world).await;
    let call = world.call(Some("olivia"));
    world.vault.publish(&call, BUCKET).await.unwrap();
    world
}

async fn granted(world: &World) {
    let mut grant = world.draft("anna", "job");
    grant.prefix = "adults/".into();
    world.make_grant(grant).await.unwrap();
    world.wait(1_000);
}

/// All that is handed out of a part, piece by piece, and what it names.
struct Taken {
    pieces: Vec<Vec<u8>>,
    keys: Vec<String>,
    part: Part,
    index: Index,
}

async fn take(world: &World, who: &str, prefix: &str) -> Result<Taken, VaultError> {
    let vault = &world.vault;
    let call = world.call(Some(who));
    let opening = vault.open_part(&call, V1, prefix).await;
    assert!(call.is_recorded());
    let opening = opening?;
    let signer: SignerKey = opening.signer;
    let part = signer.open_part(&opening.part).unwrap();
    let of_it = (part.bucket.to_string(), part.number, part.prefix.as_str());
    assert_eq!(of_it, (BUCKET.to_owned(), 1, prefix));
    let call = world.call(Some(who));
    let plain = vault.part_index(&call, V1, prefix).await?;
    assert_eq!(digest(&plain), part.index);
    let index = Index::decode(&plain).unwrap();
    let mut pieces = vec![opening.part.clone(), plain.to_vec()];
    let mut keys = Vec::new();
    for (number, named) in index.pages().iter().enumerate() {
        let call = world.call(Some(who));
        let page = vault.part_page(&call, (V1, prefix), number).await?;
        assert_eq!(digest(&page), named.digest);
        let plain = if named.blob.as_bytes() == &[0; 16] {
            assert_eq!(named.key.expose(), &[0; 32], "a cut page has no key");
            page.to_vec()
        } else {
            let key = DataKey::of_secret(named.key.duplicate());
            open_blob(&key, Some(named.blob), &page).unwrap().1.to_vec()
        };
        pieces.push(plain.clone());
        let page = Page::decode(plain).unwrap();
        let entries = (0..page.len()).filter_map(|at| page.get(at));
        keys.extend(entries.filter(|e| !e.is_directory).filter_map(|e| e.key()));
    }
    Ok(Taken {
        pieces,
        keys,
        part,
        index,
    })
}

fn names(pieces: &[Vec<u8>], what: &str) -> bool {
    let has = |piece: &Vec<u8>| piece.windows(what.len()).any(|w| w == what.as_bytes());
    pieces.iter().any(has)
}

#[tokio::test]
async fn a_part_shows_what_lies_under_its_prefix_and_no_other_name() {
    let world = published().await;
    let taken = take(&world, "anna", "adults/").await.unwrap();
    assert_eq!(taken.keys, ["adults/sub/2", "adults/1"]);
    assert!(!names(&taken.pieces, "secret"));
    // It is the same whoever asks, so that two nodes and an auditor can compare.
    let again = take(&world, "olivia", "adults/").await.unwrap();
    assert_eq!(again.part, taken.part);
    let call = world.call(Some("olivia"));
    let whole = world.vault.open_version(&call, V1).await.unwrap();
    let (root, whole) = whole.signer.open(&whole.envelope).unwrap();
    assert_eq!(taken.part.whole, whole);
    assert_eq!(
        (taken.part.frozen, taken.part.previous, &taken.part.bucket),
        (root.frozen, root.previous, &root.bucket)
    );
    let said = records(&world, Action::ObjectList);
    let hex = data_encoding::HEXLOWER.encode(&digest(&taken.part.encode().unwrap()));
    let line = format!("version=1 part={hex} prefix=adults/");
    assert!(
        said.iter()
            .any(|(_, query, _)| query.as_deref() == Some(&line))
    );
}

/// Who may list all of a version is told how much is in it (UP-5), and nobody by a part of it.
#[tokio::test]
async fn up_5_a_part_does_not_tell_how_much_there_is_beside_it() {
    let world = World::new().await;
    world.put("olivia", "adults/1", &sample(10)).await.unwrap();
    for n in 0..66 {
        let key = format!("z/{n}");
        world.put("olivia", &key, &sample(1_111)).await.unwrap();
    }
    granted(&world).await;
    let call = world.call(Some("olivia"));
    world.vault.publish(&call, BUCKET).await.unwrap();
    let taken = take(&world, "anna", "adults/").await.unwrap();
    let call = world.call(Some("olivia"));
    let whole = world.vault.open_version(&call, V1).await.unwrap();
    let (root, _) = whole.signer.open(&whole.envelope).unwrap();
    assert_eq!((root.objects, root.bytes), (67, 73_336));
    let told = |pieces: &[Vec<u8>], number: u64| {
        let number = number.to_be_bytes();
        let has = |piece: &Vec<u8>| piece.windows(8).any(|w| w == number);
        pieces.iter().any(has)
    };
    assert!(
        told(&[whole.envelope.to_vec()], root.bytes),
        "it can be found"
    );
    for number in [root.objects, root.bytes, root.objects - 1, root.bytes - 10] {
        assert!(!told(&taken.pieces, number), "{number}");
    }
}

#[tokio::test]
async fn a_right_to_a_prefix_opens_no_wider_part_and_not_the_whole() {
    let world = published().await;
    let vault = &world.vault;
    let anna = || world.call(Some("anna"));
    let denied = Some(ErrorKind::AccessDenied);
    // What is there, what is not, what is beside, above, and a beginning of it: all alike.
    for prefix in [
        "", "a", "a/", "adult", "adults", "z/", "nothing/", "/", "adults",
    ] {
        assert_eq!(
            kind(vault.open_part(&anna(), V1, prefix).await),
            denied,
            "{prefix}"
        );
        assert_eq!(kind(vault.part_index(&anna(), V1, prefix).await), denied);
        let page = vault.part_page(&anna(), (V1, prefix), 0).await;
        assert_eq!(kind(page), denied);
        assert_eq!(kind(vault.renew(&anna(), (V1, prefix), &[]).await), denied);
    }
    assert_eq!(kind(vault.open_version(&anna(), V1).await), denied);
    for page in [None, Some(0)] {
        assert_eq!(kind(vault.sealed_piece(&anna(), V1, page).await), denied);
    }
    assert_eq!(
        records(&world, Action::ObjectList).last().unwrap().2,
        Outcome::Refused
    );
    let open: Vec<ObjectKey> = vec!["adults/1".parse().unwrap(), "z/secret-2".parse().unwrap()];
    let refused = vault.renew(&anna(), (V1, "adults/"), &open).await.unwrap();
    assert_eq!(refused, [open[1].clone()]);
}

#[tokio::test]
async fn of_a_part_the_keys_within_it_are_released_and_no_others() {
    let world = published().await;
    let runs = vec![
        run("a/secret-1", 10),
        run("adults/1", 10),
        run("z/secret-2", 1),
    ];
    let call = world.call(Some("anna"));
    let released = world.vault.release_keys(&call, V1, runs).await.unwrap();
    let keys: Vec<&str> = released.keys.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(keys, ["adults/1", "adults/sub/2"]);
    let said = records(&world, Action::ObjectRead);
    let done = said
        .iter()
        .filter(|(_, _, outcome)| *outcome == Outcome::Success);
    let told = done.map(|(_, query, _)| query.clone().unwrap_or_default());
    for query in told {
        assert!(!query.contains("secret"), "{query}");
    }
}

#[tokio::test]
async fn pages_at_the_edges_are_cut_and_those_within_are_the_wholes_own() {
    let world = World::new().await;
    for number in 0..MANY {
        let key = format!("adults/{number:0200}");
        world.put("olivia", &key, b"").await.unwrap();
    }
    for key in ["a/secret", "adults-secret", "secret"] {
        world.put("olivia", key, b"").await.unwrap();
    }
    granted(&world).await;
    let call = world.call(Some("olivia"));
    world.vault.publish(&call, BUCKET).await.unwrap();
    let taken = take(&world, "anna", "adults/").await.unwrap();
    assert_eq!(taken.keys.len(), MANY);
    assert!(taken.keys.iter().all(|key| key.starts_with("adults/")));
    assert!(!names(&taken.pieces, "secret"));
    let own = |page: &&crate::manifest::PageRef| page.blob.as_bytes() != &[0; 16];
    assert!(taken.index.pages().iter().filter(own).count() >= 1);
    let beyond = taken.index.pages().len();
    let call = world.call(Some("anna"));
    let page = world.vault.part_page(&call, (V1, "adults/"), beyond).await;
    assert_eq!(kind(page), Some(ErrorKind::InvalidArgument));
}

#[tokio::test]
async fn a_part_of_nothing_is_empty_and_a_prefix_that_is_none_is_refused() {
    let world = published().await;
    let taken = take(&world, "anna", "adults/none/").await.unwrap();
    assert!(taken.keys.is_empty() && taken.index.pages().is_empty());
    let call = world.call(Some("olivia"));
    let long = "a".repeat(1_025);
    for prefix in ["", &long] {
        let opened = world.vault.open_part(&call, V1, prefix).await;
        assert_eq!(
            kind(opened),
            Some(ErrorKind::InvalidArgument),
            "{}",
            prefix.len()
        );
    }
}

#[tokio::test]
async fn a_denial_within_the_prefix_or_a_withdrawn_grant_ends_a_part() {
    let world = published().await;
    assert!(take(&world, "anna", "adults/").await.is_ok());
    let mut denial = world.draft("anna", "job");
    denial.prefix = "adults/sub/".into();
    denial.effect = GrantEffect::Deny;
    world.make_grant(denial).await.unwrap();
    world.wait(1_000);
    let refused = take(&world, "anna", "adults/").await;
    assert_eq!(kind(refused), Some(ErrorKind::AccessDenied));
    let call = world.call(Some("anna"));
    let renewed = world.vault.renew(&call, (V1, "adults/"), &[]).await;
    assert_eq!(kind(renewed), Some(ErrorKind::AccessDenied));
}
