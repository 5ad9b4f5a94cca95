//! The route table: every path the gateway answers, once.
use crate::app::App;
use crate::metrics::Meters;
use crate::native::Operation;
use crate::refusal::{Refusal, json_response};
use crate::{native, revshare, webhook};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, Response, StatusCode};
use axum::routing::{MethodFilter, MethodRouter, get, on, post};
use bytes::Bytes;
use futures::FutureExt as _;
use serde_json::json;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// A handler with its paths; also the bounded label of its metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Webhook,
    RevshareReferral,
    Livez,
    Readyz,
    Unmatched,
    Native(Operation),
}

/// Every path but the native API's, with its method: a dialect's original path and the one under its name.
const FIXED: [(Route, &str, &str); 7] = [
    (Route::Webhook, "POST", "/webhooks/{provider}"),
    (Route::RevshareReferral, "POST", "/api/referral"),
    (Route::RevshareReferral, "POST", "/api/referral/"),
    (Route::RevshareReferral, "POST", "/revshare/api/referral"),
    (Route::RevshareReferral, "POST", "/revshare/api/referral/"),
    (Route::Livez, "GET", "/livez"),
    (Route::Readyz, "GET", "/readyz"),
];

impl Route {
    const FIXED: [Self; 5] =
        [Self::Webhook, Self::RevshareReferral, Self::Livez, Self::Readyz, Self::Unmatched];

    /// Each of them, in the order of [`Route::place`].
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Self::FIXED.into_iter().chain(Operation::ALL.into_iter().map(Self::Native))
    }

    /// Its place among all of them.
    pub(crate) const fn place(self) -> usize {
        match self {
            Self::Webhook => 0,
            Self::RevshareReferral => 1,
            Self::Livez => 2,
            Self::Readyz => 3,
            Self::Unmatched => 4,
            Self::Native(operation) => Self::FIXED.len() + operation as usize,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::RevshareReferral => "revshare_referral",
            Self::Livez => "livez",
            Self::Readyz => "readyz",
            Self::Unmatched => "unmatched",
            Self::Native(operation) => operation.shape().name,
        }
    }

    fn handler(self) -> MethodRouter<Arc<App>> {
        match self {
            Self::Webhook => post(async |State(app): State<Arc<App>>, request: Request| {
                guarded(&app.meters, Self::Webhook, webhook::receive(&app, request)).await
            }),
            Self::RevshareReferral => post(async |State(app): State<Arc<App>>, request: Request| {
                guarded(&app.meters, Self::RevshareReferral, revshare::refer(&app, request)).await
            }),
            Self::Livez => get(async |State(app): State<Arc<App>>| {
                guarded(&app.meters, Self::Livez, async {
                    json_response(StatusCode::OK, Bytes::from_static(b"{\"live\":true}"))
                })
                .await
            }),
            Self::Readyz => get(async |State(app): State<Arc<App>>| {
                guarded(&app.meters, Self::Readyz, async { readyz(&app) }).await
            }),
            Self::Unmatched => MethodRouter::new(),
            Self::Native(operation) => {
                let filter = MethodFilter::try_from(operation.shape().method.clone());
                on(
                    filter.unwrap_or(MethodFilter::POST),
                    async move |State(app): State<Arc<App>>, request: Request| {
                        guarded(&app.meters, self, native::serve(&app, operation, request)).await
                    },
                )
            }
        }
    }
}

/// Every route with its method and path.
pub(crate) fn table() -> impl Iterator<Item = (Route, Method, &'static str)> {
    let fixed = FIXED.into_iter().map(|(route, method, path)| {
        (route, Method::from_bytes(method.as_bytes()).unwrap_or_default(), path)
    });
    fixed.chain(Operation::ALL.into_iter().map(|operation| {
        let shape = operation.shape();
        (Route::Native(operation), shape.method.clone(), shape.path)
    }))
}

/// All routes over the shared state.
pub(crate) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for (route, _, path) in table() {
        router = router.route(path, route.handler());
    }
    router
        .method_not_allowed_fallback(async |State(app): State<Arc<App>>| {
            guarded(&app.meters, Route::Unmatched, async { Refusal::MethodNotAllowed.native() }).await
        })
        .fallback(async |State(app): State<Arc<App>>| {
            guarded(&app.meters, Route::Unmatched, async { Refusal::NotFound.native() }).await
        })
        .with_state(app)
}

/// Counts a request, and turns a panic into a 500 that says nothing about it.
///
/// A combinator, no async function: it holds `work` once, and the whole of a request's future is one allocation.
fn guarded(
    meters: &Meters,
    route: Route,
    work: impl Future<Output = Response<Body>>,
) -> impl Future<Output = Response<Body>> {
    let measured = meters.begin(route);
    AssertUnwindSafe(work).catch_unwind().map(move |result| {
        let response = result.unwrap_or_else(|_| {
            tracing::error!(route = route.name(), "request handler panicked");
            Refusal::Internal.native()
        });
        measured.answered(response.status());
        response
    })
}

fn readyz(app: &App) -> Response<Body> {
    let readiness = app.health.readiness();
    let waiting: Vec<_> =
        readiness.waiting_for.iter().map(|(name, why)| json!({"name": name, "why": why})).collect();
    let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({"ready": readiness.is_ready(), "waiting_for": waiting});
    json_response(status, Bytes::from(body.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_path_is_claimed_twice_and_every_route_is_in_its_place() {
        // Parameters by any name claim the same paths.
        let shapes: BTreeSet<String> = table()
            .map(|(_, method, path)| {
                let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
                format!("{method} {}", parts.collect::<Vec<_>>().join("/"))
            })
            .collect();
        assert_eq!(shapes.len(), table().count());
        for (at, route) in Route::all().enumerate() {
            assert_eq!(route.place(), at);
            assert!(route == Route::Unmatched || table().any(|(claimed, _, _)| claimed == route));
        }
    }

    #[tokio::test]
    async fn a_panic_becomes_a_500_that_says_nothing_about_it() {
        let silent: Box<dyn Fn(&std::panic::PanicHookInfo<'_>) + Send + Sync> = Box::new(|_| {});
        std::panic::set_hook(silent);
        let response = guarded(&Meters::new(), Route::Webhook, async { panic!("canary") }).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
        assert!(!String::from_utf8_lossy(&body).contains("canary"));
    }
}
