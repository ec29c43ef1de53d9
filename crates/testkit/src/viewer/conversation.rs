//! One RTSP connection, as a client sees it: requests out, replies and `$` frames in (RFC 2326).

use std::{
    cell::RefCell,
    future::poll_fn,
    io, mem,
    net::SocketAddr,
    ops::ControlFlow,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    net::{TcpSocket, TcpStream},
    time::timeout_at,
};

use super::{
    Config, Error, PATIENCE,
    digest::{Challenge, Login},
    message::{MOST_MESSAGE, Message, Response, take_all},
    report::Reply,
};

/// A connection, and what was agreed on it.
#[derive(Debug)]
pub(super) struct Conversation {
    stream: TcpStream,
    /// What was read and not taken: as a rule the beginning of a message.
    rest: Vec<u8>,
    /// Whether there may be whole messages in `rest`.
    is_rest_whole: bool,
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

impl Conversation {
    pub(super) async fn connect(
        address: SocketAddr,
        config: &Config,
        receive_buffer: Option<u32>,
        started: Instant,
    ) -> Result<Self, Error> {
        let connect = async {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            if let Some(from) = config.from {
                socket.bind(SocketAddr::new(from, 0))?;
            }
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
            rest: Vec::new(),
            is_rest_whole: false,
            started,
            url: String::new(),
            sequence: 0,
            session: None,
            session_timeout: DEFAULT_SESSION_TIMEOUT,
            login: config.login.clone(),
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
        let sequence = self.sequence;
        loop {
            let mut found = Ok(None);
            let is_open = self
                .receive(|message| match message {
                    Message::Frame { channel, payload } => {
                        frame(channel, payload);
                        ControlFlow::Continue(())
                    }
                    Message::Response(response) if response.sequence() == Some(sequence) => {
                        found = Ok(Some(response));
                        ControlFlow::Break(())
                    }
                    // To a keep-alive that was not waited for; or the server wants no connection.
                    Message::Response(response) => match response.expect_ok("connection") {
                        Ok(()) => ControlFlow::Continue(()),
                        Err(error) => {
                            found = Err(error);
                            ControlFlow::Break(())
                        }
                    },
                })
                .await?;
            if let Some(response) = found? {
                return Ok(response);
            }
            if !is_open {
                return Err(Error::Closed("waiting for a reply"));
            }
        }
    }

    /// Reads what is there, or waits for it, and gives every whole message to `take`, until that
    /// breaks; what follows is for the next call. False at the end of the connection. Dropping the
    /// future loses nothing.
    pub(super) async fn receive(
        &mut self,
        mut take: impl FnMut(Message<'_>) -> ControlFlow<()>,
    ) -> Result<bool, Error> {
        if mem::take(&mut self.is_rest_whole) {
            let rest = mem::take(&mut self.rest);
            let taken = take_all(&rest, take)?;
            self.rest.extend_from_slice(&rest[taken.bytes..]);
            self.is_rest_whole = taken.is_stopped;
            return Ok(true);
        }
        poll_fn(|context| INPUT.with_borrow_mut(|input| self.poll(context, input, &mut take))).await
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
        input: &mut [u8],
        take: &mut impl FnMut(Message<'_>) -> ControlFlow<()>,
    ) -> Poll<Result<bool, Error>> {
        let (before, room) = input.split_at_mut(MOST_MESSAGE);
        let mut read = ReadBuf::new(room);
        let result = ready!(Pin::new(&mut self.stream).poll_read(context, &mut read));
        let length = read.filled().len();
        result.map_err(Error::io("reading"))?;
        if length == 0 {
            return Poll::Ready(Ok(false));
        }
        // What was there stands in front, so that each message is of one piece.
        let begin = before.len() - self.rest.len();
        before[begin..].copy_from_slice(&self.rest);
        let whole = &input[begin..MOST_MESSAGE + length];
        let taken = take_all(whole, take)?;
        self.rest.clear();
        self.rest.extend_from_slice(&whole[taken.bytes..]);
        self.is_rest_whole = taken.is_stopped;
        Poll::Ready(Ok(true))
    }
}

thread_local! {
    /// One for all viewers of the thread: it stays in the processor's cache.
    static INPUT: RefCell<Box<[u8]>> = RefCell::new(vec![0; MOST_MESSAGE + READ].into());
}

const UNAUTHORIZED: u16 = 401;
/// RFC 2326 section 12.37.
const DEFAULT_SESSION_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of one read: several pictures.
const READ: usize = 256 * 1024;
