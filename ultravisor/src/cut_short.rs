//! A hypercall for which a guest was ended.

use std::fmt;

/// The call, and who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutShort {
    /// What is wrong with it.
    pub what: String,
    /// Who made it, by the names of the kernel's file, innermost first; nobody where only QEMU's log showed the call.
    pub by: Vec<String>,
}

impl fmt::Display for CutShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if self.by.is_empty() { Ok(()) } else { write!(f, ", by {}", self.by.join(" < ")) }
    }
}
