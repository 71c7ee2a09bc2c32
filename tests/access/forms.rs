//! A browser's form (`PostObject`), which is signed in itself and not in its headers: asked by
//! everybody who must be refused, as the table asks what is signed in its headers.

use data_encoding::{BASE64, HEXLOWER};
use ring::hmac;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::table::{Else, check, fill, strangers};
use crate::world::{Asked, Keys, World, asked, wall};

const MARK: &str = "a-boundary-of-ours";
const KEY: &str = "by-a-form";

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

/// A moment as `20270131T235959Z` and as `2027-01-31T23:59:59.000Z`.
fn moments(at: OffsetDateTime) -> (String, String) {
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    let (hour, minute, second) = at.to_hms();
    (
        format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z"),
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z"),
    )
}

/// A form for `icu--ecg` as its holder signs it (AWS Signature Version 4, POST policies).
fn form(keys: Option<&Keys>) -> Asked {
    form_by(keys, Some(json!({"bucket": "icu--ecg"})), &[])
}

/// The same, whose policy says this of its bucket, with further fields that it does not cover.
fn form_by(keys: Option<&Keys>, bucket: Option<Value>, more: &[(&'static str, &str)]) -> Asked {
    let now = OffsetDateTime::from(wall());
    let (at, _) = moments(now);
    let date = &at[..8];
    let mut fields = vec![("key", KEY.to_owned())];
    if let Some(keys) = keys {
        let scope = format!("{}/{date}/kluis/s3/aws4_request", keys.id);
        fields.push(("x-amz-algorithm", "AWS4-HMAC-SHA256".to_owned()));
        fields.push(("x-amz-credential", scope));
        fields.push(("x-amz-date", at.clone()));
        fields.extend(
            keys.token
                .clone()
                .map(|token| ("x-amz-security-token", token)),
        );
        let mut conditions: Vec<Value> = bucket.into_iter().collect();
        conditions.extend(fields.iter().map(|(name, value)| json!({ *name: value })));
        let (_, end) = moments(now + Duration::minutes(10));
        let policy = json!({"expiration": end, "conditions": conditions});
        let policy = BASE64.encode(policy.to_string().as_bytes());
        let secret = format!("AWS4{}", keys.secret);
        let words = [date, "kluis", "s3", "aws4_request"];
        let key = words
            .iter()
            .fold(secret.into_bytes(), |key, word| mac(&key, word));
        fields.push(("x-amz-signature", HEXLOWER.encode(&mac(&key, &policy))));
        fields.push(("policy", policy));
    }
    fields.extend(
        more.iter()
            .map(|(name, value)| (*name, (*value).to_owned())),
    );
    let mut body = String::new();
    for (name, value) in fields {
        let head = format!("--{MARK}\r\nContent-Disposition: form-data; name=\"{name}\"");
        body += &[&head, "\r\n\r\n", &value, "\r\n"].concat();
    }
    let file = "Content-Disposition: form-data; name=\"file\"; filename=\"f\"";
    let end = format!("--{MARK}\r\n{file}\r\n\r\nbytes\r\n--{MARK}--\r\n");
    body += &end;
    asked("POST", "/icu--ecg")
        .with(
            "content-type",
            format!("multipart/form-data; boundary={MARK}"),
        )
        .body(body)
}

#[tokio::test]
async fn a_form_is_refused_to_everybody_who_must_be() {
    let world = World::new().await;
    let olivia = world.keys("olivia", None).await;
    let _there = fill(&world, &olivia).await;
    let strangers = strangers(&world, &olivia).await;
    let object = asked("GET", format!("/icu--ecg/{KEY}"));
    let low = world.member("lowen", "owner").await;
    for (number, (who, keys)) in strangers.iter().enumerate() {
        let peer = format!("127.2.0.{number}:5");
        let got = world.serve_from(&peer, None, &form(keys.as_ref())).await;
        check(who, "PostObject", Else::Refused, &got);
    }
    assert_eq!(world.serve(Some(&olivia), &object).await.status, 404);
    let local = world.local();
    let secret = "secret".parse().expect("a label");
    let cleared = world
        .vault
        .clear(&local, "olivia".parse().expect("a name"), Some(secret));
    cleared.await.expect("cleared");
    let raise = asked("POST", "/.kluis/v1/datasets/icu--ecg").body(r#"{"label": "secret"}"#);
    assert_eq!(world.serve(Some(&olivia), &raise).await.status, 200);
    let got = world.serve(None, &form(Some(&low))).await;
    check("below clearance", "PostObject", Else::Refused, &got);
    // The same form is right: who may write is served.
    let got = world.serve(None, &form(Some(&olivia))).await;
    assert!(got.status < 300, "{} {}", got.status, got.body);
    assert_eq!(world.serve(Some(&olivia), &object).await.body, "bytes");
}

/// Whoever got hold of such a form could write with it into every bucket of its signer.
#[tokio::test]
async fn a_form_whose_policy_says_nothing_of_its_bucket_is_good_for_none() {
    let world = World::new().await;
    let olivia = world.keys("olivia", None).await;
    let _there = fill(&world, &olivia).await;
    let object = asked("GET", format!("/icu--ecg/{KEY}"));
    let silent = || form_by(Some(&olivia), None, &[]);
    let of_kind = |mut form: Asked, kind: &str| {
        form.headers.retain(|(name, _)| *name != "content-type");
        form.with("content-type", kind)
    };
    let kind = |kind: &str| of_kind(silent(), kind);
    let named = form_by(Some(&olivia), None, &[("bucket", "icu--ecg")]);
    let quoted = format!("multipart/form-data; boundary=\"{MARK}\"");
    for (what, form) in [
        ("silent", silent()),
        ("a field that the policy does not cover", named),
        ("a boundary in quotes", kind(&quoted)),
        (
            "two kinds",
            silent().with("content-type", "multipart/form-data; boundary=x"),
        ),
        (
            "two boundaries",
            kind(&format!("multipart/form-data; boundary=x; boundary={MARK}")),
        ),
        (
            "two boundaries, the other way",
            kind(&format!("multipart/form-data; boundary={MARK}; boundary=x")),
        ),
    ] {
        let got = world.serve(None, &form).await;
        assert!(
            [400, 403].contains(&got.status),
            "{what}: {} {}",
            got.status,
            got.body
        );
        assert_eq!(
            world.serve(Some(&olivia), &object).await.status,
            404,
            "{what}"
        );
    }
    let got = world.serve(None, &silent()).await;
    assert_eq!(got.status, 403, "{}", got.body);
    assert!(
        got.body.contains("<Code>AccessDenied</Code>"),
        "{}",
        got.body
    );
    // One of another bucket, whatever the form says beside it.
    let other = || Some(json!({"bucket": "icu--other"}));
    for more in [&[][..], &[("bucket", "icu--other")]] {
        let got = world
            .serve(None, &form_by(Some(&olivia), other(), more))
            .await;
        assert!((400..500).contains(&got.status), "{}", got.status);
    }
    assert_eq!(world.serve(Some(&olivia), &object).await.status, 404);
    // As boto3 and as AWS's pages write it, with the field and without.
    let equal = || Some(json!(["eq", "$bucket", "icu--ecg"]));
    for more in [&[][..], &[("bucket", "icu--ecg")]] {
        let got = world
            .serve(None, &form_by(Some(&olivia), equal(), more))
            .await;
        assert!(got.status < 300, "{} {}", got.status, got.body);
    }
    let form = of_kind(form(Some(&olivia)), &quoted);
    let got = world.serve(None, &form).await;
    assert!(got.status < 300, "{} {}", got.status, got.body);
    assert_eq!(world.serve(Some(&olivia), &object).await.body, "bytes");
}
