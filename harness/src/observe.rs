//! What is seen from outside the guest, and the judgement on it.

pub mod exposure;
pub mod map;
pub mod rings;
pub mod trace;
