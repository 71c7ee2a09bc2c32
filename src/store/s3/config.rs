//! Where an S3 store is and how patient the gateway is with it; checked once, when opened.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

use crate::types::SecretText;

/// How to reach an S3 store.
pub struct S3StoreConfig {
    /// `http://host:port` or `https://host`; no path, no user.
    pub endpoint: String,
    /// The same, for others than the gateway; none where they reach it as the gateway does.
    pub public_endpoint: Option<String>,
    /// The bucket, addressed path-style.
    pub bucket: String,
    /// The region that requests are signed for.
    pub region: String,
    /// What the name of each blob starts with; may be empty or hold slashes.
    pub prefix: String,
    /// The gateway's own access key id.
    pub access_key: String,
    /// The gateway's own secret key.
    pub secret_key: SecretText,
    /// A PEM file of further certificate authorities, beside those of the machine.
    pub ca_file: Option<PathBuf>,
    /// For the TCP and TLS handshakes.
    pub connect_timeout: Duration,
    /// From the end of a request to the head of its answer.
    pub header_timeout: Duration,
    /// Without any byte moving on a body, in either direction.
    pub idle_timeout: Duration,
    /// Tries after the first.
    pub retries: u32,
    /// Connections to the store at one time.
    pub connections_max: usize,
}

impl S3StoreConfig {
    /// Defaults for all that has one.
    #[must_use]
    pub fn new(
        endpoint: String,
        bucket: String,
        access_key: String,
        secret_key: SecretText,
    ) -> Self {
        Self {
            endpoint,
            public_endpoint: None,
            bucket,
            region: "us-east-1".to_owned(),
            prefix: String::new(),
            access_key,
            secret_key,
            ca_file: None,
            connect_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(30),
            retries: 3,
            connections_max: 512,
        }
    }
}

/// A configuration that cannot be used. At fault: the operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum S3ConfigError {
    /// Not a plain `http` or `https` address.
    #[error("the endpoint is not of the form http://host:port or https://host")]
    Endpoint,
    /// Not a bucket's name.
    #[error("the bucket's name is not of 3 to 63 letters, digits, dots, dashes or underscores")]
    Bucket,
    /// Not a prefix that is safe in a path.
    #[error("the prefix has other characters than letters, digits, `.`, `_`, `-` and `/`")]
    Prefix,
    /// Empty, or characters that no region has.
    #[error("the region is empty or has other characters than letters, digits and dashes")]
    Region,
    /// Empty, or characters that cannot stand in a header.
    #[error("the access key or its secret is empty or not printable")]
    Credential,
    /// No connections, or no time.
    #[error("a time-out or the number of connections is zero")]
    Zero,
    /// The authorities' certificates could not be read.
    #[error("the certificates of `{path}` could not be read")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// Neither the machine nor the file gave a certificate authority.
    #[error("no certificate authority is known")]
    NoAuthorities,
    /// TLS refused the configuration.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// A checked endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    /// The `Host` header: with the port, unless it is the scheme's own.
    pub(super) authority: String,
}

impl Target {
    pub(super) fn parse(endpoint: &str) -> Option<Self> {
        let uri: Uri = endpoint.parse().ok()?;
        let tls = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let authority = uri.authority()?.as_str();
        let plain = matches!(uri.path(), "" | "/") && uri.query().is_none();
        if !plain || authority.contains('@') || uri.host()?.is_empty() {
            return None;
        }
        let host = uri.host()?;
        let usual = if tls { 443 } else { 80 };
        let port = match uri.port_u16() {
            Some(port) => port,
            None if authority == host => usual,
            // A port that is no number up to 65,535.
            None => return None,
        };
        let authority = if port == usual {
            host.to_owned()
        } else {
            format!("{host}:{port}")
        };
        // An IPv6 address stands in brackets in a URL and without them in a socket address.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some(Self {
            tls,
            host: host.to_owned(),
            port,
            authority,
        })
    }
}

