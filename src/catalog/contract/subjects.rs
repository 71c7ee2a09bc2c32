//! ID-7: whatever issuers call people, two subjects are never one principal.

use std::sync::Arc;

use proptest::prelude::*;

use super::samples::*;
use crate::catalog::{
    CatalogError, Conflict, IdentityRow, MemoryCatalog, Mutation, SharedCatalog, SqliteCatalog,
};

/// Texts that look alike: in case, in their ends, in normal form, to `LIKE`.
fn text() -> impl Strategy<Value = String> {
    let word = "[aA][nN]{0,2}[@_%. ]?[x\u{e9}]?(e\u{301})?";
    let equal = prop::sample::select(vec!["ann@x", "Ann@x", "ann_x", "ann@x ", "ann%", "\u{e9}"]);
    prop_oneof![word.prop_map(String::from), equal.prop_map(String::from)]
}

fn link((issuer, subject): &(String, String), principal: &str) -> Mutation {
    Mutation::LinkIdentity(IdentityRow {
        issuer: issuer.clone(),
        subject: subject.clone(),
        principal: principal.parse().unwrap(),
        linked: at(3),
    })
}

async fn two(catalog: SharedCatalog, one: &(String, String), other: &(String, String)) {
    let people = ["one", "other"].map(|name| Mutation::CreatePrincipal(principal(name)));
    catalog.commit(people.into()).await.unwrap();
    let whom = async |(issuer, subject): &(String, String)| {
        let row = catalog.identity(issuer, subject).await.unwrap();
        row.map(|row| row.principal.to_string())
    };
    catalog.commit(vec![link(one, "one")]).await.unwrap();
    let same = one == other;
    assert_eq!(whom(other).await.as_deref(), same.then_some("one"));
    // What a principal has of an issuer is one subject; the other person takes the other.
    let taken = catalog.commit(vec![link(other, "other")]).await;
    let refused = Err(CatalogError::Conflict(Conflict::IdentityTaken));
    assert_eq!(taken, if same { refused } else { Ok(()) });
    assert_eq!(whom(one).await.as_deref(), Some("one"));
    let expected = if same { "one" } else { "other" };
    assert_eq!(whom(other).await.as_deref(), Some(expected));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn id_7_two_subjects_are_one_principal_only_if_they_are_the_same(
        one in (text(), text()), other in (text(), text()), twin in any::<bool>()
    ) {
        let other = if twin { (one.0.clone(), other.1) } else { other };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            two(Arc::new(MemoryCatalog::new()), &one, &other).await;
            let directory = tempfile::tempdir().unwrap();
            let sqlite = SqliteCatalog::open(&directory.path().join("catalog.db")).unwrap();
            two(sqlite, &one, &other).await;
        });
    }
}
