//! The kinds of value that a setting can hold: how each is read from TOML and shown in it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;

use crate::types::{Label, Labels, ProjectName};

/// A kind of value.
pub(super) trait Value: Sized {
    /// What the reader of an error message has to write.
    const KIND: &'static str;

    /// Reads it; `None` where it is of another kind or out of range.
    fn read(value: &DeValue<'_>) -> Option<Self>;

    /// Shows it as TOML.
    fn show(&self) -> String;

    /// Takes a relative path from `base`; other kinds have nothing to take.
    fn resolve(&mut self, _base: &Path) {}
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

impl Value for bool {
    const KIND: &'static str = "`true` or `false`";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        value.as_bool()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for u32 {
    const KIND: &'static str = "a whole number from 0 to 4294967295";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        let integer = value.as_integer()?;
        Self::from_str_radix(integer.as_str(), integer.radix()).ok()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for SocketAddr {
    const KIND: &'static str = "an address with a port (\"127.0.0.1:9000\", \"[::1]:9000\")";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        value.as_str()?.parse().ok()
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Value for String {
    const KIND: &'static str = "a text";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }

    fn show(&self) -> String {
        quoted(self)
    }
}

impl Value for Vec<PathBuf> {
    const KIND: &'static str = "a list of paths";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        let paths = value.as_array()?.iter();
        paths
            .map(|path| PathBuf::read(path.get_ref()))
            .collect::<Option<Self>>()
    }

    fn show(&self) -> String {
        let paths: Vec<String> = self.iter().map(Value::show).collect();
        format!("[{}]", paths.join(", "))
    }

    fn resolve(&mut self, base: &Path) {
        for path in self {
            path.resolve(base);
        }
    }
}

impl Value for ProjectName {
    const KIND: &'static str = "the name of a project";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        value.as_str()?.parse().ok()
    }

    fn show(&self) -> String {
        quoted(self.as_str())
    }
}

impl Value for Label {
    const KIND: &'static str = "a label";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        value.as_str()?.parse().ok()
    }

    fn show(&self) -> String {
        quoted(self.as_str())
    }
}

impl Value for Labels {
    const KIND: &'static str = "labels in order (\"public < internal < secret\")";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        value.as_str()?.parse().ok()
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Value for Vec<ProjectName> {
    const KIND: &'static str = "a list of names of projects ([\"a\", \"b\"])";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        let names = value.as_array()?.iter();
        names
            .map(|name| ProjectName::read(name.get_ref()))
            .collect()
    }

    fn show(&self) -> String {
        let names: Vec<String> = self.iter().map(Value::show).collect();
        format!("[{}]", names.join(", "))
    }
}

impl Value for PathBuf {
    const KIND: &'static str = "a path";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        value
            .as_str()
            .filter(|text| !text.is_empty())
            .map(Self::from)
    }

    fn show(&self) -> String {
        quoted(&self.to_string_lossy())
    }

    fn resolve(&mut self, base: &Path) {
        *self = base.join(&*self);
    }
}

/// Empty text stands for nothing.
impl<T: Value> Value for Option<T> {
    const KIND: &'static str = T::KIND;

    fn read(value: &DeValue<'_>) -> Option<Self> {
        if value.as_str() == Some("") {
            return Some(None);
        }
        T::read(value).map(Some)
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "\"\"".to_owned(), T::show)
    }

    fn resolve(&mut self, base: &Path) {
        if let Some(value) = self {
            value.resolve(base);
        }
    }
}

const TIME_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl Value for Duration {
    const KIND: &'static str = "a time with its unit (\"500ms\", \"30s\", \"5m\", \"1h\", \"7d\")";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        scaled(value.as_str()?, &TIME_UNITS).map(Self::from_millis)
    }

    fn show(&self) -> String {
        let millis = u64::try_from(self.as_millis()).unwrap_or(u64::MAX);
        quoted(&unscaled(millis, &TIME_UNITS, "ms"))
    }
}

/// A number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// The number of bytes, or the largest that the machine can address.
    #[must_use]
    pub fn get(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

const SIZE_UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl Value for ByteSize {
    const KIND: &'static str = "a size with its unit (\"512B\", \"64KiB\", \"8MiB\", \"1GiB\")";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        scaled(value.as_str()?, &SIZE_UNITS).map(Self)
    }

    fn show(&self) -> String {
        quoted(&unscaled(self.0, &SIZE_UNITS, "B"))
    }
}

/// `"30s"` in the smallest unit: digits, then exactly one of the units.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The shortest exact spelling.
fn unscaled(number: u64, units: &[(&str, u64)], smallest: &str) -> String {
    let exact = |factor: u64| number != 0 && number.is_multiple_of(factor);
    units.iter().find(|(_, factor)| exact(*factor)).map_or_else(
        || format!("{number}{smallest}"),
        |(unit, factor)| format!("{}{unit}", number.checked_div(*factor).unwrap_or(number)),
    )
}

