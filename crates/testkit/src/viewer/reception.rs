//! What came in, held against what has to: every packet once and in order, beginning with the one
//! RTP-Info named, which belongs to a keyframe; a sender report soon, a BYE at the end (RFC 3550,
//! RFC 6184). Pure but for the times it is told.

use std::time::{Duration, Instant};

use rtp_packetizer::{RtpTimestamp, Sequence};

use super::report::Report;
use crate::depacketizer::{Defect, Depacketizer, Unit};

/// The books of one viewer.
#[derive(Debug)]
pub(super) struct Reception {
    started: Instant,
    played: Instant,
    announced: Option<(Sequence, RtpTimestamp)>,
    depacketizer: Depacketizer,
    first: Option<First>,
    first_unit: Option<FirstUnit>,
    first_keyframe: Option<Duration>,
    keyframes: Vec<Instant>,
    bytes: u64,
    last_unit: Option<(Instant, RtpTimestamp)>,
    frame_gaps: Vec<Duration>,
    /// Steps of the RTP timestamp, one for each of the gaps.
    steps: Vec<u32>,
    lost_by_drops: u64,
    sender_report: Option<Duration>,
    goodbye: bool,
    faults: Vec<String>,
    more_faults: u64,
}

#[derive(Debug)]
struct First {
    after: Duration,
    sequence: Sequence,
    timestamp: RtpTimestamp,
    ssrc: [u8; 4],
}

#[derive(Debug)]
struct FirstUnit {
    first_sequence: Sequence,
    is_whole_keyframe: bool,
}

impl Reception {
    /// Times count from `started`; `announced` is what RTP-Info said.
    pub(super) fn new(
        started: Instant,
        played: Instant,
        announced: Option<(Sequence, RtpTimestamp)>,
    ) -> Self {
        Self {
            started,
            played,
            announced,
            depacketizer: Depacketizer::new(),
            first: None,
            first_unit: None,
            first_keyframe: None,
            keyframes: Vec::new(),
            bytes: 0,
            last_unit: None,
            frame_gaps: Vec::new(),
            steps: Vec::new(),
            lost_by_drops: 0,
            sender_report: None,
            goodbye: false,
            faults: Vec::new(),
            more_faults: 0,
        }
    }

    /// Takes an RTP packet, before which this side itself has dropped at most so many.
    pub(super) fn rtp(&mut self, packet: &[u8], dropped: u64, now: Instant) {
        self.bytes += packet.len() as u64;
        if self.first.is_none()
            && let Some(&[_, _, s0, s1, t0, t1, t2, t3, r0, r1, r2, r3]) = packet.first_chunk()
        {
            self.first = Some(First {
                after: now - self.started,
                sequence: Sequence(u16::from_be_bytes([s0, s1])),
                timestamp: RtpTimestamp(u32::from_be_bytes([t0, t1, t2, t3])),
                ssrc: [r0, r1, r2, r3],
            });
        }
        match self.depacketizer.push(packet) {
            Ok(Some(unit)) => self.unit(&unit, now),
            Ok(None) => {}
            // Counted, and told of in the end.
            Err(Defect::Gap { expected, actual }) => {
                self.lost_by_drops += u64::from(actual.since(expected)).min(dropped);
            }
            Err(Defect::Late { .. }) => {}
            Err(defect) => self.fault(defect.to_string()),
        }
    }

    /// Takes an RTCP packet, which may be compound.
    ///
    /// ```text
    ///   0                   1                   2                   3
    ///   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    ///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    ///  |V=2|P|  count  |      PT       |  length in 32-bit words - 1   |
    ///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    ///  |                        SSRC of sender                         |
    ///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    /// ```
    pub(super) fn rtcp(&mut self, mut packet: &[u8], now: Instant) {
        while let Some((&[first, kind, high, low, r0, r1, r2, r3], _)) =
            packet.split_first_chunk::<8>()
        {
            let length = 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
            let Some((_, rest)) = packet.split_at_checked(length).filter(|_| first >> 6 == 2)
            else {
                break;
            };
            packet = rest;
            if self.first.as_ref().is_some_and(|first| first.ssrc != [r0, r1, r2, r3]) {
                self.fault("RTCP of another source than the RTP".to_owned());
            }
            match kind {
                SENDER_REPORT => {
                    self.sender_report.get_or_insert(now - self.played);
                }
                BYE => self.goodbye = true,
                _ => {}
            }
        }
        if !packet.is_empty() {
            self.fault("malformed RTCP".to_owned());
        }
    }

    /// Whether there was a whole keyframe with SPS and PPS.
    pub(super) fn has_keyframe(&self) -> bool {
        self.first_keyframe.is_some()
    }

