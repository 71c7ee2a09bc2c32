//! The arguments of `kluis scim`.

use clap::{Args, Subcommand, ValueEnum};

use super::secret::SecretArgs;
use crate::types::{PrincipalId, ProjectName};

/// Commands on organisations that tell who their people are.
#[derive(Debug, Subcommand)]
pub enum ScimCommand {
    /// Let an organisation tell who its people are, and hand over its credential
    ///
    /// Its system is told the address `https://GATEWAY/.kluis/v1/scim/v2` and the credential as a
    /// bearer token. Whom it makes is called `NAME.user-name`; it can speak of nobody else.
    #[command(
        after_long_help = "Example:\n  kluis scim create sram --for a.jansen --issuer sram --subject external-id \\\n    --output sram.token"
    )]
    Create {
        /// Its name: a-z, 0-9 and single hyphens
        name: ProjectName,
        /// The person of the vault in whose name it acts
        #[arg(long = "for", value_name = "PERSON")]
        acts_for: PrincipalId,
        /// The issuer at which its people sign in
        #[arg(long, value_name = "ISSUER", requires = "subject")]
        issuer: Option<String>,
        /// What the issuer's tokens call them
        #[arg(long, value_name = "WHAT", requires = "issuer")]
        subject: Option<Subject>,
        /// Where the credential goes
        #[command(flatten)]
        token: TokenArgs,
    },
    /// Hand over another credential; the one before ends now
    #[command(after_long_help = "Example:\n  kluis scim renew sram --output sram.token")]
    Renew {
        /// The organisation
        name: ProjectName,
        /// Where the credential goes
        #[command(flatten)]
        token: TokenArgs,
    },
    /// End an organisation's credential; the people and groups that it told of stay
    #[command(after_long_help = "Example:\n  kluis scim end sram")]
    End {
        /// The organisation
        name: ProjectName,
    },
    /// List the organisations
    #[command(after_long_help = "Example:\n  kluis scim list")]
    List,
    /// List whom an organisation tells of
    #[command(after_long_help = "Example:\n  kluis scim people sram")]
    People {
        /// The organisation
        name: ProjectName,
    },
    /// List the groups that an organisation tells of
    #[command(after_long_help = "Example:\n  kluis scim groups sram")]
    Groups {
        /// The organisation
        name: ProjectName,
    },
}

/// Where a credential goes, and how long it is good.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// For how many days the credential is good
    #[arg(long, value_name = "DAYS", default_value_t = 365)]
    pub days: u32,
    /// Where it goes
    #[command(flatten)]
    pub secret: SecretArgs,
}

/// Under what the people of an organisation sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Subject {
    /// Their `userName`
    UserName,
    /// Their `externalId`
    ExternalId,
}
