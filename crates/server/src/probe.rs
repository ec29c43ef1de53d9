//! `lenscast probe URL`: a viewer that measures instead of showing.
//!
//! ```text
//!  resolve ─▶ retina: DESCRIBE, SETUP, PLAY ─▶ RTP and RTCP packets ─▶ Measurement ─▶ Report
//!                                                   └▶ assembly: access units
//! ```
//!
//! RTSP, digest and packet reception are retina's: another author's reading of the standards, so
//! that client and server do not share one misunderstanding. Packets are taken one by one rather
//! than as retina's finished frames, because the first packet, jitter and what stands in band are
//! to be seen, and because one bad packet is a finding here and not the end.

use std::{
    io::{self, IsTerminal, Write},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use futures::StreamExt;
use retina::{
    client::{
        Described, PacketItem, PlayOptions, Playing, Session, SessionGroup, SessionOptions,
        SetupOptions, TcpTransportOptions, Transport as RetinaTransport, UdpTransportOptions,
        UnknownRtcpSsrcPolicy,
    },
    rtcp::ReceivedCompoundPacket,
};
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};
use url::Url;

mod assembly;
mod datagrams;
mod error;
mod measurement;
mod offer;
mod parameter_sets;
mod report;
mod resolve;
mod statistics;

pub use error::{ProbeError, Step};
pub use report::{Report, SetsFrom, Verdict};

use measurement::{Circumstances, Measurement, Milestones, Received};
use offer::Offer;
use resolve::Target;
use statistics::SenderReport;

/// What to probe and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// `rtsp://[USER:PASSWORD@]HOST[:PORT]/PATH`; user and password percent-encoded.
    pub url: Url,
    /// How the packets are to come.
    pub transport: Transport,
    /// How long to watch, from the answer to PLAY.
    pub seconds: Duration,
    /// The report as one JSON object (see [`Report`]) instead of lines for people.
    pub json: bool,
    /// How long one step (DESCRIBE, SETUP, PLAY) may take.
    pub timeout: Duration,
}

impl Options {
    /// Five seconds over TCP, for people, ten seconds for each step.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            transport: Transport::default(),
            seconds: DEFAULT_SECONDS,
            json: false,
            timeout: DEFAULT_TIMEOUT,
        }
    }
}

/// How RTP packets travel.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams to a pair of ports of ours.
    Udp,
    /// Interleaved in the RTSP connection: passes every firewall that lets RTSP through.
    #[default]
    Tcp,
}

/// Plays the stream, measures it, and writes the report to `out`. While it runs, one line of
/// progress is kept on standard error if that is a terminal.
///
/// With [`Options::json`] a failure is written to `out` too, as an object with `error` and
/// `message`, and then returned.
///
/// # Errors
///
/// When the stream cannot be played at all. A stream that plays badly is a report whose
/// [`Report::verdict`] says so.
pub async fn run(options: &Options, out: &mut dyn Write) -> Result<Report, ProbeError> {
    let result = probe(options).await;
    match &result {
        Ok(report) if options.json => report.write_json(out)?,
        Ok(report) => report.write_text(out)?,
        Err(error) if options.json => error.write_json(out)?,
        Err(_) => {}
    }
    out.flush()?;
    result
}

async fn probe(options: &Options) -> Result<Report, ProbeError> {
    let target = Target::parse(&options.url)?;
    let group = Arc::new(SessionGroup::default());
    let dropped_before = receive_buffer_errors(options.transport);
    let started = Instant::now();
    let result = play_and_watch(options, &target, started, &group).await;
    // Dropping the session sends TEARDOWN in a task of retina's; leave time for the answer, so that
    // the server is told and need not wait for the session's end. Its failing changes nothing.
    let _ = timeout(FAREWELL, group.await_teardown()).await;
    let (measurement, milestones, ended) = result?;
    let dropped = receive_buffer_errors(options.transport);
    Ok(measurement.into_report(Circumstances {
        url: target.url.into(),
        transport: options.transport,
        milestones,
        watched: ended.at.saturating_sub(milestones.playing),
        ended_early: ended.early,
        receive_buffer_errors: dropped
            .zip(dropped_before)
            .map(|(after, before)| after.saturating_sub(before)),
    }))
}

