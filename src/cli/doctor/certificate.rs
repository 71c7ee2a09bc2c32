//! When the TLS certificate ends. Reads as much of X.509 (RFC 5280, section 4.1) as that takes.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::Report;
use crate::app::system::SystemClock;
use crate::app::tls::Tls;
use crate::cli::values;
use crate::config::Config;
use crate::types::{Clock as _, Timestamp};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Renewal should have happened before.
const WARN_DAYS: u64 = 14;

/// Looks at certificate and key, if TLS is on.
pub(super) fn look(config: &Config, report: &mut Report) {
    const MEND: &str = "renew the certificate; the gateway takes it without a restart";
    let server = &config.server;
    let (Some(certificate), Some(key)) = (&server.tls_cert, &server.tls_key) else {
        return;
    };
    if let Err(error) = Tls::load(certificate, key, server.tls_min_version) {
        return report.error(
            "tls",
            &error,
            "give a PEM chain and the key that belongs to it",
        );
    }
    let end = CertificateDer::from_pem_file(certificate)
        .ok()
        .and_then(|der| not_after(&der));
    let Some(end) = end else {
        return report.warn("tls", "the end of the certificate cannot be read", MEND);
    };
    let left = end.since(SystemClock.now());
    if left == 0 {
        report.fail("tls", format!("the certificate ended at {end}"), MEND);
    } else if left < WARN_DAYS.saturating_mul(DAY_MS) {
        report.warn("tls", format!("the certificate ends at {end}"), MEND);
    } else {
        report.ok("tls", format!("the certificate lasts until {end}"));
    }
}

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `version [0]`, which a certificate of version 1 leaves out.
const VERSION: u8 = 0xa0;

/// When the configured certificate ends; `None` where there is none, or none that can be read.
pub(in crate::cli) fn ends(config: &Config) -> Option<Timestamp> {
    let file = config.server.tls_cert.as_ref()?;
    let der = CertificateDer::from_pem_file(file).ok()?;
    not_after(&der)
}

/// `TBSCertificate.validity.notAfter`; `None` for what is no certificate.
fn not_after(der: &[u8]) -> Option<Timestamp> {
    let (_, certificate, _) = element(der).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (_, tbs, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (tag, _, after_first) = element(tbs)?;
    // serialNumber comes first or after the version; then signature and issuer.
    let mut rest = if tag == VERSION {
        element(after_first)?.2
    } else {
        after_first
    };
    for _ in ["signature", "issuer"] {
        rest = element(rest)?.2;
    }
    let (_, validity, _) = element(rest).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (_, _, rest) = element(validity)?;
    let (tag, text, _) = element(rest)?;
    time(tag, std::str::from_utf8(text).ok()?)
}

/// Tag, content and what follows, of one element in DER with a length of at most four bytes.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], mut rest) = der.split_first_chunk()?;
    let mut bytes = usize::from(length);
    if length >= 0x80 {
        let count = usize::from(length & 0x7f);
        if count == 0 || count > 4 {
            return None;
        }
        let (digits, tail) = rest.split_at_checked(count)?;
        rest = tail;
        bytes = digits
            .iter()
            .fold(0_usize, |sum, digit| (sum << 8) | usize::from(*digit));
    }
    let (content, rest) = rest.split_at_checked(bytes)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ` (50 to 99 are of the last century) or `YYYYMMDDHHMMSSZ`.
fn time(tag: u8, text: &str) -> Option<Timestamp> {
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let century = if year >= "50" { "19" } else { "20" };
            (format!("{century}{year}"), rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.to_owned(), rest)
        }
        _ => return None,
    };
    let part = |from: usize| rest.get(from..from.checked_add(2)?);
    let moment = format!(
        "{year}-{}-{}T{}:{}:{}{}",
        part(0)?,
        part(2)?,
        part(4)?,
        part(6)?,
        part(8)?,
        rest.get(10..)?
    );
    values::time(&moment).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _end: Option<Timestamp> = not_after(&bytes);
        }

        #[test]
        fn no_bent_certificate_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let key = rcgen::KeyPair::generate().unwrap();
            let params = rcgen::CertificateParams::new(vec!["a".to_owned()]).unwrap();
            let mut der = params.self_signed(&key).unwrap().der().to_vec();
            let at = at.index(der.len());
            der[at] = byte;
            let _end: Option<Timestamp> = not_after(&der);
        }
    }

    #[test]
    fn the_end_of_a_certificate_is_read() {
        for (year, text) in [
            (2049, "2049-03-02T00:00:00.000Z"),
            (2051, "2051-03-02T00:00:00.000Z"),
        ] {
            let mut params =
                rcgen::CertificateParams::new(vec!["s3.example.org".to_owned()]).unwrap();
            params.not_after = rcgen::date_time_ymd(year, 3, 2);
            let key = rcgen::KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap();
            let der = certificate.der();
            assert_eq!(not_after(der).unwrap().to_string(), text);
            for end in 0..der.len().min(200) {
                assert_eq!(not_after(&der[..end]), None, "cut at {end}");
            }
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        for bad in [
            &b""[..],
            b"\x30",
            b"\x30\x80",
            b"\x30\x85\x01\x01\x01\x01\x01",
            b"-----",
        ] {
            assert_eq!(not_after(bad), None);
        }
        assert_eq!(time(UTC_TIME, "2703"), None);
        assert_eq!(time(GENERALIZED_TIME, "20270302081504"), None, "no zone");
        assert_eq!(time(0x0c, "270302081504Z"), None);
    }
}
