//! What was found, for programs and for people.

use std::{
    fmt,
    io::{self, Write},
};

use serde::Serialize;

use super::Transport;

/// What a probe found.
///
/// Its JSON form is one flat object with exactly these keys, always all of them, `null` where there
/// was nothing to measure. The unit stands at the end of the name; `_ms` are milliseconds. Keys are
/// added in later versions, but neither removed nor given another meaning.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Whether a decoder could have started: `good`, `no_packets`, `no_keyframe`,
    /// `no_parameter_sets` or `broken_parameter_sets`.
    pub verdict: Verdict,
    /// What was played, without user and password.
    pub url: String,
    /// `udp` or `tcp`.
    pub transport: Transport,
    /// How long was watched, from the answer to PLAY.
    pub watched_ms: f64,
    /// Why watching ended before its time; `null` when it did not.
    pub ended_early: Option<String>,

    /// When DESCRIBE was answered. Like the four that follow from just before connecting; looking
    /// up the host's name, and the second round that a login takes, are in it.
    pub described_ms: f64,
    /// When SETUP was answered.
    pub set_up_ms: f64,
    /// When PLAY was answered.
    pub playing_ms: f64,
    /// When the first RTP packet arrived.
    pub first_packet_ms: Option<f64>,
    /// When the last packet of the first usable keyframe arrived: a whole IDR picture whose
    /// parameter sets are there and can be parsed.
    pub first_keyframe_ms: Option<f64>,

    /// Width shown, in pixels.
    pub width: Option<u32>,
    /// Height shown, in pixels.
    pub height: Option<u32>,
    /// The profile's name, as `High`.
    pub profile: Option<&'static str>,
    /// Profile, constraints and level from the SPS: six hexadecimal digits.
    pub profile_level_id: Option<String>,
    /// Where the first keyframe's parameter sets came from: `stream` (in band) or `sdp` (there
    /// alone).
    pub parameter_sets_from: Option<SetsFrom>,

    /// Whole frames.
    pub frames: u64,
    /// Frames of which a part was missing or unreadable.
    pub damaged_frames: u64,
    /// Whole IDR frames, among `frames`.
    pub keyframes: u64,
    /// The usual (median) distance of keyframes, by timestamp.
    pub keyframe_interval_ms: Option<f64>,
    /// Frames, whole or not, before the first usable keyframe.
    pub frames_before_keyframe: u64,
    /// Whether frames come in another order than they are shown in (B-frames).
    pub reordered: bool,
    /// The largest whole frame: bytes of NAL units.
    pub largest_frame_bytes: u32,
    /// Whole frames per second of media time.
    pub fps_timestamps: Option<f64>,
    /// Whole frames per second as they arrived. A burst at the start makes it the higher one.
    pub fps_arrivals: Option<f64>,
    /// Thousands of bits of NAL units per second of media time; no packet headers.
    pub bitrate_kbps: Option<f64>,

    /// RTP packets.
    pub packets: u64,
    /// Sequence numbers missing between the first packet and the last. Over UDP a packet that came
    /// after a later one counts as missing.
    pub lost_packets: u64,
    /// `lost_packets` of those expected, in percent.
    pub loss_percent: Option<f64>,
    /// Sequence numbers missing between the one that PLAY's answer announced and the first packet.
    pub missing_at_start_packets: u64,
    /// Packets that break RFC 6184.
    pub malformed_packets: u64,
    /// Datagrams that this machine dropped, for any socket, because a receive buffer was full;
    /// `null` over TCP.
    pub receive_buffer_errors: Option<u64>,

    /// Interarrival jitter (RFC 3550 A.8) over all packets, at the end.
    pub jitter_ms: Option<f64>,
    /// The most it ever was.
    pub jitter_max_ms: Option<f64>,
    /// How much later than the quickest frame, against its timestamp, a frame was complete: median.
    pub delay_variation_p50_ms: Option<f64>,
    /// The same: 95 % of frames were no later.
    pub delay_variation_p95_ms: Option<f64>,
    /// The same: the latest.
    pub delay_variation_max_ms: Option<f64>,
    /// How often the wait for a frame was over 2.5 times the usual distance of timestamps.
    pub arrival_gaps: Option<usize>,
    /// The longest wait for a frame.
    pub arrival_gap_max_ms: Option<f64>,
    /// How often timestamps stepped by over 2.5 times their usual distance: frames left out.
    pub timestamp_gaps: Option<usize>,
    /// The longest step of timestamps.
    pub timestamp_gap_max_ms: Option<f64>,

    /// Sender reports of this stream.
    pub sender_reports: usize,
    /// How far the server's clock is ahead of ours (negative: behind), by its sender reports.
    pub clock_offset_ms: Option<f64>,
    /// How far off that may be: half the round trip of SETUP. A queue at the server adds to it.
    pub clock_offset_accuracy_ms: Option<f64>,
    /// From capture, as the server dates it in sender reports, to the arrival of the frame's last
    /// packet: median. As accurate as the clock offset, but the clocks need not agree.
    pub capture_to_arrival_ms: Option<f64>,

    /// What a person should know beyond the numbers.
    pub notes: Vec<String>,
}

