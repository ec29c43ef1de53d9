//! One RTSP connection: bytes in, replies and interleaved media out.
//!
//! ```text
//!  socket ─▶ input ─▶ rtsp_proto::Connection ─▶ Queue ─▶ Control (may wait) ─▶ Outbox ─▶ socket
//!                             └── `$` frames: RTCP           cursor ─▶ picture ──▲
//! ```
//!
//! One task does all of it, so nothing is ever written in the middle of something else. It reads
//! while a request waits, so that a client that goes away takes its request with it. Generic over
//! the stream: tests play conversations in virtual time, without sockets.

use std::{
    collections::VecDeque,
    future::{Future, pending, poll_fn},
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use rtp_packetizer::rtcp;
use rtsp_proto::{Event, Fatal, Reply, Request, header::SessionId};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    sync::watch,
    time::{Instant, sleep_until, timeout_at},
};
use tracing::{debug, info, warn};

use crate::{
    control::{Answer, Control, InterleavedViewer, Then},
    egress::{
        fanout::{Fanout, Viewer, report_interval},
        interleaved::Outbox,
    },
    live::Stage,
    sessions::ConnectionId,
    shared::Shared,
};

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
    S: AsyncRead + AsyncWrite,
{
    let (peer, id) = (context.peer, context.id);
    debug!(%peer, id = id.0, "connected");
    let (reader, writer) = tokio::io::split(stream);
    let mut connection = Connection::new(reader, writer, context);
    let end = connection.run().await;
    connection.finish(&end).await;
    match end {
        End::Closed => debug!(%peer, id = id.0, "disconnected"),
        End::Fatal(fatal) => info!(%peer, id = id.0, reason = %fatal, "disconnected"),
        End::Io(error) => debug!(%peer, id = id.0, %error, "disconnected"),
        other => info!(%peer, id = id.0, reason = %other, "disconnected"),
    }
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
    writer: W,
    context: Context<Trust>,
    input: BytesMut,
    protocol: rtsp_proto::Connection,
    queue: Queue,
    outbox: Outbox,
    /// Viewers whose pictures travel in this connection; one, as a rule.
    playing: Vec<Playing>,
    /// Viewers by UDP that start once the reply to their PLAY has been written.
    starting: Vec<(Fanout, Box<Viewer>)>,
    closing: Option<End>,
    /// When a byte last came in.
    heard: Instant,
    /// When the client last took a byte, or there was none for it.
    progress: Instant,
}

/// Requests that wait, and the one that is being answered.
struct Queue {
    waiting: VecDeque<Turn>,
    /// Here while nothing is being answered.
    control: Option<Control>,
    answering: Option<Answering>,
}

type Answering = Pin<Box<dyn Future<Output = (Control, Answer)> + Send>>;

enum Turn {
    Request(Request),
    /// Refused already, but answers come in order.
    Refused(Reply),
}

struct Playing {
    viewer: InterleavedViewer,
    published: watch::Receiver<u64>,
    stage: watch::Receiver<Stage>,
    next_report: Instant,
}

