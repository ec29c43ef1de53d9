//! One RTSP connection: bytes in, replies and interleaved media out.
//!
//! ```text
//!  socket ─▶ input ─▶ rtsp_proto::Connection ─▶ Queue ─▶ Control (may wait) ─▶ Outbox ─▶ socket
//!                             └── `$` frames: RTCP           cursor ─▶ picture ──▲
//! ```
//!
//! One task does all of it but for pictures that the client takes at once ([`output`]); whoever
//! writes holds the outbox, so nothing is ever written in the middle of something else. The task
//! reads while a request waits, so that a client that goes away takes its request with it. Generic
//! over the stream: tests play conversations in virtual time, without sockets.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use rtsp_proto::{Event, Fatal, header::SessionId};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    sync::watch,
    time::{Instant, sleep_until, timeout_at},
};
use tracing::{Instrument, debug, info, info_span};

use self::{
    output::{News, Output},
    playing::Viewers,
    queue::{Queue, Turn},
};
use crate::{
    control::{Answer, Control, InterleavedViewer, Then},
    egress::{
        fanout::{Fanout, Viewer},
        lines::Line,
    },
    sessions::{ConnectionId, Link},
    shared::Shared,
};

mod output;
mod playing;
mod queue;

/// Where a connection comes from, and what it holds as long as it lives.
#[derive(Debug)]
pub struct Context<Trust> {
    /// What all connections share.
    pub shared: Arc<Shared>,
    /// The connection's number.
    pub id: ConnectionId,
    /// The client's address, canonical.
    pub peer: SocketAddr,
    /// The address of ours that the client came to, canonical.
    pub local: SocketAddr,
    /// Becomes true when the server stops.
    pub shutdown: watch::Receiver<bool>,
    /// A place among the connections that have not logged in; given back once this one has.
    pub stranger: Option<Trust>,
}

/// Serves a connection until it is over.
pub async fn serve<S, Trust>(stream: S, context: Context<Trust>)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let span = info_span!("conn", id = context.id.0, peer = %context.peer);
    let serve = async {
        debug!("connected");
        let (reader, writer) = tokio::io::split(stream);
        let mut connection = Connection::new(reader, writer, context);
        let end = connection.run().await;
        connection.finish(&end).await;
        // What a stranger does is worth a line only to who looks for it.
        let is_stranger = connection.context.stranger.is_some();
        match end {
            End::Closed | End::Io(_) => debug!(reason = %end, "disconnected"),
            _ if is_stranger => debug!(reason = %end, "disconnected"),
            _ => info!(reason = %end, "disconnected"),
        }
    };
    serve.instrument(span).await;
}

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("closed by the client")]
    Closed,
    #[error(transparent)]
    Fatal(Fatal),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("idle")]
    Idle,
    #[error("no login in time")]
    NoLogin,
    #[error("stalled: the client has stopped reading")]
    Stalled,
    #[error("too many failed logins")]
    Refused,
    #[error("the stream has ended")]
    StreamEnded,
    #[error("the server is stopping")]
    Shutdown,
}

struct Connection<R, W, Trust> {
    reader: R,
    output: Arc<Output<W>>,
    context: Context<Trust>,
    input: BytesMut,
    protocol: rtsp_proto::Connection,
    queue: Queue,
    /// Viewers by UDP that start once the reply to their PLAY has been written.
    starting: Vec<(SessionId, Fanout, Box<Viewer>)>,
    /// Why nothing more is read: what was asked before is answered before the connection ends.
    fatal: Option<Fatal>,
    closing: Option<End>,
    /// Nothing more is sent, and until then the client may say goodbye too.
    leaving: Option<(Instant, End)>,
    opened: Instant,
    /// When a byte last came in.
    heard: Instant,
}

impl<R, W, Trust> Connection<R, W, Trust>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin + Send + 'static,
{
    fn new(reader: R, writer: W, context: Context<Trust>) -> Self {
        let now = Instant::now();
        let control =
            Control::new(Arc::clone(&context.shared), context.id, context.peer, context.local);
        let limits = context.shared.limits.wire.clone();
        let viewers = Viewers::new(Arc::clone(&context.shared));
        Self {
            reader,
            output: Arc::new(Output::new(writer, viewers)),
            input: BytesMut::with_capacity(INPUT),
            protocol: rtsp_proto::Connection::new(limits, now.into_std()),
            queue: Queue::new(control),
            starting: Vec::new(),
            fatal: None,
            closing: None,
            leaving: None,
            opened: now,
            heard: now,
            context,
        }
    }

