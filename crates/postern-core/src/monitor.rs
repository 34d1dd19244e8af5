//! `run=monitor`: typed bytes become keys, keys become a line, a line becomes a command. The host may type anything:
//! nothing here grows, waits or panics.

pub mod commands;
pub mod editor;
mod keys;

#[cfg(test)]
mod tests;
