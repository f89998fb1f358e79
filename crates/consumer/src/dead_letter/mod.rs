//! Records that will never work: where they go, and the whole story they take along.
//!
//! A dead letter is the original record, key, value and headers kept, with what happened written into
//! further headers. Only when the sink has confirmed it is the original settled; while the sink refuses, the
//! record stays parked and its lane waits, so that neither the record nor its key's order is lost.
//!
//! A claim of a dead-lettered record is released, not completed: the effect has not happened, and a redrive
//! under the same token must be able to make it happen.

pub mod headers;
mod provenance;

pub(crate) use provenance::number;
pub use provenance::{Provenance, ProvenanceError};
