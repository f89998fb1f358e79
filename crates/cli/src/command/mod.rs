//! One file per command.

pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod consume;
pub(crate) mod dlq;
pub(crate) mod lag;
pub(crate) mod produce;
pub(crate) mod run;
pub(crate) mod up;
pub(crate) mod wal;
