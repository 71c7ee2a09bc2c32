//! The log's records, and how they are kept; errors (`docs/audit.md`).

use serde_json::Value;

use crate::types::limits;

messages! {
    /// A page of a project's records.
    struct RecordPage {
        /// The records (schema `kluis.audit/1`).
        records: Vec<Value>,
        /// The `cursor` of the next page; `null` at the end.
        next: Option<String>,
        /// Records that the journal does not hold any more: they are in volumes.
        #[serde(default)]
        missing: u64,
        /// Requests that fit and have no end yet.
        #[serde(default)]
        open: u64,
    }

    /// How a project's records are kept.
    struct LogTerms {
        /// For how many days.
        days: u32,
        /// Whether auditors see pseudonyms in the place of people's names.
        pseudonyms: bool,
    }

    /// A change of how a project's records are kept; one member at least.
    #[serde(deny_unknown_fields)]
    struct SetLogTermsRequest {
        /// For how many days.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        days: Option<u32> = {
            "minimum": limits::LOG_KEPT_DAYS_MIN, "maximum": limits::LOG_KEPT_DAYS_MAX
        },
        /// Whether auditors see pseudonyms in the place of people's names.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pseudonyms: Option<bool>,
        /// The approval by two persons, where `days` becomes less.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approval: Option<String>,
    }

    /// Why a request was not served (RFC 9457).
    struct Problem {
        /// The error in words, for people.
        #[serde(default)]
        title: String,
        /// The response's status.
        #[serde(default)]
        status: u16 = {"minimum": 400, "maximum": 599},
        /// The error's code, for programs.
        code: String,
    }
}
