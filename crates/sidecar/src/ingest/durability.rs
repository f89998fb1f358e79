//! How safe the records of one request are to be before they get their receipts.

use crate::destination::Destination;
use crate::problem::Problem;
use http::HeaderMap;
use seawall_core::Durability;

/// The header by which a request chooses. Without it the configuration's `[producer]` does.
pub const DURABILITY_HEADER: &str = "seawall-durability";

const ALL: [Durability; 3] = [Durability::Replicated, Durability::Synced, Durability::Buffered];

/// What the request asks of `sink`; `None` where it leaves the choice to the configuration.
///
/// # Errors
/// 400 for an unknown value, for a header that stands there twice, and for more than `sink` can ever give.
pub(super) fn asked(headers: &HeaderMap, sink: &Destination) -> Result<Option<Durability>, Problem> {
    let wrong = |detail| Err(Problem::bad_request("durability", detail));
    let mut values = headers.get_all(DURABILITY_HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return wrong("the header Seawall-Durability stands there twice".to_owned());
    }
    let Some(asked) = ALL.into_iter().find(|one| value.as_bytes() == one.as_str().as_bytes()) else {
        let value = String::from_utf8_lossy(value.as_bytes());
        return wrong(format!(
            "the header Seawall-Durability is {value:?}; replicated, synced or buffered is right"
        ));
    };
    let best = sink.best();
    if asked > best {
        return wrong(format!(
            "the header Seawall-Durability asks for {:?}, and what {} gives is {:?} at best",
            asked.as_str(),
            sink.name(),
            best.as_str()
        ));
    }
    Ok(Some(asked))
}
