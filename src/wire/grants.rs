//! Grants (`docs/grants.md`).

words! {
    /// What a grant does with the actions of its role.
    enum GrantEffect {
        /// It allows them.
        Allow = "allow",
        /// It denies them, whatever allows them.
        Deny = "deny",
    }

    /// The state of a grant.
    enum GrantState {
        /// It was proposed; an owner may approve it.
        Proposed = "proposed",
        /// An owner created or approved it.
        Approved = "approved",
    }
}

messages! {
    /// A grant to create, or to propose.
    #[serde(deny_unknown_fields)]
    struct CreateGrantRequest {
        /// The principal that gets it: a person, a workload or a group.
        principal: String,
        /// A role of the policy.
        role: String,
        /// The dataset that it is for; without, the whole project.
        #[serde(default)]
        dataset: Option<String>,
        /// The published version that it is for, with a dataset; without, the dataset itself.
        #[serde(default)]
        version: Option<u32> = {"minimum": 1},
        /// The prefix of the keys that it is for; empty for all.
        #[serde(default)]
        prefix: String,
        /// Whether it denies.
        #[serde(default)]
        deny: bool,
        /// The only actions of the role that it is for; empty for all of them.
        #[serde(default)]
        actions: Vec<String> = {"maxItems": 64},
        /// Networks (CIDR) from which alone it holds; empty for any.
        #[serde(default)]
        networks: Vec<String> = {"maxItems": 64},
        /// Partitions of clusters on whose nodes alone it holds; empty for any.
        #[serde(default)]
        partitions: Vec<String> = {"maxItems": 64},
        /// What the data is used for.
        #[serde(default)]
        purpose: Option<String>,
        /// The reference of the permit that it rests on.
        #[serde(default)]
        permit: Option<String>,
        /// When it begins; without, at once.
        #[serde(default)]
        starts: Option<String> = {"format": "date-time"},
        /// When it ends; without, never.
        #[serde(default)]
        expires: Option<String> = {"format": "date-time"},
        /// Whether to propose it only: an owner approves it later.
        #[serde(default)]
        propose: bool,
        /// Whether to try it only: it is authorized and recorded, and not created.
        #[serde(default)]
        dry_run: bool,
    }

    /// A grant.
    struct Grant {
        /// Its id.
        grant: String = {"pattern": "^[0-9a-f]{32}$"},
        /// The project.
        project: String,
        /// The principal that has it: a person, a workload or a group.
        principal: String,
        /// A role of the policy.
        role: String,
        /// The dataset that it is for; `null` for the whole project.
        dataset: Option<String>,
        /// The published version that it is for; `null` for the dataset itself.
        version: Option<u32> = {"minimum": 1},
        /// The prefix of the keys that it is for; empty for all.
        prefix: String,
        /// Whether it allows or denies.
        effect: GrantEffect,
        /// The only actions of the role that it is for; empty for all of them.
        actions: Vec<String>,
        /// Networks (CIDR) from which alone it holds; empty for any.
        networks: Vec<String>,
        /// Partitions of clusters on whose nodes alone it holds; empty for any.
        partitions: Vec<String>,
        /// What the data is used for.
        purpose: Option<String>,
        /// The reference of the permit that it rests on.
        permit: Option<String>,
        /// When it begins.
        starts: String = {"format": "date-time"},
        /// When it ends, if it does.
        expires: Option<String> = {"format": "date-time"},
        /// When it ends unless it is used or confirmed before.
        lapses: Option<String> = {"format": "date-time"},
        /// Whether it is in force or proposed.
        standing: GrantState,
        /// The principal that proposed it, if one did.
        proposer: Option<String>,
        /// The principal that created or approved it; `null` of a proposal.
        approver: Option<String>,
        /// When it was created or proposed.
        created: String = {"format": "date-time"},
    }

    /// A grant that was created, approved or confirmed, or would be created.
    struct GrantResponse {
        /// The grant.
        #[serde(flatten)]
        grant: Grant,
        /// The actions that it allows (or denies) by the present policy.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lets: Option<Vec<String>>,
        /// What of the grant has no effect as things stand, for the caller who makes it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        hints: Vec<String>,
    }

    /// A grant as a review has it.
    struct ReviewedGrant {
        /// The grant.
        #[serde(flatten)]
        grant: Grant,
        /// The actions that it allows (or denies) by the present policy; not in lists.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lets: Option<Vec<String>>,
        /// When a request was last allowed by it, to the minute or so.
        last_used: Option<String> = {"format": "date-time"},
        /// Whether its role lets bytes out, shows the log or manages grants.
        #[serde(default)]
        privileged: bool,
        /// Whether the policy has its role: without, it gives nothing, or denies everything.
        #[serde(default = "yes")]
        role_known: bool,
    }

    /// The grants of a project that the caller may see.
    struct GrantList {
        /// The grants.
        grants: Vec<ReviewedGrant>,
    }
}

/// Gateways of before do not say.
const fn yes() -> bool {
    true
}
