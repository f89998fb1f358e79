//! Every route, in one table: the router is built from it, and the OpenAPI document is checked against it.

use super::{AdminState, answer, events::Events, letters, limits};
use axum::routing::{MethodRouter, get, patch, post, put};

/// What a route's handler is given.
pub(crate) type State = (AdminState, Events);

/// One path and what is served there.
pub struct Route {
    /// The path, with `{name}` for its parameters.
    pub path: &'static str,
    /// The methods served, in lower case, as OpenAPI has them.
    pub methods: &'static [&'static str],
    pub(super) handler: MethodRouter<State>,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.path, self.methods)
    }
}

/// The routes, besides the files of the page.
pub fn routes() -> Vec<Route> {
    let route = |path, methods, handler| Route { path, methods, handler };
    vec![
        route("/healthz", &["get"], get(answer::healthz)),
        route("/readyz", &["get"], get(answer::readyz)),
        route("/metrics", &["get"], get(answer::metrics)),
        route("/openapi.json", &["get"], get(answer::openapi)),
        route("/v1/overview", &["get"], get(answer::overview)),
        route("/v1/events", &["get"], get(answer::events)),
        route("/v1/config/reload", &["post"], post(answer::reload)),
        route("/v1/producers", &["get"], get(answer::producers)),
        route("/v1/pipelines", &["get"], get(answer::pipelines)),
        route("/v1/pipelines/{name}", &["get"], get(answer::pipeline)),
        route("/v1/pipelines/{name}/pause", &["post"], post(answer::pause)),
        route("/v1/pipelines/{name}/resume", &["post"], post(answer::resume)),
        route("/v1/pipelines/{name}/target", &["put"], put(answer::target)),
        route(
            "/v1/pipelines/{name}/limits",
            &["get", "patch"],
            get(limits::show).merge(patch(limits::change)),
        ),
        route("/v1/pipelines/{name}/dead-letters", &["get"], get(letters::list)),
        route("/v1/pipelines/{name}/dead-letters/{partition}/{offset}", &["get"], get(letters::show)),
        route(
            "/v1/pipelines/{name}/dead-letters/redrive",
            &["get", "post"],
            get(letters::progress).merge(post(letters::redrive)),
        ),
        route("/v1/pipelines/{name}/dead-letters/purge", &["post"], post(letters::purge)),
    ]
}