    async fn run(&mut self) -> End {
        loop {
            self.parse();
            self.take_up_requests();
            if self.queue.is_idle()
                && let Some(fatal) = self.fatal.take()
            {
                return self.fail(fatal);
            }
            let (urgent, is_empty) = {
                let half = self.output.lock();
                (half.outbox.urgent_len(), half.outbox.is_empty())
            };
            if urgent == 0 {
                self.start_udp();
                if let Some(end) = self.closing.take() {
                    return end;
                }
            }
            if is_empty
                && self.leaving.is_some()
                && self.queue.is_idle()
                && !self.has_sessions()
                && let Some((_, end)) = self.leaving.take()
            {
                return end;
            }
            if let Err(end) = self.wait().await {
                return end;
            }
        }
    }

    /// Waits for whatever happens next, and takes it in.
    async fn wait(&mut self) -> Result<(), End> {
        let wants_input = self.wants_input();
        let deadline = self.deadline();
        tokio::select! {
            biased;
            () = stopped(&mut self.context.shutdown), if self.leaving.is_none() => {
                self.output.lock().stop_all();
                self.leave(End::Shutdown);
            }
            // Before all that a client can keep busy.
            () = sleep_until(deadline) => self.handle_timeout()?,
            News { error, is_over, .. } = poll_fn(|context| self.output.poll(context)) => {
                if let Some(error) = error {
                    return Err(error.into());
                }
                if is_over {
                    self.leave(End::StreamEnded);
                }
            }
            answer = self.queue.answered() => self.take_answer(answer),
            read = self.reader.read_buf(&mut self.input), if wants_input => {
                if read? == 0 {
                    return Err(End::Closed);
                }
                self.heard = Instant::now();
            }
        }
        Ok(())
    }

    /// Takes requests and `$` frames off the input.
    fn parse(&mut self) {
        while self.wants_input() {
            match self.protocol.receive(&mut self.input, Instant::now().into_std()) {
                Ok(Some(Event::Request(request))) => self.queue.push(Turn::Request(request)),
                Ok(Some(Event::Refused(reply))) => self.queue.push(Turn::Refused(reply)),
                Ok(Some(Event::Interleaved { payload, .. })) => self.hear(&payload),
                Ok(None) => break,
                Err(fatal) => self.fatal = Some(fatal),
            }
        }
    }

    /// RTCP from the client.
    fn hear(&mut self, payload: &Bytes) {
        let own: Vec<SessionId> = match self.queue.control() {
            Some(control) => control.own_sessions().to_vec(),
            None => self.output.lock().viewers.sessions().collect(),
        };
        let now = Instant::now().into_std();
        self.context.shared.sessions.interleaved(&own, payload, now);
    }

    /// Answers what waits, unless the client leaves its replies unread.
    fn take_up_requests(&mut self) {
        let unread_replies = self.context.shared.limits.unread_replies;
        let mut half = self.output.lock();
        while half.outbox.urgent_len() < unread_replies
            && self.closing.is_none()
            && let Some(refusal) = self.queue.take_up()
        {
            debug!(status = refusal.status().code(), reason = %refusal.reason(), "refused");
            refusal.write(half.outbox.urgent());
        }
    }

    fn take_answer(&mut self, answer: Answer) {
        let Answer { reply, then } = answer;
        debug!(status = reply.status().code(), reason = %reply.reason(), "reply");
        {
            let mut half = self.output.lock();
            if let Then::StopInterleaved { session, goodbye } = then {
                half.stop(session, goodbye);
            }
            reply.write(half.outbox.urgent());
        }
        match then {
            Then::Nothing | Then::StopInterleaved { .. } => {}
            Then::StartInterleaved(_) if self.leaving.is_some() => {}
            Then::StartInterleaved(viewer) => self.start_interleaved(*viewer),
            Then::StartUdp(session, fanout, viewer) => {
                self.starting.push((session, fanout, viewer));
            }
            Then::Close => self.closing = Some(End::Refused),
        }
        if self.queue.control().is_some_and(|control| control.is_trusted()) {
            self.context.stranger = None;
        }
    }

    fn start_interleaved(&self, viewer: InterleavedViewer) {
        let lines = self.context.shared.streams.find(viewer.mount.name());
        let lines = lines.map(|stream| stream.lines.clone());
        self.output.lock().start(viewer);
        let line: Weak<dyn Line> = Arc::downgrade(&self.output) as _;
        if let Some(lines) = lines {
            lines.add(line);
        }
    }

    /// Viewers whose session was stopped or has ended meanwhile do not start: nothing would stop
    /// them again.
    fn start_udp(&mut self) {
        for (session, fanout, viewer) in self.starting.drain(..) {
            // Locked until the viewer is handed over: it can only be stopped after that.
            let mut table = self.context.shared.sessions.lock();
            if let Some(session) = table.any_session(session)
                && let Link::Udp(link) = &session.link
                && link.viewer == Some(viewer.id)
            {
                fanout.add(*viewer);
            }
        }
    }

