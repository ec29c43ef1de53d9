use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use media::Frame;

use super::*;

/// A clock that jumps to whatever it is asked to sleep until, and a given time beyond.
#[derive(Default)]
struct HandClock {
    now: AtomicU64,
    oversleep: AtomicU64,
}

impl HandClock {
    fn advance(&self, span: Duration) {
        self.now.fetch_add(span.as_nanos() as u64, Ordering::Relaxed);
    }

    fn oversleep_by(&self, span: Duration) {
        self.oversleep.store(span.as_nanos() as u64, Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now(&self) -> MediaTime {
        MediaTime::from_nanos(self.now.load(Ordering::Relaxed))
    }

    fn wall(&self) -> WallTime {
        WallTime::from_unix_nanos(EPOCH + self.now.load(Ordering::Relaxed))
    }

    fn sleep_until(&self, deadline: MediaTime) {
        let deadline = deadline.as_nanos();
        if self.now.load(Ordering::Relaxed) < deadline {
            let oversleep = self.oversleep.load(Ordering::Relaxed);
            self.now.store(deadline + oversleep, Ordering::Relaxed);
        }
    }
}

/// 2026-11-21 09:07:57.962 UTC.
const EPOCH: u64 = 1_795_252_077_962_000_000;
const START: u64 = 5_000_000_000;

fn config(width: u32, height: u32) -> Config {
    Config {
        layout: I420Layout::new(width, height).unwrap(),
        rate: FrameRate::new(25, 1).unwrap(),
        title: "front door".to_owned(),
    }
}

fn card() -> (TestCard, Arc<HandClock>) {
    let clock = Arc::new(HandClock::default());
    clock.advance(Duration::from_nanos(START));
    (TestCard::new(config(320, 240), Arc::clone(&clock) as _).unwrap(), clock)
}

fn next(card: &mut TestCard) -> Frame {
    match card.next() {
        Ok(Some(Captured::Raw(frame))) => frame,
        other => panic!("{other:?}"),
    }
}

fn stamp(frame: &Frame) -> strip::Stamp {
    let (width, height) = (frame.layout().width() as usize, frame.layout().height() as usize);
    strip::read(frame.planes()[0], width, width, height).unwrap()
}

fn numbers(card: &mut TestCard, count: usize) -> Vec<u32> {
    (0..count).map(|_| stamp(&next(card)).frame).collect()
}

#[test]
fn frames_come_when_they_are_due_and_say_so() {
    let (mut card, clock) = card();
    clock.oversleep_by(Duration::from_micros(700));
    for number in 0..50u32 {
        let frame = next(&mut card);
        let due = START + u64::from(number) * 40_000_000;
        assert_eq!(frame.time(), MediaTime::from_nanos(due));
        let wall = WallTime::from_unix_nanos(EPOCH + due);
        assert_eq!(stamp(&frame), strip::Stamp { frame: number, wall });
        assert!(clock.now() >= frame.time());
    }
}

#[test]
fn the_card_starts_when_it_is_first_asked() {
    let (mut card, clock) = card();
    clock.advance(Duration::from_secs(60));
    let asked = clock.now();
    let frame = next(&mut card);
    assert_eq!((stamp(&frame).frame, frame.time()), (0, asked));
}

#[test]
fn a_little_late_loses_nothing() {
    let (mut card, clock) = card();
    assert_eq!(numbers(&mut card, 3), [0, 1, 2]);
    // Frame 3 is due after 40 ms; after 159 ms frame 5 is, and 6 is not.
    clock.advance(Duration::from_millis(159));
    assert_eq!(numbers(&mut card, 4), [3, 4, 5, 6]);
}

#[test]
fn far_too_late_leaves_frames_out_and_does_not_burst() {
    let (mut card, clock) = card();
    assert_eq!(numbers(&mut card, 3), [0, 1, 2]);
    clock.advance(Duration::from_millis(40 * 4));
    let before = clock.now();
    let frame = next(&mut card);
    assert_eq!(stamp(&frame).frame, 6);
    assert_eq!((frame.time(), clock.now()), (before, before));
    drop(frame);
    clock.advance(Duration::from_secs(3600));
    assert_eq!(numbers(&mut card, 3), [6 + 90_000, 7 + 90_000, 8 + 90_000]);
}

#[test]
fn without_a_free_buffer_frames_are_dropped_as_they_become_due() {
    /// Gives a frame back at the given moment of the capture clock.
    struct Releasing(HandClock, std::sync::Mutex<Vec<Frame>>, MediaTime);
    impl Clock for Releasing {
        fn now(&self) -> MediaTime {
            self.0.now()
        }
        fn wall(&self) -> WallTime {
            self.0.wall()
        }
        fn sleep_until(&self, deadline: MediaTime) {
            self.0.sleep_until(deadline);
            if self.now() >= self.2 {
                self.1.lock().unwrap().clear();
            }
        }
    }
    let release = MediaTime::from_nanos(40_000_000 * 9);
    let clock = Arc::new(Releasing(HandClock::default(), Default::default(), release));
    let mut card = TestCard::new(config(320, 240), Arc::clone(&clock) as _).unwrap();
    let held: Vec<Frame> = (0..POOL).map(|_| next(&mut card)).collect();
    assert_eq!(stamp(&held[POOL - 1]).frame, POOL as u32 - 1);
    *clock.1.lock().unwrap() = held;
    let frame = next(&mut card);
    assert_eq!((stamp(&frame).frame, frame.time()), (9, release));
}

#[test]
fn an_uneven_rate_does_not_drift() {
    for (numerator, denominator) in [(30_000, 1001), (25, 1), (7, 3), (240, 1), (1, 10)] {
        let rate = FrameRate::new(numerator, denominator).unwrap();
        for index in [0, 1, 2, 29, 30, 1000, 30_000, 2_592_000] {
            let due = rate.offset_of(index).as_nanos();
            assert_eq!(newest_due(rate, due), index, "{rate}");
            if index > 0 {
                assert_eq!(newest_due(rate, due - 1), index - 1, "{rate}");
            }
        }
    }
}

#[test]
fn equal_stamps_give_equal_pictures_whatever_was_there_before() {
    for (width, height) in [(128, 96), (129, 97), (176, 144), (321, 241), (640, 360), (360, 640)] {
        let picture = Picture::new(&config(width, height)).unwrap();
        let mut pool = FramePool::new(picture.layout(), 2);
        let [mut first, mut second] = [(); 2].map(|()| pool.take(MediaTime::ZERO).unwrap());
        let stamp = |frame, nanos| strip::Stamp { frame, wall: WallTime::from_unix_nanos(nanos) };
        picture.draw(stamp(7, EPOCH), &mut first).unwrap();
        second.bytes_mut().fill(200);
        for other in [u32::MAX, 100, 3599] {
            picture.draw(stamp(other, u64::from(other) << 30), &mut second).unwrap();
            assert_ne!(first.bytes(), second.bytes(), "{width}x{height}");
        }
        picture.draw(stamp(7, EPOCH), &mut second).unwrap();
        assert_eq!(first.bytes(), second.bytes(), "{width}x{height}");
    }
}

#[test]
fn every_size_of_card_can_be_drawn() {
    let sides = [128, 130, 160, 255, 256, 319, 320, 640, 1000, 2160];
    for (width, height) in sides.iter().flat_map(|&width| sides.map(|height| (width, height))) {
        let picture = Picture::new(&config(width, height)).unwrap();
        let mut pool = FramePool::new(picture.layout(), 1);
        let mut frame = pool.take(MediaTime::ZERO).unwrap();
        // At both ends of the block's track, and between.
        for number in [0, 33, 100, 199] {
            let stamp = strip::Stamp { frame: number, wall: WallTime::from_unix_nanos(EPOCH) };
            picture.draw(stamp, &mut frame).unwrap();
            assert_eq!(self::stamp(&frame), stamp, "{width}x{height}");
        }
    }
}

#[test]
fn any_title_can_be_written() {
    let long = "x".repeat(100_000);
    let titles = ["", "a", "b", "Straße 7 – 正門 🚪", "\0\n\t", &long[..30], &long];
    let pictures = titles.map(|title| {
        let config = Config { title: title.to_owned(), ..config(640, 360) };
        let picture = Picture::new(&config).unwrap();
        let mut pool = FramePool::new(picture.layout(), 1);
        let mut frame = pool.take(MediaTime::ZERO).unwrap();
        let stamp = strip::Stamp { frame: 0, wall: WallTime::from_unix_nanos(EPOCH) };
        picture.draw(stamp, &mut frame).unwrap();
        frame.bytes().to_vec()
    });
    for (index, picture) in pictures.iter().enumerate() {
        assert!(!pictures[index + 1..].contains(picture), "{:.40}", titles[index]);
    }
}

#[test]
fn levels_stay_in_limited_range() {
    let (mut card, _) = card();
    let frame = next(&mut card);
    let [luma, blue, red] = frame.planes();
    assert!(luma.iter().all(|level| (16..=235).contains(level)));
    assert!(blue.iter().chain(red).all(|level| (16..=240).contains(level)));
}

/// The block moves every frame, and no two steps differ by as much as a pixel.
#[test]
fn the_block_moves_evenly() {
    let picture = Picture::new(&config(640, 360)).unwrap();
    let mut pool = FramePool::new(picture.layout(), 1);
    let mut frame = pool.take(MediaTime::ZERO).unwrap();
    let mut centre_of_block = |number| {
        let stamp = strip::Stamp { frame: number, wall: WallTime::from_unix_nanos(EPOCH) };
        picture.draw(stamp, &mut frame).unwrap();
        let row = &frame.planes()[0][302 * 640 + 40..][..560];
        let weights = row.iter().map(|&level| f64::from(level) - 27.0);
        let total: f64 = weights.clone().sum();
        assert!(total > 15.0 * 208.0 - 300.0, "{total}");
        weights.enumerate().map(|(x, weight)| x as f64 * weight).sum::<f64>() / total
    };
    let places: Vec<f64> = (0..100).map(&mut centre_of_block).collect();
    let even = (560.0 - 15.0) / 100.0;
    for step in places.windows(2) {
        assert!((step[1] - step[0] - even).abs() < 0.1, "{step:?}");
    }
    assert!(centre_of_block(101) < centre_of_block(100));
}

#[test]
fn too_small_or_another_size_is_refused() {
    let error = TestCard::new(config(64, 64), Arc::new(HandClock::default())).err().unwrap();
    assert_eq!(error, Error::TooSmall { width: 64, height: 64 });
    assert_eq!(
        error.to_string(),
        "the test card cannot be 64x64: its bit strip needs at least 128x96"
    );
    let picture = Picture::new(&config(128, 96)).unwrap();
    let mut pool = FramePool::new(I420Layout::new(96, 128).unwrap(), 1);
    let stamp = strip::Stamp { frame: 0, wall: WallTime::default() };
    let mut frame = pool.take(MediaTime::ZERO).unwrap();
    let error = Error::OtherSize { width: 96, height: 128 };
    assert_eq!(picture.draw(stamp, &mut frame), Err(error));
}