impl<R, W, Trust> Connection<R, W, Trust>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    fn new(reader: R, writer: W, context: Context<Trust>) -> Self {
        let now = Instant::now();
        let control =
            Control::new(Arc::clone(&context.shared), context.id, context.peer, context.local);
        let limits = context.shared.limits.wire.clone();
        Self {
            reader,
            writer,
            context,
            input: BytesMut::new(),
            protocol: rtsp_proto::Connection::new(limits, now.into_std()),
            queue: Queue { waiting: VecDeque::new(), control: Some(control), answering: None },
            outbox: Outbox::default(),
            playing: Vec::new(),
            starting: Vec::new(),
            closing: None,
            heard: now,
            progress: now,
        }
    }

    async fn run(&mut self) -> End {
        loop {
            if let Err(fatal) = self.parse() {
                if let Some(answer) = fatal.answer() {
                    self.outbox.urgent().extend_from_slice(&answer);
                }
                return End::Fatal(fatal);
            }
            self.answer_next();
            self.load_pictures();
            if self.outbox.urgent_len() == 0 {
                for (fanout, viewer) in self.starting.drain(..) {
                    fanout.add(*viewer);
                }
                if let Some(end) = self.closing.take() {
                    return end;
                }
            }
            if self.outbox.is_empty() {
                self.progress = Instant::now();
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
            () = stopped(&mut self.context.shutdown) => return Err(End::Shutdown),
            written = poll_fn(|cx| self.outbox.poll_write(cx, &mut self.writer)),
                if !self.outbox.is_empty() =>
            {
                written?;
                self.progress = Instant::now();
            }
            (control, answer) = self.queue.answered() => {
                self.queue.control = Some(control);
                self.take_answer(answer);
            }
            read = self.reader.read_buf(&mut self.input), if wants_input => {
                if read? == 0 {
                    return Err(End::Closed);
                }
                self.heard = Instant::now();
            }
            () = published(&mut self.playing), if self.outbox.wants_picture() => {}
            () = sleep_until(deadline) => self.handle_timeout()?,
        }
        Ok(())
    }

    /// Takes requests and `$` frames off the input.
    fn parse(&mut self) -> Result<(), Fatal> {
        while self.queue.waiting.len() < self.context.shared.limits.pipelined_requests {
            let now = Instant::now().into_std();
            match self.protocol.receive(&mut self.input, now)? {
                Some(Event::Request(request)) => {
                    self.queue.waiting.push_back(Turn::Request(request));
                }
                Some(Event::Refused(reply)) => self.queue.waiting.push_back(Turn::Refused(reply)),
                Some(Event::Interleaved { payload, .. }) => self.hear(&payload),
                None => break,
            }
        }
        Ok(())
    }

    /// RTCP from the client.
    fn hear(&self, payload: &Bytes) {
        let own: Vec<SessionId> = match &self.queue.control {
            Some(control) => control.own_sessions().to_vec(),
            None => self.playing.iter().map(|playing| playing.viewer.session).collect(),
        };
        let now = Instant::now().into_std();
        self.context.shared.sessions.interleaved(&own, payload, now);
    }

    /// Begins to answer the next request, unless the client leaves its replies unread.
    fn answer_next(&mut self) {
        while self.outbox.urgent_len() < self.context.shared.limits.unread_replies
            && self.closing.is_none()
            && let Some(mut control) = self.queue.control.take()
        {
            match self.queue.waiting.pop_front() {
                None => {
                    self.queue.control = Some(control);
                    break;
                }
                Some(Turn::Refused(reply)) => {
                    debug!(status = reply.status().code(), reason = %reply.reason(), "refused");
                    reply.write(self.outbox.urgent());
                    self.queue.control = Some(control);
                }
                Some(Turn::Request(request)) => {
                    self.queue.answering = Some(Box::pin(async move {
                        let answer = control.answer(&request).await;
                        (control, answer)
                    }));
                }
            }
        }
    }

    fn take_answer(&mut self, answer: Answer) {
        let Answer { reply, then } = answer;
        debug!(status = reply.status().code(), reason = %reply.reason(), "reply");
        if let Then::StopInterleaved { session, goodbye } = then {
            self.stop(session, goodbye);
        }
        reply.write(self.outbox.urgent());
        match then {
            Then::Nothing | Then::StopInterleaved { .. } => {}
            Then::StartInterleaved(viewer) => self.start(*viewer),
            Then::StartUdp(fanout, viewer) => self.starting.push((fanout, viewer)),
            Then::Close => self.closing = Some(End::Refused),
        }
        if self.queue.control.as_ref().is_some_and(Control::is_trusted) {
            self.context.stranger = None;
        }
    }

    fn start(&mut self, viewer: InterleavedViewer) {
        let mut playing = Playing {
            published: viewer.mount.subscribe(),
            stage: viewer.mount.stage(),
            viewer,
            next_report: Instant::now(),
        };
        self.report(&mut playing);
        self.playing.push(playing);
    }

    /// Stops sending a session's stream. What was sent of the last picture stays incomplete, as
    /// any receiver must expect; the frame under way is finished.
    fn stop(&mut self, session: SessionId, goodbye: bool) {
        let Some(at) = self.playing.iter().position(|playing| playing.viewer.session == session)
        else {
            return;
        };
        let playing = self.playing.remove(at);
        if self.outbox.carries(playing.viewer.rtp) {
            self.outbox.abandon_picture();
        }
        if goodbye {
            self.say_goodbye(&playing.viewer);
        }
    }

    fn say_goodbye(&mut self, viewer: &InterleavedViewer) {
        let mut farewell = BytesMut::new();
        let info = viewer.mount.sender_info(&*self.context.shared.clock);
        rtcp::write_bye(&mut farewell, &info, "stream over");
        self.outbox.push_frame(viewer.rtcp, &farewell);
    }

    fn report(&mut self, playing: &mut Playing) {
        let mut report = BytesMut::new();
        let shared = &self.context.shared;
        let info = playing.viewer.mount.sender_info(&*shared.clock);
        rtcp::write_sender_report(&mut report, &info);
        self.outbox.push_frame(playing.viewer.rtcp, &report);
        playing.next_report = Instant::now() + report_interval(&shared.entropy);
    }

    /// Gives the outbox the next picture, when it has room for one.
    fn load_pictures(&mut self) {
        if !self.outbox.wants_picture() {
            return;
        }
        let mut ended = None;
        for (at, playing) in self.playing.iter_mut().enumerate() {
            // Read before the log, so that no picture published before the end is missed.
            let is_over = matches!(*playing.stage.borrow(), Stage::Ended);
            playing.published.mark_unchanged();
            let viewer = &mut playing.viewer;
            let picture = viewer.first.take().or_else(|| {
                let delivery = viewer.mount.read(&mut viewer.cursor)?;
                viewer.counters.skipped(delivery.skipped);
                Some(delivery.entry)
            });
            if let Some(picture) = picture {
                let batch = &picture.batch;
                viewer.counters.sent(batch.packet_count(), batch.bytes().len());
                self.outbox.start_picture(picture, viewer.rtp);
                // The others' turn comes first next time.
                self.playing.rotate_left(at + 1);
                return;
            }
            if is_over {
                ended = Some(at);
            }
        }
        if let Some(at) = ended {
            let over = self.playing.remove(at);
            self.say_goodbye(&over.viewer);
            if self.playing.is_empty() {
                self.closing = Some(End::StreamEnded);
            }
        }
    }

    /// Whether more is to be read: not while the client has too much waiting already.
    fn wants_input(&self) -> bool {
        self.queue.waiting.len() < self.context.shared.limits.pipelined_requests
            && self.closing.is_none()
    }

    fn deadline(&self) -> Instant {
        let limits = &self.context.shared.limits;
        let protocol = self.protocol.poll_timeout().map(Instant::from_std);
        let report = self.playing.iter().map(|playing| playing.next_report).min();
        let stall = (!self.outbox.is_empty()).then(|| self.progress + limits.stall_time);
        // Sessions may have come to their end meanwhile: looked at now and then, not watched.
        let idle = self.heard.max(self.progress) + limits.idle_timeout;
        let idle = idle.max(Instant::now() + IDLE_CHECK);
        [protocol, report, stall].into_iter().flatten().fold(idle, Instant::min)
    }

    fn handle_timeout(&mut self) -> Result<(), End> {
        let now = Instant::now();
        let limits = &self.context.shared.limits;
        if !self.outbox.is_empty() && now >= self.progress + limits.stall_time {
            return Err(End::Stalled);
        }
        if let Err(fatal) = self.protocol.handle_timeout(now.into_std()) {
            if let Some(answer) = fatal.answer() {
                self.outbox.urgent().extend_from_slice(&answer);
            }
            return Err(End::Fatal(fatal));
        }
        let silent = now >= self.heard + limits.idle_timeout && self.playing.is_empty();
        if silent
            && let Some(control) = &mut self.queue.control
            && !control.has_sessions()
        {
            return Err(End::Idle);
        }
        let mut playing = std::mem::take(&mut self.playing);
        for due in playing.iter_mut().filter(|playing| playing.next_report <= now) {
            self.report(due);
        }
        self.playing = playing;
        Ok(())
    }

    /// Says what is left to say, and closes.
    async fn finish(&mut self, end: &End) {
        if matches!(end, End::Shutdown) {
            self.outbox.abandon_picture();
            for playing in std::mem::take(&mut self.playing) {
                self.say_goodbye(&playing.viewer);
            }
        }
        // Dropping a request under way takes it back.
        let answering = self.queue.answering.take();
        let control = self.queue.control.take();
        drop(answering);
        match control {
            Some(mut control) => control.disconnected(&end.to_string()),
            // The request under way held it: its sessions are found by the connection's number.
            None => self.context.shared.sessions.end_connection(self.context.id, &end.to_string()),
        }
        if matches!(end, End::Closed | End::Io(_) | End::Stalled) {
            return;
        }
        let deadline = Instant::now() + FAREWELL;
        let farewell = async {
            while !self.outbox.is_empty() {
                poll_fn(|cx| self.outbox.poll_write(cx, &mut self.writer)).await?;
            }
            poll_fn(|cx| Pin::new(&mut self.writer).poll_shutdown(cx)).await?;
            // What the client still sends is read: closing with unread input would reset the
            // connection, and the client might lose the answer.
            let mut unread = BytesMut::with_capacity(4096);
            while self.reader.read_buf(&mut unread).await? > 0 {
                unread.clear();
            }
            io::Result::Ok(())
        };
        match timeout_at(deadline, farewell).await {
            Ok(Err(error)) => debug!(%error, "could not say goodbye"),
            Err(_) => debug!("the client took no goodbye"),
            Ok(Ok(())) => {}
        }
        if let End::Refused = end {
            warn!(peer = %self.context.peer, "closed after failed logins");
        }
    }
}

impl Queue {
    /// The answer under way, when it is there.
    async fn answered(&mut self) -> (Control, Answer) {
        match &mut self.answering {
            Some(answering) => {
                let answered = answering.await;
                self.answering = None;
                answered
            }
            None => pending().await,
        }
    }
}

/// Waits until the server stops.
pub async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // An error means that the server is gone altogether.
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// Waits until one of the viewers' streams has a new picture, or has ended.
async fn published(playing: &mut [Playing]) {
    match playing {
        [] => pending().await,
        [only] => {
            if only.published.changed().await.is_err() {
                pending().await
            }
        }
        several => {
            let changes = several.iter_mut().map(|playing| Box::pin(playing.published.changed()));
            let _ = futures::future::select_all(changes).await;
        }
    }
}

/// How long a client may take for the last bytes, and to close its side.
const FAREWELL: Duration = Duration::from_millis(300);
const IDLE_CHECK: Duration = Duration::from_secs(1);
