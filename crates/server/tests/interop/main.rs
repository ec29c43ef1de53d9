//! The real binary and the players people use, over UDP and TCP, with Digest on.
//!
//! Not part of the everyday run: `cargo nextest run --profile interop -p lenscast --test interop`.
//! A player that is not installed is a failure that says how to install it, never a skip.
//!
//! `LENSCAST_BINARY` names another binary to hold against the players, such as the static one.

mod access;
mod dissected;
mod files;
mod goodbye;
mod live;
mod matrix;
mod pictures;
mod pipes;
mod player;
mod readme;
mod running;
mod status;

use std::{env, ffi::OsString};

/// The binary under test.
fn binary() -> OsString {
    env::var_os("LENSCAST_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_lenscast").into())
}

/// Name and password of the one user, where there is one.
const LOGIN: &str = "lens:s3cret-and-long";
/// Another password for the same user.
const WRONG_LOGIN: &str = "lens:s3cret-and-wrong";
