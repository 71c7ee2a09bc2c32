//! Lines of a store's access log and of its inventory. **Each is hostile**: clients choose keys,
//! agents and referers, and what a log's writer escapes is its own affair. A line that does not
//! read is an error, never skipped.
//!
//! - `aws`: S3 server access logs, as AWS and what follows it write them.
//! - `combined`: what nginx and others write in front of a store. It says what a client sent and
//!   what the server told, which may both be other than what the store was asked and did.
//! - inventory: CSV in S3 Inventory's order: bucket, key, and where there are more, size and time.

use time::{Date, Month, PrimitiveDateTime, Time, UtcOffset};

use super::path::{decoded, ways};
use crate::types::Timestamp;

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Op {
    /// Bytes, or what is said of an object, were handed out.
    Read,
    /// An object was written.
    Write,
    /// An object was deleted.
    Delete,
    /// Names were handed out, or something about the bucket; nothing was changed there.
    Bucket,
    /// Until when an object is locked was set.
    Retain,
    /// Something else was done to an object: rights, tags, holds; or anything but a look to a
    /// bucket: many objects deleted at once, its policy, its lifecycle, its end.
    Change,
}

/// One request that the store served, or may have served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Access {
    /// When, to the second.
    pub(super) at: Timestamp,
    /// The client's address as the log has it.
    pub(super) from: String,
    pub(super) op: Op,
    /// The bucket; empty where the line is about none, `None` where the host may name it.
    pub(super) bucket: Option<String>,
    /// The object's key; empty where the line is about a bucket.
    pub(super) key: String,
    /// How many bytes were sent; `None` where the line does not say.
    pub(super) sent: Option<u64>,
    /// Whether the line says that it was served; else it does not say.
    pub(super) certain: bool,
}

/// How many bytes a field says that were sent; none are written as `-`.
fn sent(field: Option<&str>) -> Option<u64> {
    match field? {
        "-" => Some(0),
        digits => digits.parse().ok(),
    }
}

/// A line that is none of its form.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the line is none of its form")]
pub(super) struct NoLine;

/// The fields of a line: parted by spaces, some in quotes or brackets.
fn fields(line: &str) -> Result<Vec<&str>, NoLine> {
    let mut found = Vec::new();
    let mut rest = line.trim_end_matches(['\r', '\n']);
    while !rest.is_empty() {
        let (field, after) = if let Some(inner) = rest.strip_prefix('"') {
            quoted(inner)?
        } else if let Some(inner) = rest.strip_prefix('[') {
            inner.split_once(']').ok_or(NoLine)?
        } else {
            let end = rest.find(' ').unwrap_or(rest.len());
            rest.split_at_checked(end).ok_or(NoLine)?
        };
        found.push(field);
        rest = match after.strip_prefix(' ') {
            Some(rest) => rest,
            None if after.is_empty() => "",
            None => return Err(NoLine),
        };
    }
    Ok(found)
}

/// Up to the quote that ends it: one with a blank or nothing behind it, and no backslash before.
fn quoted(inner: &str) -> Result<(&str, &str), NoLine> {
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => {
                let (field, after) = inner.split_at_checked(at).ok_or(NoLine)?;
                let after = after.strip_prefix('"').ok_or(NoLine)?;
                if after.is_empty() || after.starts_with(' ') {
                    return Ok((field, after));
                }
            }
            _ => escaped = false,
        }
    }
    Err(NoLine)
}

/// `06/Feb/2027:00:00:38 +0100`.
fn moment(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (moment, zone) = text.split_once(' ')?;
    let mut parts = moment.split(['/', ':']);
    let day: u8 = parts.next()?.parse().ok()?;
    let month = parts.next()?;
    let month = MONTHS
        .iter()
        .zip(1_u8..)
        .find(|(name, _)| **name == month)?
        .1;
    let year: i32 = parts.next()?.parse().ok()?;
    let mut number = || parts.next()?.parse::<u8>().ok();
    let time = Time::from_hms(number()?, number()?, number()?).ok()?;
    if parts.next().is_some() {
        return None;
    }
    let month = Month::try_from(month).ok()?;
    let date = Date::from_calendar_date(year, month, day).ok()?;
    let behind = zone.starts_with('-');
    let digits = zone.strip_prefix(['+', '-']).filter(|z| z.len() == 4)?;
    let (hours, minutes) = digits.split_at_checked(2)?;
    let (hours, minutes): (i8, i8) = (hours.parse().ok()?, minutes.parse().ok()?);
    let sign = if behind { -1 } else { 1 };
    let zone = UtcOffset::from_hms(hours.checked_mul(sign)?, minutes.checked_mul(sign)?, 0).ok()?;
    let at = PrimitiveDateTime::new(date, time).assume_offset(zone);
    let millis = at.unix_timestamp().checked_mul(1000)?;
    u64::try_from(millis).ok().map(Timestamp::from_millis)
}

