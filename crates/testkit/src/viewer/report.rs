//! What viewers found out, one by one and all together.

use std::time::{Duration, Instant};

use super::Transport;
use crate::depacketizer::Counts;

/// What one viewer saw.
#[derive(Clone, Debug)]
pub struct Report {
    /// How RTP travelled.
    pub transport: Transport,
    /// Just before connecting.
    pub started: Instant,
    /// Each reply, in order.
    pub replies: Vec<Reply>,
    /// From just before connecting to the first RTP packet.
    pub first_packet: Option<Duration>,
    /// From just before connecting to the first whole keyframe with SPS and PPS.
    pub first_keyframe: Option<Duration>,
    /// From the reply to PLAY to the first sender report.
    pub sender_report: Option<Duration>,
    /// Whether RTP-Info named the first packet.
    pub is_announced: bool,
    /// RTP packets and access units.
    pub counts: Counts,
    /// When the last packet of each IDR picture came.
    pub keyframes: Vec<Instant>,
    /// Bytes of RTP, headers included.
    pub bytes: u64,
    /// How often the viewer's own socket had no room: for a datagram, or with offload for the
    /// packets of a whole send.
    pub own_drops: u64,
    /// Missing packets which that explains.
    pub lost_by_drops: u64,
    /// Times between the ends of two access units.
    pub frame_gaps: Vec<Duration>,
    /// The same times by the RTP timestamps, all together: less than they took by the clock where the
    /// server is slower than its pictures.
    pub media_time: Duration,
    /// The usual step of the RTP timestamp from one access unit to the next.
    pub frame_interval: Option<Duration>,
    /// Pictures that are missing between those that came whole, going by that step: lost, given up,
    /// or skipped by the server. Means something only where pictures come at a constant rate.
    pub missing_pictures: u64,
    /// From the reply to PLAY to TEARDOWN.
    pub watched: Duration,
    faults: Vec<String>,
}

/// A reply to a request.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The request's method.
    pub method: &'static str,
    /// The status code.
    pub status: u16,
    /// From just before connecting.
    pub after: Duration,
}

impl Report {
    pub(super) fn new(transport: Transport, started: Instant) -> Self {
        Self {
            transport,
            started,
            replies: Vec::new(),
            first_packet: None,
            first_keyframe: None,
            sender_report: None,
            is_announced: false,
            counts: Counts::default(),
            keyframes: Vec::new(),
            bytes: 0,
            own_drops: 0,
            lost_by_drops: 0,
            frame_gaps: Vec::new(),
            media_time: Duration::ZERO,
            frame_interval: None,
            missing_pictures: 0,
            watched: Duration::ZERO,
            faults: Vec::new(),
        }
    }

    pub(super) fn set_faults(&mut self, faults: Vec<String>) {
        self.faults = faults;
    }

    /// Packets missing in the sequence that this viewer's own socket cannot have dropped.
    pub fn lost_at_server(&self) -> u64 {
        self.counts.lost.saturating_sub(self.lost_by_drops)
    }

    /// What the server did wrong, in words; nothing when all was well. Packets that the viewer
    /// itself dropped, and what follows from them, are not the server's fault.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = match self.own_drops {
            0 => self.faults.clone(),
            _ => Vec::new(),
        };
        match self.lost_at_server() {
            0 => {}
            lost => faults.push(format!("{lost} packets never came")),
        }
        faults
    }
}

/// How a stalled viewer ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Stalled {
    /// What the server did.
    pub closed: Closed,
}

/// Whether and when the server closed a connection.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// So long after the reply to PLAY.
    After(Duration),
    /// Not within this time.
    NotWithin(Duration),
    /// The server is not on this machine, or the system does not say.
    Unknown,
}

/// What many viewers saw.
#[derive(Clone, Debug)]
pub struct Summary {
    /// How many there were.
    pub viewers: usize,
    /// RTP packets that came.
    pub packets: u64,
    /// Bytes of RTP.
    pub bytes: u64,
    /// Access units that came whole.
    pub units: u64,
    /// Packets the server never sent.
    pub lost_at_server: u64,
    /// How often the viewers' own sockets had no room.
    pub own_drops: u64,
    /// Packets that came again, or after later ones.
    pub late: u64,
    /// See [`Report::missing_pictures`].
    pub missing_pictures: u64,
    /// Viewers whom RTP-Info told their first packet.
    pub announced: usize,
    /// From just before connecting to the first whole keyframe.
    pub first_keyframe: Option<Spread>,
    /// From just before connecting to the first packet.
    pub first_packet: Option<Spread>,
    /// Between two access units.
    pub frame_gap: Option<Spread>,
    /// The longest time between two access units, viewer by viewer.
    pub longest_gap: Option<Spread>,
    /// Seconds of pictures in a second: under 1 where the server could not keep up, over 1 where it
    /// caught up on what was cached.
    pub pace: Option<f64>,
    /// What the time between two access units should be; the median viewer's.
    pub frame_interval: Option<Duration>,
}

