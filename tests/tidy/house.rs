//! The map of the house that `ARCHITECTURE.md` draws: which room may name which.

/// The rooms from the bottom up, each with the rooms below it that it may name.
pub(super) const HOUSE: [(&str, &[&str]); 26] = [
    ("types", &[]),
    ("wire", &["types"]),
    ("seal", &["types"]),
    ("policy", &["types"]),
    ("token", &["types"]),
    ("scim", &["types"]),
    ("ledger", &["types"]),
    ("manifest", &["types"]),
    ("catalog", &["policy", "types"]),
    ("store", &["types"]),
    ("keyring", &["seal", "types"]),
    ("journal", &["ledger", "types"]),
    ("notary", &["journal", "ledger", "seal", "types"]),
    (
        "gate",
        &["notary", "journal", "store", "ledger", "seal", "types"],
    ),
    ("stream", &["notary", "journal", "ledger", "types"]),
    ("archive", &["ledger", "seal", "types"]),
    (
        "vault",
        &[
            "catalog", "store", "keyring", "journal", "seal", "policy", "token", "scim", "ledger",
            "notary", "manifest", "types",
        ],
    ),
    ("node", &["store", "seal", "manifest", "wire", "types"]),
    ("mount", &["node", "types"]),
    ("config", &["types"]),
    ("ops", &["types"]),
    (
        "api",
        &[
            "vault", "catalog", "policy", "scim", "ledger", "wire", "types",
        ],
    ),
    (
        "s3",
        &["api", "vault", "catalog", "policy", "ledger", "types"],
    ),
    (
        "app",
        &[
            "s3", "ops", "config", "vault", "stream", "gate", "notary", "catalog", "store",
            "keyring", "journal", "ledger", "policy", "token", "types",
        ],
    ),
    (
        "cli",
        &[
            "app", "api", "config", "mount", "node", "manifest", "vault", "gate", "notary",
            "catalog", "store", "keyring", "journal", "ledger", "policy", "wire", "types",
        ],
    ),
    (
        "auditor",
        &[
            "cli", "app", "config", "ops", "vault", "archive", "gate", "notary", "catalog",
            "store", "keyring", "journal", "ledger", "policy", "types",
        ],
    ),
];