/// Whether a status says that it was served.
const fn served(status: u16) -> bool {
    status < 400
}

/// A line of an S3 server access log; `None` for a request that was not served.
pub(super) fn aws(line: &str) -> Result<Option<Access>, NoLine> {
    let fields = fields(line)?;
    let [
        _owner,
        bucket,
        at,
        from,
        _who,
        _id,
        operation,
        key,
        _uri,
        status,
        _error,
        ref rest @ ..,
    ] = *fields
    else {
        return Err(NoLine);
    };
    let at = moment(at).ok_or(NoLine)?;
    // What the store does by itself, such as expiring objects, has no status.
    let status = if status == "-" { Ok(0) } else { status.parse() };
    if !served(status.map_err(|_number| NoLine)?) {
        return Ok(None);
    }
    let key = if key == "-" { "" } else { key };
    // A key is encoded in the log as it was in the request, and there it was encoded already.
    let key = decoded(key).and_then(|key| decoded(&key)).ok_or(NoLine)?;
    Ok(Some(Access {
        at,
        from: from.to_owned(),
        op: aws_op(operation, &key),
        bucket: Some(bucket.to_owned()),
        key,
        sent: sent(rest.first().copied()),
        certain: true,
    }))
}

fn aws_op(operation: &str, key: &str) -> Op {
    let mut words = operation.split('.').skip(1);
    let (verb, what) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    match (verb, what) {
        ("GET" | "HEAD" | "OPTIONS", _) | ("PUT", "BUCKET") if key.is_empty() => Op::Bucket,
        _ if key.is_empty() => Op::Change,
        ("GET" | "HEAD" | "OPTIONS" | "SELECT", "OBJECT" | "PART") | ("COPY", "OBJECT_GET") => {
            Op::Read
        }
        ("PUT" | "POST" | "COPY", "OBJECT" | "PART" | "UPLOAD" | "UPLOADS") => Op::Write,
        ("DELETE", "OBJECT" | "UPLOAD") | ("EXPIRE" | "CREATE", _) => Op::Delete,
        ("GET" | "HEAD", _) => Op::Read,
        ("PUT", "OBJECT_RETENTION") => Op::Retain,
        _ => Op::Change,
    }
}

/// Whether a server in front of a store says that a request was served; `None`: it does not know.
/// A client that goes as soon as it has asked, and a store that is slow, leave such lines of
/// requests that were carried out.
const fn told(status: u16) -> Option<bool> {
    match status {
        400 | 408 | 499 | 500.. => None,
        _ => Some(served(status)),
    }
}

