//! Wiring: a configuration becomes a running gateway.

mod answers;
pub mod certificate;
mod clock;
pub mod crew;
mod dial;
mod exposure;
pub(crate) mod fetch;
mod found;
mod gate;
mod gateway;
mod health;
mod issuers;
mod keeper;
mod lags;
pub mod limits;
pub mod listen;
pub mod log;
pub mod metered;
mod new_root;
mod notary;
mod open;
pub mod pace;
mod policy_files;
mod pushes;
mod root;
mod seat;
pub mod shutdown;
mod snapshots;
mod store_clock;
mod streams;
pub mod system;
mod tasks;
pub mod tls;
mod transit;
mod transit_token;
mod unseal;
mod visa_issuers;
mod volumes;

#[cfg(feature = "audit")]
pub(crate) use dial::Dial;
pub use exposure::{Exposed, exposed};
#[cfg(feature = "audit")]
pub(crate) use fetch::{FetchError, Place, post};
#[cfg(feature = "audit")]
pub(crate) use found::create_partial;
pub use found::{
    NewFile, create_dir, create_file, create_folder, env_lines, make_catalog, make_keys, make_ring,
    write_file,
};
pub use gate::open_gate;
pub use gateway::{Gateway, ServeError};
pub use health::Health;
pub use issuers::{IssuersFound, issuers_named, look_at_issuers};
pub(crate) use keeper::KEEPER;
pub use keeper::{Asking, KeeperError, Refused, serve_keeper};
pub use lags::{LogLags, Shipped};
pub use new_root::{NewRoot, Sharing};
pub use notary::{log_keys, log_origin};
pub use open::{
    AskPassphrase, Asked, FinishError, Lane, LaneState, OpenVaultError, Opened, Opening,
    open_catalog, open_store, try_lane,
};
pub use policy_files::{PolicyFileError, load as load_policy, read as read_policy};
pub use pushes::receiver;
pub use root::{OpenedRoot, kind_of, look_at_root, open_keys, open_root};
pub use store_clock::store_ahead;
pub use streams::StartError;
pub use transit::{ReachError, TransitError};
pub use transit_token::renew_token;
pub use unseal::{Sealed, Told, UnsealError, hand_over};
pub use volumes::{
    Unlocked, VolumeStore, Wormed, demand_locks, open_volumes, prove_locks, worm_mode,
};
