//! Every limit of the protocol core, in one place.
//!
//! A peer that has not logged in can make a connection hold one head and
//! [`Limits::input_capacity`] bytes, and for at most the two durations below.

use std::time::Duration;

use crate::wire::interleaved;

/// How much of anything one client may send. `Default` suits every known player.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the request line, its line end not counted. Default 4096: URLs with tokens reach
    /// a few hundred; a URL of 2 KiB is what browsers and proxies agree on. Over it: 414. The
    /// session keeps the URL of each track, so raising it costs as much per track of each session.
    pub request_line: usize,
    /// Bytes of one header, name, colon and continuation lines included, line ends not counted.
    /// Default 4096: the longest real one is a Digest `Authorization` of 300 to 600 bytes. Over
    /// it: 400. Raising it costs nothing as long as `head` stands.
    pub header_line: usize,
    /// Headers in one request. Default 64: real clients send 4 to 12. Over it: 400. Each costs
    /// some 70 bytes while the request is being answered.
    pub headers: usize,
    /// Bytes of a head: request line, headers, and the empty line that ends them, line ends
    /// counted. Default 16 KiB. Over it the connection ends, since the next request cannot be
    /// found. Raising it costs that much memory per connection, before any login.
    pub head: usize,
    /// Bytes of a body. Default 16 KiB: GET_PARAMETER and SET_PARAMETER carry a few lines. Over
    /// it: 413, the body is skipped unread. Raising it costs that much memory per connection,
    /// before any login.
    pub body: usize,
    /// Time from the first byte of a request (or `$` frame) to its last. Default 10 s: a head
    /// fits one packet, so this is several retransmissions on a bad link. Raising it lets a peer
    /// that drips bytes hold a connection for longer.
    pub request_time: Duration,
    /// Time from accepting the connection to the end of the first request. Default 10 s: players
    /// send at once; people typing into a terminal need more. Raising it lets a silent peer hold
    /// a connection for longer.
    pub first_request_time: Duration,
}

impl Limits {
    /// The most bytes that `input` of [`Connection::receive`](crate::Connection::receive) ever
    /// holds while more are needed. A caller that reads no further than this reads enough.
    pub fn input_capacity(&self) -> usize {
        self.head.max(self.body).max(interleaved::HEADER_LEN + interleaved::MAX_PAYLOAD)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_line: 4096,
            header_line: 4096,
            headers: 64,
            head: 16 * 1024,
            body: 16 * 1024,
            request_time: Duration::from_secs(10),
            first_request_time: Duration::from_secs(10),
        }
    }
}
