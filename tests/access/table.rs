//! The table: every operation of S3 and every endpoint of the API, asked by everybody who must be
//! refused. **An operation that is not in the table fails the test.**

use std::collections::BTreeSet;

use kluis::api::Api;
use kluis::policy::{Grant, Standing};
use kluis::s3::SERVED;
use kluis::types::GrantId;
use kluis::vault::Vault;

use crate::key_scopes;
use crate::sts::{self, Provider, link};
use crate::versions;
use crate::world::{Asked, DAY_MS, Keys, World, asked, icu, name};

/// What somebody without a right gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Else {
    /// 403, and nothing of what is there.
    Refused,
    /// An answer that names nothing of what is there: what she may see is nothing.
    Nothing,
    /// What concerns herself alone: anybody who is recognised gets it.
    Herself,
    /// 403, but for the auditor: it is of the log. (In memory there is none to be read: 503.)
    OfTheLog,
}

/// The ids that requests need.
pub(crate) struct There {
    upload: String,
    version: String,
    grant: GrantId,
    proposal: GrantId,
    job: String,
    /// Asked for by another owner, and by olivia.
    approval: String,
    own: String,
    /// Olivia's, of a break-glass that oscar approved.
    pub(crate) glass: String,
    /// Asked for by olivia and approved; and one that is done.
    pub(crate) erasure: String,
    erased: String,
}

const RECORDS: &str = "/.kluis/v1/projects/icu/records?dataset=ecg";
/// No request's: an owner is told so.
const EVENT: &str = "0198f0c2-7a1e-7c3b-9d51-0c6a5d0f2b11";
const JOB: &str = r#"{"bucket": "icu--ecg--v1", "cluster": "hpc", "account": "olivia",
    "waits_seconds": 864000, "lasts_seconds": 60}"#;

const GRANTS: &str = "/.kluis/v1/projects/icu/grants";
const APPROVALS: &str = "/.kluis/v1/projects/icu/approvals";
const ERASURES: &str = "/.kluis/v1/projects/icu/erasures";
const CORS: &str = "<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod>\
    <AllowedOrigin>https://a.example</AllowedOrigin></CORSRule></CORSConfiguration>";
const ENCRYPTION: &str = "<ServerSideEncryptionConfiguration><Rule>\
    <ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm>\
    </ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>";
const LIFECYCLE: &str = "<LifecycleConfiguration><Rule><ID>a</ID><Status>Enabled</Status>\
    <Filter><Prefix>tmp/</Prefix></Filter><Expiration><Days>9</Days></Expiration></Rule>\
    </LifecycleConfiguration>";
const LOCK: &str = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>\
    </ObjectLockConfiguration>";
const RETENTION: &str = "<Retention><Mode>GOVERNANCE</Mode>\
    <RetainUntilDate>2199-01-01T00:00:00Z</RetainUntilDate></Retention>";
const OWNERS: &str = "bucket-owner-full-control";
const OWNERSHIP: &str = "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced\
    </ObjectOwnership></Rule></OwnershipControls>";
const CLOSED: &str = "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls>\
    <IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy>\
    <RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>";
const HOLD: &str = "<LegalHold><Status>ON</Status></LegalHold>";
const TAGS: &str = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";

