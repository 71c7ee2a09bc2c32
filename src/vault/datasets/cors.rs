//! Cross-origin requests: which pages may use a dataset from a browser. A browser asks first
//! (preflight), without a signature: what its owner has set is the only decision about that, and
//! no rule and no bucket look alike. It gives no page any right: the request itself is decided as
//! any other.

use crate::catalog::{CorsRule, Setting, SettingKind};
use crate::ledger::ObjectRef;
use crate::types::{BucketName, limits};
use crate::vault::Vault;
use crate::vault::ask::Call;
use crate::vault::error::{ErrorKind, VaultError};

/// The methods that a rule may name.
const METHODS: &[&str] = &["GET", "PUT", "POST", "DELETE", "HEAD"];

/// What a page asks through its browser.
#[derive(Clone, Copy, Debug)]
pub struct CorsAsk<'a> {
    /// The page's origin.
    pub origin: &'a str,
    /// The method it wants to use.
    pub method: &'a str,
    /// The headers it wants to send, in lower case.
    pub headers: &'a [String],
}

/// The rule that lets a page do what it asks.
fn matching<'a>(rules: &'a [CorsRule], ask: &CorsAsk<'_>) -> Option<&'a CorsRule> {
    rules.iter().find(|rule| {
        rule.methods.iter().any(|method| method == ask.method)
            && rule.origins.iter().any(|like| fits(like, ask.origin))
            && ask.headers.iter().all(|header| {
                let mut known = rule.headers.iter();
                known.any(|like| fits(&like.to_ascii_lowercase(), header))
            })
    })
}

/// Whether a text is a pattern's, in which one `*` stands for anything.
fn fits(like: &str, text: &str) -> bool {
    match like.split_once('*') {
        None => like == text,
        Some((head, tail)) => text
            .strip_prefix(head)
            .is_some_and(|rest| rest.ends_with(tail)),
    }
}

/// Sees that rules are within their bounds, and that nothing in them could end a header.
pub(in crate::vault) fn check_cors(rules: &[CorsRule]) -> Result<(), VaultError> {
    const BAD: VaultError = VaultError::new(ErrorKind::InvalidRule, "a CORS rule is none");
    let most = limits::CORS_RULES_MAX;
    let texts = |list: &[String]| {
        list.len() <= most
            && list.iter().all(|text| {
                let graphic = text.bytes().all(|b| b.is_ascii_graphic());
                graphic && text.len() <= limits::RULE_NAME_BYTES_MAX
            })
    };
    let starred = |list: &[String]| list.iter().all(|text| text.matches('*').count() <= 1);
    let fine = |rule: &CorsRule| {
        let methods = rule.methods.iter();
        let mut methods = methods.map(String::as_str);
        !rule.origins.is_empty()
            && !rule.methods.is_empty()
            && rule.methods.len() <= METHODS.len()
            && methods.all(|method| METHODS.contains(&method))
            && texts(&rule.origins)
            && texts(&rule.headers)
            && texts(&rule.exposed)
            && starred(&rule.origins)
            && starred(&rule.headers)
            && starred(&rule.exposed)
            && rule.id.as_ref().is_none_or(|id| {
                id.len() <= limits::RULE_NAME_BYTES_MAX && !id.chars().any(char::is_control)
            })
    };
    if rules.is_empty() || rules.len() > most || !rules.iter().all(fine) {
        return Err(BAD);
    }
    Ok(())
}

impl Vault {
    /// Answers a browser that asks whether a page may do something; recorded whatever it is told.
    pub async fn preflight(
        &self,
        call: &Call,
        bucket: &str,
        ask: CorsAsk<'_>,
    ) -> Result<CorsRule, VaultError> {
        const NO: VaultError =
            VaultError::new(ErrorKind::AccessDenied, "no CORS rule allows this origin");
        let mut intent = Self::intent(call, None, ObjectRef::default());
        if let Ok(name) = BucketName::parse(bucket, self.default_project()) {
            intent.object.project = Some(name.project);
            intent.object.dataset = Some(name.dataset);
        }
        intent.query = Some(crate::vault::cut(&format!(
            "{} from {}",
            ask.method, ask.origin
        )));
        match self.cors(bucket, ask).await {
            Ok(Some(rule)) => {
                self.note(call, intent, Ok(())).await?;
                Ok(rule)
            }
            Ok(None) => Err(self.turn_away(call, intent, NO).await),
            Err(error) => Err(self.turn_away(call, intent, error).await),
        }
    }

