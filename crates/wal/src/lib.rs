//! A segmented, checksummed log of byte frames with group commit.

pub mod commit;
pub mod disk;
pub mod error;
pub mod format;
pub mod inspect;
pub mod log;
pub mod reader;

pub use commit::{Batch, Chain, GroupCommit, GroupOptions, Overflow, Ticket};
pub use disk::{Disk, DiskFile, RealDisk};
pub use error::{Damage, WalError};
pub use inspect::{Cut, Inspection, Repair, SegmentReport, inspect, repair, verify};
pub use log::{
    Appended, Counters, Durable, Extent, Log, Lost, Options, Payload, Recovery, Scan, SegmentInfo, Spare,
    SpareJob,
};
pub use reader::{Frame, Frames, Limit, Reader};