/// One operation: how it is asked about `icu--ecg` and its object `secret-key`.
pub(crate) fn request(operation: &str, there: &There) -> Option<(Asked, Else)> {
    let bucket = "/icu--ecg";
    let of = |query: &str| format!("{bucket}?{query}");
    let object = "/icu--ecg/secret-key";
    let on = |query: &str| format!("{object}?{query}");
    let upload = |query: &str| on(&format!("{query}uploadId={}", there.upload));
    let refused = match operation {
        "ListBuckets" => return Some((asked("GET", "/"), Else::Nothing)),
        "GetIdentity" => return Some((asked("GET", "/.kluis/v1/identity"), Else::Herself)),
        "ListJobs" => return Some((asked("GET", "/.kluis/v1/jobs"), Else::Herself)),
        "ListApprovals" => return Some((asked("GET", APPROVALS), Else::Nothing)),
        "ListNotices" => return Some((asked("GET", "/.kluis/v1/notices"), Else::Herself)),
        "ListDatasets" => return Some((asked("GET", "/.kluis/v1/datasets"), Else::Nothing)),
        "ListErasures" => return Some((asked("GET", ERASURES), Else::Nothing)),
        "ListGrants" => return Some((asked("GET", GRANTS), Else::Nothing)),
        "ListRecords" => return Some((asked("GET", RECORDS), Else::OfTheLog)),
        "ProveRecord" => {
            let proof = format!("/.kluis/v1/projects/icu/records/{EVENT}/proof?dataset=ecg");
            return Some((asked("GET", proof), Else::OfTheLog));
        }
        "HeadBucket" => asked("HEAD", bucket),
        "GetBucketLocation" => asked("GET", of("location")),
        "CreateBucket" => asked("PUT", "/icu--made"),
        "DeleteBucket" => asked("DELETE", "/icu--empty"),
        "GetBucketVersioning" => asked("GET", of("versioning")),
        "GetBucketEncryption" => asked("GET", of("encryption")),
        "ListObjects" => asked("GET", bucket),
        "ListObjectsV2" => asked("GET", of("list-type=2")),
        "GetObject" => asked("GET", object),
        "HeadObject" => asked("HEAD", object),
        "GetObjectAttributes" => {
            asked("GET", on("attributes")).with("x-amz-object-attributes", "ObjectSize")
        }
        "GetObjectTagging" => asked("GET", on("tagging")),
        "PutObject" => asked("PUT", "/icu--ecg/new").body("x"),
        "CopyObject" => asked("PUT", "/icu--ecg/copy").with("x-amz-copy-source", object),
        "DeleteObject" => asked("DELETE", object),
        "DeleteObjects" => {
            let body = "<Delete><Object><Key>secret-key</Key></Object></Delete>";
            return Some((delete_objects(body), Else::Nothing));
        }
        "CreateMultipartUpload" => asked("POST", on("uploads")),
        "UploadPart" => asked("PUT", upload("partNumber=1&")).body("part"),
        "UploadPartCopy" => asked("PUT", upload("partNumber=2&")).with("x-amz-copy-source", object),
        "CompleteMultipartUpload" => {
            let part = "<Part><PartNumber>1</PartNumber><ETag>\"0\"</ETag></Part>";
            let body = format!("<CompleteMultipartUpload>{part}</CompleteMultipartUpload>");
            asked("POST", upload("")).body(body)
        }
        "AbortMultipartUpload" => asked("DELETE", upload("")),
        "ListParts" => asked("GET", upload("")),
        "ListMultipartUploads" => asked("GET", of("uploads")),
        "GetPublicAccessBlock" => asked("GET", of("publicAccessBlock")),
        "GetBucketOwnershipControls" => asked("GET", of("ownershipControls")),
        "GetObjectAcl" => asked("GET", on("acl")),
        "GetBucketAcl" => asked("GET", of("acl")),
        "PutObjectTagging" => asked("PUT", on("tagging")).body(TAGS),
        "DeleteObjectTagging" => asked("DELETE", on("tagging")),
        "PutBucketTagging" => asked("PUT", of("tagging")).body(TAGS),
        "GetBucketTagging" => asked("GET", of("tagging")),
        "DeleteBucketTagging" => asked("DELETE", of("tagging")),
        "PutBucketVersioning" => asked("PUT", of("versioning"))
            .body("<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"),
        "ListObjectVersions" => asked("GET", of("versions")),
        _ => setting(operation)
            .or_else(|| granting(operation, there))
            .or_else(|| job(operation, there))
            .or_else(|| approving(operation, there))
            .or_else(|| versions::request(operation))?,
    };
    Some((refused, Else::Refused))
}

