//! The `lenscast` command.

fn main() {}
