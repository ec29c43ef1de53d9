//! One RTSP connection, as a client sees it: requests out, replies and `$` frames in (RFC 2326).

use std::{
    io,
    net::SocketAddr,
    str,
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout_at,
};

use super::{
    Error, PATIENCE,
    digest::{Challenge, Login},
    report::Reply,
};

/// A connection, and what was agreed on it.
#[derive(Debug)]
pub(super) struct Conversation {
    stream: TcpStream,
    input: BytesMut,
    /// Just before connecting.
    started: Instant,
    url: String,
    sequence: u32,
    session: Option<String>,
    session_timeout: Duration,
    login: Option<Login>,
    challenge: Option<Challenge>,
    replies: Vec<Reply>,
}

/// What comes in.
#[derive(Debug)]
pub(super) enum Message {
    Frame { channel: u8, payload: Bytes },
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

impl Conversation {
    pub(super) async fn connect(
        address: SocketAddr,
        receive_buffer: Option<u32>,
        login: Option<Login>,
        started: Instant,
    ) -> Result<Self, Error> {
        let connect = async {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            // Before connecting: the window is agreed on then.
            if let Some(size) = receive_buffer {
                socket.set_recv_buffer_size(size)?;
            }
            let stream = socket.connect(address).await?;
            stream.set_nodelay(true)?;
            io::Result::Ok(stream)
        };
        let stream = timeout_at((started + PATIENCE).into(), connect)
            .await
            .map_err(|_| Error::NoReply("connecting"))?
            .map_err(Error::io("connecting"))?;
        Ok(Self {
            stream,
            input: BytesMut::new(),
            started,
            url: String::new(),
            sequence: 0,
            session: None,
            session_timeout: DEFAULT_SESSION_TIMEOUT,
            login,
            challenge: None,
            replies: Vec::new(),
        })
    }

    pub(super) fn started(&self) -> Instant {
        self.started
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }

    /// The URL of the next requests.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn set_url(&mut self, url: String) {
        self.url = url;
    }

    /// How long the server keeps a session that is silent.
    pub(super) fn session_timeout(&self) -> Duration {
        self.session_timeout
    }

    /// Remembers the session a reply to SETUP names.
    pub(super) fn take_session(&mut self, response: &Response) -> Result<(), Error> {
        let header = response.header("Session").ok_or(Error::Malformed("SETUP without Session"))?;
        let (id, parameters) = header.split_once(';').unwrap_or((header, ""));
        self.session = Some(id.trim().to_owned());
        let timeout = parameters.trim().strip_prefix("timeout=").and_then(|v| v.parse().ok());
        if let Some(seconds) = timeout.filter(|&seconds| seconds > 0) {
            self.session_timeout = Duration::from_secs(seconds);
        }
        Ok(())
    }

    pub(super) fn into_replies(self) -> Vec<Reply> {
        self.replies
    }

    /// Sends a request and waits for the reply, logging in when asked to. `$` frames that come
    /// before it go to `frame`.
    pub(super) async fn request(
        &mut self,
        method: &'static str,
        headers: &[(&str, &str)],
        mut frame: impl FnMut(u8, &[u8]),
    ) -> Result<Response, Error> {
        loop {
            self.send(method, headers).await?;
            let deadline = Instant::now() + PATIENCE;
            let response = timeout_at(deadline.into(), self.response(&mut frame))
                .await
                .map_err(|_| Error::NoReply(method))??;
            let status = response.status;
            self.replies.push(Reply { method, status, after: self.started.elapsed() });
            if status != UNAUTHORIZED || self.login.is_none() {
                return Ok(response);
            }
            let Some(challenge) = response.headers("WWW-Authenticate").find_map(Challenge::parse)
            else {
                return Ok(response);
            };
            if self.challenge.is_some() && !challenge.stale {
                // This was with the password already.
                return Ok(response);
            }
            self.challenge = Some(challenge);
        }
    }

    /// Sends a request and does not wait.
    pub(super) async fn send(
        &mut self,
        method: &'static str,
        headers: &[(&str, &str)],
    ) -> Result<(), Error> {
        self.sequence += 1;
        let mut request = format!(
            "{method} {} RTSP/1.0\r\nCSeq: {}\r\nUser-Agent: lenscast-viewers\r\n",
            self.url, self.sequence
        );
        if let Some(session) = &self.session {
            request += &format!("Session: {session}\r\n");
        }
        if let (Some(challenge), Some(login)) = (&self.challenge, &self.login) {
            let answer = challenge.answer(login, method, &self.url);
            request += &format!("Authorization: {answer}\r\n");
        }
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += "\r\n";
        self.stream.write_all(request.as_bytes()).await.map_err(Error::io("sending a request"))
    }