impl Summary {
    /// Of all these viewers.
    pub fn of<'a>(reports: impl IntoIterator<Item = &'a Report>) -> Self {
        let reports: Vec<_> = reports.into_iter().collect();
        let sum = |value: fn(&Report) -> u64| reports.iter().map(|report| value(report)).sum();
        let spread = |value: fn(&Report) -> Option<Duration>| {
            Spread::of(reports.iter().filter_map(|report| value(report)).collect())
        };
        Self {
            viewers: reports.len(),
            packets: sum(|report| report.counts.packets),
            bytes: sum(|report| report.bytes),
            units: sum(|report| report.counts.units),
            lost_at_server: sum(Report::lost_at_server),
            own_drops: sum(|report| report.own_drops),
            late: sum(|report| report.counts.late),
            missing_pictures: sum(|report| report.missing_pictures),
            announced: reports.iter().filter(|report| report.is_announced).count(),
            first_keyframe: spread(|report| report.first_keyframe),
            first_packet: spread(|report| report.first_packet),
            frame_gap: Spread::of(
                reports.iter().flat_map(|report| report.frame_gaps.iter().copied()).collect(),
            ),
            longest_gap: spread(|report| report.frame_gaps.iter().max().copied()),
            pace: pace(&reports),
            frame_interval: spread(|report| report.frame_interval).map(|spread| spread.median),
        }
    }
}

fn pace(reports: &[&Report]) -> Option<f64> {
    let taken: Duration = reports.iter().flat_map(|report| &report.frame_gaps).sum();
    let media: Duration = reports.iter().map(|report| report.media_time).sum();
    (!taken.is_zero()).then(|| media.as_secs_f64() / taken.as_secs_f64())
}

/// How many times are spread.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    /// Half of them are at most this.
    pub median: Duration,
    /// 99 of 100 are at most this.
    pub p99: Duration,
    /// 999 of 1000 are at most this.
    pub p999: Duration,
    /// The largest.
    pub max: Duration,
}

impl Spread {
    /// Of all these times; `None` when there are none.
    pub fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        // The smallest that at least `permille` of all do not exceed.
        let at = |permille: usize| times.get((times.len() * permille).div_ceil(1000).max(1) - 1);
        Some(Self { median: *at(500)?, p99: *at(990)?, p999: *at(999)?, max: *times.last()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn quantiles_are_times_that_were_measured() {
        assert_eq!(Spread::of(Vec::new()), None);
        let only = Spread { median: millis(7), p99: millis(7), p999: millis(7), max: millis(7) };
        assert_eq!(Spread::of(vec![millis(7)]), Some(only));
        let [median, p99, p999, max] = [1000, 1980, 1998, 2000].map(millis);
        let many = Spread { median, p99, p999, max };
        assert_eq!(Spread::of((1..=2000).rev().map(millis).collect()), Some(many));
    }

    #[test]
    fn a_server_that_cannot_keep_up_has_a_pace_below_one() {
        let mut report = Report::new(Transport::Udp, Instant::now());
        assert_eq!(Summary::of([&report]).pace, None);
        report.frame_gaps = vec![millis(50); 4];
        report.media_time = millis(160);
        let pace = Summary::of([&report, &report]).pace.unwrap();
        assert!((pace - 0.8).abs() < 1e-9, "{pace}");
    }

    #[test]
    fn what_the_own_socket_dropped_is_not_the_servers_fault() {
        let mut report = Report::new(Transport::Udp, Instant::now());
        report.counts.lost = 5;
        assert_eq!(report.faults(), ["5 packets never came"]);
        (report.own_drops, report.lost_by_drops) = (1, 3);
        report.set_faults(vec!["no whole unit came".to_owned()]);
        assert_eq!(report.faults(), ["2 packets never came"]);
        (report.own_drops, report.lost_by_drops) = (0, 0);
        assert_eq!(report.faults(), ["no whole unit came", "5 packets never came"]);
    }
}
