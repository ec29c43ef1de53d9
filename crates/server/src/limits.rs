//! How much clients may use. Those a user can set are keys of `[limits]` in the configuration file.

use std::time::Duration;

/// How much clients may use: beside [`rtsp_proto::wire::Limits`], which bounds each message, the
/// one place where this is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes, counts and times of single messages.
    pub wire: rtsp_proto::wire::Limits,
    /// Requests a connection may have waiting for their answer. Default 16: real clients have one.
    /// Over it the connection is not read until one is answered. Raising it costs memory: each
    /// may hold a head and a body.
    pub pipelined_requests: usize,
    /// Connections in all. Default 1024. Over it a connection is answered 503 and closed. Raising
    /// it costs a file descriptor each, and some 20 KiB of memory.
    pub connections: usize,
    /// Connections from one address. Default 256: an NVR opens one or two per stream, a proxy one
    /// per viewer. Over it: as above.
    pub connections_per_address: usize,
    /// Connections in all that have not logged in, where logging in is required. Default 128: a
    /// login takes a few milliseconds. Over it: as above. Raising it lets strangers hold more.
    pub unauthenticated: usize,
    /// Of these, connections from one address. Default 32: a recorder that starts opens one for
    /// each camera, and logs in at once. Over it: as above. It must stay well below the limit in
    /// all, or one stranger keeps everyone out.
    pub unauthenticated_per_address: usize,
    /// Time in which a connection must log in, where that is required, whatever it sends. Default
    /// 30 s: a person may be typing a password. Raising it lets strangers stay for longer.
    pub login_time: Duration,
    /// Sessions made on one connection. Default 16: a player has one, a proxy few. Over it SETUP
    /// is answered 453. Raising it lets one client take more of the sessions in all.
    pub sessions_per_connection: usize,
    /// Sessions in all. Default 1024. Over it SETUP is answered 453. Raising it costs some 4 KiB
    /// each, and the bandwidth.
    pub sessions: usize,
    /// Time without a byte after which a connection that has no session is closed. Default 30 s.
    /// Raising it lets idle connections count against the limits for longer.
    pub idle_timeout: Duration,
    /// Time without a sign of life after which a session ends, as told to clients; they are given
    /// 10 s more. Default 60 s, as RFC 2326 section 12.37 has it. Raising it keeps sending
    /// for longer to viewers that vanished.
    pub session_timeout: Duration,
    /// Time in which a TCP viewer must take some bytes, when there are any for it. Default 10 s.
    /// Raising it keeps a stalled viewer for longer; it never delays others.
    pub stall_time: Duration,
    /// Bytes of replies a client may leave unread. Default 64 KiB. Over it no further request of
    /// it is answered until it reads. Raising it costs that much memory per connection.
    pub unread_replies: usize,
    /// Failed logins after which a connection is closed. Default 8. Raising it lets a stranger
    /// guess faster.
    pub failed_logins: u32,
    /// Time in which a stream must have something to show before DESCRIBE is answered 503.
    /// Default 5 s: a camera takes one or two to start.
    pub describe_time: Duration,
    /// Time in which the first picture must come before PLAY is answered without RTP-Info numbers.
    /// Default 1 s: players wait a few.
    pub play_time: Duration,
    /// Programs that may ask for the status at a time. Default 16. Over it a connection to the
    /// status socket is closed. Raising it lets more of this user's programs cost time.
    pub status_clients: usize,
    /// Time in which a program must ask for the status again, and take the answer. Default 10 s.
    /// Raising it lets one that hangs keep its place for longer.
    pub status_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wire: rtsp_proto::wire::Limits::default(),
            pipelined_requests: 16,
            connections: 1024,
            connections_per_address: 256,
            unauthenticated: 128,
            unauthenticated_per_address: 32,
            login_time: Duration::from_secs(30),
            sessions_per_connection: 16,
            sessions: 1024,
            idle_timeout: Duration::from_secs(30),
            session_timeout: Duration::from_secs(60),
            stall_time: Duration::from_secs(10),
            unread_replies: 64 * 1024,
            failed_logins: 8,
            describe_time: Duration::from_secs(5),
            play_time: Duration::from_secs(1),
            status_clients: 16,
            status_time: Duration::from_secs(10),
        }
    }
}
