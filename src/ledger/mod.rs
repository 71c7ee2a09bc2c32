//! The log's pure core: what a record is and how it is written down, byte for byte.

mod record;

pub use record::{
    AuthMethod, Completion, Entry, Intent, Nature, ObjectRef, Outcome, PolicyRef, Session,
    SessionHash,
};
