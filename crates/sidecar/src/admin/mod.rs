//! The admin API, the metrics and the dashboard, on one address.
//!
//! Before any route stands who may call ([`crate::access`]); the page itself and the two probes say nothing
//! worth a token and need none. What changes something must come as JSON or with a header that no web form can
//! send, so that a page elsewhere cannot make a visitor's browser do it.

mod answer;
mod events;
mod letters;
mod limits;
mod routes;

pub use routes::routes;

use crate::access::Access;
use crate::listen::Answer;
use crate::problem::Problem;
use crate::run::Shared;
use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

/// The largest body of an admin request, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;
/// A client has this long to send its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// The header that stands for JSON where a request has no body.
const INTENT: &str = "x-seawall-request";

/// What the routes share.
#[derive(Clone)]
pub(crate) struct AdminState {
    pub(crate) shared: Arc<Shared>,
}

/// The admin listener's answers.
pub(crate) struct Admin {
    access: Access,
    router: Router,
}

impl Admin {
    pub(crate) fn new(state: AdminState, access: Access) -> Self {
        let router =
            routes().into_iter().fold(Router::new(), |router, route| router.route(route.path, route.handler));
        let events = events::Events::start(state.shared.clone());
        let router = router.fallback(answer::page).with_state((state, events));
        Self { access, router }
    }

    async fn admit(&self, request: Request<Incoming>) -> Result<Request<Body>, Problem> {
        let (parts, body) = request.into_parts();
        self.access.check_origin(&parts)?;
        if !is_open(&parts) {
            self.access.check_token(&parts.headers)?;
        }
        check_intent(&parts)?;
        let whole = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES_MAX).collect()).await;
        let body = match whole {
            Ok(Ok(whole)) => whole.to_bytes(),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                let detail = format!("the body is larger than {BODY_BYTES_MAX} bytes");
                let status = StatusCode::PAYLOAD_TOO_LARGE;
                return Err(Problem::new(status, "too-large", "The request is too large", detail));
            }
            Ok(Err(error)) => {
                return Err(Problem::bad_request("body", format!("the body broke off ({error})")));
            }
            Err(_) => {
                let detail = format!("the body was not complete after {} s", BODY_TIMEOUT.as_secs());
                let status = StatusCode::REQUEST_TIMEOUT;
                return Err(Problem::new(status, "slow-body", "The body came too slowly", detail));
            }
        };
        Ok(Request::from_parts(parts, Body::from(body)))
    }
}

/// Whether the request may come without a token: the probes, and the files of the page.
fn is_open(request: &Parts) -> bool {
    let path = request.uri.path();
    let reading = matches!(request.method, Method::GET | Method::HEAD);
    reading && (matches!(path, "/healthz" | "/readyz") || crate::dashboard::asset(path).is_some())
}

/// A request that changes something is JSON, or says what it is: neither can come from a form on another page.
fn check_intent(request: &Parts) -> Result<(), Problem> {
    if matches!(request.method, Method::GET | Method::HEAD) || request.headers.contains_key(INTENT) {
        return Ok(());
    }
    let content_type =
        request.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let essence = content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    if essence.eq_ignore_ascii_case(b"application/json") {
        return Ok(());
    }
    let detail = format!("send `Content-Type: application/json`, or the header `{INTENT}: 1`");
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Err(Problem::new(status, "content-type", "The content type is not accepted", detail))
}

impl Answer for Admin {
    type Body = Body;

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let mut response = match self.admit(request).await {
            Ok(request) => match self.router.clone().oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            },
            Err(problem) => problem.at(&path).into_response(),
        };
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            let detail = "the method is not served here; /openapi.json lists what is";
            let allow = response.headers().get(header::ALLOW).cloned();
            let problem =
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "The method is not served", detail);
            response = problem.at(&path).into_response();
            if let Some(allow) = allow {
                response.headers_mut().insert(header::ALLOW, allow);
            }
        }
        harden(&mut response);
        response
    }
}

/// Headers that every answer carries.
fn harden(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    let mut set = |name, value| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, crate::dashboard::CONTENT_SECURITY_POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "no-referrer");
    set(http::HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        self.response::<Bytes>().map(Body::from)
    }
}
