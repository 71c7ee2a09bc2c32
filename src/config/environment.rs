//! The process environment: read here and nowhere else, and never listed or printed.

use crate::types::{SecretText, limits};

/// A variable that Kluis reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Variable {
    /// The access key id of the store.
    StoreAccessKeyId,
    /// The secret access key of the store.
    StoreSecretAccessKey,
    /// The passphrase of the root identity.
    Passphrase,
    /// The PIN of the token or plugin that keeps the root.
    Pin,
    /// Where a mount finds its gateway.
    AwsEndpointUrl,
    /// The region of a mount's credential.
    AwsRegion,
    /// The access key id of a mount.
    AwsAccessKeyId,
    /// The secret access key of a mount.
    AwsSecretAccessKey,
    /// The session token of a mount with a temporary credential.
    AwsSessionToken,
    /// Where the token of a mount's service account lies.
    AwsWebIdentityTokenFile,
    /// The role that its sessions are under.
    AwsRoleArn,
    /// What its sessions are called.
    AwsRoleSessionName,
    /// Certificates to trust besides those of the machine, where a credential's file names none.
    AwsCaBundle,
    /// Where a person's session is kept.
    Home,
    /// Whatever its value, no colour (<https://no-color.org>).
    NoColor,
}

impl Variable {
    /// Every variable.
    pub const ALL: [Self; 15] = [
        Self::StoreAccessKeyId,
        Self::StoreSecretAccessKey,
        Self::Passphrase,
        Self::Pin,
        Self::AwsEndpointUrl,
        Self::AwsRegion,
        Self::AwsAccessKeyId,
        Self::AwsSecretAccessKey,
        Self::AwsSessionToken,
        Self::AwsWebIdentityTokenFile,
        Self::AwsRoleArn,
        Self::AwsRoleSessionName,
        Self::AwsCaBundle,
        Self::Home,
        Self::NoColor,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::StoreAccessKeyId => "KLUIS_STORE_ACCESS_KEY_ID",
            Self::StoreSecretAccessKey => "KLUIS_STORE_SECRET_ACCESS_KEY",
            Self::Passphrase => "KLUIS_PASSPHRASE",
            Self::Pin => "KLUIS_PIN",
            Self::AwsEndpointUrl => "AWS_ENDPOINT_URL",
            Self::AwsRegion => "AWS_REGION",
            Self::AwsAccessKeyId => "AWS_ACCESS_KEY_ID",
            Self::AwsSecretAccessKey => "AWS_SECRET_ACCESS_KEY",
            Self::AwsSessionToken => "AWS_SESSION_TOKEN",
            Self::AwsWebIdentityTokenFile => "AWS_WEB_IDENTITY_TOKEN_FILE",
            Self::AwsRoleArn => "AWS_ROLE_ARN",
            Self::AwsRoleSessionName => "AWS_ROLE_SESSION_NAME",
            Self::AwsCaBundle => "AWS_CA_BUNDLE",
            Self::Home => "HOME",
            Self::NoColor => "NO_COLOR",
        }
    }

    /// Whether what this program starts has no use for it.
    #[must_use]
    pub const fn is_secret(self) -> bool {
        match self {
            Self::StoreAccessKeyId
            | Self::StoreSecretAccessKey
            | Self::Passphrase
            | Self::Pin
            | Self::AwsAccessKeyId
            | Self::AwsSecretAccessKey
            | Self::AwsSessionToken => true,
            Self::AwsEndpointUrl
            | Self::AwsRegion
            | Self::AwsWebIdentityTokenFile
            | Self::AwsRoleArn
            | Self::AwsRoleSessionName
            | Self::AwsCaBundle
            | Self::Home
            | Self::NoColor => false,
        }
    }

    /// What it is for.
    #[must_use]
    pub const fn doc(self) -> &'static str {
        match self {
            Self::StoreAccessKeyId => "The access key id of an S3 store.",
            Self::StoreSecretAccessKey => "The secret access key of an S3 store.",
            Self::Passphrase => "The passphrase of the root identity.",
            Self::Pin => "The PIN of the token or plugin that keeps the root.",
            Self::AwsEndpointUrl => "Where a mount finds its gateway.",
            Self::AwsRegion => "The region of a mount's credential.",
            Self::AwsAccessKeyId => "The access key id of a mount.",
            Self::AwsSecretAccessKey => "The secret access key of a mount.",
            Self::AwsSessionToken => "The session token of a mount with a temporary credential.",
            Self::AwsWebIdentityTokenFile => {
                "Without an access key: the file of a service account's token, which is exchanged \
                 for sessions of 15 minutes."
            }
            Self::AwsRoleArn => "How far these reach: `arn:aws:iam::kluis:role/PROJECT/DATASET`.",
            Self::AwsRoleSessionName => "What they are called in the log; `kluis` if not said.",
            Self::AwsCaBundle => {
                "Certificates to trust besides those of the machine, where a credential's file names none."
            }
            Self::Home => "Where `kluis login` keeps a person's session: `.kluis/session.env`.",
            Self::NoColor => "Set and not empty: no colour on a terminal.",
        }
    }
}

/// Where variables come from: the process, or a test's list.
pub struct Environment(Box<Source>);

/// Gives the value of a name.
type Source = dyn Fn(&str) -> Option<String> + Send + Sync;

impl Environment {
    /// That of this process.
    #[must_use]
    pub fn process() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that reads the environment"
        )]
        Self(Box::new(|name| std::env::var(name).ok()))
    }

    /// One made of pairs.
    #[must_use]
    pub fn of(pairs: &'static [(&'static str, &'static str)]) -> Self {
        Self(Box::new(|name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        }))
    }

    /// The value of a variable; one that is empty or not UTF-8 counts as not set.
    #[must_use]
    pub fn get(&self, variable: Variable) -> Option<SecretText> {
        (self.0)(variable.name())
            .filter(|value| !value.is_empty())
            .map(SecretText::new)
    }

    /// Whether a variable is set and not empty.
    #[must_use]
    pub fn has(&self, variable: Variable) -> bool {
        self.get(variable).is_some()
    }

    /// A lifecycle's day in milliseconds. Only a build for suites that wait for one (`short-days`)
    /// reads another length than a day's, from `KLUIS_DAY_SECONDS`.
    #[must_use]
    pub fn day_ms(&self) -> u64 {
        let seconds = if cfg!(feature = "short-days") {
            (self.0)("KLUIS_DAY_SECONDS")
        } else {
            None
        };
        let seconds: Option<u32> = seconds.and_then(|text| text.parse().ok());
        let seconds = seconds.filter(|seconds| *seconds > 0);
        seconds.map_or(limits::DAY_MS, |seconds| u64::from(seconds) * 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is installed is built without the feature, and its days are days.
    #[test]
    fn a_day_is_a_day_but_in_a_build_for_suites() {
        let short = if cfg!(feature = "short-days") {
            9_000
        } else {
            limits::DAY_MS
        };
        let of = |pairs| Environment::of(pairs).day_ms();
        assert_eq!(of(&[("KLUIS_DAY_SECONDS", "9")]), short);
        assert_eq!(of(&[]), limits::DAY_MS);
        for wrong in [
            &[("KLUIS_DAY_SECONDS", "0")] as &[_],
            &[("KLUIS_DAY_SECONDS", "-1")],
            &[("KLUIS_DAY_SECONDS", "9s")],
            &[("KLUIS_DAY_SECONDS", "")],
            &[("KLUIS_DAY_SECONDS", "4294967296")],
        ] {
            assert_eq!(of(wrong), limits::DAY_MS, "{wrong:?}");
        }
    }
}