    /// Whether a BYE has come.
    pub(super) fn said_goodbye(&self) -> bool {
        self.goodbye
    }

    /// Notes something that should not be; the first few in words, the others by number.
    pub(super) fn fault(&mut self, fault: String) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(fault);
        } else {
            self.more_faults += 1;
        }
    }

    /// Enters the result into `report`, whose own part is there already.
    pub(super) fn finish(mut self, report: &mut Report) {
        report.counts = self.depacketizer.counts();
        report.bytes = self.bytes;
        report.keyframes = self.keyframes;
        report.first_packet = self.first.as_ref().map(|first| first.after);
        report.first_keyframe = self.first_keyframe;
        report.frame_gaps = self.frame_gaps;
        report.lost_by_drops = self.lost_by_drops;
        if let Some(step) = median(&mut self.steps) {
            report.frame_interval = Some(Duration::from_secs(1) * step / RTP_CLOCK);
            let (step, half) = (u64::from(step), u64::from(step / 2));
            // A step back misses nothing.
            let ahead = self.steps.iter().filter(|&&taken| taken < 1 << 31);
            let missing = |&taken: &u32| ((u64::from(taken) + half) / step).saturating_sub(1);
            report.missing_pictures = ahead.clone().map(missing).sum();
            let ticks: u64 = ahead.map(|&taken| u64::from(taken)).sum();
            report.media_time = Duration::from_secs_f64(ticks as f64 / f64::from(RTP_CLOCK));
        }
        report.sender_report = self.sender_report;
        match (&self.first, self.announced) {
            (None, _) => self.faults.push("no RTP packet came".to_owned()),
            (Some(_), None) => report.is_announced = false,
            (Some(first), Some((sequence, timestamp))) => {
                report.is_announced = true;
                if (first.sequence, first.timestamp) != (sequence, timestamp) {
                    self.faults.push(format!(
                        "RTP-Info named {sequence} at {timestamp}, but {} at {} came first",
                        first.sequence, first.timestamp
                    ));
                }
            }
        }
        match (&self.first, &self.first_unit) {
            (Some(first), Some(unit)) if unit.first_sequence != first.sequence => {
                self.faults.push("the first unit did not come whole".to_owned());
            }
            (_, Some(unit)) if !unit.is_whole_keyframe => {
                self.faults.push("the first unit is no keyframe with SPS and PPS".to_owned());
            }
            (Some(_), None) => self.faults.push("no whole unit came".to_owned()),
            _ => {}
        }
        if report.counts.late > 0 {
            self.faults.push(format!("{} packets repeated or out of order", report.counts.late));
        }
        match self.sender_report {
            None if report.watched >= REPORT_WITHIN => {
                self.faults.push("no sender report".to_owned());
            }
            Some(after) if after > REPORT_WITHIN => {
                self.faults.push(format!("the first sender report came after {after:.1?}"));
            }
            _ => {}
        }
        if !self.goodbye {
            self.faults.push("no BYE".to_owned());
        }
        if self.more_faults > 0 {
            self.faults.push(format!("and {} more", self.more_faults));
        }
        report.set_faults(self.faults);
    }

    fn unit(&mut self, unit: &Unit, now: Instant) {
        let is_whole_keyframe = unit.is_keyframe() && unit.has_parameter_sets();
        self.first_unit
            .get_or_insert(FirstUnit { first_sequence: unit.first_sequence, is_whole_keyframe });
        if unit.is_keyframe() {
            self.keyframes.push(now);
        }
        if is_whole_keyframe {
            self.first_keyframe.get_or_insert(now - self.started);
        }
        if let Some((last, timestamp)) = self.last_unit.replace((now, unit.timestamp)) {
            self.frame_gaps.push(now - last);
            self.steps.push(unit.timestamp.0.wrapping_sub(timestamp.0));
        }
    }
}

/// What half of them do not exceed; `None` where that is zero, or nothing.
fn median(steps: &mut [u32]) -> Option<u32> {
    steps.sort_unstable();
    steps.get(steps.len().checked_sub(1)? / 2).copied().filter(|&step| step > 0)
}

/// When the first sender report has to be there.
const REPORT_WITHIN: Duration = Duration::from_secs(1);
/// Ticks of an RTP timestamp in a second (RFC 6184 section 5.1).
const RTP_CLOCK: u32 = 90_000;
const MOST_FAULTS: usize = 8;
/// RTCP packet types (RFC 3550 section 12.1).
const SENDER_REPORT: u8 = 200;
const BYE: u8 = 203;

#[cfg(test)]
mod tests;
