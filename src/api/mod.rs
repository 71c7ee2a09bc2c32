//! The HTTP edge for what S3 has no words for: who am I, grants, how long records are kept,
//! versions, keys for a mount.
//!
//! It lies under [`PREFIX`] on the listener of S3, which no bucket can be named like, and its
//! requests are signed as those of S3 are (SigV4, the body's hash included), so that a client needs
//! one address and one credential. The S3 edge hands over a request whose signature was right; the
//! endpoint translates it into one use case and its answer into JSON. `docs/api.md` has the list.

mod answer;
mod approvals;
mod ask;
mod datasets;
mod endpoint;
mod erasures;
mod grants;
mod identity;
mod jobs;
mod log_terms;
mod members;
mod notices;
mod openapi;
mod records;
mod scim;
mod scim_words;
mod versions;

use std::sync::Arc;

use axum::body::Body;
use http::{Method, Response};

pub use answer::{ApiError, Code};
pub use ask::Ask;
pub use datasets::dataset;
pub use endpoint::{Endpoint, Found};
pub use log_terms::log_terms;
pub use openapi::document;
pub use versions::version;

use crate::vault::Vault;

/// Where the API lies. A bucket's name begins with a letter or a digit.
pub const PREFIX: &str = "/.kluis/v1/";

/// The API over a vault.
pub struct Api {
    vault: Arc<Vault>,
    routes: endpoint::Routes,
}

impl Api {
    /// Over this vault.
    #[must_use]
    pub fn new(vault: Arc<Vault>) -> Self {
        Self {
            vault,
            routes: endpoint::Routes::new(),
        }
    }

    /// Whether a path belongs to the API, served or not.
    #[must_use]
    pub fn owns(path: &str) -> bool {
        path.starts_with(PREFIX)
    }

    /// Whether what lies at a path is asked with a bearer credential instead of a signature.
    #[must_use]
    pub fn takes_bearer(path: &str) -> bool {
        path.strip_prefix(PREFIX)
            .is_some_and(|rest| rest.starts_with(scim::BASE))
    }

    /// Every endpoint.
    #[must_use]
    pub fn endpoints() -> &'static [Endpoint] {
        endpoint::ENDPOINTS
    }

    /// The endpoint of a request.
    #[must_use]
    pub fn find(&self, method: &Method, path: &str) -> Found {
        self.routes.find(method, path)
    }

    /// Serves a request at its endpoint.
    pub async fn answer(&self, endpoint: &Endpoint, ask: Ask) -> Response<Body> {
        (endpoint.handle)(Arc::clone(&self.vault), ask)
            .await
            .unwrap_or_else(|error| error.to_response())
    }
}
