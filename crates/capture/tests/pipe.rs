//! Pipes read as a server reads them, in virtual time.

use std::{
    collections::VecDeque,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use capture::{
    Captured, Description, Error, Source,
    pipe::{self, Format},
};
use media::{AccessUnit, Clock, Colours, Frame, FrameRate, I420Layout, MediaTime, WallTime};

/// A clock that reading and sleeping move.
#[derive(Default)]
struct VirtualClock(Mutex<MediaTime>);

impl Clock for VirtualClock {
    fn now(&self) -> MediaTime {
        *self.0.lock().unwrap()
    }

    fn wall(&self) -> WallTime {
        WallTime::default()
    }

    fn sleep_until(&self, deadline: MediaTime) {
        let mut now = self.0.lock().unwrap();
        *now = (*now).max(deadline);
    }
}

/// What a read of the pipe gives.
enum Piece {
    Bytes(Vec<u8>),
    Error(io::ErrorKind),
}

/// A pipe whose pieces come one to a read, each `interval` after the one before.
struct Script {
    clock: Arc<VirtualClock>,
    interval: Duration,
    pieces: VecDeque<Piece>,
    /// What has not been read of the piece that came last.
    rest: Vec<u8>,
}

impl Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            match self.pieces.pop_front() {
                None => return Ok(0),
                Some(Piece::Error(kind)) => return Err(kind.into()),
                Some(Piece::Bytes(bytes)) => self.rest = bytes,
            }
            let arrival = self.clock.now() + self.interval;
            self.clock.sleep_until(arrival);
        }
        let count = self.rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.rest[..count]);
        self.rest.drain(..count);
        Ok(count)
    }
}

fn open(
    pieces: impl IntoIterator<Item = Piece>,
    interval: Duration,
    format: Format,
) -> (Arc<VirtualClock>, Box<dyn Source>) {
    let clock = Arc::new(VirtualClock::default());
    let pieces = pieces.into_iter().collect();
    let script = Script { clock: Arc::clone(&clock), interval, pieces, rest: Vec::new() };
    let source = pipe::open(Box::new(script), format, Arc::clone(&clock) as Arc<dyn Clock>);
    (clock, source.unwrap())
}

fn data(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    fs::read(path).unwrap()
}

fn millis(count: u64) -> MediaTime {
    MediaTime::from_nanos(count * 1_000_000)
}

const FRAME: Duration = Duration::from_millis(40);

mod raw {
    use super::*;

    fn format() -> Format {
        let layout = I420Layout::new(4, 2).unwrap();
        Format::Yuv420p { layout, rate: FrameRate::new(25, 1).unwrap() }
    }

    fn frame(source: &mut dyn Source) -> Frame {
        match source.next().unwrap() {
            Some(Captured::Raw(frame)) => frame,
            other => panic!("{other:?}"),
        }
    }

    /// A picture of 12 bytes, all alike.
    fn picture(value: u8) -> Piece {
        Piece::Bytes(vec![value; 12])
    }

    #[test]
    fn pictures_are_stamped_with_the_arrival_of_their_last_byte() {
        let pieces = [7; 5].map(|size| Piece::Bytes(vec![9; size]));
        let (_, mut source) = open(pieces, FRAME, format());
        assert_eq!(frame(&mut *source).time(), millis(80));
        // Two bytes of the second piece, the third, and three of the fourth.
        assert_eq!(frame(&mut *source).time(), millis(160));
        assert!(source.next().unwrap().is_none(), "11 bytes are no picture");
        assert!(source.next().unwrap().is_none());
    }

    #[test]
    fn description_and_content() {
        let (_, mut source) = open([picture(1), picture(2)], FRAME, format());
        let Format::Yuv420p { layout, rate } = format() else { unreachable!() };
        assert_eq!(
            *source.description(),
            Description::Raw { layout, rate, colours: Colours::assumed(layout) }
        );
        assert_eq!(frame(&mut *source).bytes(), [1; 12]);
        assert_eq!(frame(&mut *source).bytes(), [2; 12]);
        assert!(source.next().unwrap().is_none());
    }

    #[test]
    fn pictures_that_nobody_has_room_for_are_dropped() {
        let (_, mut source) = open((0..8).map(picture), FRAME, format());
        let held: Vec<_> = (0..4).map(|_| frame(&mut *source)).collect();
        assert!(source.next().unwrap().is_none(), "4 to 7 found no buffer");
        assert_eq!(held.iter().map(|frame| frame.bytes()[0]).collect::<Vec<_>>(), [0, 1, 2, 3]);
    }

    /// Gives a held picture back while the source is reading.
    struct Releasing {
        script: Script,
        held: Arc<Mutex<Vec<Frame>>>,
    }

    impl Read for Releasing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let read = self.script.read(buffer);
            if self.script.pieces.len() == 1 {
                self.held.lock().unwrap().pop();
            }
            read
        }
    }

    #[test]
    fn a_buffer_that_comes_back_during_the_read_is_used() {
        let clock = Arc::new(VirtualClock::default());
        let held = Arc::new(Mutex::new(Vec::new()));
        let pieces = (0..7).map(picture).collect();
        let script =
            Script { clock: Arc::clone(&clock), interval: FRAME, pieces, rest: Vec::new() };
        let reader = Releasing { script, held: Arc::clone(&held) };
        let mut source = pipe::open(Box::new(reader), format(), clock).unwrap();
        for _ in 0..4 {
            let frame = frame(&mut *source);
            held.lock().unwrap().push(frame);
        }
        // Picture 4 finds none; during picture 5 one comes back.
        let fifth = frame(&mut *source);
        assert_eq!((fifth.bytes(), fifth.time()), (&[5; 12][..], millis(240)));
    }

    #[test]
    fn interruptions_are_not_errors_and_errors_are() {
        let pieces = [
            Piece::Bytes(vec![1; 5]),
            Piece::Error(io::ErrorKind::Interrupted),
            Piece::Bytes(vec![1; 7]),
            Piece::Error(io::ErrorKind::BrokenPipe),
        ];
        let (_, mut source) = open(pieces, FRAME, format());
        assert_eq!(frame(&mut *source).bytes(), [1; 12]);
        match source.next() {
            Err(Error::Read { path, error }) => {
                assert_eq!((path, error.kind()), (PathBuf::from("-"), io::ErrorKind::BrokenPipe));
            }
            other => panic!("{other:?}"),
        }
    }
}