/// One operation on a setting or a lock.
fn setting(operation: &str) -> Option<Asked> {
    let of = |query: &str| format!("/icu--ecg?{query}");
    let locked = |query: &str| format!("/icu--locked/secret-key?{query}");
    Some(match operation {
        "GetBucketCors" => asked("GET", of("cors")),
        "PutBucketAcl" => asked("PUT", of("acl")).with("x-amz-acl", OWNERS),
        "PutObjectAcl" => asked("PUT", locked("acl")).with("x-amz-acl", OWNERS),
        "PutBucketOwnershipControls" => hashed("PUT", of("ownershipControls"), OWNERSHIP),
        "PutPublicAccessBlock" => hashed("PUT", of("publicAccessBlock"), CLOSED),
        "PutBucketCors" => hashed("PUT", of("cors"), CORS),
        "DeleteBucketCors" => asked("DELETE", of("cors")),
        "PutBucketEncryption" => hashed("PUT", of("encryption"), ENCRYPTION),
        "DeleteBucketEncryption" => asked("DELETE", of("encryption")),
        "GetBucketLifecycleConfiguration" => asked("GET", of("lifecycle")),
        "PutBucketLifecycleConfiguration" => hashed("PUT", of("lifecycle"), LIFECYCLE),
        "DeleteBucketLifecycle" => asked("DELETE", of("lifecycle")),
        "GetObjectLockConfiguration" => asked("GET", "/icu--locked?object-lock"),
        "PutObjectLockConfiguration" => hashed("PUT", "/icu--locked?object-lock".to_owned(), LOCK),
        "GetObjectRetention" => asked("GET", locked("retention")),
        "PutObjectRetention" => hashed("PUT", locked("retention"), RETENTION),
        "GetObjectLegalHold" => asked("GET", locked("legal-hold")),
        "PutObjectLegalHold" => hashed("PUT", locked("legal-hold"), HOLD),
        "GetBucketPolicy" => asked("GET", of("policy")),
        "GetBucketPolicyStatus" => asked("GET", of("policyStatus")),
        _ => return None,
    })
}

