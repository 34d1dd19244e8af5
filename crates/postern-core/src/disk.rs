//! The disk jobs of `run=`: digest, pattern, verify, and one disk partitioned among all CPUs.

pub mod jobs;
pub mod partition;
pub mod pattern;
