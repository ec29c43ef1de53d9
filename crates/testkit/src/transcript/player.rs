//! Plays a transcript against a server.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    task::yield_now,
    time::{Instant, sleep},
};

use super::{
    Action, Incoming, Outgoing, Pair, Payload, Place, Port, Transcript,
    connection::Connection,
    packet::{Described, Expected, describe, receiver_report},
    pattern::{Names, Pattern, RequestLine},
};

/// The server a transcript is played against, and all there is around it.
#[expect(async_fn_in_trait, reason = "played on one thread")]
pub trait World {
    /// A connection as the client sees it.
    type Stream: AsyncRead + AsyncWrite + Unpin;

    /// Does what a `%` line says: sets the stage, or looks whether something is so.
    ///
    /// # Errors
    ///
    /// When it is not understood, or not so.
    async fn direct(&mut self, direction: &str) -> Result<(), String>;

    /// Connects to the server.
    async fn connect(&mut self) -> Self::Stream;

    /// The ports the client names, which transcripts call `{rtp_port}` and `{rtcp_port}`; `None` where
    /// there is no UDP.
    fn client_ports(&self) -> Option<(u16, u16)>;

    /// Sends a datagram from one of the ports of the client's host to that of the server.
    fn send_datagram(&mut self, from: Place, payload: &[u8]);

    /// The next datagram that has come to one of the ports of the client's host. `wait`: in real
    /// time, for what has been sent and may be on its way still.
    fn receive_datagram(&mut self, at: Place, wait: bool) -> Option<Vec<u8>>;
}

/// Into how many pieces what a client says is cut.
#[derive(Clone, Debug, Default)]
pub struct Cuts {
    /// The lengths of the pieces, over and over; one piece when empty.
    pub lengths: Vec<usize>,
    /// What lies between two pieces.
    pub pause: Pause,
}

/// What lies between two pieces.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Pause {
    /// The server gets its turn this often, in no time.
    Turns(usize),
    /// Time passes.
    Time(Duration),
}

impl Default for Pause {
    fn default() -> Self {
        Self::Turns(0)
    }
}

/// Why a transcript was not played to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The line, counted from 1.
    pub line: usize,
    /// What was expected and what came.
    pub reason: String,
}

/// Plays transcripts.
#[derive(Debug)]
pub struct Player<W: World> {
    world: W,
    cuts: Cuts,
    names: Names,
    connections: BTreeMap<usize, Connection<W::Stream>>,
    /// Datagrams may come to these ports before the one that is expected next.
    skipped: HashSet<Place>,
}

impl<W: World> Player<W> {
    /// A player in this world.
    pub fn new(world: W, cuts: Cuts) -> Self {
        let (names, connections, skipped) = Default::default();
        Self { world, cuts, names, connections, skipped }
    }

    /// Plays `transcript` to its end; gives all the server has sent, by connection.
    ///
    /// # Errors
    ///
    /// At the first line that does not happen.
    pub async fn play(mut self, transcript: &Transcript) -> Result<Vec<Vec<u8>>, Failure> {
        let mut steps = transcript.steps.iter().peekable();
        while let Some(step) = steps.next() {
            let done = match &step.action {
                Action::Send(connection, outgoing) => {
                    let said = self.say(*connection, outgoing).await;
                    let goes_on = steps.peek().is_some_and(
                        |next| matches!(&next.action, Action::Send(next, _) if next == connection),
                    );
                    match said {
                        Ok(()) if !goes_on => self.flush(*connection).await,
                        said => said,
                    }
                }
                other => self.act(other).await,
            };
            done.map_err(|reason| Failure { line: step.line, reason })?;
        }
        let connections = self.connections.into_values();
        Ok(connections.map(|connection| connection.received).collect())
    }

