//! Simulated clock, disk, broker and service, and runs of the shipped code over them from a seed.
//!
//! The consumer, the log, the claim stores and the guard are run as they ship. What is simulated is the
//! world around them: time ([`clock`]), the process and its death ([`power`], [`runtime`]), the disk
//! ([`disk`]), a cluster of brokers ([`broker`]) and the service that handles records ([`service`]). The seams
//! between the two are watched ([`watch`]): they write down what really happened ([`truth`]), judge it, and let
//! mishaps strike ([`chance`]).
//!
//! Every choice follows from one number, the seed. A run that breaks a rule is found again by its seed, with the
//! same events in the same order ([`trace`]).

pub mod broker;
pub mod chance;
pub mod clock;
pub mod disk;
pub mod power;
pub mod runtime;
pub mod scenario;
pub mod service;
pub mod trace;
pub mod truth;
pub mod watch;

pub use clock::SimClock;
pub use scenario::Outcome;
