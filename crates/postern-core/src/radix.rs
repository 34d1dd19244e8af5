//! Radix translation: which bits a mapping has, and the tree that holds it.

mod entry;
mod tree;

pub use entry::{Kind, process_table_entry};
pub use tree::{MapError, Mapped, Tables, Tree};