/// Whether a decoder could have started, and if not, what was missing.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A whole IDR picture with parsable parameter sets arrived.
    Good,
    /// Not one packet arrived.
    NoPackets,
    /// Packets arrived, but no IDR picture in one piece.
    NoKeyframe,
    /// IDR pictures arrived, but not the parameter sets they refer to.
    NoParameterSets,
    /// There are parameter sets, but they break the syntax.
    BrokenParameterSets,
}

/// Where parameter sets came from.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SetsFrom {
    /// In band, before the keyframe or with it.
    Stream,
    /// Only from the SDP.
    Sdp,
}

impl Report {
    /// Whether a decoder could have started.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The report as one line of JSON.
    ///
    /// # Errors
    ///
    /// When `out` cannot be written to.
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        writeln!(out)
    }

    /// The report for people.
    ///
    /// # Errors
    ///
    /// When `out` cannot be written to.
    pub fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let transport = match self.transport {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
        };
        let watched = self.watched_ms / 1e3;
        writeln!(out, "{} over {transport}, watched for {watched:.1} s\n", self.url)?;
        self.write_start(out)?;
        writeln!(out)?;
        self.write_picture(out)?;
        writeln!(out)?;
        self.write_delivery(out)?;
        for note in self.ended_early.iter().chain(&self.notes) {
            writeln!(out, "\nnote: {note}.")?;
        }
        writeln!(out, "\n{}", self.verdict)
    }

    fn write_start(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut moment = |label, at: Option<f64>, meaning: &str| match at {
            Some(at) => line(out, label, format_args!("{:<11} {meaning}", Millis(at))),
            None => line(out, label, format_args!("never")),
        };
        moment("described", Some(self.described_ms), "answer to DESCRIBE, since connecting")?;
        moment("set up", Some(self.set_up_ms), "answer to SETUP")?;
        moment("playing", Some(self.playing_ms), "answer to PLAY")?;
        moment("first packet", self.first_packet_ms, "RTP")?;
        moment(
            "first keyframe",
            self.first_keyframe_ms,
            "a whole IDR picture and its parameter sets",
        )
    }

    fn write_picture(&self, out: &mut dyn Write) -> io::Result<()> {
        if let (Some(width), Some(height)) = (self.width, self.height) {
            let profile = self.profile.unwrap_or("unknown");
            let id = self.profile_level_id.as_deref().unwrap_or("unknown");
            let from = match self.parameter_sets_from {
                Some(SetsFrom::Sdp) => "SDP",
                _ => "stream",
            };
            line(
                out,
                "picture",
                format_args!(
                    "{width}x{height}, H.264 {profile}, profile-level-id {id} (from the {from})"
                ),
            )?;
        }
        let order = if self.reordered { ", with B-frames" } else { "" };
        let damaged = Damaged(self.damaged_frames);
        line(out, "frames", format_args!("{} whole, {damaged}{order}", self.frames))?;
        let mut keyframes = self.keyframes.to_string();
        if let Some(interval) = self.keyframe_interval_ms {
            keyframes += &format!(", one each {:.2} s", interval / 1e3);
        }
        line(out, "keyframes", format_args!("{keyframes}"))?;
        if let (Some(stamps), Some(arrivals)) = (self.fps_timestamps, self.fps_arrivals) {
            line(
                out,
                "frame rate",
                format_args!("{stamps:.2} fps by timestamps, {arrivals:.2} by arrival"),
            )?;
        }
        if let Some(kbps) = self.bitrate_kbps {
            let largest = f64::from(self.largest_frame_bytes) / 1e3;
            line(
                out,
                "bitrate",
                format_args!("{kbps:.0} kbit/s of H.264, the largest frame {largest:.1} kB"),
            )?;
        }
        Ok(())
    }

    fn write_delivery(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut packets = match (self.lost_packets, self.loss_percent) {
            (0, _) | (_, None) => format!("{}, none lost", self.packets),
            (lost, Some(percent)) => format!("{}, {lost} lost ({percent:.2} %)", self.packets),
        };
        if let Some(errors) = self.receive_buffer_errors.filter(|&errors| errors > 0) {
            packets += &format!(", {errors} datagrams dropped by this machine");
        }
        line(out, "packets", format_args!("{packets}"))?;
        if let (Some(now), Some(max)) = (self.jitter_ms, self.jitter_max_ms) {
            line(
                out,
                "jitter",
                format_args!("{} over packets (RFC 3550), at most {}", Millis(now), Millis(max)),
            )?;
        }
        if let (Some(p95), Some(max)) = (self.delay_variation_p95_ms, self.delay_variation_max_ms) {
            line(
                out,
                "punctuality",
                format_args!(
                    "95 % of frames within {} of the quickest, all within {}",
                    Millis(p95),
                    Millis(max)
                ),
            )?;
        }
        if let (Some(waits), Some(wait), Some(steps)) =
            (self.arrival_gaps, self.arrival_gap_max_ms, self.timestamp_gaps)
        {
            let waits = Count(waits, "wait", "waits");
            let steps = Count(steps, "gap", "gaps");
            line(
                out,
                "gaps",
                format_args!(
                    "{waits} out of the ordinary, the longest {}; {steps} in timestamps",
                    Millis(wait)
                ),
            )?;
        }
        match (self.clock_offset_ms, self.clock_offset_accuracy_ms) {
            (Some(offset), Some(accuracy)) => {
                let way = if offset < 0.0 { "behind" } else { "ahead of" };
                line(
                    out,
                    "clock",
                    format_args!(
                        "server {} {way} ours, ± {} ({})",
                        Millis(offset.abs()),
                        Millis(accuracy),
                        Count(self.sender_reports, "sender report", "sender reports")
                    ),
                )?;
            }
            _ => line(out, "clock", format_args!("unknown: no sender report came"))?,
        }
        match self.capture_to_arrival_ms {
            Some(latency) => line(
                out,
                "latency",
                format_args!("{} from capture to arrival, as the server dates it", Millis(latency)),
            ),
            None => Ok(()),
        }
    }
}