/// One of the endpoints of grants.
fn granting(operation: &str, there: &There) -> Option<Asked> {
    let grant = |id: GrantId, verb: &str| format!("{GRANTS}/{id}{verb}");
    Some(match operation {
        "CreateGrant" => {
            let body = serde_json::json!({
                "principal": "zoe", "role": "reader", "purpose": "p", "permit": "q",
                "expires": "2199-12-31T00:00:00Z",
            });
            asked("POST", GRANTS).body(body.to_string())
        }
        "ListMembers" => asked("GET", "/.kluis/v1/projects/icu/groups/readers"),
        "GetLogTerms" => asked("GET", "/.kluis/v1/projects/icu/log"),
        "SetLogTerms" => asked("PUT", "/.kluis/v1/projects/icu/log").body(r#"{"days": 4000}"#),
        "GetGrant" => asked("GET", grant(there.grant, "")),
        "WithdrawGrant" => asked("DELETE", grant(there.grant, "")),
        "ApproveGrant" => asked("POST", grant(there.proposal, "/approve")),
        "ConfirmGrant" => asked("POST", grant(there.grant, "/confirm")),
        _ => return None,
    })
}

/// One of the endpoints of jobs.
fn job(operation: &str, there: &There) -> Option<Asked> {
    let jobs = "/.kluis/v1/jobs";
    Some(match operation {
        "SubmitJob" => asked("POST", jobs).body(JOB),
        "CancelJob" => asked("DELETE", format!("{jobs}/{}", there.job)),
        _ => return None,
    })
}

/// One of the endpoints of acts that take two persons.
fn approving(operation: &str, there: &There) -> Option<Asked> {
    let on = |verb: &str| format!("{APPROVALS}/{}{verb}", there.approval);
    Some(match operation {
        "AskApproval" => {
            let body = serde_json::json!({
                "act": "erase", "dataset": "ecg", "terms": {"what": "dataset"}, "reason": "its end",
            });
            asked("POST", APPROVALS).body(body.to_string())
        }
        "DescribeDataset" => asked("GET", "/.kluis/v1/datasets/icu--ecg"),
        "CreateDataset" => asked("PUT", "/.kluis/v1/datasets/icu--made").body("{}"),
        "SetDescription" => {
            asked("POST", "/.kluis/v1/datasets/icu--ecg").body(r#"{"source": "another"}"#)
        }
        "SetDefaults" => {
            let body = r#"{"label": "internal", "source": "s", "basis": "b", "days": 9}"#;
            asked("PUT", "/.kluis/v1/projects/icu/defaults").body(body)
        }
        "BreakGlass" => asked("POST", format!("{APPROVALS}/{}/break-glass", there.glass)),
        "GetApproval" => asked("GET", on("")),
        "WithdrawApproval" => asked("DELETE", format!("{APPROVALS}/{}", there.own)),
        "ApproveAct" => asked("POST", on("/approve")),
        "RefuseAct" => asked("POST", on("/refuse")),
        "Erase" => asked("POST", format!("{APPROVALS}/{}/erase", there.erasure)),
        "GetCertificate" => asked("GET", format!("{ERASURES}/{}", there.erased)),
        _ => return None,
    })
}

async fn agreed_glass(world: &World, (olivia, oscar): (&Keys, &Keys)) -> String {
    let body = serde_json::json!({
        "act": "break-glass", "dataset": "ecg", "terms": {"who": "zoe", "minutes": "5"},
        "reason": "theatre 3",
    });
    let request = asked("POST", APPROVALS).body(body.to_string());
    let got = world.serve(Some(olivia), &request).await;
    let id = got.json()["approval"].as_str().expect("an id").to_owned();
    let approve = asked("POST", format!("{APPROVALS}/{id}/approve"));
    assert_eq!(world.serve(Some(oscar), &approve).await.status, 200);
    id
}

async fn ask_act(world: &World, who: &Keys) -> String {
    let body = serde_json::json!({
        "act": "label.lower", "dataset": "ecg", "terms": {"to": "public"}, "reason": "secret bytes",
    });
    let request = asked("POST", APPROVALS).body(body.to_string());
    let got = world.serve(Some(who), &request).await;
    assert_eq!(got.status, 201, "{}", got.body);
    got.json()["approval"].as_str().expect("an id").to_owned()
}

/// An erasure that olivia asks for and oscar approves.
async fn agree(world: &World, (olivia, oscar): (&Keys, &Keys), key: &str) -> String {
    let body = serde_json::json!({
        "act": "erase", "dataset": "ecg", "terms": {"what": format!("object={key}")},
        "reason": "secret bytes",
    });
    let request = asked("POST", APPROVALS).body(body.to_string());
    let got = world.serve(Some(olivia), &request).await;
    let id = got.json()["approval"].as_str().expect("an id").to_owned();
    let approve = asked("POST", format!("{APPROVALS}/{id}/approve"));
    assert_eq!(world.serve(Some(oscar), &approve).await.status, 200);
    id
}

fn delete_objects(body: &str) -> Asked {
    hashed("POST", "/icu--ecg?delete".to_owned(), body)
}

/// XML that must come with a checksum.
fn hashed(method: &'static str, uri: String, body: &str) -> Asked {
    let hash = ring::digest::digest(&ring::digest::SHA256, body.as_bytes());
    let sum = data_encoding::BASE64.encode(hash.as_ref());
    let asked = asked(method, uri);
    asked.with("x-amz-checksum-sha256", sum).body(body)
}

/// Signed in itself and not in its headers: `forms.rs` asks the first, `jobs.rs`
/// those whose proof is a node's key. The description of the API is everybody's.
const ELSEWHERE: [&str; 4] = ["PostObject", "StartJob", "EndJob", "GetApiDescription"];

/// Those of SCIM know no signature at all: `people.rs` asks them.
const ORGANISATIONS: &str = "Scim";

pub(crate) fn operations() -> Vec<&'static str> {
    let endpoints = Api::endpoints().iter().map(|endpoint| endpoint.operation);
    let all = SERVED.iter().copied().chain(endpoints);
    all.filter(|name| !ELSEWHERE.contains(name) && !name.starts_with(ORGANISATIONS))
        .collect()
}

/// A group that reads.
async fn readers(world: &World) {
    let local = world.local();
    let made = world.vault.create_group(&local, name("readers"));
    made.await.expect("a group");
    world.grant(world.draft("readers", "reader")).await;
}

/// Fills `icu--ecg`, as olivia does.
pub(crate) async fn fill(world: &World, olivia: &Keys) -> There {
    let ok = async |request: Asked| {
        let got = world.serve(Some(olivia), &request).await;
        assert!(
            got.status < 300,
            "{}: {} {}",
            request.uri,
            got.status,
            got.body
        );
        got
    };
    ok(asked("PUT", "/icu--ecg")).await;
    ok(asked("PUT", "/icu--empty")).await;
    ok(asked("PUT", "/icu--ecg?versioning")
        .body("<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"))
    .await;
    ok(asked("PUT", "/icu--ecg?tagging").body(TAGS)).await;
    ok(hashed("PUT", "/icu--ecg?cors".to_owned(), CORS)).await;
    ok(hashed("PUT", "/icu--ecg?lifecycle".to_owned(), LIFECYCLE)).await;
    ok(asked("PUT", "/icu--locked").with("x-amz-bucket-object-lock-enabled", "true")).await;
    ok(asked("PUT", "/icu--locked/secret-key").body("secret bytes")).await;
    for (query, body) in [("retention", RETENTION), ("legal-hold", HOLD)] {
        let uri = format!("/icu--locked/secret-key?{query}");
        ok(hashed("PUT", uri, body)).await;
    }
    let put = ok(asked("PUT", "/icu--ecg/secret-key").body("secret bytes")).await;
    ok(versions::publish()).await;
    let version = put.headers["x-amz-version-id"]
        .to_str()
        .expect("text")
        .to_owned();
    let upload = ok(asked("POST", "/icu--ecg/secret-key?uploads"))
        .await
        .element("UploadId");
    let _node = crate::jobs::Node::enrolled(world, "gpu-1", "hpc").await;
    let job = ok(asked("POST", "/.kluis/v1/jobs").body(JOB)).await.json();
    let job = job["job"].as_str().expect("a name").to_owned();
    world.person("zoe").await;
    let grant = world.grant(world.draft("zoe", "reader")).await;
    readers(world).await;
    let vault: &Vault = &world.vault;
    let asking = Grant {
        approver: name("zoe"),
        ..world.draft("zoe", "contributor")
    };
    let proposal = vault.propose_grant(&world.local(), asking).await;
    let oscar = world.member("oscar", "owner").await;
    let (approval, own) = (ask_act(world, &oscar).await, ask_act(world, olivia).await);
    let glass = agreed_glass(world, (olivia, &oscar)).await;
    ok(asked("PUT", "/icu--ecg/secret-other").body("secret bytes")).await;
    let one = agree(world, (olivia, &oscar), "secret-other").await;
    let done = ok(asked("POST", format!("{APPROVALS}/{one}/erase"))).await;
    let erased = done.json()["work"].as_str().expect("an id").to_owned();
    let erasure = agree(world, (olivia, &oscar), "secret-key").await;
    There {
        approval,
        own,
        glass,
        erasure,
        erased,
        upload,
        version,
        grant,
        proposal: proposal.expect("a proposal").id,
        job,
    }
}

pub(crate) type Stranger = (&'static str, Option<Keys>);

/// Everybody who must be refused. But for what is wrong with each, all could do what an owner can.
pub(crate) async fn strangers(world: &World, olivia: &Keys) -> Vec<Stranger> {
    let lab = "lab".parse().expect("a name");
    world.found(&lab, "laura").await;
    let wrong = Keys {
        secret: "a wrong secret".to_owned(),
        ..olivia.clone()
    };
    let unknown = Keys {
        id: "KLUS2222222222222222".to_owned(),
        ..olivia.clone()
    };
    let mut all = vec![
        ("anonymous", None),
        ("bad signature", Some(wrong)),
        ("unknown key", Some(unknown)),
        (
            "owner of another project",
            Some(world.keys("laura", None).await),
        ),
        ("operator", Some(world.member("otto", "operator").await)),
        ("auditor", Some(world.member("anna", "auditor").await)),
    ];
    all.extend(ended(world).await);
    all.extend(narrowed(world).await);
    all.extend(key_scopes::strangers(world).await);
    all.extend(sessions(world).await);
    all
}

/// Those whose right is over. A day passes.
async fn ended(world: &World) -> Vec<Stranger> {
    let mut all = Vec::new();
    let mut add = |who, keys| all.push((who, Some(keys)));
    let local = world.local();
    let soon = world.vault.now().plus_millis(DAY_MS);
    let late = Grant {
        expires: Some(soon),
        ..world.draft("exa", "owner")
    };
    world.person("exa").await;
    world.grant(late).await;
    add("expired grant", world.keys("exa", None).await);
    world.member("exo", "owner").await;
    add("expired credential", world.keys("exo", Some(soon)).await);

    add("suspended", world.member("sue", "owner").await);
    let done = world.vault.suspend(&local, name("sue"), true).await;
    done.expect("suspended");

    world.person("wim").await;
    let id = world.grant(world.draft("wim", "owner")).await;
    let withdrawn = world.keys("wim", None).await;
    let seen = world
        .serve(Some(&withdrawn), &asked("HEAD", "/icu--ecg"))
        .await;
    assert_eq!(seen.status, 200, "before it is withdrawn");
    let done = world.vault.revoke_grant(&local, (&icu(), id), None).await;
    done.expect("withdrawn");
    add("withdrawn grant", withdrawn);

    let revoked = world.member("rex", "owner").await;
    let id = revoked.id.parse().expect("a key");
    let done = world.vault.revoke_credential(&local, id).await;
    done.expect("revoked");
    add("revoked credential", revoked);
    world.wait(DAY_MS);
    all
}

/// Those whose right is for something else, or not given yet.
async fn narrowed(world: &World) -> Vec<Stranger> {
    world.person("pia").await;
    let mut proposed = world.draft("pia", "owner");
    proposed.approver = name("pia");
    let made = world.vault.propose_grant(&world.local(), proposed).await;
    assert_eq!(made.expect("a proposal").terms.standing, Standing::Proposed);
    world.person("nele").await;
    let mut elsewhere = world.draft("nele", "owner");
    elsewhere.terms.networks = vec!["10.0.0.0/8".parse().expect("a network")];
    world.grant(elsewhere).await;
    vec![
        ("proposed grant", Some(world.keys("pia", None).await)),
        ("another network", Some(world.keys("nele", None).await)),
    ]
}

/// An owner's sessions, each with something wrong. An hour passes.
async fn sessions(world: &World) -> Vec<Stranger> {
    let provider = Provider::new();
    world.vault.replace_issuers(vec![provider.issuer(false)]);
    world.member("wanda", "owner").await;
    link(world, "w|1", "wanda").await;
    let session = async |role| {
        let token = provider.token("w|1", world.vault.now(), 300);
        sts::keys(&sts::assume(world, &token, role).await)
    };
    let expired = session("kluis").await;
    world.wait(DAY_MS / 24);
    let without = Keys {
        token: None,
        ..session("kluis").await
    };
    vec![
        ("expired session", Some(expired)),
        ("session without its token", Some(without)),
        (
            "wrong purpose",
            Some(session("icu/ecg/another:purpose").await),
        ),
        ("session of another project", Some(session("lab").await)),
    ]
}

pub(crate) fn check(who: &str, operation: &str, expected: Else, got: &crate::world::Got) {
    let told = format!("{who}, {operation}: {} {}", got.status, got.body);
    for secret in ["secret bytes", "zoe"] {
        assert!(!got.body.contains(secret), "{told}");
    }
    let recognised = !matches!(
        who,
        "anonymous"
            | "bad signature"
            | "unknown key"
            | "expired credential"
            | "revoked credential"
            | "expired session"
            | "session without its token"
    );
    let narrow = who == "wrong purpose" || key_scopes::NARROW.contains(&who);
    let only_told = who == "suspended" || narrow;
    match expected {
        // Who is suspended, or comes for less than a project, is told who she is, and nothing more.
        Else::Herself if recognised && (!only_told || operation == "GetIdentity") => {
            assert_eq!(got.status, 200, "{told}");
        }
        Else::Nothing if recognised && got.status == 200 => {
            for mark in ["icu--ecg", "<Deleted>"] {
                assert!(!got.body.contains(mark), "{told}");
            }
        }
        Else::OfTheLog if who == "auditor" => assert_eq!(got.status, 503, "{told}"),
        Else::Herself | Else::Nothing | Else::Refused | Else::OfTheLog => {
            assert_eq!(got.status, 403, "{told}");
        }
    }
}

#[tokio::test]
async fn everybody_who_must_be_refused_is_refused_everywhere() {
    let world = World::new().await;
    let olivia = world.keys("olivia", None).await;
    let there = fill(&world, &olivia).await;
    let strangers = strangers(&world, &olivia).await;
    assert!(strangers.len() >= 21);
    let mut asking = 0;
    for operation in operations() {
        let request = request(operation, &there);
        let (request, expected) =
            request.unwrap_or_else(|| panic!("{operation} is not in the table"));
        for (who, keys) in &strangers {
            // From another peer each time: attempts that fail are bounded for each.
            asking += 1;
            let peer = format!("127.1.{}.{}:5", asking / 250, asking % 250);
            let got = world.serve_from(&peer, keys.as_ref(), &request).await;
            check(who, operation, expected, &got);
        }
    }
    // Nothing of it changed anything.
    let read = world
        .serve(Some(&olivia), &asked("GET", "/icu--ecg/secret-key"))
        .await;
    assert_eq!((read.status, read.body.as_str()), (200, "secret bytes"));
    assert_eq!(read.headers["x-amz-version-id"], there.version.as_str());
    let list = world.serve(Some(&olivia), &asked("GET", "/icu--ecg")).await;
    assert_eq!(list.body.matches("<Key>").count(), 1, "{}", list.body);
    let state = world
        .vault
        .catalog()
        .grant(&there.proposal)
        .await
        .expect("a look");
    assert_eq!(state.expect("a grant").terms.standing, Standing::Proposed);
}

/// The same requests are right: an owner is served. Else the table would prove nothing.
#[tokio::test]
async fn an_owner_is_served_everywhere() {
    let known: BTreeSet<&str> = operations().into_iter().collect();
    assert_eq!(known.len(), operations().len(), "each once");
    for operation in operations() {
        let world = match operation {
            "ListRecords" | "ProveRecord" => World::with_records().await,
            _ => World::new().await,
        };
        let olivia = world.keys("olivia", None).await;
        let there = fill(&world, &olivia).await;
        let (request, _) = request(operation, &there).expect("in the table");
        let got = world.serve(Some(&olivia), &request).await;
        // A completion names a part that was never sent: judged behind every right.
        let late = match operation {
            "CompleteMultipartUpload" => got.status == 400,
            "GetSealed" => matches!(got.status, 404 | 416),
            "ProveRecord" => got.status == 404,
            _ => false,
        };
        assert!(
            got.status < 300 || late,
            "{operation}: {} {}",
            got.status,
            got.body
        );
    }
}
