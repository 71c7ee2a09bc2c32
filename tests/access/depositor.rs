//! UP-5: who may only bring data sees nothing of what is there, by whatever door: **every operation
//! is asked.**

use crate::table::{Else, check, fill, operations, request};
use crate::world::{World, asked};

/// What brings data, and what says that the dataset is there; none of it names what is in it.
const HERS: [&str; 6] = [
    "ListBuckets",
    "ListDatasets",
    "PutObject",
    "CreateMultipartUpload",
    "ListMultipartUploads",
    "HeadBucket",
];

/// Another's upload: it looks absent.
const ANOTHERS: [&str; 4] = [
    "UploadPart",
    "CompleteMultipartUpload",
    "AbortMultipartUpload",
    "ListParts",
];
/// What is told of a dataset to whoever may know that it is there: settings, versions, and of
/// objects nothing, since each is decided on by itself.
const OF_THE_DATASET: [&str; 15] = [
    "GetBucketLocation",
    "GetBucketVersioning",
    "GetBucketEncryption",
    "GetPublicAccessBlock",
    "GetBucketOwnershipControls",
    "GetBucketPolicyStatus",
    "GetBucketAcl",
    "GetObjectLockConfiguration",
    "ListPublished",
    "DescribeDataset",
    "ReleaseKeys",
    "GetPack",
    "GetUrls",
    "ReportReads",
    "SubmitJob",
];

#[tokio::test]
async fn up_5_a_depositor_is_refused_whatever_shows_what_is_there() {
    let world = World::with_records().await;
    let olivia = world.keys("olivia", None).await;
    let there = fill(&world, &olivia).await;
    let dora = world.member("dora", "depositor").await;
    let mut wrong = Vec::new();
    for operation in operations() {
        let (request, expected) = request(operation, &there).expect("in the table");
        let got = world.serve(Some(&dora), &request).await;
        for shown in ["secret bytes", "secret-other", "zoe"] {
            assert!(!got.body.contains(shown), "{operation}: {}", got.body);
        }
        if operation == "ListMultipartUploads" {
            assert_eq!(
                got.body.matches("<Upload>").count(),
                1,
                "her own: {}",
                got.body
            );
        }
        if HERS.contains(&operation) {
            assert!(got.status < 300, "{operation}: {} {}", got.status, got.body);
        } else if ANOTHERS.contains(&operation) {
            assert_eq!(got.status, 404, "{operation}: {}", got.body);
        } else if OF_THE_DATASET.contains(&operation) {
            assert!(got.status < 300, "{operation}: {} {}", got.status, got.body);
            assert!(!got.body.contains("secret"), "{operation}: {}", got.body);
            if operation == "ListPublished" {
                assert!(got.body.contains("@1"), "a version: {}", got.body);
                let counts = ["\"objects\"", "\"bytes\"", "\"hidden\""];
                assert!(
                    !counts.iter().any(|it| got.body.contains(it)),
                    "{}",
                    got.body
                );
            }
        } else if matches!(expected, Else::Refused | Else::OfTheLog) {
            if got.status != 403 {
                wrong.push((operation, got.status, got.body));
            }
        } else {
            check("depositor", operation, expected, &got);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A write that cannot succeed must not tell which keys there are.
#[tokio::test]
async fn up_5_a_depositor_learns_nothing_from_conditions() {
    let world = World::with_records().await;
    let olivia = world.keys("olivia", None).await;
    fill(&world, &olivia).await;
    let there = asked("PUT", "/icu--ecg/of/olivia").body("hers");
    assert_eq!(world.serve(Some(&olivia), &there).await.status, 200);
    let dora = world.member("dora", "depositor").await;
    for key in ["of/olivia", "of/nobody"] {
        let uri = format!("/icu--ecg/{key}");
        let conditions = [
            ("if-match", "\"00\""),
            ("if-match", "*"),
            ("if-none-match", "\"00000000000000000000000000000000-0\""),
        ];
        for (name, value) in conditions {
            let write = asked("PUT", uri.clone()).with(name, value).body("x");
            let got = world.serve(Some(&dora), &write).await;
            assert_eq!(got.status, 403, "{key} {name} {value}: {}", got.body);
            assert_eq!(got.element("Code"), "AccessDenied");
        }
        let begun = asked("POST", format!("{uri}?uploads"));
        let begun = world.serve(Some(&dora), &begun).await;
        let upload = begun.element("UploadId");
        let parts = "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\"00\"</ETag></Part></CompleteMultipartUpload>";
        let done = asked("POST", format!("{uri}?uploadId={upload}"))
            .with("if-match", "\"00\"")
            .body(parts);
        let got = world.serve(Some(&dora), &done).await;
        assert_eq!(got.status, 403, "{key}: {}", got.body);
    }
    // That she writes over nothing she may ask, and who may look may ask anything.
    let fresh = |name| {
        asked("PUT", "/icu--ecg/of/dora")
            .with("if-none-match", name)
            .body("x")
    };
    assert_eq!(world.serve(Some(&dora), &fresh("*")).await.status, 200);
    let missed = asked("PUT", "/icu--ecg/of/olivia")
        .with("if-match", "\"00\"")
        .body("x");
    assert_eq!(world.serve(Some(&olivia), &missed).await.status, 412);
}