    async fn response(&mut self, frame: &mut impl FnMut(u8, &[u8])) -> Result<Response, Error> {
        loop {
            while let Some(message) = self.take()? {
                match message {
                    Message::Frame { channel, payload } => frame(channel, &payload),
                    Message::Response(response) if response.sequence() == Some(self.sequence) => {
                        return Ok(response);
                    }
                    // To a keep-alive that was not waited for.
                    Message::Response(response) => response.expect_ok("keep-alive")?,
                }
            }
            if self.fill().await.map_err(Error::io("reading a reply"))? == 0 {
                return Err(Error::Closed("waiting for a reply"));
            }
        }
    }

    /// Reads what is there, or waits for it; the number of bytes, zero at the end. Dropping the
    /// future loses nothing.
    pub(super) async fn fill(&mut self) -> io::Result<usize> {
        self.input.reserve(READ);
        self.stream.read_buf(&mut self.input).await
    }

    /// The next whole message that was read.
    pub(super) fn take(&mut self) -> Result<Option<Message>, Error> {
        Message::take(&mut self.input)
    }
}

impl Message {
    /// Takes a whole message off the beginning of `input`; `None` when there is none yet.
    fn take(input: &mut BytesMut) -> Result<Option<Self>, Error> {
        match **input {
            [] => Ok(None),
            [b'$', channel, high, low, ..] => {
                let length = usize::from(u16::from_be_bytes([high, low]));
                if input.len() < 4 + length {
                    return Ok(None);
                }
                input.advance(4);
                let payload = input.split_to(length).freeze();
                Ok(Some(Self::Frame { channel, payload }))
            }
            [b'$', ..] => Ok(None),
            _ => Ok(Response::take(input)?.map(Self::Response)),
        }
    }
}

impl Response {
    fn take(input: &mut BytesMut) -> Result<Option<Self>, Error> {
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
        if input.len() - (end + 4) < length {
            return Ok(None);
        }
        input.advance(end + 4);
        response.body = input.split_to(length).freeze();
        Ok(Some(response))
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

    fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = move |(own, _): &&(String, String)| own.eq_ignore_ascii_case(name);
        self.headers.iter().filter(named).map(|(_, value)| value.as_str())
    }

    fn sequence(&self) -> Option<u32> {
        self.header("CSeq")?.parse().ok()
    }

    pub(super) fn expect_ok(&self, method: &'static str) -> Result<(), Error> {
        match self.status {
            200 => Ok(()),
            status => Err(Error::Refused { method, status, reason: self.reason.clone() }),
        }
    }
}

const UNAUTHORIZED: u16 = 401;
/// RFC 2326 section 12.37.
const DEFAULT_SESSION_TIMEOUT: Duration = Duration::from_secs(60);
/// Room for the next read: some frames at once.
const READ: usize = 64 * 1024;
const MOST_HEAD: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_parted_wherever_they_are_cut() {
        let wire = b"$\x01\0\x02abRTSP/1.0 200 OK\r\ncseq: 1\r\nContent-length: 3\r\n\r\n$\0$\
                     $\0\0\0RTSP/1.0 404 Not Found\r\n\r\n";
        for cut in 0..wire.len() {
            let mut input = BytesMut::new();
            let mut seen = Vec::new();
            for part in [&wire[..cut], &wire[cut..]] {
                input.extend_from_slice(part);
                while let Some(message) = Message::take(&mut input).unwrap() {
                    seen.push(match message {
                        Message::Frame { channel, payload } => format!("{channel} {payload:?}"),
                        Message::Response(Response { status, reason, body, .. }) => {
                            format!("{status} {reason} {body:?}")
                        }
                    });
                }
            }
            let whole = ["1 b\"ab\"", "200 OK b\"$\\0$\"", "0 b\"\"", "404 Not Found b\"\""];
            assert_eq!(seen, whole, "cut at {cut}");
        }
        assert!(Message::take(&mut BytesMut::from("HTTP/1.1 200 OK\r\n\r\n")).is_err());
    }
}
