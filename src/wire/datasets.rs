//! Datasets and what is said of them (`docs/datasets.md`).

messages! {
    /// The description of a dataset, or a change of it; what is left out stays, or is the project's
    /// default.
    #[serde(deny_unknown_fields)]
    struct DescribeDatasetRequest {
        /// The person who answers for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        /// A label of the installation's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        label: Option<String>,
        /// Where the data is from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<String>,
        /// The legal basis.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        basis: Option<String>,
        /// When it is to be quarantined.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ends: Option<String> = {"format": "date-time"},
        /// The reason of a legal hold. Not of a dataset that is made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hold: Option<String>,
        /// End the legal hold. Not of a dataset that is made.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        release: bool,
        /// The one use that jobs may compute on it for; empty for any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        use_class: Option<String>,
        /// The approval of a label's lowering. Not of a dataset that is made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approval: Option<String>,
    }

    /// The defaults for descriptions of a project's datasets.
    #[serde(deny_unknown_fields)]
    struct DatasetDefaultsRequest {
        /// A label of the installation's.
        label: String,
        /// Where the data is from.
        source: String,
        /// The legal basis.
        basis: String,
        /// For how many days they are kept, from their making.
        days: u32 = {"minimum": 1, "maximum": crate::types::limits::RETENTION_DAYS_MAX},
    }

    /// A dataset and its description; members are `null` where it has none.
    struct Dataset {
        /// Project and name, with a slash between them.
        dataset: String,
        /// The bucket that it is to S3.
        bucket: String,
        /// Its id.
        id: String = {"pattern": "^[0-9a-f]{32}$"},
        /// The principal that created it.
        creator: String,
        /// When it was created.
        created: String = {"format": "date-time"},
        /// The person who answers for it.
        owner: Option<String>,
        /// A label of the installation's.
        label: Option<String>,
        /// Where the data is from.
        source: Option<String>,
        /// The legal basis.
        basis: Option<String>,
        /// When it is to be quarantined.
        ends: Option<String> = {"format": "date-time"},
        /// The reason of a legal hold, while there is one.
        hold: Option<String>,
        /// The one use that jobs may compute on it for; `null` for any.
        use_class: Option<String>,
        /// Its stage.
        stage: String = {"enum": ["undescribed", "active", "notice", "quarantine", "ended"]},
        /// When the next stage comes, if one comes by itself.
        next_stage: Option<String> = {"format": "date-time"},
        /// What of the change has no effect as things stand, for the caller who made it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        hints: Vec<String>,
    }

    /// The datasets that the caller may see.
    struct DatasetList {
        /// The datasets.
        datasets: Vec<Dataset>,
    }
}
