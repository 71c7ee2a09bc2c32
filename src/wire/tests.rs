//! The messages as they are on the wire: a sample of each, which comes back as it went, and fits
//! the schema that clients are told.

use std::collections::BTreeSet;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

fn names(value: &Value) -> BTreeSet<&str> {
    let members = value.as_object().expect("an object");
    members.keys().map(String::as_str).collect()
}

/// That a sample with every member is the message, and its schema tells of these members: all of
/// them but `skipped` are always there, or needed.
fn whole<T: Describe + Serialize + DeserializeOwned>(sample: &Value, skipped: &[&str]) {
    let of = std::any::type_name::<T>();
    let message: T = serde_json::from_value(sample.clone()).expect(of);
    assert_eq!(serde_json::to_value(&message).expect(of), *sample, "{of}");
    let mut all = Schemas::new();
    let reference = T::describe(&mut all);
    let (_, name) = reference["$ref"]
        .as_str()
        .expect(of)
        .rsplit_once('/')
        .expect(of);
    let schema = &all[name];
    assert_eq!(names(&schema["properties"]), names(sample), "{of}");
    let required = schema["required"].as_array().expect(of);
    let mut required: BTreeSet<&str> = required.iter().filter_map(Value::as_str).collect();
    required.extend(skipped);
    assert_eq!(required, names(sample), "{of}");
    for (name, member) in schema["properties"].as_object().expect(of) {
        assert!(
            member["description"].is_string(),
            "{of}: {name} says what it is"
        );
    }
}

/// A request: it is refused with a member that there is not, and without one that it needs.
fn request<T: Describe + Serialize + DeserializeOwned>(sample: &Value, optional: &[&str]) {
    whole::<T>(sample, optional);
    let of = std::any::type_name::<T>();
    let refused = |value: Value| serde_json::from_value::<T>(value).is_err();
    let mut more = sample.clone();
    more["another"] = json!(1);
    assert!(refused(more), "{of} is strict");
    for name in names(sample) {
        let mut less = sample.clone();
        less.as_object_mut().expect(of).remove(name);
        assert_eq!(refused(less), !optional.contains(&name), "{of}: {name}");
    }
}

/// A response: it may have more members; gateways of before may lack `older`.
fn response<T: Describe + Serialize + DeserializeOwned>(
    sample: &Value,
    (skipped, older): (&[&str], &[&str]),
) {
    whole::<T>(sample, skipped);
    let of = std::any::type_name::<T>();
    let mut more = sample.clone();
    more["another"] = json!(1);
    assert!(serde_json::from_value::<T>(more).is_ok(), "{of} may grow");
    for name in names(sample) {
        let mut less = sample.clone();
        less.as_object_mut().expect(of).remove(name);
        let read = serde_json::from_value::<T>(less);
        let may = sample[name].is_null() || skipped.contains(&name) || older.contains(&name);
        assert_eq!(read.is_ok(), may, "{of}: {name}");
    }
}

fn grant() -> Value {
    json!({
        "grant": "07070707070707070707070707070707", "project": "icu", "principal": "bob",
        "role": "reader", "dataset": null, "version": null, "prefix": "", "effect": "deny",
        "actions": ["object.get"], "networks": ["10.0.0.0/8"], "partitions": ["gpu"],
        "purpose": null, "permit": null, "starts": "2027-01-01T00:00:00.001Z", "expires": null,
        "lapses": null, "standing": "proposed", "proposer": null, "approver": null,
        "created": "2027-01-01T00:00:00.000Z",
    })
}

fn with(mut sample: Value, more: Value) -> Value {
    let Value::Object(more) = more else {
        panic!("an object");
    };
    sample.as_object_mut().expect("an object").extend(more);
    sample
}

#[test]
fn grants_are_as_they_were() {
    request::<CreateGrantRequest>(
        &json!({
            "principal": "bob", "role": "reader", "dataset": "ecg", "version": 1, "prefix": "a/",
            "deny": true, "actions": ["object.get"], "networks": ["10.0.0.0/8"],
            "partitions": ["gpu"], "purpose": "p", "permit": "q",
            "starts": "2027-01-01T00:00:00.000Z", "expires": "2027-02-01T00:00:00.000Z",
            "propose": true, "dry_run": true,
        }),
        &[
            "dataset",
            "version",
            "prefix",
            "deny",
            "actions",
            "networks",
            "partitions",
            "purpose",
            "permit",
            "starts",
            "expires",
            "propose",
            "dry_run",
        ],
    );
    response::<Grant>(&grant(), (&[], &[]));
    let made = with(grant(), json!({"lets": ["object.get"], "hints": ["…"]}));
    response::<GrantResponse>(&made, (&["lets", "hints"], &[]));
    let review = json!({
        "lets": [], "last_used": null, "privileged": true, "role_known": false,
    });
    let reviewed = with(grant(), review);
    let older = ["privileged", "role_known"];
    response::<ReviewedGrant>(&reviewed, (&["lets"], &older));
    response::<GrantList>(&json!({"grants": [reviewed]}), (&[], &[]));
    let read: ReviewedGrant = serde_json::from_value(grant()).expect("a grant of before");
    assert!(read.role_known && !read.privileged && read.lets.is_none());
}