macro_rules! words {
    ($(
        $(#[$doc:meta])* $name:ident, $kind:literal {
            $($(#[$word_doc:meta])* $word:ident = $text:literal,)*
        }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name {
            $($(#[$word_doc])* $word,)*
        }

        impl $name {
            /// The word that stands for it in the file.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$word => $text,)* }
            }
        }

        impl Value for $name {
            const KIND: &'static str = $kind;

            fn read(value: &DeValue<'_>) -> Option<Self> {
                match value.as_str()? { $($text => Some(Self::$word),)* _ => None }
            }

            fn show(&self) -> String {
                quoted(self.as_str())
            }
        }
    )*};
}

words! {
    /// Where plain HTTP may be spoken.
    PlainHttp, "\"loopback\" or \"allow\"" {
        /// On addresses of this machine only.
        Loopback = "loopback",
        /// Everywhere: something in front ends TLS.
        Allow = "allow",
    }
    /// The oldest version of TLS that is spoken.
    TlsVersion, "\"1.3\" or \"1.2\"" {
        /// TLS 1.3 alone.
        V13 = "1.3",
        /// TLS 1.2 too, for clients that know no better.
        V12 = "1.2",
    }
    /// What kind of store holds the blobs.
    StoreKind, "\"local\" or \"s3\"" {
        /// A directory.
        Local = "local",
        /// Any S3-compatible store.
        S3 = "s3",
    }
    /// What keeps the root identity.
    RootKind, "\"file\", \"custodians\", \"transit\", \"pkcs11\" or \"plugin\"" {
        /// Its file, with or without a passphrase.
        File = "file",
        /// Several persons, of whom some are needed.
        Custodians = "custodians",
        /// A key of a key service (`[transit]`).
        Transit = "transit",
        /// A key on a token (`[pkcs11]`).
        Pkcs11 = "pkcs11",
        /// An `age` plugin (`[plugin]`).
        Plugin = "plugin",
    }
    /// What makes a record durable before its request is served.
    GateKind, "\"local\", \"store\" or \"both\"" {
        /// The journal's directory.
        Local = "local",
        /// The store.
        Store = "store",
        /// The two, side by side.
        Both = "both",
    }
    /// Whether the log's volumes are locked in the store.
    Worm, "\"off\", \"try\" or \"require\"" {
        /// Never.
        Off = "off",
        /// Where the bucket has Object Lock and keeps it.
        Try = "try",
        /// Always: where that cannot be, nothing starts.
        Require = "require",
    }
    /// Who may take a lock off before its end.
    WormMode, "\"compliance\" or \"governance\"" {
        /// Nobody.
        Compliance = "compliance",
        /// Who holds a right of the store's to do so.
        Governance = "governance",
    }
    /// How log lines look.
    LogFormat, "\"auto\", \"text\" or \"json\"" {
        /// Text on a terminal, JSON elsewhere.
        Auto = "auto",
        /// One line of text for each event.
        Text = "text",
        /// One JSON object for each event.
        Json = "json",
    }
    /// The form of a request in a stream of the log.
    StreamForm, "\"json\", \"ocsf\", \"fhir\" or \"nen7513\"" {
        /// `kluis.audit/1`.
        Json = "json",
        /// OCSF 1.8.
        Ocsf = "ocsf",
        /// FHIR R4 `AuditEvent`.
        Fhir = "fhir",
        /// The fields of NEN 7513.
        Nen7513 = "nen7513",
    }
    /// How much is logged.
    LogLevel, "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"" {
        /// What failed.
        Error = "error",
        /// What needs attention too.
        Warn = "warn",
        /// What an operator wants to know too.
        Info = "info",
        /// What a developer wants to know too.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read<T: Value>(toml: &str) -> Option<T> {
        T::read(DeValue::parse(toml).ok()?.get_ref())
    }

    #[test]
    fn times_and_sizes_show_their_largest_exact_unit() {
        let cases = [
            ("'0ms'", "\"0ms\""),
            ("'86400s'", "\"1d\""),
            ("'90s'", "\"90s\""),
        ];
        for (written, shown) in cases {
            assert_eq!(read::<Duration>(written).expect(written).show(), shown);
        }
        assert_eq!(
            read::<ByteSize>("'1024KiB'").expect("a size").show(),
            "\"1MiB\""
        );
    }

    #[test]
    fn numbers_may_be_grouped_and_hexadecimal_but_not_negative() {
        assert_eq!(read::<u32>("1_000"), Some(1000));
        assert_eq!(read::<u32>("0x10"), Some(16));
        assert_eq!(read::<u32>("-1"), None);
        assert_eq!(read::<u32>("4294967296"), None);
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(millis in 0..=u64::MAX / 86_400_000, bytes: u64, text: String) {
            let time = Duration::from_millis(millis);
            prop_assert_eq!(read::<Duration>(&time.show()), Some(time));
            prop_assert_eq!(read::<ByteSize>(&ByteSize(bytes).show()), Some(ByteSize(bytes)));
            prop_assert_eq!(read::<String>(&text.show()), Some(text));
        }
    }
}
