//! Takes the packets of one probe and turns them into its [`Report`].
//!
//! Pure: retina's packets are handed in as plain values, times as durations since just before
//! connecting.

use std::time::Duration;

use media::h264::SpsDescription;

use super::{
    Transport,
    assembly::{Assembler, Packet, Unit},
    offer::Offer,
    parameter_sets::{ParameterSetStore, Unusable},
    report::{Report, SetsFrom, Verdict},
    statistics::{Frame, Jitter, SenderReport, Summary, capture_to_arrival_ms, clock_offset_ms},
};

/// How far the conversation has come, each measured from just before connecting.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Milestones {
    pub(super) described: Duration,
    pub(super) set_up: Duration,
    pub(super) playing: Duration,
}

/// An RTP packet as it arrived.
#[derive(Copy, Clone, Debug)]
pub(super) struct Received<'a> {
    pub(super) arrival: Duration,
    pub(super) ssrc: u32,
    /// RTP timestamp, unwrapped.
    pub(super) timestamp: i64,
    pub(super) marker: bool,
    /// Packets missing before this one.
    pub(super) lost: u16,
    pub(super) payload: &'a [u8],
}

/// What was seen so far.
#[derive(Debug)]
pub(super) struct Measurement {
    offer: Offer,
    assembler: Assembler,
    in_band: ParameterSetStore,
    /// In band and from the SDP: what a decoder has.
    sets: ParameterSetStore,
    jitter: Jitter,
    ssrc: Option<u32>,
    first_packet: Option<Duration>,
    first_keyframe: Option<Keyframe>,
    unusable: Option<Unusable>,
    frames: Vec<Frame>,
    whole_frames: u64,
    damaged_frames: u64,
    keyframes: u64,
    frames_before_keyframe: u64,
    largest_frame: u32,
    packets: u64,
    lost: u64,
    missing_at_start: u64,
    reports: Vec<(u32, SenderReport)>,
}

#[derive(Clone, Debug)]
struct Keyframe {
    at: Duration,
    description: SpsDescription,
    from: SetsFrom,
}

/// How the run went, apart from the packets.
#[derive(Clone, Debug)]
pub(super) struct Circumstances {
    pub(super) url: String,
    pub(super) transport: Transport,
    pub(super) milestones: Milestones,
    pub(super) watched: Duration,
    /// Why it ended before its time.
    pub(super) ended_early: Option<String>,
    /// Datagrams that the kernel dropped for want of room, on this machine, while it ran.
    pub(super) receive_buffer_errors: Option<u64>,
}

impl Measurement {
    pub(super) fn new(offer: Offer) -> Self {
        let mut sets = ParameterSetStore::default();
        offer.parameter_sets.iter().for_each(|nal| sets.insert(nal));
        Self {
            jitter: Jitter::new(offer.clock_rate),
            offer,
            assembler: Assembler::default(),
            in_band: ParameterSetStore::default(),
            sets,
            ssrc: None,
            first_packet: None,
            first_keyframe: None,
            unusable: None,
            frames: Vec::new(),
            whole_frames: 0,
            damaged_frames: 0,
            keyframes: 0,
            frames_before_keyframe: 0,
            largest_frame: 0,
            packets: 0,
            lost: 0,
            missing_at_start: 0,
            reports: Vec::new(),
        }
    }

    pub(super) fn handle_packet(&mut self, packet: &Received<'_>) {
        self.packets += 1;
        self.ssrc = Some(packet.ssrc);
        if self.first_packet.replace(self.first_packet.unwrap_or(packet.arrival)).is_none() {
            // Missing against the number that the answer to PLAY announced.
            self.missing_at_start = packet.lost.into();
        } else {
            self.lost += u64::from(packet.lost);
        }
        self.jitter.record(packet.arrival, packet.timestamp);
        self.assembler.handle_packet(&Packet {
            arrival: packet.arrival,
            timestamp: packet.timestamp,
            marker: packet.marker,
            after_loss: packet.lost > 0,
            payload: packet.payload,
        });
        while let Some(unit) = self.assembler.poll_unit() {
            self.handle_unit(&unit);
        }
    }

    pub(super) fn handle_sender_report(&mut self, ssrc: u32, report: SenderReport) {
        // An NTP timestamp of zero says that the sender has no clock (RFC 3550 section 6.4.1).
        if report.ntp != 0 && self.reports.len() < MOST_SENDER_REPORTS {
            self.reports.push((ssrc, report));
        }
    }

    /// The SSRC of the packets, once there are any.
    pub(super) fn ssrc(&self) -> Option<u32> {
        self.ssrc
    }

    /// Whole frames, packets lost, and bits of media per second of media so far.
    pub(super) fn progress(&self) -> (u64, u64, Option<f64>) {
        let newest = self.frames.len().saturating_sub(PROGRESS_FRAMES);
        let summary = Summary::of(&self.frames[newest..], self.offer.clock_rate);
        (self.whole_frames, self.lost, summary.bits_per_second)
    }

