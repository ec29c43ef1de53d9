//! What comes from the server, in lines and frames.

use std::fmt;

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::{Instant, timeout_at},
};

use super::{
    Incoming,
    packet::{Described, describe},
    pattern::{Names, RequestLine},
};

/// One connection, from the client's side.
#[derive(Debug)]
pub(super) struct Connection<S> {
    /// `None` once the client has closed.
    pub(super) stream: Option<S>,
    pub(super) outgoing: Vec<u8>,
    /// Everything that came.
    pub(super) received: Vec<u8>,
    /// How much of it has been looked at.
    read: usize,
    /// The last request line.
    pub(super) request: RequestLine,
    /// The last Content-Length that came.
    body_length: usize,
    /// Frames of these channels (`None`: of all) may come before what is expected next.
    pub(super) skipped: Vec<Option<u8>>,
}

/// What came next.
#[derive(Debug)]
pub(super) enum Item {
    Line(String),
    Frame(u8, Vec<u8>),
    Body,
    Closed,
    /// Nothing, or not the whole of anything.
    Nothing,
}

impl Incoming {
    pub(super) fn is(&self, item: &Item, names: &mut Names) -> bool {
        match (self, item) {
            (Self::Quiet, Item::Nothing)
            | (Self::Closed, Item::Closed)
            | (Self::Body, Item::Body) => true,
            (Self::Line(pattern), Item::Line(line)) => pattern.matches(line, names),
            (Self::Frame(channel, expected), Item::Frame(came, payload)) => {
                channel == came
                    && Described::of(payload).is_some_and(|is| expected.matches(&is, names))
            }
            _ => false,
        }
    }
}

impl<S: AsyncRead + Unpin> Connection<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream: Some(stream),
            outgoing: Vec::new(),
            received: Vec::new(),
            read: 0,
            request: RequestLine::default(),
            body_length: 0,
            skipped: Vec::new(),
        }
    }

    /// The next line or frame, if it comes by then.
    pub(super) async fn item(&mut self, deadline: Instant) -> Item {
        loop {
            match self.buffered_item() {
                Some(item) => return item,
                None => match self.more(deadline).await {
                    Some(0) => return Item::Closed,
                    Some(_) => {}
                    None => return Item::Nothing,
                },
            }
        }
    }

    pub(super) async fn body(&mut self, deadline: Instant) -> Item {
        let length = std::mem::take(&mut self.body_length);
        while self.received.len() < self.read + length {
            match self.more(deadline).await {
                Some(0) => return Item::Closed,
                Some(_) => {}
                None => return Item::Nothing,
            }
        }
        self.read += length;
        Item::Body
    }

    fn buffered_item(&mut self) -> Option<Item> {
        let rest = self.received.get(self.read..)?;
        if let [b'$', rest @ ..] = rest {
            let &[channel, high, low, ref rest @ ..] = rest else { return None };
            let payload = rest.get(..usize::from(u16::from_be_bytes([high, low])))?.to_vec();
            self.read += 4 + payload.len();
            return Some(Item::Frame(channel, payload));
        }
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        self.read += end + 2;
        if let Some(length) = line.strip_prefix("Content-Length: ") {
            self.body_length = length.parse().unwrap_or(0);
        }
        Some(Item::Line(line))
    }

    pub(super) fn skips(&self, item: &Item) -> bool {
        let Item::Frame(channel, _) = item else { return false };
        self.skipped.iter().any(|skipped| skipped.is_none_or(|skipped| skipped == *channel))
    }

    /// Reads on; 0 at the end, `None` when nothing comes in time.
    async fn more(&mut self, deadline: Instant) -> Option<usize> {
        let Some(stream) = &mut self.stream else { return Some(0) };
        match timeout_at(deadline, stream.read_buf(&mut self.received)).await {
            Ok(Ok(read)) => Some(read),
            Ok(Err(_)) => Some(0),
            Err(_) => None,
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "the line {line:?}"),
            Self::Frame(channel, payload) => {
                write!(f, "on channel {channel} {}", describe(payload))
            }
            Self::Body => f.write_str("a body"),
            Self::Closed => f.write_str("the end"),
            Self::Nothing => f.write_str("nothing"),
        }
    }
}
