//! Wiring: a configuration becomes a running gateway.

mod gateway;
pub mod limits;
pub mod listen;
pub mod log;
pub mod metered;
mod open;
pub mod pace;
mod policy_files;
pub mod shutdown;
pub mod system;
mod tasks;
pub mod tls;

pub use gateway::{Gateway, ServeError};
pub use open::{
    AskPassphrase, Lane, OpenVaultError, Opened, open_catalog, open_journal, open_keys, open_root,
    open_store,
};
pub use policy_files::{PolicyFileError, load as load_policy, read as read_policy};
pub use tasks::{SnapshotError, Snapshots};