/// Checks everything that does not need the network.
pub(super) fn check(config: &S3StoreConfig) -> Result<Target, S3ConfigError> {
    let target = Target::parse(&config.endpoint).ok_or(S3ConfigError::Endpoint)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let bucket = &config.bucket;
    let dots = bucket.starts_with('.') || bucket.contains("..");
    if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(plain) || dots {
        return Err(S3ConfigError::Bucket);
    }
    let prefix = &config.prefix;
    // A first, empty or dotted part would be changed by whatever normalises paths on the way.
    let odd = |part: &str| part.is_empty() || part == "." || part == "..";
    let parents = prefix.rsplit_once('/').map_or("", |(parents, _)| parents);
    let odd = prefix.contains('/') && parents.split('/').any(odd);
    if prefix.len() > 256 || odd || !prefix.chars().all(|c| plain(c) || c == '/') {
        return Err(S3ConfigError::Prefix);
    }
    let region = &config.region;
    if region.is_empty() || !region.chars().all(|c| plain(c) && c != '.') {
        return Err(S3ConfigError::Region);
    }
    let word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic());
    let plain_key = |text: &str| word(text) && !text.contains([',', '/']);
    if !plain_key(&config.access_key) || !word(config.secret_key.expose()) {
        return Err(S3ConfigError::Credential);
    }
    let times = [
        config.connect_timeout,
        config.header_timeout,
        config.idle_timeout,
    ];
    if config.connections_max == 0 || times.iter().any(Duration::is_zero) {
        return Err(S3ConfigError::Zero);
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> S3StoreConfig {
        let secret = SecretText::new("secret".to_owned());
        let endpoint = "http://127.0.0.1:8333".to_owned();
        S3StoreConfig::new(endpoint, "vault".to_owned(), "key".to_owned(), secret)
    }

    #[test]
    fn endpoints_are_parsed() {
        let parse = |text| Target::parse(text).map(|t| (t.tls, t.host, t.port, t.authority));
        let target = |tls, host: &str, port, authority: &str| {
            Some((tls, host.to_owned(), port, authority.to_owned()))
        };
        assert_eq!(parse("http://h:81"), target(false, "h", 81, "h:81"));
        assert_eq!(parse("http://h:80/"), target(false, "h", 80, "h"));
        assert_eq!(parse("https://s3.nl"), target(true, "s3.nl", 443, "s3.nl"));
        assert_eq!(parse("https://h:80"), target(true, "h", 80, "h:80"));
        assert_eq!(parse("http://[::1]:9"), target(false, "::1", 9, "[::1]:9"));
    }

    #[test]
    fn other_endpoints_are_refused() {
        for bad in [
            "",
            "h",
            "h:80",
            "ftp://h",
            "http://",
            "http://h/p",
            "http://h?q",
            "http://u@h",
            "http://u:p@h",
            "//h",
            "http://h:99999",
            "http://h h",
        ] {
            assert_eq!(Target::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn bad_fields_are_refused_each_by_its_name() {
        type Spoil = fn(&mut S3StoreConfig);
        let cases: [(Spoil, &str); 16] = [
            (|c| c.bucket = "ab".into(), "bucket"),
            (|c| c.bucket = "a/b/c".into(), "bucket"),
            (|c| c.bucket = "a..b".into(), "bucket"),
            (|c| c.bucket = "x".repeat(64), "bucket"),
            (|c| c.prefix = "/a".into(), "prefix"),
            (|c| c.prefix = "a//b".into(), "prefix"),
            (|c| c.prefix = "a/../b".into(), "prefix"),
            (|c| c.prefix = "a b".into(), "prefix"),
            (|c| c.prefix = "ü".into(), "prefix"),
            (|c| c.region = String::new(), "region"),
            (|c| c.region = "eu/west".into(), "region"),
            (|c| c.access_key = "a\nb".into(), "key"),
            (|c| c.access_key = String::new(), "key"),
            (|c| c.secret_key = SecretText::new(String::new()), "key"),
            (|c| c.connections_max = 0, "zero"),
            (|c| c.idle_timeout = Duration::ZERO, "zero"),
        ];
        check(&config()).unwrap();
        for (spoil, word) in cases {
            let mut bad = config();
            spoil(&mut bad);
            let error = check(&bad).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn prefixes_with_parts_are_taken() {
        for good in ["", "kluis-", "vault/", "a/b/c", "a/b."] {
            let mut config = config();
            config.prefix = good.to_owned();
            check(&config).unwrap();
        }
    }
}