/// How watching ended.
struct Ended {
    /// Since just before connecting.
    at: Duration,
    /// The reason, when it was before its time.
    early: Option<String>,
}

async fn play_and_watch(
    options: &Options,
    target: &Target,
    started: Instant,
    group: &Arc<SessionGroup>,
) -> Result<(Measurement, Milestones, Ended), ProbeError> {
    let mut milestones = Milestones::default();
    let mut session = describe(options, target, group).await?;
    milestones.described = started.elapsed();
    let offer = Offer::choose(session.streams(), session.sdp())
        .map_err(|offered| ProbeError::NoVideo { offered: printable(&offered) })?;
    let failed = |step, error| target.explain(step, &error);
    let late = |step| ProbeError::Timeout {
        step,
        after: options.timeout,
        hint: "the server accepts the connection, but no longer answers",
    };

    let transport = match options.transport {
        Transport::Udp => RetinaTransport::Udp(UdpTransportOptions::default()),
        Transport::Tcp => RetinaTransport::Tcp(TcpTransportOptions::default()),
    };
    let setup = session.setup(offer.index, SetupOptions::default().transport(transport));
    match timeout(options.timeout, setup).await {
        Ok(result) => result.map_err(|error| failed(Step::Setup, error))?,
        Err(_) => return Err(late(Step::Setup)),
    }
    milestones.set_up = started.elapsed();

    // A report with a foreign SSRC is to be seen and said, rather than dropped.
    let play = PlayOptions::default().unknown_rtcp_ssrc(UnknownRtcpSsrcPolicy::ProcessPackets);
    let mut session = match timeout(options.timeout, session.play(play)).await {
        Ok(result) => result.map_err(|error| failed(Step::Play, error))?,
        Err(_) => return Err(late(Step::Play)),
    };
    milestones.playing = started.elapsed();

    let mut measurement = Measurement::new(offer);
    let until = started + milestones.playing + options.seconds;
    let early = watch(&mut session, &mut measurement, started, until).await;
    let at = started.elapsed();
    Ok((measurement, milestones, Ended { at, early }))
}

async fn describe(
    options: &Options,
    target: &Target,
    group: &Arc<SessionGroup>,
) -> Result<Session<Described>, ProbeError> {
    let mut failure = None;
    for url in target.candidates()? {
        let session_options = SessionOptions::default()
            .creds(target.credentials.clone())
            .user_agent(USER_AGENT.to_owned())
            .session_group(group.clone());
        let error = match timeout(options.timeout, Session::describe(url, session_options)).await {
            Ok(Ok(session)) => return Ok(session),
            Ok(Err(error)) if error.status_code().is_some() => {
                return Err(target.explain(Step::Describe, &error));
            }
            Ok(Err(error)) => target.explain(Step::Describe, &error),
            Err(_) => ProbeError::Timeout {
                step: Step::Describe,
                after: options.timeout,
                hint: "the server accepts the connection, but is it an RTSP server?",
            },
        };
        failure = Some(error);
    }
    // What retina says of a connection is text; connecting once more tells why in data.
    match target.diagnose().await {
        Some(reason) => Err(reason),
        None => Err(failure.unwrap_or_else(|| ProbeError::Url("the host has no address".into()))),
    }
}