/// A line of a server in front of a store: the request in each way in which the store may have
/// understood it, as it stands first; none where it was not served.
pub(super) fn combined(line: &str) -> Result<Vec<Access>, NoLine> {
    let fields = fields(line)?;
    let [from, _ident, _user, at, request, status, bytes, ..] = *fields else {
        return Err(NoLine);
    };
    let at = moment(at).ok_or(NoLine)?;
    let status = told(status.parse().map_err(|_number| NoLine)?);
    if status == Some(false) {
        return Ok(Vec::new());
    }
    let mut words = request.split(' ');
    let (Some(method), Some(target), Some(_http)) = (words.next(), words.next(), words.next())
    else {
        return Err(NoLine);
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut found = Vec::new();
    for way in ways(path)? {
        let op = http_op(method, &way.key, query);
        // Of what was only looked at nothing came but the server's own words.
        let nothing = matches!(op, Op::Read | Op::Bucket) && status.is_none();
        // Without a key and a question it is about no bucket: one lists them, or asks who is there.
        let nowhere = way.bucket.is_none() && op == Op::Bucket && query.is_empty();
        if nothing || nowhere {
            continue;
        }
        found.push(Access {
            at,
            from: from.to_owned(),
            op,
            bucket: way.bucket,
            key: way.key,
            sent: sent(Some(bytes)),
            certain: status.is_some(),
        });
    }
    Ok(found)
}

fn http_op(method: &str, key: &str, query: &str) -> Op {
    let named = |name: &str| {
        let mut words = query.split(['&', ';']);
        words.any(|word| decoded(word.split('=').next().unwrap_or("")).as_deref() == Some(name))
    };
    let all = [
        "acl",
        "tagging",
        "retention",
        "legal-hold",
        "torrent",
        "restore",
    ];
    let about = all.iter().filter(|name| named(name)).count();
    match method {
        "GET" | "HEAD" | "OPTIONS" if key.is_empty() => Op::Bucket,
        // Kluis makes its bucket where there is none.
        "PUT" if key.is_empty() && matches!(query, "" | "x-id=CreateBucket") => Op::Bucket,
        // Which keys a POST of many deletions names, the log does not say.
        _ if key.is_empty() => Op::Change,
        "DELETE" => Op::Delete,
        "GET" | "HEAD" => Op::Read,
        "PUT" | "POST" if about == 0 => Op::Write,
        "PUT" if about == 1 && named("retention") => Op::Retain,
        _ => Op::Change,
    }
}

/// A line of an inventory: bucket, key, and when it was written, where the line says it.
pub(super) fn inventory(line: &str) -> Result<(String, String, Option<Timestamp>), NoLine> {
    let mut cells = Vec::new();
    let mut rest = line.trim_end_matches(['\r', '\n']);
    loop {
        let (cell, after) = match rest.strip_prefix('"') {
            Some(inner) => inner.split_once('"').ok_or(NoLine)?,
            None => rest
                .split_at_checked(rest.find(',').unwrap_or(rest.len()))
                .ok_or(NoLine)?,
        };
        cells.push(cell);
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None if after.is_empty() => break,
            None => return Err(NoLine),
        }
    }
    let (Some(bucket), Some(key)) = (cells.first(), cells.get(1)) else {
        return Err(NoLine);
    };
    let key = decoded(key).ok_or(NoLine)?;
    let format = &time::format_description::well_known::Rfc3339;
    let times = cells.iter().skip(2).filter_map(|cell| {
        let at = time::OffsetDateTime::parse(cell, format).ok()?;
        u64::try_from(at.unix_timestamp().checked_mul(1000)?).ok()
    });
    let at = times.map(Timestamp::from_millis).next();
    Ok(((*bucket).to_owned(), key, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AWS: &str = "79a5 blobs [06/Feb/2027:00:00:38 +0000] 192.0.2.3 79a5 3E57 REST.GET.OBJECT \
        kluis/00ff \"GET /blobs/kluis/00ff HTTP/1.1\" 200 - 113 113 7 5 \"-\" \"S3Console/0.4\" - \
        s9 SigV4 ECDHE AuthHeader blobs.s3 TLSv1.2";
    const NGINX: &str = "127.0.0.1 - - [22/Nov/2026:13:00:00 +0100] \"GET /blobs/k/00ff?x=1 HTTP/1.1\" \
        206 100 \"-\" \"aws-sdk\"";

    /// What a line says as it stands.
    fn first(line: &str) -> Access {
        combined(line).unwrap().remove(0)
    }

    #[test]
    fn both_forms_say_who_did_what_when() {
        let access = aws(AWS).unwrap().unwrap();
        assert_eq!(access.at.to_string(), "2027-02-06T00:00:38.000Z");
        assert_eq!((&*access.from, access.op), ("192.0.2.3", Op::Read));
        assert_eq!(access.bucket.as_deref(), Some("blobs"));
        assert_eq!(&*access.key, "kluis/00ff");
        assert_eq!(access.sent, Some(113));
        let access = first(NGINX);
        assert_eq!(access.at.to_string(), "2026-11-22T12:00:00.000Z");
        assert_eq!((&*access.from, access.op), ("127.0.0.1", Op::Read));
        assert_eq!(access.bucket.as_deref(), Some("blobs"));
        assert_eq!(&*access.key, "k/00ff");
        assert_eq!(access.sent, Some(100));
        for (bytes, sent) in [("-", Some(0)), ("1", Some(1)), ("-1", None), ("x", None)] {
            let line = NGINX.replace(" 206 100 ", &format!(" 206 {bytes} "));
            assert_eq!(first(&line).sent, sent, "{bytes}");
        }
    }

    #[test]
    fn every_operation_has_its_kind() {
        for (operation, op) in [
            ("REST.HEAD.OBJECT", Op::Read),
            ("REST.COPY.OBJECT_GET", Op::Read),
            ("REST.GET.ACL", Op::Read),
            ("REST.PUT.OBJECT", Op::Write),
            ("REST.COPY.OBJECT", Op::Write),
            ("REST.PUT.PART", Op::Write),
            ("REST.DELETE.OBJECT", Op::Delete),
            ("BATCH.DELETE.OBJECT", Op::Delete),
            ("S3.EXPIRE.OBJECT", Op::Delete),
            ("S3.CREATE.DELETEMARKER", Op::Delete),
            ("REST.PUT.ACL", Op::Change),
            ("REST.PUT.OBJECT_RETENTION", Op::Retain),
            ("REST.PUT.OBJECT_LEGAL_HOLD", Op::Change),
            ("WEBSITE", Op::Change),
        ] {
            let line = AWS.replace("REST.GET.OBJECT", operation);
            assert_eq!(aws(&line).unwrap().unwrap().op, op, "{operation}");
        }
        for (request, op) in [
            ("HEAD /b/k", Op::Read),
            ("GET /b/?list-type=2", Op::Bucket),
            ("GET /b", Op::Bucket),
            ("PUT /b/k", Op::Write),
            ("PUT /b/k?acl", Op::Change),
            ("PUT /b/k?legal-hold", Op::Change),
            ("PUT /b/k?versionId=1&retention", Op::Retain),
            ("POST /b/k?retention", Op::Change),
            ("POST /b/k?uploads", Op::Write),
            ("DELETE /b/k", Op::Delete),
            ("PATCH /b/k", Op::Change),
            ("PUT /b/k?%61cl", Op::Change),
            ("PUT /b/k?x;acl", Op::Change),
            ("PUT /b/k?retention&legal-hold", Op::Change),
            ("PUT /b", Op::Bucket),
            ("OPTIONS /b", Op::Bucket),
        ] {
            assert_eq!(first(&asks(request)).op, op, "{request}");
        }
    }

    fn asks(request: &str) -> String {
        NGINX.replace("GET /blobs/k/00ff?x=1", request)
    }

    #[test]
    fn whatever_is_asked_of_a_bucket_but_a_look_changes_it() {
        for request in [
            "POST /b/?delete",
            "POST /b/?x=1&delete",
            "POST /b/?%64elete",
            "POST /b?x-id=DeleteObjects&delete",
            "POST /b",
            "PUT /b?policy",
            "PUT /b?acl",
            "PUT /b?lifecycle",
            "PUT /b?replication",
            "PUT /b?versioning",
            "PUT /b/?object-lock",
            "PUT /b?website",
            "DELETE /b",
            "DELETE /b?policy",
            "PATCH /b",
            "get /b",
        ] {
            assert_eq!(first(&asks(request)).op, Op::Change, "{request}");
        }
        for (operation, op) in [
            ("REST.POST.MULTI_OBJECT_DELETE", Op::Change),
            ("REST.PUT.BUCKETPOLICY", Op::Change),
            ("REST.PUT.ACL", Op::Change),
            ("REST.PUT.LIFECYCLE", Op::Change),
            ("REST.PUT.REPLICATION", Op::Change),
            ("REST.PUT.OBJECT_LOCK_CONFIGURATION", Op::Change),
            ("REST.DELETE.BUCKET", Op::Change),
            ("REST.DELETE.BUCKETPOLICY", Op::Change),
            ("REST.POST.BUCKET", Op::Change),
            ("x", Op::Change),
            ("REST.PUT.BUCKET", Op::Bucket),
            ("REST.GET.BUCKET", Op::Bucket),
            ("REST.HEAD.BUCKET", Op::Bucket),
            ("REST.GET.BUCKETPOLICY", Op::Bucket),
            ("REST.OPTIONS.PREFLIGHT", Op::Bucket),
        ] {
            let line = AWS.replace("REST.GET.OBJECT kluis/00ff", &format!("{operation} -"));
            assert_eq!(aws(&line).unwrap().unwrap().op, op, "{operation}");
        }
    }

    /// The client's going and the server's patience say nothing of what the store did.
    #[test]
    fn what_may_have_been_served_is_not_taken_for_refused() {
        for status in ["499", "500", "502", "503", "504", "408", "400"] {
            let line = |request: &str| asks(request).replace(" 206 ", &format!(" {status} "));
            for (request, op) in [
                ("DELETE /b/k", Op::Delete),
                ("PUT /b/k", Op::Write),
                ("POST /b?delete", Op::Change),
                ("PUT /b/k?retention", Op::Retain),
            ] {
                let access = first(&line(request));
                assert_eq!(
                    (access.op, access.certain),
                    (op, false),
                    "{status} {request}"
                );
            }
            for request in ["GET /b/k", "HEAD /b/k", "GET /b?list-type=2"] {
                assert_eq!(
                    combined(&line(request)),
                    Ok(Vec::new()),
                    "{status} {request}"
                );
            }
        }
        assert!(first(NGINX).certain && aws(AWS).unwrap().unwrap().certain);
        for status in ["401", "403", "404", "409", "412"] {
            let line = asks("DELETE /b/k").replace(" 206 ", &format!(" {status} "));
            assert_eq!(combined(&line), Ok(Vec::new()), "{status}");
        }
    }

    #[test]
    fn a_request_that_may_be_a_buckets_by_the_hosts_name_is_one() {
        let by_host = |request: &str| {
            let ways = combined(&asks(request)).unwrap();
            let host = ways.into_iter().find(|way| way.bucket.is_none());
            host.map(|way| (way.op, way.key))
        };
        let read = Some((Op::Read, "k/00ff".to_owned()));
        assert_eq!(by_host("GET /k/00ff"), read);
        for (request, op) in [
            ("POST /?delete", Op::Change),
            ("PUT /?policy", Op::Change),
            ("DELETE /", Op::Change),
            ("GET /?list-type=2", Op::Bucket),
        ] {
            assert_eq!(by_host(request), Some((op, String::new())), "{request}");
        }
        // One lists buckets so, or asks whether somebody is there.
        assert_eq!(by_host("GET /"), None);
    }

    #[test]
    fn what_was_not_served_is_no_access() {
        assert_eq!(aws(&AWS.replace(" 200 -", " 403 AccessDenied")), Ok(None));
        let absent = NGINX.replace(" 206 ", " 404 ");
        assert_eq!(combined(&absent), Ok(Vec::new()));
        let alone = AWS
            .replace(" 200 -", " - -")
            .replace("REST.GET", "S3.EXPIRE");
        assert_eq!(aws(&alone).unwrap().unwrap().op, Op::Delete);
    }

    #[test]
    fn a_client_cannot_write_a_line_of_her_own() {
        // A quote and a line's end in an agent, as servers escape them, and as some do not.
        let bent = NGINX.replace("aws-sdk", "x\\\" 200 1 \\\"");
        assert_eq!(first(&bent).key, "k/00ff");
        let bent = AWS.replace("S3Console/0.4", "\\\"] \\\"GET /x");
        assert_eq!(aws(&bent).unwrap().unwrap().key, "kluis/00ff");
        for bad in [
            "",
            "x",
            "\"",
            "[",
            "\u{0}",
            &NGINX[..40],
            &NGINX.replace("22/Nov", "32/Nov"),
            &NGINX.replace("Nov", "Nox"),
            &NGINX.replace("+0100", "+9999"),
            &NGINX.replace("+0100", "0100"),
            &NGINX.replace(" 206 ", " x "),
            &NGINX.replace("GET /", "GET "),
            &NGINX.replace("GET /blobs/k/00ff?x=1 HTTP/1.1", "\\x16\\x03"),
            &NGINX.replace("00ff", "%ff%fe"),
            &NGINX.replace('"', ""),
            &"[".repeat(10_000),
            &"\" ".repeat(10_000),
        ] {
            assert_eq!(combined(bad), Err(NoLine), "{bad:.80}");
            assert!(aws(bad).is_err());
        }
        for len in 0..AWS.len() - 70 {
            let cut = aws(&AWS[..len]);
            assert!(cut.is_err() || len > 115, "{len} {cut:?}");
        }
    }

    #[test]
    fn an_inventory_names_objects() {
        let line =
            "\"blobs\",\"kluis/00%2Fff\",\"113\",\"2027-02-06T00:00:38.000Z\",\"STANDARD\"\r\n";
        let (bucket, key, at) = inventory(line).unwrap();
        assert_eq!((&*bucket, &*key), ("blobs", "kluis/00/ff"));
        assert_eq!(at.unwrap().to_string(), "2027-02-06T00:00:38.000Z");
        assert_eq!(inventory("b,k").unwrap(), ("b".into(), "k".into(), None));
        for bad in ["", "b", "\"b\"", "\"b\",\"k", "\"b\"x,k", "b,%ff"] {
            assert_eq!(inventory(bad), Err(NoLine), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_breaks_the_reader(line in ".{0,300}") {
            let _read = (aws(&line), combined(&line), inventory(&line));
        }
    }
}
