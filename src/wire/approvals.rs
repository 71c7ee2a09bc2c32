//! Acts that take two persons, and erasures among them (`docs/approvals.md`, `docs/keys.md`).

use std::collections::BTreeMap;

messages! {
    /// A request for an act that takes two persons.
    #[serde(deny_unknown_fields)]
    struct AskApprovalRequest {
        /// The kind of the act.
        act: String,
        /// The dataset, where the kind is about one.
        #[serde(default)]
        dataset: Option<String>,
        /// The kind's terms, all of them, by name.
        terms: BTreeMap<String, String>,
        /// The reason, for the approver and the log.
        reason: String,
    }

    /// An act that takes two persons.
    struct Approval {
        /// Its id.
        approval: String = {"pattern": "^[0-9a-f]{32}$"},
        /// The kind of the act.
        act: String,
        /// The project.
        project: String,
        /// The dataset, where the kind is about one.
        dataset: Option<String>,
        /// The kind's terms, by name.
        terms: BTreeMap<String, String>,
        /// The reason, in the words of the person who asked.
        reason: String,
        /// The act in one sentence, as in the log.
        summary: String,
        /// Its state.
        state: String = {
            "enum": ["asked", "approved", "refused", "withdrawn", "done", "expired"]
        },
        /// The person who asked for it.
        asker: String,
        /// The person who approved or refused it.
        approver: Option<String>,
        /// When it was asked for.
        asked: String = {"format": "date-time"},
        /// Until when it can be approved or, once approved, carried out.
        due: String = {"format": "date-time"},
    }

    /// The acts that the caller may ask for or approve, and the caller's own.
    struct ApprovalList {
        /// The acts.
        approvals: Vec<Approval>,
    }

    /// What break-glass opened.
    struct BreakGlassGrant {
        /// The grant.
        grant: String = {"pattern": "^[0-9a-f]{32}$"},
        /// The person who may read.
        who: String,
        /// The project.
        project: String,
        /// The dataset; `null` for the whole project.
        dataset: Option<String>,
        /// Until when.
        until: Option<String> = {"format": "date-time"},
    }

    /// An erasure.
    struct Erasure {
        /// Its id, which names the certificate.
        work: String = {"pattern": "^[0-9a-f]{32}$"},
        /// The dataset.
        dataset: String,
        /// What of it, in words.
        what: String,
        /// When it was begun: from then on nothing of it can be read.
        begun: String = {"format": "date-time"},
        /// When it was done; `null` while something is left to do.
        ended: Option<String> = {"format": "date-time"},
        /// How many writes lost their keys.
        writes: u64,
        /// How many plaintext bytes those were.
        bytes: u64,
        /// The two persons.
        persons: Vec<String>,
        /// The reason, in the words of the person who asked.
        reason: String,
    }

    /// The erasures that the caller may know of.
    struct ErasureList {
        /// The erasures.
        erasures: Vec<Erasure>,
    }
}
