//! The server's side of RTSP: requests in, replies out, and the two machines between them.

pub mod connection;
mod head;
pub mod reply;
pub mod request;
pub mod session;

pub use connection::{Connection, Event, Fatal};
pub use reply::{Refusal, Reply, Status};
pub use request::{Method, PUBLIC, Request};
pub use session::Session;
