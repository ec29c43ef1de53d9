use media::{AccessUnit, WallTime};
use tokio::time::{Instant, advance};

use super::*;
use crate::live::{Stamps, stages::Step};

/// Shows the runtime's time, which tests pause and move.
#[derive(Debug)]
pub(crate) struct RuntimeClock(Instant);

impl RuntimeClock {
    pub(crate) fn start() -> Arc<dyn Clock> {
        Arc::new(Self(Instant::now()))
    }
}

impl Clock for RuntimeClock {
    fn now(&self) -> MediaTime {
        MediaTime::from_nanos(1_000_000_000_000) + self.0.elapsed()
    }

    fn wall(&self) -> WallTime {
        WallTime::from_unix_nanos(1_700_000_000_000_000_000) + self.0.elapsed()
    }

    fn sleep_until(&self, _: MediaTime) {
        panic!("no thread may be blocked in virtual time");
    }
}

/// A stream that a test publishes picture by picture.
pub(crate) struct Stream {
    pub(crate) mount: Arc<Mount>,
    pub(crate) publisher: Publisher,
    pub(crate) clock: Arc<dyn Clock>,
}

pub(crate) fn identity() -> Identity {
    Identity {
        name: "cam".to_owned(),
        users: None,
        ssrc: Ssrc(0x1e45_ca57),
        // Wraps within every test that sends more than a handful of packets.
        first_sequence: Sequence(65_530),
        first_timestamp: RtpTimestamp(9_000),
        cname: "tests@lenscast".to_owned(),
        packet_size: 1372,
    }
}

impl Stream {
    pub(crate) fn new(start: Start) -> Self {
        let clock = RuntimeClock::start();
        let (mount, publisher) = Mount::new(identity(), start, Arc::clone(&clock)).unwrap();
        Self { mount, publisher, clock }
    }

    /// A picture of about `size` bytes, taken now.
    pub(crate) fn publish(&mut self, keyframe: bool, size: usize) {
        let mut data = vec![0, 0, 1, if keyframe { 0x65 } else { 0x41 }];
        data.extend((0..size).map(|at| (at % 251) as u8 | 1));
        self.publish_data(data);
    }

    /// A keyframe with parameter sets of its own.
    pub(crate) fn publish_with_sets(&mut self, pps: &[u8]) {
        let data = [&[0, 0, 1][..], SPS, &[0, 0, 1], pps, &[0, 0, 1, 0x65, 0x88]].concat();
        self.publish_data(data);
    }

    /// A keyframe of about `size` bytes that took 20 ms until it is published now: 4 until it had
    /// left the driver, 2 to be converted, 3 until the encoder took it, 10 there, 1 in packets.
    /// Returns what of it is not capture or encoding.
    pub(crate) fn publish_late(&mut self, size: usize) -> Duration {
        let now = self.clock.now();
        let ago = |millis| now - Duration::from_millis(millis);
        let mut data = vec![0, 0, 1, 0x65];
        data.resize(size, 0xaa);
        let unit = AccessUnit::from_annexb(data.into(), ago(20));
        let stamps = Stamps { arrived: ago(16), ready: ago(14), given: ago(11), encoded: ago(1) };
        self.publisher.publish_encoded(&unit, &stamps);
        Duration::from_millis(6)
    }

    fn publish_data(&mut self, data: Vec<u8>) {
        self.publisher.publish(&AccessUnit::from_annexb(data.into(), self.clock.now()));
    }

    pub(crate) fn join(&self) -> Cursor {
        self.mount.join(self.clock.now())
    }

    fn version(&self) -> Option<u64> {
        match &*self.mount.stage().borrow() {
            Stage::Live(announcement) => Some(announcement.version),
            Stage::Dark | Stage::Ended => None,
        }
    }
}

/// 640x480, Constrained Baseline, level 3.0.
const SPS: &[u8] =
    &[0x67, 0x42, 0xc0, 0x1e, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a];
const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x81];
const OTHER_PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];

const FRAME: Duration = Duration::from_millis(40);

#[tokio::test(start_paused = true)]
async fn a_joiner_starts_at_a_young_keyframe_and_makes_the_encoder_do_nothing() {
    let mut stream = Stream::new(Start::OnDemand);
    stream.publish(true, 100);
    stream.publish(false, 100);
    advance(REUSE_WINDOW - Duration::from_nanos(1)).await;
    let mut cursor = stream.join();
    let first = stream.mount.read(&mut cursor).unwrap();
    assert!(first.entry.is_keyframe() && first.skipped == 0);
    assert!(stream.mount.read(&mut cursor).is_some());
    assert!(stream.mount.read(&mut cursor).is_none());
    assert!(!stream.mount.take_keyframe_request(stream.clock.now()));
}

