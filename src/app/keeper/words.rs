//! What this program and its child that speaks to a keeper say to each other: one JSON object in,
//! one out. The child is this very program, so that there is one version of it.

use std::borrow::Cow;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What the child is asked. **Holds secrets: implements no Debug.**
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask<'a> {
    /// Who is spoken to.
    pub(super) keeper: Foreign<'a>,
    /// The PIN, where there is one.
    pub(super) pin: Option<Cow<'a, str>>,
    /// The public half of the root that this is about.
    pub(super) recipient: Cow<'a, str>,
    /// What it is to do.
    pub(super) work: Work<'a>,
}

/// A keeper that is no part of this program.
#[derive(Serialize, Deserialize, Clone)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Foreign<'a> {
    /// A key on a PKCS#11 token.
    Token {
        /// The module, a library of its maker.
        module: Cow<'a, Path>,
        /// The token's label.
        label: Cow<'a, str>,
        /// Its serial number, where the label is not enough.
        serial: Option<Cow<'a, str>>,
        /// The key's label.
        key: Cow<'a, str>,
    },
    /// An age plugin.
    Plugin {
        /// The text of the identity's file.
        identity: Cow<'a, str>,
        /// To whom the root is encrypted; none: to the identity, as its plugin knows how.
        recipient: Option<Cow<'a, str>>,
    },
}

/// What a keeper is to do.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Work<'a> {
    /// Wrap this root, as text.
    Wrap(Cow<'a, str>),
    /// Open what it wrapped, in base64.
    Open(Cow<'a, str>),
}

/// What the child answers. **Holds secrets: implements no Debug.**
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Told<'a> {
    /// The root, wrapped, in base64.
    Wrapped(Cow<'a, str>),
    /// The root, as text; borrowed, so that it stands in the answer's buffer alone.
    #[serde(borrow)]
    Opened(Cow<'a, str>),
    /// Nothing was done.
    Refused(Refused),
}

/// Why a token or a plugin did not do it. At fault: the operator, or the device. It holds no text
/// of either.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Refused {
    /// This program was built without tokens.
    #[error("this program was built without PKCS#11")]
    NotBuilt,
    /// The module is not there, or it is not one.
    #[error("the file is not a PKCS#11 module")]
    Module,
    /// Others than this user and root could put code into the module.
    #[error("others can write the PKCS#11 module")]
    ModuleExposed,
    /// Others than this user and root could put another program in the plugin's place.
    #[error("others can write the plugin or its directory")]
    PluginExposed,
    /// There is no such token.
    #[error("no such token is in any slot")]
    TokenMissing,
    /// Several tokens have that label.
    #[error("several tokens have this label")]
    TokenTwice,
    /// The token went away, or it is broken.
    #[error("the token is gone or does not answer")]
    TokenGone,
    /// A PIN is needed.
    #[error("a PIN is needed")]
    PinMissing,
    /// The PIN is wrong.
    #[error("the PIN is wrong")]
    PinWrong,
    /// The login failed otherwise: its number's name. A module may say so of a wrong PIN.
    #[error("the token did not take the PIN code={0}")]
    Login(String),
    /// The token is locked.
    #[error("the token's PIN is locked")]
    PinLocked,
    /// One try is left, which is a person's.
    #[error("the token has one try of its PIN left, which is not spent here")]
    PinFinal,
    /// There is no such key.
    #[error("the token has no such key")]
    KeyMissing,
    /// Several keys have that label.
    #[error("the token has several keys of this label")]
    KeyTwice,
    /// The key is not one that stays on its token.
    #[error("the key is not an AES-256 key that stays on its token")]
    KeyExposed,
    /// The token has no AES-GCM.
    #[error("the token does not do AES-GCM")]
    Mechanism,
    /// What is to be opened was not wrapped by this key.
    #[error("this key did not wrap this root")]
    NotWrapped,
    /// The device said something else; its number's name.
    #[error("the token failed code={0}")]
    Failed(String),
    /// The identity's file has not exactly one plugin identity.
    #[error("the file has not exactly one plugin identity (AGE-PLUGIN-NAME-1...)")]
    Identity,
    /// The recipient is none.
    #[error("the recipient is no age recipient of a plugin")]
    Recipient,
    /// The plugin is not there.
    #[error("the plugin is not in the path name=age-plugin-{0}")]
    PluginMissing(String),
    /// The plugin did not do it.
    #[error("the plugin did not do it")]
    Plugin,
    /// What was asked is nothing.
    #[error("what was asked is nothing")]
    Ask,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_not_copied_out_of_its_answer() {
        let said = serde_json::to_vec(&Told::Opened(Cow::Borrowed("AGE-SECRET-KEY-1X"))).unwrap();
        let told: Told<'_> = serde_json::from_slice(&said).unwrap();
        assert!(matches!(
            told,
            Told::Opened(Cow::Borrowed("AGE-SECRET-KEY-1X"))
        ));
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for said in [
            "",
            "{}",
            "null",
            "{\"opened\":1}",
            "{\"opened\":\"a\"} x",
            "{\"refused\":\"worse\"}",
        ] {
            assert!(serde_json::from_str::<Told<'_>>(said).is_err(), "{said}");
        }
        let told = serde_json::from_str("{\"refused\":\"pin-wrong\"}").unwrap();
        assert!(matches!(told, Told::Refused(Refused::PinWrong)));
    }
}
