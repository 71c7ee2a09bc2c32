//! When the TLS certificate ends. Reads as much of X.509 (RFC 5280, section 4.1) as that takes.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::types::Timestamp;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Renewal should have happened so long before the end.
const WARN_DAYS: u64 = 14;

/// When the first certificate of a file in PEM ends; `None` where there is none that can be read.
#[must_use]
pub fn ends(file: &Path) -> Option<Timestamp> {
    let der = CertificateDer::from_pem_file(file).ok()?;
    not_after(&der)
}

/// How a certificate fares that ends then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lasting {
    /// For long enough.
    Lasts,
    /// It ends soon, and should have been renewed.
    Soon,
    /// It has ended: no client takes it.
    Ended,
}

/// Whether it lasts.
#[must_use]
pub fn lasting(end: Timestamp, now: Timestamp) -> Lasting {
    match end.since(now) {
        0 => Lasting::Ended,
        left if left < WARN_DAYS.saturating_mul(DAY_MS) => Lasting::Soon,
        _left => Lasting::Lasts,
    }
}

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `version [0]`, which a certificate of version 1 leaves out.
const VERSION: u8 = 0xa0;

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
    Timestamp::parse(&moment)
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
    fn an_end_is_told_two_weeks_before() {
        let at = Timestamp::from_millis;
        let now = at(7);
        for (end, told) in [
            (0, Lasting::Ended),
            (7, Lasting::Ended),
            (8, Lasting::Soon),
            (6 + 14 * DAY_MS, Lasting::Soon),
            (7 + 14 * DAY_MS, Lasting::Lasts),
        ] {
            assert_eq!(lasting(at(end), now), told, "{end}");
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