#[tokio::test(start_paused = true)]
async fn a_joiner_after_that_waits_for_a_keyframe_made_for_it() {
    let mut stream = Stream::new(Start::OnDemand);
    stream.publish(true, 100);
    advance(REUSE_WINDOW).await;
    let mut cursor = stream.join();
    assert!(stream.mount.read(&mut cursor).is_none());
    assert!(stream.mount.take_keyframe_request(stream.clock.now()));
    stream.publish(false, 100);
    assert!(stream.mount.read(&mut cursor).is_none());
    stream.publish(true, 100);
    let first = stream.mount.read(&mut cursor).unwrap().entry;
    assert_eq!(first.published(), stream.clock.now());
    assert!(first.is_keyframe());
    assert!(!stream.mount.take_keyframe_request(stream.clock.now()));
}

#[tokio::test(start_paused = true)]
async fn the_first_joiner_of_all_asks_for_a_keyframe() {
    let stream = Stream::new(Start::OnDemand);
    let mut cursor = stream.join();
    assert!(stream.mount.read(&mut cursor).is_none());
    assert!(stream.mount.take_keyframe_request(stream.clock.now()));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_turns_out_to_be_encoded_here_starts_viewers_on_demand() {
    let mut stream = Stream::new(Start::Cached { span: Duration::from_secs(2), bytes: 2 << 20 });
    stream.publish(true, 100);
    advance(REUSE_WINDOW).await;
    stream.publisher.start_on_demand();
    let mut cursor = stream.join();
    assert!(stream.mount.read(&mut cursor).is_none());
    assert!(stream.mount.take_keyframe_request(stream.clock.now()));
}

#[tokio::test(start_paused = true)]
async fn a_cached_start_lies_no_further_back_than_allowed() {
    // One second, three pictures of packets of 1012 bytes: 12 of header, 1000 of NAL unit.
    for (span, bytes, cached) in [
        (1000, 3036, true),
        (999, 3036, false),
        (1000, 3035, false),
        (60_000, 1 << 30, true),
        (0, 0, false),
    ] {
        let start = Start::Cached { span: Duration::from_millis(span), bytes };
        let mut stream = Stream::new(start);
        stream.publish(true, 999);
        advance(Duration::from_millis(500)).await;
        stream.publish(false, 999);
        advance(Duration::from_millis(500)).await;
        stream.publish(false, 999);
        // How long ago the newest picture was does not matter: nothing has come since.
        advance(Duration::from_millis(100)).await;
        let mut cursor = stream.join();
        let first = stream.mount.read(&mut cursor);
        assert_eq!(
            first.map(|first| first.entry.is_keyframe()),
            cached.then_some(true),
            "{start:?}"
        );
        assert_eq!(stream.mount.take_keyframe_request(stream.clock.now()), !cached, "{start:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_backlog_is_caught_up_without_a_skip() {
    let span = Duration::from_secs(12);
    let mut stream = Stream::new(Start::Cached { span, bytes: 16 << 20 });
    // 40 KB each: 12 s are 12 MB, over what is kept for viewers that only lag.
    let publish =
        |stream: &mut Stream, number: u32| stream.publish(number.is_multiple_of(300), 40_000);
    for number in 0..300 {
        publish(&mut stream, number);
        advance(FRAME).await;
    }
    let mut cursor = stream.join();
    // Two pictures for each new one, over three more keyframes.
    let (mut read, mut skipped) = (0, 0);
    for number in 300..1200 {
        publish(&mut stream, number);
        advance(FRAME).await;
        for _ in 0..2 {
            let Some(delivery) = stream.mount.read(&mut cursor) else { break };
            read += 1;
            skipped += delivery.skipped;
        }
    }
    assert_eq!((read, skipped), (1200, 0));
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_lags_too_far_goes_on_at_a_keyframe() {
    let mut stream = Stream::new(Start::OnDemand);
    stream.publish(true, 100);
    let mut slow = stream.join();
    assert!(stream.mount.read(&mut slow).is_some());
    for number in 1..=200 {
        advance(FRAME).await;
        stream.publish(number % 50 == 0, 100);
    }
    let delivery = stream.mount.read(&mut slow).unwrap();
    assert!(delivery.entry.is_keyframe());
    assert_eq!(delivery.skipped, 199);
}

#[tokio::test(start_paused = true)]
async fn the_announcement_changes_with_what_it_says_and_only_then() {
    let mut stream = Stream::new(Start::OnDemand);
    assert_eq!(stream.version(), None);
    stream.publisher.announce(None, FrameRate::new(25, 1), Some(2_000_000));
    assert_eq!(stream.version(), None, "there is nothing to describe without parameter sets");
    stream.publish_with_sets(PPS);
    assert_eq!(stream.version(), Some(1));
    let mut stage = stream.mount.stage();
    stream.publish_with_sets(PPS);
    stream.publish(true, 100);
    stream.publish(false, 100);
    assert!(!stage.has_changed().unwrap());
    stream.publish_with_sets(OTHER_PPS);
    assert!(stage.has_changed().unwrap());
    assert_eq!(stream.version(), Some(2));
    stream.publisher.announce(None, FrameRate::new(25, 1), Some(2_000_000));
    assert_eq!(stream.version(), Some(2));
    stream.publisher.announce(None, FrameRate::new(50, 1), Some(2_000_000));
    assert_eq!(stream.version(), Some(3));
    let Stage::Live(announcement) = stage.borrow_and_update().clone() else { panic!() };
    assert_eq!(announcement.rate, FrameRate::new(50, 1));
    assert_eq!(announcement.parameter_sets.pps[..], [OTHER_PPS]);
}

#[tokio::test(start_paused = true)]
async fn time_runs_on_from_run_to_run() {
    let mut stream = Stream::new(Start::OnDemand);
    let mut cursor = stream.join();
    let start = stream.clock.now();
    let mut ticks = |stream: &mut Stream, nal, millis| {
        let time = start + Duration::from_millis(millis);
        stream.publisher.publish(&AccessUnit::from_annexb(vec![0, 0, 1, nal, 0x88].into(), time));
        let picture = stream.mount.read(&mut cursor).expect("published").entry;
        picture.batch.timestamp().0 - stream.mount.identity().first_timestamp.0
    };
    assert_eq!(ticks(&mut stream, 0x65, 2_100), 189_000);
    // Within a run times are what they are: pictures may be reordered.
    assert_eq!(ticks(&mut stream, 0x41, 2_200), 198_000);
    assert_eq!(ticks(&mut stream, 0x41, 2_150), 193_500);
    stream.publisher.interrupt();
    // Taken while those before were still shown.
    assert_eq!(ticks(&mut stream, 0x65, 2_190), 198_090);
    assert_eq!(ticks(&mut stream, 0x41, 2_200), 198_180);
    assert_eq!(ticks(&mut stream, 0x41, 2_240), 201_600);
    assert_eq!(ticks(&mut stream, 0x41, 2_230), 200_700);
    stream.publisher.interrupt();
    // By another clock: it would be held up until that has caught up.
    assert_eq!(ticks(&mut stream, 0x65, 1_200), 108_000);
}

#[tokio::test(start_paused = true)]
async fn parameter_sets_known_beforehand_make_a_stream_live() {
    let mut stream = Stream::new(Start::OnDemand);
    let sets = ParameterSets::new(bytes::Bytes::from_static(SPS), [bytes::Bytes::from_static(PPS)]);
    stream.publisher.announce(sets.ok(), None, None);
    assert_eq!(stream.version(), Some(1));
    stream.publish_with_sets(PPS);
    assert_eq!(stream.version(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_picture_wakes_those_who_wait_and_so_does_the_end() {
    let mut stream = Stream::new(Start::OnDemand);
    let mut published = stream.mount.subscribe();
    stream.publish(true, 100);
    assert!(published.has_changed().unwrap());
    assert_eq!(*published.borrow_and_update(), 1);
    // An access unit delimiter alone is no picture.
    stream.publish_data(vec![0, 0, 1, 9, 0xf0]);
    assert!(!published.has_changed().unwrap());

    let Stream { mount, publisher, .. } = stream;
    let mut stage = mount.stage();
    drop(publisher);
    assert!(published.has_changed().unwrap());
    assert!(matches!(*stage.borrow_and_update(), Stage::Ended));
}

#[tokio::test(start_paused = true)]
async fn a_published_picture_counts_once_whoever_watches() {
    let mut stream = Stream::new(Start::OnDemand);
    stream.publish_late(100);
    stream.publish_late(100);
    let millis = Step::ALL.map(|step| {
        let delays = stream.mount.stages().of(step);
        (delays.count(), delays.longest().as_millis())
    });
    let published = [(2, 4), (2, 2), (2, 3), (2, 10), (2, 1)];
    assert_eq!(millis, [&published[..], &[(0, 0); 5]].concat()[..]);
    // What comes encoded has taken no time here.
    stream.publish(false, 100);
    assert_eq!(stream.mount.stages().of(Step::Encode).quantile(1, 3), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_sender_report_says_what_was_made_and_what_time_it_is() {
    let mut stream = Stream::new(Start::OnDemand);
    stream.publish(true, 99);
    stream.publish(false, 199);
    advance(Duration::from_secs(1)).await;
    let mount = Arc::clone(&stream.mount);
    let info = mount.sender_info(&*stream.clock);
    assert_eq!((info.packets, info.octets), (2, 300));
    assert_eq!(info.timestamp, RtpTimestamp(9_000 + 90_000));
    assert_eq!(info.ntp >> 32, 2_208_988_800 + 1_700_000_001);
    // The picture taken now has the timestamp the report gives for now.
    stream.publish(true, 100);
    let mut cursor = stream.join();
    let newest = stream.mount.read(&mut cursor).unwrap().entry;
    assert_eq!(newest.batch.timestamp(), info.timestamp);
}