    fn handle_unit(&mut self, unit: &Unit) {
        for nal in &unit.parameter_sets {
            self.in_band.insert(nal);
            self.sets.insert(nal);
        }
        if !unit.picture {
            return;
        }
        if !unit.whole {
            self.damaged_frames += 1;
        } else {
            self.whole_frames += 1;
            self.largest_frame = self.largest_frame.max(unit.bytes);
            if self.frames.len() < MOST_TIMED_FRAMES {
                self.frames.push(Frame {
                    timestamp: unit.timestamp,
                    arrival: unit.arrival,
                    bytes: unit.bytes,
                    keyframe: unit.idr.is_some(),
                });
            }
            if let Some(picture_set) = unit.idr {
                self.keyframes += 1;
                if self.first_keyframe.is_none() {
                    self.try_first_keyframe(unit.arrival, picture_set);
                }
            }
        }
        if self.first_keyframe.is_none() {
            self.frames_before_keyframe += 1;
        }
    }

    fn try_first_keyframe(&mut self, at: Duration, picture_set: u32) {
        let from = match self.in_band.description(picture_set) {
            Ok(_) => SetsFrom::Stream,
            Err(_) => SetsFrom::Sdp,
        };
        match self.sets.description(picture_set) {
            Ok(description) => {
                self.first_keyframe = Some(Keyframe { at, description: description.clone(), from });
            }
            Err(unusable) => {
                self.unusable.get_or_insert(unusable);
            }
        }
    }

    pub(super) fn into_report(self, run: Circumstances) -> Report {
        let summary = Summary::of(&self.frames, self.offer.clock_rate);
        let milestones = run.milestones;
        let round_trip = milestones.set_up.saturating_sub(milestones.described);
        let own = |&(ssrc, report): &(u32, SenderReport)| {
            (self.ssrc.is_none_or(|own| own == ssrc)).then_some(report)
        };
        let reports: Vec<SenderReport> = self.reports.iter().filter_map(own).collect();
        let rate = self.offer.clock_rate;
        let latency = capture_to_arrival_ms(&self.frames, &reports, rate, round_trip);
        let notes = self.notes(&run, self.reports.len() - reports.len());
        let (malformed_packets, _) = self.assembler.malformed();
        let seen = self.first_keyframe.as_ref();
        let picture = seen.map(|keyframe| &keyframe.description);
        let expected = self.packets + self.lost;
        let jitter = self.jitter.milliseconds();
        Report {
            verdict: self.verdict(),
            url: run.url,
            transport: run.transport,
            watched_ms: ms(run.watched),
            ended_early: run.ended_early,
            described_ms: ms(milestones.described),
            set_up_ms: ms(milestones.set_up),
            playing_ms: ms(milestones.playing),
            first_packet_ms: self.first_packet.map(ms),
            first_keyframe_ms: seen.map(|keyframe| ms(keyframe.at)),
            width: picture.map(|sps| sps.width),
            height: picture.map(|sps| sps.height),
            profile: picture.map(|sps| sps.profile),
            profile_level_id: picture.map(|sps| hex(sps.profile_level_id)),
            parameter_sets_from: seen.map(|keyframe| keyframe.from),
            frames: self.whole_frames,
            damaged_frames: self.damaged_frames,
            keyframes: self.keyframes,
            keyframe_interval_ms: summary.keyframe_interval_ms.map(rounded),
            frames_before_keyframe: self.frames_before_keyframe,
            reordered: summary.reordered,
            largest_frame_bytes: self.largest_frame,
            fps_timestamps: summary.fps_timestamps.map(rounded),
            fps_arrivals: summary.fps_arrivals.map(rounded),
            bitrate_kbps: summary.bits_per_second.map(|bits| rounded(bits / 1e3)),
            packets: self.packets,
            lost_packets: self.lost,
            loss_percent: (expected > 0)
                .then(|| rounded(self.lost as f64 / expected as f64 * 100.0)),
            missing_at_start_packets: self.missing_at_start,
            malformed_packets,
            receive_buffer_errors: run.receive_buffer_errors,
            jitter_ms: jitter.map(|(now, _)| rounded(now)),
            jitter_max_ms: jitter.map(|(_, largest)| rounded(largest)),
            delay_variation_p50_ms: summary.delay_variation_ms.map(|[p50, ..]| rounded(p50)),
            delay_variation_p95_ms: summary.delay_variation_ms.map(|[_, p95, _]| rounded(p95)),
            delay_variation_max_ms: summary.delay_variation_ms.map(|[.., max]| rounded(max)),
            arrival_gaps: summary.arrival_gaps.map(|gaps| gaps.count),
            arrival_gap_max_ms: summary.arrival_gaps.map(|gaps| rounded(gaps.longest_ms)),
            timestamp_gaps: summary.timestamp_gaps.map(|gaps| gaps.count),
            timestamp_gap_max_ms: summary.timestamp_gaps.map(|gaps| rounded(gaps.longest_ms)),
            sender_reports: reports.len(),
            clock_offset_ms: clock_offset_ms(&reports, round_trip).map(rounded),
            clock_offset_accuracy_ms: (!reports.is_empty()).then(|| ms(round_trip / 2)),
            capture_to_arrival_ms: latency.map(rounded),
            notes,
        }
    }

