//! Host side of Postern.
fn main() {}
