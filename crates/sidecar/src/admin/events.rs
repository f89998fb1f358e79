//! Server-sent events: a snapshot each second, made once however many look at it.

use crate::problem::Problem;
use crate::run::Shared;
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::unfold;
use http::{HeaderValue, Response, StatusCode, header};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// The most pages that look at the same time.
const SUBSCRIBERS_MAX: usize = 64;
/// How often there is a snapshot.
const EVERY: Duration = Duration::from_secs(1);

/// The stream of snapshots.
#[derive(Clone)]
pub(crate) struct Events {
    latest: watch::Receiver<Bytes>,
    places: Arc<Semaphore>,
}

impl Events {
    /// Starts making snapshots for whoever subscribes, on the current runtime, until the process stops.
    pub(crate) fn start(shared: Arc<Shared>) -> Self {
        let (tell, latest) = watch::channel(Bytes::new());
        let places = Arc::new(Semaphore::new(SUBSCRIBERS_MAX));
        let looking = places.clone();
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(EVERY);
            loop {
                tokio::select! {
                    biased;
                    () = shared.stop.cancelled() => return,
                    _ = tick.tick() => {}
                }
                if looking.available_permits() < SUBSCRIBERS_MAX {
                    tell.send_replace(event(&shared));
                }
            }
        });
        Self { latest, places }
    }

    /// A page's stream: a snapshot at once, then each one as it is made.
    pub(crate) fn subscribe(&self, shared: &Shared) -> Result<Response<Body>, Problem> {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            let detail = format!("{SUBSCRIBERS_MAX} pages look already; close one, or poll /v1/overview");
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return Err(Problem::new(status, "subscribers", "Too many pages look", detail).after(EVERY));
        };
        let mut latest = self.latest.clone();
        latest.mark_unchanged();
        let first = Some(event(shared));
        let events = unfold((first, latest, place), |(first, mut latest, place)| async move {
            if let Some(first) = first {
                return Some((Ok::<_, Infallible>(first), (None, latest, place)));
            }
            // The maker ends when the process stops, and with it the stream.
            latest.changed().await.ok()?;
            let event = latest.borrow_and_update().clone();
            Some((Ok(event), (None, latest, place)))
        });
        let mut response = Response::new(Body::from_stream(events));
        let content_type = HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        Ok(response)
    }
}

fn event(shared: &Shared) -> Bytes {
    Bytes::from(format!("event: snapshot\ndata: {}\n\n", shared.overview()))
}