impl Verdict {
    /// 0 when a decoder could have started, else 1.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::NoPackets
            | Self::NoKeyframe
            | Self::NoParameterSets
            | Self::BrokenParameterSets => 1,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "Good: a decoder could start.",
            Self::NoPackets => "Bad: not one packet came.",
            Self::NoKeyframe => "Bad: no keyframe came in one piece; a decoder could not start.",
            Self::NoParameterSets => {
                "Bad: the parameter sets of the keyframes never came; a decoder could not start."
            }
            Self::BrokenParameterSets => {
                "Bad: the parameter sets cannot be parsed; a decoder could not start."
            }
        })
    }
}

fn line(out: &mut dyn Write, label: &str, value: fmt::Arguments<'_>) -> io::Result<()> {
    writeln!(out, "  {label:<16}{value}")
}

/// Milliseconds, or seconds where those are easier to read.
struct Millis(f64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            millis if millis < 10.0 => format!("{millis:.2} ms"),
            millis if millis < 1000.0 => format!("{millis:.1} ms"),
            millis => format!("{:.3} s", millis / 1e3),
        };
        f.pad(&text)
    }
}

struct Damaged(u64);

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("none damaged"),
            damaged => write!(f, "{damaged} damaged"),
        }
    }
}

struct Count(usize, &'static str, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => write!(f, "no {}", self.1),
            1 => write!(f, "1 {}", self.1),
            count => write!(f, "{count} {}", self.2),
        }
    }
}