/// Takes in what comes until `until`. Returns why it ended before.
async fn watch(
    session: &mut Session<Playing>,
    measurement: &mut Measurement,
    started: Instant,
    until: Instant,
) -> Option<String> {
    let progress = Progress::new();
    let mut ticks = interval(PROGRESS_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let deadline = sleep_until(until.into());
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(deadline, interrupt);
    let early = loop {
        tokio::select! {
            // In this order, so that a flood of packets cannot outlast the deadline.
            biased;
            () = &mut deadline => break None,
            Ok(()) = &mut interrupt => break Some("interrupted".to_owned()),
            _ = ticks.tick(), if progress.shown => progress.show(measurement, started.elapsed()),
            item = session.next() => match item {
                None => break Some("the server closed the connection".to_owned()),
                Some(Err(error)) => break Some(first_paragraph(&error)),
                Some(Ok(PacketItem::Rtp(packet))) => measurement.handle_packet(&Received {
                    arrival: packet.ctx().received().saturating_duration_since(started),
                    ssrc: packet.ssrc(),
                    timestamp: packet.timestamp().timestamp(),
                    marker: packet.mark(),
                    lost: packet.loss(),
                    payload: packet.payload(),
                }),
                Some(Ok(PacketItem::Rtcp(packet))) => {
                    if let Some((ssrc, report)) = sender_report(&packet, started) {
                        measurement.handle_sender_report(ssrc, report);
                    }
                    if packet.pkts().any(|packet| says_goodbye(packet.raw(), measurement.ssrc())) {
                        break Some("the server ended the stream (RTCP BYE)".to_owned());
                    }
                }
                Some(Ok(_)) => {}
            },
        }
    };
    progress.clear();
    early
}

fn sender_report(packet: &ReceivedCompoundPacket, started: Instant) -> Option<(u32, SenderReport)> {
    let timestamp = packet.rtp_timestamp()?.timestamp();
    let report = packet.pkts().next()?.as_sender_report().ok()??;
    let wall = SystemTime::from(packet.ctx().received_wall());
    let since_epoch = wall.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let report = (
        report.ssrc(),
        SenderReport {
            ntp: report.ntp_timestamp().0,
            timestamp,
            arrival: packet.ctx().received().saturating_duration_since(started),
            wall_nanos: i128::try_from(since_epoch.as_nanos()).ok()?,
        },
    );
    Some(report)
}

/// Whether an RTCP packet is a BYE (RFC 3550 section 6.6) for `ssrc`; any, as long as none is
/// known.
fn says_goodbye(packet: &[u8], ssrc: Option<u32>) -> bool {
    let Some((&[flags, BYE, ..], sources)) = packet.split_first_chunk::<4>() else { return false };
    let mut sources = sources.chunks_exact(4).take(usize::from(flags & 0x1f));
    ssrc.is_none_or(|ssrc| sources.any(|source| source == ssrc.to_be_bytes()))
}

/// One line on standard error, rewritten while watching, if a person is there to see it.
struct Progress {
    shown: bool,
}

impl Progress {
    fn new() -> Self {
        Self { shown: io::stderr().is_terminal() }
    }

    fn show(&self, measurement: &Measurement, elapsed: Duration) {
        let (frames, lost, bits_per_second) = measurement.progress();
        let rate = bits_per_second.unwrap_or(0.0) / 1e3;
        let seconds = elapsed.as_secs_f64();
        // Progress that cannot be shown is no failure.
        let _ = write!(
            io::stderr(),
            "\r\x1b[K{seconds:5.1} s   {frames} frames   {rate:.0} kbit/s   {lost} packets lost"
        );
    }

    fn clear(&self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn receive_buffer_errors(transport: Transport) -> Option<u64> {
    match transport {
        Transport::Udp => datagrams::receive_buffer_errors(),
        Transport::Tcp => None,
    }
}

/// What retina says, without the coordinates for a packet capture that follow.
fn first_paragraph(error: &retina::Error) -> String {
    let text = error.to_string();
    printable(text.split("\n\n").next().unwrap_or_default().trim())
}

/// Text from a server, on one line and without anything that a terminal would act on.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// How long a probe watches unless told.
pub const DEFAULT_SECONDS: Duration = Duration::from_secs(5);
/// How long a step may take unless told: longer than a server that first has to start its camera.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

const USER_AGENT: &str = concat!("lenscast-probe/", env!("CARGO_PKG_VERSION"));
/// How long to wait for the answer to TEARDOWN.
const FAREWELL: Duration = Duration::from_secs(2);
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
/// RTCP packet type of BYE.
const BYE: u8 = 203;

#[cfg(test)]
mod tests;
