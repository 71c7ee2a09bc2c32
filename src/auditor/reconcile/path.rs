//! Which object a request names, where a server wrote down what the client sent and not what the
//! store was asked: **hostile**, and each server reads it in its own way. Pure.

use super::line::NoLine;

/// How a path may have been understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Way {
    /// The bucket; `None` where it may have been in the host's name, which the line does not tell.
    pub(super) bucket: Option<String>,
    /// The key; empty where it is about a bucket.
    pub(super) key: String,
}

/// The text behind one percent-encoding.
pub(super) fn decoded(text: &str) -> Option<String> {
    let bytes = percent_encoding::percent_decode_str(text);
    bytes.decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// As it stands, then as servers make it plain before they hand it on; each with the bucket in the
/// path, and with the whole path as the key.
pub(super) fn ways(path: &str) -> Result<Vec<Way>, NoLine> {
    let path = path.strip_prefix('/').ok_or(NoLine)?;
    let whole = decoded(path).ok_or(NoLine)?;
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let parted = (decoded(bucket).ok_or(NoLine)?, decoded(key).ok_or(NoLine)?);
    // What a fragment would be ends the path, where a server knows fragments at all.
    let plain = plain(&decoded(path.split('#').next().unwrap_or(path)).ok_or(NoLine)?);
    let (bucket, key) = plain.split_once('/').unwrap_or((&plain, ""));
    let plainly = (bucket.to_owned(), key.to_owned());
    let in_path = [parted, plainly].map(|(bucket, key)| Way {
        // `tenant:bucket`, where a store has tenants.
        bucket: Some(bucket.rsplit(':').next().unwrap_or(&bucket).to_owned()),
        key,
    });
    let in_host = [whole, plain].map(|key| Way { bucket: None, key });
    Ok(in_path.into_iter().chain(in_host).collect())
}

/// Without empty parts, and with `.` and `..` gone the way they point.
fn plain(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &str, bucket: Option<&str>, key: &str) -> bool {
        let wanted = Way {
            bucket: bucket.map(str::to_owned),
            key: key.to_owned(),
        };
        ways(path).unwrap().contains(&wanted)
    }

    #[test]
    fn however_a_path_is_written_one_way_names_what_the_store_served() {
        for path in [
            "/b/k/00ff",
            "//b/k/00ff",
            "/./b/k/00ff",
            "/x/../b/k/00ff",
            "/x/%2e%2E/b/k/00ff",
            "/x%2F..%2Fb/k/00ff",
            "/../../b/./k//00ff",
            "/b%2Fk%2F00ff",
            "/%62/k/00f%66",
            "/b/k/00ff#x",
            "/:b/k/00ff",
            "/tenant:b/k/00ff",
            "/t%3Ab/k/00ff",
        ] {
            assert!(names(path, Some("b"), "k/00ff"), "{path}");
        }
        for path in ["/k/00ff", "//k/./00ff", "/x/../k/00ff", "/k%2f00ff"] {
            assert!(names(path, None, "k/00ff"), "{path}");
        }
        for path in ["/b", "/b/", "/b/.", "/b//", "/x/../b/", "/:b", "/b#?x"] {
            assert!(names(path, Some("b"), ""), "{path}");
        }
        for path in ["/", "//", "/.", "/x/.."] {
            assert!(names(path, None, ""), "{path}");
        }
    }

    #[test]
    fn what_is_no_path_is_none() {
        for bad in ["", "b/k", "http://b/k", "/%ff", "/b/%ff%fe", "*"] {
            assert_eq!(ways(bad), Err(NoLine), "{bad}");
        }
    }
}