#[test]
fn a_word_that_is_not_of_its_set_is_refused() {
    for (member, value) in [
        ("effect", json!("perhaps")),
        ("effect", json!("Allow")),
        ("standing", json!("in force")),
        ("standing", json!(null)),
        ("version", json!(-1)),
        ("actions", json!("all")),
    ] {
        let mut bent = grant();
        bent[member] = value.clone();
        assert!(
            serde_json::from_value::<Grant>(bent).is_err(),
            "{member}: {value}"
        );
    }
}

#[test]
fn datasets_are_as_they_were() {
    request::<DescribeDatasetRequest>(
        &json!({
            "owner": "ana", "label": "internal", "source": "s", "basis": "b",
            "ends": "2027-01-01T00:00:00.000Z", "hold": "why", "release": true,
            "use_class": "civil", "approval": "07070707070707070707070707070707",
        }),
        &[
            "owner",
            "label",
            "source",
            "basis",
            "ends",
            "hold",
            "release",
            "use_class",
            "approval",
        ],
    );
    let nothing: DescribeDatasetRequest = serde_json::from_value(json!({})).expect("nothing");
    let nothing = serde_json::to_value(&nothing).expect("JSON");
    assert_eq!(nothing, json!({}), "what is not said is left out");
    let defaults = json!({"label": "internal", "source": "s", "basis": "b", "days": 365});
    request::<DatasetDefaultsRequest>(&defaults, &[]);
    let dataset = json!({
        "dataset": "icu/ecg", "bucket": "icu--ecg", "id": "07070707070707070707070707070707",
        "creator": "ana", "created": "2027-01-01T00:00:00.000Z", "owner": null, "label": null,
        "source": null, "basis": null, "ends": null, "hold": null, "use_class": null,
        "stage": "undescribed", "next_stage": null, "hints": ["…"],
    });
    response::<Dataset>(&dataset, (&["hints"], &[]));
    response::<DatasetList>(&json!({"datasets": [dataset]}), (&[], &[]));
}

#[test]
fn versions_are_as_they_were() {
    let version = json!({
        "version": "icu/ecg@1", "number": 1, "root": "00".repeat(32),
        "published": "2027-01-01T00:00:00.000Z", "publisher": "ana", "signer": "key",
        "made": true, "objects": 3, "bytes": 4, "hidden": 0,
    });
    let skipped = ["made", "objects", "bytes", "hidden"];
    response::<Version>(&version, (&skipped, &["signer"]));
    response::<VersionList>(&json!({"versions": [version]}), (&[], &[]));
    let older = ["lease_seconds", "straight"];
    let root = json!({
        "envelope": "AA==", "index_key": "AA==", "signer": "key", "lease_seconds": 45,
        "straight": true,
    });
    response::<VersionRoot>(&root, (&[], &older));
    let part = json!({"part": "AA==", "signer": "key", "lease_seconds": 45, "straight": false});
    response::<PartRoot>(&part, (&[], &older));
    request::<ObjectRun>(&json!({"from": "a", "count": 1}), &[]);
    request::<RunsRequest>(&json!({"runs": [{"from": "a", "count": 1}]}), &[]);
    let key = json!({"key": "a", "table": "AA=="});
    response::<ReleasedKey>(&key, (&[], &[]));
    let release = json!({"released": [key], "gone": ["b"]});
    response::<KeyRelease>(&release, (&[], &["gone"]));
    request::<ObjectBlobs>(&json!({"key": "a", "blobs": ["00"]}), &[]);
    request::<UrlsRequest>(&json!({"objects": [{"key": "a", "blobs": []}]}), &[]);
    let url = json!({"blob": "00", "url": "https://store.example/00"});
    response::<PresignedUrl>(&url, (&[], &[]));
    response::<PresignedUrls>(&json!({"urls": [url], "seconds": 55}), (&[], &[]));
    request::<RenewLeaseRequest>(&json!({"open": ["a"]}), &[]);
    response::<Lease>(
        &json!({"refused": ["a"], "lease_seconds": 45}),
        (&[], &["lease_seconds"]),
    );
    request::<ObjectReads>(&json!({"key": "a", "ranges": [[0, 1]]}), &[]);
    request::<ReportReadsRequest>(&json!({"reads": [{"key": "a", "ranges": []}]}), &[]);
}