    /// Whether more is to be read: not while the client has too much waiting already.
    fn wants_input(&self) -> bool {
        self.queue.len() < self.context.shared.limits.pipelined_requests
            && self.fatal.is_none()
            && self.closing.is_none()
    }

    fn deadline(&self) -> Instant {
        let limits = &self.context.shared.limits;
        let protocol = self.protocol.poll_timeout().filter(|_| self.fatal.is_none());
        let protocol = protocol.map(Instant::from_std);
        let (stuck, report) = {
            let half = self.output.lock();
            (half.stuck(), half.viewers.next_report())
        };
        let stall = stuck.map(|since| since + limits.stall_time);
        // A session of this connection may end any time: looked at now and then, not watched.
        let idle = (self.heard + limits.idle_timeout).max(Instant::now() + IDLE_CHECK);
        let login = self.context.stranger.as_ref().map(|_| self.opened + limits.login_time);
        let leaving = self.leaving.as_ref().map(|(until, _)| *until);
        [protocol, stall, login, leaving, report].into_iter().flatten().fold(idle, Instant::min)
    }

    fn handle_timeout(&mut self) -> Result<(), End> {
        let now = Instant::now();
        let limits = &self.context.shared.limits;
        if self.output.lock().stuck().is_some_and(|since| now >= since + limits.stall_time) {
            return Err(End::Stalled);
        }
        if self.fatal.is_none()
            && let Err(fatal) = self.protocol.handle_timeout(now.into_std())
        {
            return Err(self.fail(fatal));
        }
        if let Some((_, end)) = self.leaving.take_if(|(until, _)| now >= *until) {
            return Err(end);
        }
        if self.context.stranger.is_some() && now >= self.opened + limits.login_time {
            return Err(End::NoLogin);
        }
        let is_silent = now >= self.heard + limits.idle_timeout;
        let is_silent = is_silent && self.output.lock().viewers.is_empty();
        if is_silent && self.queue.is_idle() && !self.has_sessions() {
            return Err(End::Idle);
        }
        self.output.lock().report(now);
        Ok(())
    }

    /// Viewers have been told that it is over; the client has a moment to end its sessions.
    /// GStreamer, for one, fails when the connection is gone before it has.
    fn leave(&mut self, end: End) {
        self.leaving = Some((Instant::now() + LEAVING, end));
    }

    fn has_sessions(&mut self) -> bool {
        self.queue.control().is_some_and(|control| control.has_sessions())
    }

    /// The answer to a message after which the connection cannot go on.
    fn fail(&mut self, fatal: Fatal) -> End {
        if let Some(answer) = fatal.answer() {
            self.output.lock().outbox.urgent().extend_from_slice(&answer);
        }
        End::Fatal(fatal)
    }

    /// Says what is left to say, and closes.
    async fn finish(&mut self, end: &End) {
        self.output.lock().quieten();
        // Over UDP a session goes on, whether or not the reply to its PLAY could be read.
        self.start_udp();
        let sessions = &self.context.shared.sessions;
        match self.queue.abandon() {
            Some(mut control) => control.disconnected(&end.to_string()),
            // The request that was taken back held it.
            None => sessions.end_connection(self.context.id, &end.to_string()),
        }
        if matches!(end, End::Closed | End::Io(_) | End::Stalled) {
            return;
        }
        let farewell = async {
            poll_fn(|context| self.output.poll_close(context)).await?;
            // What the client still sends is read: closing with unread input would reset the
            // connection, and the client might lose the answer.
            let mut unread = BytesMut::with_capacity(4096);
            while self.reader.read_buf(&mut unread).await? > 0 {
                unread.clear();
            }
            io::Result::Ok(())
        };
        match timeout_at(Instant::now() + FAREWELL, farewell).await {
            Ok(Err(error)) => debug!(%error, "could not say goodbye"),
            Err(_) => debug!("the client took no goodbye"),
            Ok(Ok(())) => {}
        }
    }
}

/// Waits until the server stops.
pub async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // An error means that the server is gone altogether.
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// Bytes read at once, as a rule: a request is a few hundred.
const INPUT: usize = 4096;
/// How long a client may take for the last bytes, and to close its side.
const FAREWELL: Duration = Duration::from_millis(200);
/// How long the connection goes on answering when all is over.
const LEAVING: Duration = Duration::from_millis(350);
const IDLE_CHECK: Duration = Duration::from_secs(1);
