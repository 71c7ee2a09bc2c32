//! Identities, groups, notices (`docs/people.md`, `docs/notices.md`).

messages! {
    /// The identity of the caller, and the bounds of the credential.
    #[derive(Default)]
    struct Identity {
        /// A person or a workload.
        principal: String,
        /// The person that a workload acts for.
        acts_for: Option<String>,
        /// The access key that signed.
        access_key_id: Option<String>,
        /// The groups, those claimed by the session among them; `null` where they are not shown.
        groups: Option<Vec<String>>,
        /// How far the credential reaches; `null` for as far as its principal.
        scope: Option<CredentialScope>,
        /// When the credential ends, if it does.
        expires: Option<String> = {"format": "date-time"},
        /// The class of the sign-in (`acr`), if it had one.
        acr: Option<String>,
        /// The methods of the sign-in (`amr`).
        #[serde(default)]
        amr: Vec<String>,
    }

    /// How far a credential reaches; what is `null` or empty does not bound it.
    #[derive(Default, PartialEq, Eq)]
    struct CredentialScope {
        /// One project.
        project: Option<String>,
        /// One dataset of it.
        dataset: Option<String>,
        /// One published version of it.
        version: Option<u32> = {"minimum": 1},
        /// One purpose.
        purpose: Option<String>,
        /// One prefix of keys.
        prefix: Option<String>,
        /// Whether it only reads.
        read_only: bool,
        /// Networks (CIDR) from which alone it is taken.
        networks: Vec<String>,
    }

    /// The members of a group.
    struct GroupMembers {
        /// A page of its members, in order of name.
        members: Vec<GroupMember>,
        /// The `after` of the next page; `null` at the end.
        next: Option<String>,
        /// The organisation that manages its members.
        organisation: Option<String>,
        /// Claims of issuers' tokens that put a session into it.
        claims: Vec<GroupClaim>,
        /// Visas that do.
        visas: Vec<GroupVisa>,
    }

    /// A member of a group.
    struct GroupMember {
        /// The principal.
        principal: String,
        /// Its kind.
        kind: String = {"enum": ["person", "workload", "group"]},
        /// The person that a workload acts for.
        acts_for: Option<String>,
        /// The name that an organisation gives.
        name: Option<String>,
    }

    /// A value of a claim that stands for a group.
    struct GroupClaim {
        /// The issuer of the tokens.
        issuer: String,
        /// The value.
        claim: String,
    }

    /// A visa (GA4GH) that stands for a group.
    struct GroupVisa {
        /// Its issuer.
        issuer: String,
        /// Its type.
        r#type: String,
        /// The value that it asserts.
        value: String,
        /// The source that it must name; `null` for any.
        source: Option<String>,
        /// By whom it must be asserted; `null` for anybody.
        by: Option<String>,
    }

    /// A notice to the caller.
    struct Notice {
        /// Its id.
        notice: String = {"pattern": "^[0-9a-f]{32}$"},
        /// When it was sent.
        at: String = {"format": "date-time"},
        /// The project that it is about.
        project: String,
        /// The dataset that it is about.
        dataset: Option<String>,
        /// Its text.
        text: String,
    }

    /// The notices to the caller, the newest first.
    struct NoticeList {
        /// The notices.
        notices: Vec<Notice>,
        /// The `before` of the next page; `null` at the end.
        next: Option<String>,
    }
}
