//! Health and metrics, on a listener of their own: plain HTTP without credentials, for the
//! operator's machines. They tell no name of a project, dataset, object or principal.

mod metrics;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

pub use metrics::{Metrics, Operation, StoreCall};

/// Says whether one thing that serving needs is there, and why not. It must not wait.
pub type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What the listener needs.
#[derive(Clone)]
struct Ops {
    checks: Arc<[(&'static str, Check)]>,
    warnings: Arc<[(&'static str, Check)]>,
    metrics: Arc<Metrics>,
}

/// What `/readyz` tells: what serving needs, and what needs the operator while it goes on.
#[derive(Default)]
pub struct Checks {
    /// One that fails makes the gateway unready.
    pub needs: Vec<(&'static str, Check)>,
    /// One that fails is told, and changes nothing.
    pub warnings: Vec<(&'static str, Check)>,
}

/// `/healthz`: the process runs. `/readyz`: it can serve; 503 with the reasons where not, and what
/// the operator is warned of. `/metrics`: `OpenMetrics` text.
pub fn router(checks: Checks, metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { uncached("ok\n") }))
        .route("/readyz", get(ready))
        .route("/metrics", get(expose))
        .with_state(Ops {
            checks: checks.needs.into(),
            warnings: checks.warnings.into(),
            metrics,
        })
}

/// One check's outcome.
#[derive(Serialize)]
struct Outcome {
    name: &'static str,
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// All of them.
#[derive(Serialize)]
struct Readiness {
    ready: bool,
    checks: Vec<Outcome>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning>,
}

/// What the operator should look at.
#[derive(Serialize)]
struct Warning {
    name: &'static str,
    reason: String,
}

async fn ready(State(ops): State<Ops>) -> Response {
    let checks: Vec<Outcome> = ops
        .checks
        .iter()
        .map(|(name, check)| {
            let reason = check().err();
            Outcome {
                name,
                ready: reason.is_none(),
                reason,
            }
        })
        .collect();
    let ready = checks.iter().all(|outcome| outcome.ready);
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let warned = |(name, check): &(&'static str, Check)| {
        let reason = check().err()?;
        Some(Warning { name, reason })
    };
    let told = Readiness {
        ready,
        checks,
        warnings: ops.warnings.iter().filter_map(warned).collect(),
    };
    let Ok(mut text) = serde_json::to_string(&told) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    // A line of its own on a terminal.
    text.push('\n');
    let kind = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, kind)], uncached(text)).into_response()
}

async fn expose(State(ops): State<Ops>) -> Response {
    let Ok(text) = ops.metrics.text() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    (
        [(header::CONTENT_TYPE, HeaderValue::from_static(kind))],
        uncached(text),
    )
        .into_response()
}

fn uncached(body: impl IntoResponse) -> impl IntoResponse {
    let operation = axum::Extension(Operation("ops"));
    (
        operation,
        [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))],
        body,
    )
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Method, Request};
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(router: Router, method: Method, path: &str) -> (StatusCode, String, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty());
        let answer = router
            .oneshot(request.expect("a request"))
            .await
            .expect("an answer");
        let status = answer.status();
        let kind = answer
            .headers()
            .get(header::CONTENT_TYPE)
            .map(|kind| kind.to_str().expect("text").to_owned())
            .unwrap_or_default();
        let body = answer
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        (
            status,
            kind,
            String::from_utf8(body.to_vec()).expect("text"),
        )
    }

    fn router_of(checks: Vec<(&'static str, Check)>) -> Router {
        let checks = Checks {
            needs: checks,
            warnings: Vec::new(),
        };
        router(checks, Arc::new(Metrics::new()))
    }

    fn good() -> Check {
        Arc::new(|| Ok(()))
    }

    #[tokio::test]
    async fn the_process_is_healthy_even_when_it_is_not_ready() {
        let bad: Check = Arc::new(|| Err("disk".to_owned()));
        let answer = ask(router_of(vec![("journal", bad)]), Method::GET, "/healthz").await;
        assert_eq!((answer.0, answer.2.as_str()), (StatusCode::OK, "ok\n"));
    }

    #[tokio::test]
    async fn ready_is_every_check() {
        let (status, _, text) =
            ask(router_of(vec![("store", good())]), Method::GET, "/readyz").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(
            text.trim_end(),
            r#"{"ready":true,"checks":[{"name":"store","ready":true}]}"#
        );
    }

    #[tokio::test]
    async fn not_ready_says_which_and_why() {
        let bad: Check = Arc::new(|| Err("the journal's disk is full".to_owned()));
        let checks = vec![("store", good()), ("journal", bad), ("policy", good())];
        let (status, kind, text) = ask(router_of(checks), Method::GET, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(kind, "application/json");
        let told: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(told["ready"], false);
        assert_eq!(told["checks"][1]["name"], "journal");
        assert_eq!(told["checks"][1]["reason"], "the journal's disk is full");
        assert_eq!(told["checks"][2]["ready"], true);
    }

    #[tokio::test]
    async fn a_warning_is_told_and_leaves_the_gateway_ready() {
        let bad: Check = Arc::new(|| Err("little space is left".to_owned()));
        let checks = Checks {
            needs: vec![("store", good())],
            warnings: vec![("disk", bad), ("policy", good())],
        };
        let router = router(checks, Arc::new(Metrics::new()));
        let (status, _, text) = ask(router, Method::GET, "/readyz").await;
        assert_eq!(status, StatusCode::OK);
        let told: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(told["ready"], true);
        let warnings = serde_json::json!([{"name": "disk", "reason": "little space is left"}]);
        assert_eq!(told["warnings"], warnings);
    }

    #[tokio::test]
    async fn a_check_is_asked_anew_each_time() {
        let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let check: Check = Arc::new(move || {
            let n = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            if n == 0 {
                Err("not yet".to_owned())
            } else {
                Ok(())
            }
        });
        let router = router_of(vec![("store", check)]);
        assert_eq!(
            ask(router.clone(), Method::GET, "/readyz").await.0.as_u16(),
            503
        );
        assert_eq!(ask(router, Method::GET, "/readyz").await.0.as_u16(), 200);
    }

    #[tokio::test]
    async fn metrics_are_openmetrics_text() {
        let (status, kind, text) = ask(router_of(Vec::new()), Method::GET, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(
            kind.starts_with("application/openmetrics-text; version=1.0.0"),
            "{kind}"
        );
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[tokio::test]
    async fn nothing_else_is_served() {
        for (method, path, status) in [
            (Method::GET, "/", 404),
            (Method::GET, "/healthz/..", 404),
            (Method::POST, "/readyz", 405),
            (Method::DELETE, "/metrics", 405),
        ] {
            assert_eq!(
                ask(router_of(Vec::new()), method, path).await.0.as_u16(),
                status,
                "{path}"
            );
        }
    }
}