    async fn act(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Direct(direction) => {
                let direction = direction.fill(&self.names, &RequestLine::default())?;
                self.world.direct(&direction).await
            }
            Action::Wait(time) => {
                sleep(*time).await;
                Ok(())
            }
            // Joined with what follows by `play`.
            Action::Send(connection, outgoing) => self.say(*connection, outgoing).await,
            Action::Expect(connection, incoming) => self.expect(*connection, incoming).await,
            Action::Close(connection) => {
                self.connection(*connection).await.stream = None;
                // The server notices in no time.
                sleep(INSTANT).await;
                Ok(())
            }
            Action::SendDatagram(from, payload) => {
                let payload = self.payload(payload)?;
                self.world.send_datagram(*from, &payload);
                Ok(())
            }
            Action::ExpectDatagram(at, expected) => self.expect_datagram(*at, expected).await,
            Action::ForgetDatagrams(at) => {
                while self.world.receive_datagram(*at, false).is_some() {}
                self.skipped.insert(*at);
                Ok(())
            }
            Action::ExpectNoDatagram(pair) => self.expect_no_datagram(*pair),
        }
    }

    async fn connection(&mut self, number: usize) -> &mut Connection<W::Stream> {
        if !self.connections.contains_key(&number) {
            let stream = self.world.connect().await;
            self.connections.insert(number, Connection::new(stream));
        }
        if let Some((rtp, rtcp)) = self.world.client_ports() {
            self.names.insert("rtp_port".to_owned(), rtp.to_string());
            self.names.insert("rtcp_port".to_owned(), rtcp.to_string());
        }
        self.connections.entry(number).or_insert_with(|| unreachable!("opened above"))
    }

    /// Takes what the client says next; it is sent by [`Self::flush`].
    async fn say(&mut self, number: usize, outgoing: &Outgoing) -> Result<(), String> {
        self.connection(number).await;
        let bytes = match outgoing {
            Outgoing::Frame(channel, payload) => {
                let payload = self.payload(payload)?;
                let length = u16::try_from(payload.len()).map_err(|error| error.to_string())?;
                let [high, low] = length.to_be_bytes();
                [&[b'$', *channel, high, low], &payload[..]].concat()
            }
            Outgoing::Text(text) => self.fill(number, text).await?.into_bytes(),
            Outgoing::LineFeedLine(line) => (self.fill(number, line).await? + "\n").into_bytes(),
            Outgoing::Line(line) => (self.fill(number, line).await? + "\r\n").into_bytes(),
        };
        self.connection(number).await.outgoing.extend(bytes);
        Ok(())
    }

    async fn fill(&mut self, number: usize, line: &Pattern) -> Result<String, String> {
        let request = self.connection(number).await.request.clone();
        let line = line.fill(&self.names, &request)?;
        if let Some(request) = RequestLine::parse(&line) {
            self.connection(number).await.request = request;
        }
        Ok(line)
    }

    fn payload(&self, payload: &Payload) -> Result<Vec<u8>, String> {
        match payload {
            Payload::Report => {
                let ssrc = self.names.get("ssrc").ok_or("{ssrc} has not been taken yet")?;
                let ssrc = u32::from_str_radix(ssrc, 16).map_err(|error| error.to_string())?;
                Ok(receiver_report(ssrc))
            }
            Payload::Hexadecimal(digits) => {
                let digits = digits.fill(&self.names, &RequestLine::default())?;
                let pairs = digits.as_bytes().chunks(2).map(|pair| {
                    let pair = str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
                    u8::from_str_radix(pair, 16).ok()
                });
                pairs.collect::<Option<_>>().ok_or_else(|| format!("not hexadecimal: {digits}"))
            }
        }
    }

    async fn flush(&mut self, number: usize) -> Result<(), String> {
        let Cuts { lengths, pause } = self.cuts.clone();
        let connection = self.connection(number).await;
        let outgoing = std::mem::take(&mut connection.outgoing);
        let stream = connection.stream.as_mut().ok_or("the client has closed")?;
        let whole = [outgoing.len()];
        let lengths = if lengths.is_empty() { &whole[..] } else { &lengths[..] };
        let mut rest = &outgoing[..];
        for length in lengths.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at((*length).clamp(1, rest.len()));
            // A server that has closed is found out by what is expected next.
            if stream.write_all(piece).await.is_err() {
                break;
            }
            rest = behind;
            match pause {
                Pause::Turns(turns) => {
                    for _ in 0..turns {
                        yield_now().await;
                    }
                }
                Pause::Time(time) => sleep(time).await,
            }
        }
        Ok(())
    }

    async fn expect(&mut self, number: usize, incoming: &Incoming) -> Result<(), String> {
        self.connection(number).await;
        let names = &mut self.names;
        let Some(connection) = self.connections.get_mut(&number) else { return Ok(()) };
        if let Incoming::AnyFrames(channel) = incoming {
            connection.skipped.push(*channel);
            return Ok(());
        }
        let deadline = match incoming {
            Incoming::Quiet => Instant::now() + INSTANT,
            _ => Instant::now() + PATIENCE,
        };
        let item = loop {
            let item = match incoming {
                Incoming::Body => connection.body(deadline).await,
                _ => connection.item(deadline).await,
            };
            if incoming.is(&item, names) {
                connection.skipped.clear();
                return Ok(());
            }
            if !connection.skips(&item) {
                break item;
            }
        };
        let expected = match incoming {
            Incoming::Line(pattern) => format!("the line {:?}", pattern.display(names)),
            Incoming::Frame(channel, expected) => {
                format!("on channel {channel} {}", expected.text())
            }
            Incoming::Body => "a body".to_owned(),
            Incoming::Closed => "the end".to_owned(),
            Incoming::Quiet | Incoming::AnyFrames(_) => "nothing".to_owned(),
        };
        Err(format!("expected {expected}\n     came {item}"))
    }

    fn expect_no_datagram(&mut self, pair: Pair) -> Result<(), String> {
        self.skipped.retain(|(skipped, _)| *skipped != pair);
        for port in [Port::Rtp, Port::Rtcp] {
            if let Some(datagram) = self.world.receive_datagram((pair, port), false) {
                return Err(format!("a datagram: {}", describe(&datagram)));
            }
        }
        Ok(())
    }

    async fn expect_datagram(&mut self, at: Place, expected: &Expected) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        let is_skipping = self.skipped.remove(&at);
        loop {
            let is_late = Instant::now() >= deadline;
            let Some(datagram) = self.world.receive_datagram(at, is_late) else {
                if is_late {
                    return Err(format!("expected {}\n     came nothing", expected.text()));
                }
                sleep(INSTANT).await;
                continue;
            };
            let described = Described::of(&datagram);
            if described.is_some_and(|is| expected.matches(&is, &mut self.names)) {
                return Ok(());
            }
            if !is_skipping {
                let came = describe(&datagram);
                return Err(format!("expected {}\n     came {came}", expected.text()));
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.reason)
    }
}

/// Longer than any answer may take, but for what a transcript waits for itself.
const PATIENCE: Duration = Duration::from_secs(2);
/// The least time Tokio's timer knows: all that can happen now has happened after it.
const INSTANT: Duration = Duration::from_millis(1);