    fn verdict(&self) -> Verdict {
        match (&self.first_keyframe, &self.unusable) {
            (Some(_), _) => Verdict::Good,
            (None, Some(Unusable::Missing(_))) => Verdict::NoParameterSets,
            (None, Some(Unusable::Broken(_))) => Verdict::BrokenParameterSets,
            (None, None) if self.packets == 0 => Verdict::NoPackets,
            (None, None) => Verdict::NoKeyframe,
        }
    }

    /// What a person should know beyond the numbers, as whole sentences without a full stop.
    fn notes(&self, run: &Circumstances, foreign_reports: usize) -> Vec<String> {
        let mut notes = Vec::new();
        let mut note = |condition: bool, text: &dyn Fn() -> String| {
            if condition {
                notes.push(text());
            }
        };
        let udp = run.transport == Transport::Udp;
        note(self.packets == 0 && udp, &|| {
            "over UDP nothing arrived: a firewall or container may block it; try --transport tcp"
                .into()
        });
        note(self.packets == 0 && !udp, &|| {
            "the server agreed to play, but sent nothing: is its source running?".into()
        });
        if let Some(Unusable::Missing(reason) | Unusable::Broken(reason)) = &self.unusable {
            note(true, &|| reason.clone());
        }
        note(self.packets > 0 && self.keyframes == 0 && self.damaged_frames == 0, &|| {
            "no IDR picture came: are its keyframes further apart than this probe was long \
             (--seconds)?"
                .into()
        });
        let early = self.frames_before_keyframe;
        note(self.first_keyframe.is_some() && early > 0, &|| {
            format!("frames that came before the first keyframe, and cannot be shown: {early}")
        });
        note(self.missing_at_start > 0, &|| {
            format!(
                "the first packet is {} after the one that the answer to PLAY announced",
                self.missing_at_start
            )
        });
        let (malformed, first) = self.assembler.malformed();
        note(malformed > 0, &|| {
            format!(
                "packets that break RFC 6184: {malformed}; the first: {}",
                first.unwrap_or("unclear")
            )
        });
        note(self.lost > 0 && udp, &|| {
            "a packet that comes out of order counts as lost here; players with a jitter buffer \
             put it right"
                .into()
        });
        note(run.receive_buffer_errors.is_some_and(|errors| errors > 0), &|| {
            "this machine dropped datagrams for want of receive buffer: raise \
             net.core.rmem_default"
                .into()
        });
        note(self.offer.parameter_sets.is_empty(), &|| {
            "the SDP has no usable sprop-parameter-sets: some players refuse, or stay black until \
             the next keyframe"
                .into()
        });
        note(!self.offer.packetization_mode_1, &|| {
            "the SDP lacks packetization-mode=1: strict players refuse fragmented pictures".into()
        });
        if let Some(Keyframe { description, from, .. }) = &self.first_keyframe {
            let sdp = self.offer.profile_level_id;
            let same = sdp.is_none_or(|sdp| sdp == description.profile_level_id);
            note(!same, &|| {
                format!(
                    "the SDP says profile-level-id {}, the SPS {}: a player may choose the wrong \
                     decoder",
                    sdp.map(hex).unwrap_or_default(),
                    hex(description.profile_level_id)
                )
            });
            note(*from == SetsFrom::Sdp, &|| {
                "the parameter sets stand in the SDP alone: a viewer who missed it, or a change of \
                 size, finds none"
                    .into()
            });
        }
        note(foreign_reports > 0, &|| {
            format!("sender reports with another SSRC than the packets have: {foreign_reports}")
        });
        notes
    }
}

fn ms(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64() * 1e3)
}

/// To a thousandth: what is beyond is noise.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

fn hex([a, b, c]: [u8; 3]) -> String {
    format!("{a:02x}{b:02x}{c:02x}")
}

/// Frames whose times are kept, over four hours at 60 a second; later ones are only counted.
const MOST_TIMED_FRAMES: usize = 1_000_000;
/// Sender reports kept: over a day of one each second.
const MOST_SENDER_REPORTS: usize = 100_000;
/// Frames that the rate shown while running is taken from.
const PROGRESS_FRAMES: usize = 60;
