//! Radix translation: the bits of a mapping, and the tree that holds it.

mod entry;
mod tree;

pub use entry::{Kind, process_table_entry};
pub use tree::{MapError, Mapped, Tables, Tree};
