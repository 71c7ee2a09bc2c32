//! The S3 edge: translates S3 requests into the vault's use cases and their answers back.
//!
//! It holds no rule about who may do what. It does hold the rules of S3's transport that the
//! library below it leaves open: the end of an aws-chunked body, announced trailers, headers that
//! would change what a request means, and that no request goes unrecorded. `docs/s3.md` lists what
//! is served, what is refused, and where this differs from Amazon's S3.

mod access;
mod answer;
mod auth;
mod body;
mod coalesce;
mod cors;
mod error;
mod expected;
mod form;
mod framing;
mod fuzz;
mod gather;
mod headers;
mod housed;
mod ops;
mod room;
mod route;
mod scope;
mod service;
mod signed;
mod sts;
#[cfg(test)]
mod tests;
mod translate;
mod unbroken;
mod watch;

pub use access::SERVED;
pub use answer::Served;
#[doc(hidden)]
pub use fuzz::fuzz_decoders;
pub use service::{BuildError, S3Edge, S3Settings, SelfTestError, router};
