//! The wrong hypercall at which a guest was ended.

use std::fmt;

/// The call and its callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutShort {
    /// The fault of the call.
    pub what: String,
    /// Its callers by the symbols of the kernel's file, innermost first; empty if only QEMU's log showed the call.
    pub by: Vec<String>,
}

impl fmt::Display for CutShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if self.by.is_empty() { Ok(()) } else { write!(f, ", by {}", self.by.join(" < ")) }
    }
}
