//! RTSP replies and `$` frames, as they lie in what was read (RFC 2326 sections 7 and 10.12).

use std::{ops::ControlFlow, str};

use bytes::Bytes;

use super::Error;

/// What comes in.
#[derive(Debug)]
pub(super) enum Message<'a> {
    /// A `$` frame, not copied.
    Frame {
        channel: u8,
        payload: &'a [u8],
    },
    Response(Response),
}

/// A reply.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    reason: String,
    headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

/// How far [`take_all`] got.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// Bytes of the messages that were taken.
    pub(super) bytes: usize,
    /// Whether it was told to stop, so that more whole messages may follow.
    pub(super) is_stopped: bool,
}

/// Gives every whole message at the beginning of `input` to `take`, until that breaks.
pub(super) fn take_all(
    input: &[u8],
    mut take: impl FnMut(Message<'_>) -> ControlFlow<()>,
) -> Result<Taken, Error> {
    let mut bytes = 0;
    while let Some((message, length)) = Message::first(&input[bytes..])? {
        bytes += length;
        if take(message).is_break() {
            return Ok(Taken { bytes, is_stopped: true });
        }
    }
    Ok(Taken { bytes, is_stopped: false })
}

impl<'a> Message<'a> {
    /// The message at the beginning of `input` and its length; `None` when it is not whole.
    fn first(input: &'a [u8]) -> Result<Option<(Self, usize)>, Error> {
        match *input {
            [] => Ok(None),
            [b'$', channel, high, low, ref rest @ ..] => {
                let length = usize::from(u16::from_be_bytes([high, low]));
                let frame = |payload| (Self::Frame { channel, payload }, FRAME_HEADER + length);
                Ok(rest.get(..length).map(frame))
            }
            [b'$', ..] => Ok(None),
            _ => {
                let response = Response::first(input)?;
                Ok(response.map(|(response, length)| (Self::Response(response), length)))
            }
        }
    }
}

impl Response {
    fn first(input: &[u8]) -> Result<Option<(Self, usize)>, Error> {
        let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") else {
            if input.len() > MOST_HEAD {
                return Err(Error::Malformed("neither a reply nor a `$` frame"));
            }
            return Ok(None);
        };
        let head = str::from_utf8(&input[..end])
            .map_err(|_| Error::Malformed("a reply that is not UTF-8"))?;
        let mut response = Self::parse(head)?;
        let length: usize = match response.header("Content-Length") {
            Some(length) => length.parse().map_err(|_| Error::Malformed("Content-Length"))?,
            None => 0,
        };
        if length > MOST_BODY {
            return Err(Error::Malformed("a body of unlikely length"));
        }
        let (begin, end) = (end + 4, end + 4 + length);
        let Some(body) = input.get(begin..end) else { return Ok(None) };
        response.body = Bytes::copy_from_slice(body);
        Ok(Some((response, end)))
    }

    fn parse(head: &str) -> Result<Self, Error> {
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().splitn(3, ' ');
        if words.next() != Some("RTSP/1.0") {
            return Err(Error::Malformed("a reply that does not begin with RTSP/1.0"));
        }
        let status = words.next().and_then(|code| code.parse().ok());
        let status = status.ok_or(Error::Malformed("a reply without a status code"))?;
        let reason = words.next().unwrap_or_default().to_owned();
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':').ok_or(Error::Malformed("a header"))?;
                Ok((name.to_owned(), value.trim().to_owned()))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { status, reason, headers, body: Bytes::new() })
    }

    /// The first header of this name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    pub(super) fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = move |(own, _): &&(String, String)| own.eq_ignore_ascii_case(name);
        self.headers.iter().filter(named).map(|(_, value)| value.as_str())
    }

    pub(super) fn sequence(&self) -> Option<u32> {
        self.header("CSeq")?.parse().ok()
    }

    pub(super) fn expect_ok(&self, method: &'static str) -> Result<(), Error> {
        match self.status {
            200 => Ok(()),
            status => Err(Error::Refused { method, status, reason: self.reason.clone() }),
        }
    }
}

const FRAME_HEADER: usize = 4;
/// A message never needs more than this to be whole.
pub(super) const MOST_MESSAGE: usize = MOST_HEAD + 4 + MOST_BODY;
const MOST_HEAD: usize = 64 * 1024;
const MOST_BODY: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_parted_wherever_they_are_cut() {
        let wire = b"$\x01\0\x02abRTSP/1.0 200 OK\r\ncseq: 1\r\nContent-length: 3\r\n\r\n$\0$\
                     $\0\0\0RTSP/1.0 404 Not Found\r\n\r\n";
        for cut in 0..wire.len() {
            let mut input = Vec::new();
            let mut seen = Vec::new();
            for part in [&wire[..cut], &wire[cut..]] {
                input.extend_from_slice(part);
                let taken = take_all(&input, |message| {
                    seen.push(match message {
                        Message::Frame { channel, payload } => {
                            format!("{channel} {:?}", Bytes::copy_from_slice(payload))
                        }
                        Message::Response(Response { status, reason, body, .. }) => {
                            format!("{status} {reason} {body:?}")
                        }
                    });
                    ControlFlow::Continue(())
                });
                input.drain(..taken.unwrap().bytes);
            }
            let whole = ["1 b\"ab\"", "200 OK b\"$\\0$\"", "0 b\"\"", "404 Not Found b\"\""];
            assert_eq!(seen, whole, "cut at {cut}");
        }
    }

    #[test]
    fn taking_stops_where_it_is_told_to() {
        let wire = b"$\0\0\x01a$\0\0\x01b$\0\0\x02c";
        let mut seen = 0;
        let mut take = |wire: &[u8]| {
            take_all(wire, |_| {
                seen += 1;
                if seen == 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
        };
        assert_eq!(take(wire).unwrap(), Taken { bytes: 5, is_stopped: true });
        assert_eq!(take(&wire[5..]).unwrap(), Taken { bytes: 5, is_stopped: false });
        assert_eq!(seen, 2);
    }

    #[test]
    fn what_is_neither_frame_nor_reply_is_refused() {
        for wire in
            [&b"HTTP/1.1 200 OK\r\n\r\n"[..], b"RTSP/1.0 200\r\nContent-Length: 99999999\r\n\r\n"]
        {
            assert!(take_all(wire, |_| ControlFlow::Continue(())).is_err());
        }
        assert!(take_all(&vec![b'x'; MOST_HEAD + 1], |_| ControlFlow::Continue(())).is_err());
    }
}
