//! What is put through the benches: pictures as encoders make them, requests and reports as clients
//! send them. Nothing is measured here.

pub mod pictures;
pub mod reports;
pub mod requests;