mod h264 {
    use super::*;

    fn format() -> Format {
        Format::H264 { rate: None }
    }

    fn all(source: &mut dyn Source) -> Result<Vec<AccessUnit>, Error> {
        let mut units = Vec::new();
        while let Some(captured) = source.next()? {
            match captured {
                Captured::Encoded(unit) => units.push(unit),
                other => panic!("{other:?}"),
            }
        }
        Ok(units)
    }

    /// The twelve pictures of a file, as an encoder writes them: one to a write.
    fn pictures() -> Vec<Vec<u8>> {
        let stream = data("baseline.h264");
        let table = String::from_utf8(data("baseline.h264.packets")).unwrap();
        let mut at = 0;
        let picture = |line: &str| {
            let size: usize = line.split(',').nth(2).unwrap().parse().unwrap();
            at += size;
            stream[at - size..at].to_vec()
        };
        table.lines().map(picture).collect()
    }

    #[test]
    fn units_are_stamped_with_the_arrival_of_their_first_byte() {
        let (_, mut source) = open(pictures().into_iter().map(Piece::Bytes), FRAME, format());
        let units = all(&mut *source).unwrap();
        let times: Vec<_> = units.iter().map(AccessUnit::time).collect();
        assert_eq!(times, (1..=12).map(|index| millis(40 * index)).collect::<Vec<_>>());
        assert_eq!(units.iter().filter(|unit| unit.is_keyframe()).count(), 2);
    }

    #[test]
    fn a_unit_is_given_when_the_next_begins() {
        let mut pieces = pictures();
        // The beginning of the third comes with the rest of the second.
        let third = pieces[2].split_off(6);
        let second = [pieces[1].clone(), pieces[2].clone()].concat();
        let pieces = [pieces[0].clone(), second, third].map(Piece::Bytes);
        let (clock, mut source) = open(pieces, FRAME, format());
        for (sent, stamp) in [(80, 40), (80, 80)] {
            let Some(Captured::Encoded(unit)) = source.next().unwrap() else { panic!() };
            assert_eq!((clock.now(), unit.time()), (millis(sent), millis(stamp)));
        }
    }

    #[test]
    fn everything_before_the_first_idr_is_skipped() {
        let mut pieces = pictures();
        pieces.remove(0);
        let (_, mut source) = open(pieces.into_iter().map(Piece::Bytes), FRAME, format());
        let units = all(&mut *source).unwrap();
        assert_eq!(units.len(), 6);
        assert!(units[0].is_keyframe());
        assert_eq!(units[0].time(), millis(6 * 40));
    }

    #[test]
    fn pieces_do_not_matter() {
        let whole = data("slices.h264");
        let read = |size| {
            let pieces = whole.chunks(size).map(|piece| Piece::Bytes(piece.to_vec()));
            let (_, mut source) = open(pieces, Duration::ZERO, format());
            let units = all(&mut *source).unwrap();
            units.iter().map(|unit| unit.nals().map(<[u8]>::to_vec).collect()).collect()
        };
        let expected: Vec<Vec<Vec<u8>>> = read(usize::MAX);
        assert_eq!(expected.len(), 12);
        for size in 1..200 {
            assert_eq!(read(size), expected, "{size}");
        }
    }

    #[test]
    fn a_pipe_that_is_too_fast_is_held_back() {
        for (rate, spacing) in [(None, 20), (FrameRate::new(10, 1), 50)] {
            let pieces = [Piece::Bytes(data("baseline.h264"))];
            let (clock, mut source) = open(pieces, Duration::ZERO, Format::H264 { rate });
            let units = all(&mut *source).unwrap();
            let times: Vec<_> = units.iter().map(AccessUnit::time).collect();
            assert_eq!(times, (0..12).map(|index| millis(spacing * index)).collect::<Vec<_>>());
            assert_eq!(clock.now(), millis(spacing * 11));
        }
    }

    #[test]
    fn what_cannot_be_streamed_is_refused() {
        let no_idr = pictures()[1..6].concat();
        for (content, reason, remedy) in [
            (data("bframes.h264"), "B-frames", true),
            (data("interlaced.h264"), "interlaced", true),
            (no_idr, "no IDR picture", true),
            (b"hello, world".to_vec(), "no picture", false),
            (vec![0xff; 2 << 20], "no start code", false),
        ] {
            let (_, mut source) = open([Piece::Bytes(content)], FRAME, format());
            match all(&mut *source) {
                Err(Error::Unusable { path, reason: why, remedy: command }) => {
                    assert_eq!(path, PathBuf::from("-"));
                    assert!(why.contains(reason), "{why}");
                    assert_eq!(command.is_some(), remedy, "{why}: {command:?}");
                }
                other => panic!("{reason}: {other:?}"),
            }
        }
    }

    #[test]
    fn an_empty_pipe_ends() {
        let (_, mut source) = open([], FRAME, format());
        assert!(source.next().unwrap().is_none());
        assert!(source.next().unwrap().is_none());
    }
}
