//! What an endpoint gets of a request.

use std::str::FromStr;

use bytes::Bytes;
use http::HeaderMap;
use serde::de::DeserializeOwned;

use super::answer::ApiError;
use crate::types::SecretText;
use crate::vault::Call;

/// A request whose signature was right, or that needs none.
pub struct Ask {
    /// The request as the vault knows it.
    pub call: Call,
    /// What stands in the path in the place of the endpoint's names, percent-decoded.
    pub parameters: Vec<(String, String)>,
    /// The query as it was written.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The bearer credential, where the endpoint takes one.
    pub bearer: Option<SecretText>,
    /// The body, whole; at most `limits::API_BODY_BYTES_MAX`.
    pub body: Bytes,
}

impl Ask {
    /// A parameter of the path.
    pub fn parameter<T: FromStr>(&self, name: &'static str) -> Result<T, ApiError> {
        let found = self.parameters.iter().find(|(known, _)| known == name);
        found
            .and_then(|(_, value)| value.parse().ok())
            .ok_or_else(|| ApiError::bad(format!("The path's {name} is not one.")))
    }

    /// A parameter of the query; `None` if it is not there. One that is there twice is refused.
    pub fn asked<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, ApiError> {
        let bad = || ApiError::bad(format!("The query's {name} is not one."));
        let mut values = form_urlencoded::parse(self.query.as_bytes())
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value);
        let first = values.next();
        if values.next().is_some() {
            return Err(bad());
        }
        first
            .map(|value| value.parse().map_err(|_unparsed| bad()))
            .transpose()
    }

    /// The body, a JSON object. The error tells the client where its own text is wrong.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        // An array would be taken for the fields in their order, an empty one for none of them.
        if self.body.trim_ascii_start().first() != Some(&b'{') {
            return Err(ApiError::bad("The body is a JSON object.".to_owned()));
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            ApiError::bad(format!("The body is not the JSON of this request: {error}"))
        })
    }
}
