//! The S3 edge: HTTP and XML in, use cases out.
#![allow(missing_docs, clippy::all, clippy::pedantic)]
use std::{convert::Infallible, sync::Arc, time::Duration};
#[derive(Clone)]
pub struct S3Edge;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct BuildError;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct SelfTestError;
pub struct S3Settings {
    pub region: String,
    pub domain: Option<String>,
    pub source: String,
    pub body_idle: Duration,
}
pub fn router(_: Arc<crate::vault::Vault>, _: &S3Settings) -> Result<S3Edge, BuildError> {
    Ok(S3Edge)
}
impl S3Edge {
    pub async fn self_test(&self) -> Result<(), SelfTestError> {
        Ok(())
    }
}
impl<B> tower::Service<http::Request<B>> for S3Edge {
    type Response = http::Response<http_body_util::Full<bytes::Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;
    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }
    fn call(&mut self, _: http::Request<B>) -> Self::Future {
        std::future::ready(Ok(http::Response::new(Default::default())))
    }
}