    /// The rule by which a page may read the answer to its request, if there is one. Not recorded:
    /// the request is.
    pub async fn cors(
        &self,
        bucket: &str,
        ask: CorsAsk<'_>,
    ) -> Result<Option<CorsRule>, VaultError> {
        let Ok(bucket) = BucketName::parse(bucket, self.default_project()) else {
            return Ok(None);
        };
        let Some((dataset, _)) = self.guard.dataset(&bucket).await? else {
            return Ok(None);
        };
        let setting = self.catalog.setting(&dataset.id, SettingKind::Cors).await?;
        Ok(match setting {
            Some(Setting::Cors(rules)) => matching(&rules, &ask).cloned(),
            Some(Setting::Tags(_) | Setting::Lifecycle(_)) | None => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(origins: &[&str], methods: &[&str], headers: &[&str]) -> CorsRule {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        CorsRule {
            origins: list(origins),
            methods: list(methods),
            headers: list(headers),
            ..CorsRule::default()
        }
    }

    fn found(rules: &[CorsRule], origin: &str, method: &str, headers: &[&str]) -> bool {
        let headers: Vec<String> = headers.iter().map(|text| (*text).to_owned()).collect();
        let headers = &headers[..];
        matching(
            rules,
            &CorsAsk {
                origin,
                method,
                headers,
            },
        )
        .is_some()
    }

    #[test]
    fn a_star_stands_for_anything_and_nothing_else_does() {
        for (like, text, fit) in [
            ("https://a.example", "https://a.example", true),
            ("https://a.example", "https://a.example.evil", false),
            ("https://a.example", "https://A.example", false),
            ("https://*.example", "https://b.example", true),
            ("https://*.example", "http://b.example", false),
            ("https://*.example", "https://b.example.evil", false),
            ("start*end", "startend", true),
            ("aa*aa", "aaa", false),
            ("*", "null", true),
            ("", "https://a.example", false),
        ] {
            assert_eq!(fits(like, text), fit, "{like} {text}");
        }
    }

    #[test]
    fn origin_method_and_every_header_must_fit_one_rule() {
        let rules = [
            rule(&["https://a"], &["GET"], &[]),
            rule(&["https://b"], &["PUT"], &["X-Amz-*", "content-type"]),
        ];
        assert!(found(&rules, "https://a", "GET", &[]));
        assert!(found(
            &rules,
            "https://b",
            "PUT",
            &["x-amz-acl", "content-type"]
        ));
        assert!(
            !found(&rules, "https://a", "PUT", &[]),
            "another rule's method"
        );
        assert!(!found(&rules, "https://a", "GET", &["range"]));
        assert!(!found(&rules, "https://b", "PUT", &["x-amz-acl", "range"]));
        assert!(!found(&rules, "https://c", "GET", &[]));
        assert!(!found(&[], "https://a", "GET", &[]));
    }

    #[test]
    fn rules_have_bounds_and_carry_no_header() {
        let kind = |rules: &[CorsRule]| check_cors(rules).err().map(|e| e.kind());
        let bad = Some(ErrorKind::InvalidRule);
        assert_eq!(kind(&[rule(&["*"], &["GET", "HEAD"], &["*"])]), None);
        assert_eq!(kind(&[]), bad);
        for rule in [
            rule(&[], &["GET"], &[]),
            rule(&["*"], &[], &[]),
            rule(&["*"], &["get"], &[]),
            rule(&["*"], &["OPTIONS"], &[]),
            rule(&["*.*"], &["GET"], &[]),
            rule(&["*"], &["GET"], &["x-*-*"]),
            rule(&["https://a\r\nset-cookie: b"], &["GET"], &[]),
            rule(&[&"a".repeat(256)], &["GET"], &[]),
            CorsRule {
                exposed: vec!["a\nb".to_owned()],
                ..rule(&["*"], &["GET"], &[])
            },
        ] {
            assert_eq!(kind(std::slice::from_ref(&rule)), bad, "{rule:?}");
        }
        let many = vec![rule(&["*"], &["GET"], &[]); 101];
        assert_eq!(kind(&many), bad);
    }
}
