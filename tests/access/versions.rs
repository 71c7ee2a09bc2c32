//! How the endpoints of published versions are asked about version 1 of `icu--ecg`.

use crate::world::{Asked, asked};

const LIVE: &str = "/.kluis/v1/versions/icu--ecg";
const FIRST: &str = "/.kluis/v1/versions/icu--ecg--v1";

/// Publishes what `icu--ecg` holds.
pub(crate) fn publish() -> Asked {
    asked("POST", LIVE)
}

/// One of the endpoints.
pub(crate) fn request(operation: &str) -> Option<Asked> {
    let of = |what: &str| format!("{FIRST}/{what}");
    Some(match operation {
        "PublishVersion" => publish(),
        "ListPublished" => asked("GET", LIVE),
        "OpenVersion" => asked("GET", of("root")),
        "GetManifestIndex" => asked("GET", of("index")),
        "GetManifestPage" => asked("GET", of("pages/0")),
        "ReleaseKeys" => {
            let body = serde_json::json!({ "runs": [{ "from": "secret-key", "count": 1 }] });
            asked("POST", of("keys")).body(body.to_string())
        }
        "GetPack" => {
            let body = serde_json::json!({ "runs": [{ "from": "secret-key", "count": 1 }] });
            asked("POST", of("pack")).body(body.to_string())
        }
        "GetUrls" => {
            let object = serde_json::json!({ "key": "secret-key", "blobs": ["0".repeat(32)] });
            let body = serde_json::json!({ "objects": [object] });
            asked("POST", of("urls")).body(body.to_string())
        }
        // None of the object's blobs: judged behind every right.
        "GetSealed" => asked(
            "GET",
            of("sealed?key=secret-key&blob=00000000000000000000000000000000&from=0&to=9"),
        ),
        "RenewLease" => {
            let body = serde_json::json!({ "open": ["secret-key"] });
            asked("POST", of("lease")).body(body.to_string())
        }
        "ReportReads" => {
            let read = serde_json::json!({ "key": "secret-key", "ranges": [[0, 1]] });
            let body = serde_json::json!({ "reads": [read] });
            asked("POST", of("reads")).body(body.to_string())
        }
        _ => return None,
    })
}