#[test]
fn jobs_are_as_they_were() {
    request::<SubmitJobRequest>(
        &json!({
            "bucket": "icu--ecg--v1", "cluster": "hpc", "account": "ana", "nodes": 2,
            "waits_seconds": 1, "lasts_seconds": 2, "purpose": "p",
        }),
        &["nodes", "purpose"],
    );
    let job = json!({
        "job": "ana/1", "version": "icu/ecg@1", "cluster": "hpc", "account": "ana",
        "purpose": null, "start_by": "2027-01-01T00:00:00.000Z", "lasts_seconds": 2,
        "number": null, "nodes": ["gpu-1"], "over": null,
    });
    response::<Job>(&job, (&[], &["lasts_seconds", "nodes"]));
    response::<JobList>(&json!({"jobs": [job]}), (&[], &[]));
    request::<JobStatement>(&json!({"statement": "a.b.c"}), &[]);
    let session = json!({
        "principal": "job-1@gpu-1.hpc", "person": "ana", "access_key_id": "KLUJ",
        "secret_access_key": "s", "session_token": "t", "expires": "2027-01-01T00:00:00.000Z",
        "expires_in": 900,
    });
    response::<JobSession>(&session, (&[], &["principal", "person", "expires"]));
}

#[test]
fn acts_are_as_they_were() {
    request::<AskApprovalRequest>(
        &json!({"act": "erase", "dataset": "ecg", "terms": {"what": "dataset"}, "reason": "r"}),
        &["dataset"],
    );
    let approval = json!({
        "approval": "07070707070707070707070707070707", "act": "erase", "project": "icu",
        "dataset": null, "terms": {"what": "dataset"}, "reason": "r", "summary": "s",
        "state": "asked", "asker": "ana", "approver": null,
        "asked": "2027-01-01T00:00:00.000Z", "due": "2027-01-04T00:00:00.000Z",
    });
    response::<Approval>(&approval, (&[], &[]));
    response::<ApprovalList>(&json!({"approvals": [approval]}), (&[], &[]));
    let opened = json!({
        "grant": "07070707070707070707070707070707", "who": "bob", "project": "icu",
        "dataset": null, "until": null,
    });
    response::<BreakGlassGrant>(&opened, (&[], &[]));
    let erasure = json!({
        "work": "07070707070707070707070707070707", "dataset": "ecg", "what": "dataset",
        "begun": "2027-01-01T00:00:00.000Z", "ended": null, "writes": 1, "bytes": 2,
        "persons": ["ana", "bob"], "reason": "r",
    });
    response::<Erasure>(&erasure, (&[], &[]));
    response::<ErasureList>(&json!({"erasures": [erasure]}), (&[], &[]));
}

#[test]
fn people_and_records_are_as_they_were() {
    let scope = json!({
        "project": null, "dataset": null, "version": null, "purpose": null, "prefix": null,
        "read_only": true, "networks": ["10.0.0.0/8"],
    });
    response::<CredentialScope>(&scope, (&[], &[]));
    let identity = json!({
        "principal": "ana", "acts_for": null, "access_key_id": null, "groups": null,
        "scope": null, "expires": null, "acr": null, "amr": ["mfa"],
    });
    response::<Identity>(&identity, (&[], &["amr"]));
    let member = json!({"principal": "ana", "kind": "person", "acts_for": null, "name": null});
    response::<GroupMember>(&member, (&[], &[]));
    let claim = json!({"issuer": "https://id.example", "claim": "lab"});
    response::<GroupClaim>(&claim, (&[], &[]));
    let visa = json!({
        "issuer": "https://id.example", "type": "t", "value": "v", "source": null, "by": null,
    });
    response::<GroupVisa>(&visa, (&[], &[]));
    let members = json!({
        "members": [member], "next": null, "organisation": null, "claims": [claim],
        "visas": [visa],
    });
    response::<GroupMembers>(&members, (&[], &[]));
    let notice = json!({
        "notice": "07070707070707070707070707070707", "at": "2027-01-01T00:00:00.000Z",
        "project": "icu", "dataset": null, "text": "…",
    });
    response::<Notice>(&notice, (&[], &[]));
    let list =
        json!({"notices": [notice], "next": "1798761600000-07070707070707070707070707070707"});
    response::<NoticeList>(&list, (&[], &["next"]));
    let page =
        json!({"records": [{"schema": "kluis.audit/1"}], "next": null, "missing": 1, "open": 0});
    response::<RecordPage>(&page, (&[], &["missing", "open"]));
    response::<LogTerms>(&json!({"days": 400, "pseudonyms": true}), (&[], &[]));
    let approval = "07070707070707070707070707070707";
    let terms = json!({"days": 400, "pseudonyms": true, "approval": approval});
    request::<SetLogTermsRequest>(&terms, &["days", "pseudonyms", "approval"]);
    let problem = json!({"title": "Access denied.", "status": 403, "code": "AccessDenied"});
    response::<Problem>(&problem, (&[], &["title", "status"]));
}

#[test]
fn what_holds_secrets_is_not_printed_or_copied() {
    use static_assertions::assert_not_impl_any;
    use std::fmt::{Debug, Display};
    assert_not_impl_any!(VersionRoot: Debug, Display, Clone);
    assert_not_impl_any!(ReleasedKey: Debug, Display, Clone);
    assert_not_impl_any!(KeyRelease: Debug, Display, Clone);
    assert_not_impl_any!(JobSession: Debug, Display, Clone);
}
