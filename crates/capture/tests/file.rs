//! Files played as a server plays them, in virtual time, against what ffprobe says of them.

use std::{
    fs::{self, File},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use capture::{Captured, Description, Error, Source, file};
use media::{AccessUnit, Clock, FrameRate, MediaTime, WallTime, h264::NalType};
use proptest::prelude::*;

/// A clock that sleeping moves.
struct VirtualClock(Mutex<MediaTime>);

impl VirtualClock {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(START)))
    }
}

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

const START: MediaTime = MediaTime::from_nanos(1_000_000_000_000);

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// A packet as ffprobe sees it.
struct Packet {
    pts: Option<i64>,
    dts: Option<i64>,
    size: usize,
    keyframe: bool,
}

fn packets(name: &str) -> Vec<Packet> {
    let table = fs::read_to_string(data(&format!("{name}.packets"))).unwrap();
    let packet = |line: &str| {
        let fields: Vec<_> = line.split(',').collect();
        Packet {
            pts: fields[0].parse().ok(),
            dts: fields[1].parse().ok(),
            size: fields[2].parse().unwrap(),
            keyframe: fields[3].starts_with('K'),
        }
    };
    table.lines().map(packet).collect()
}

/// An open source, and the clock that it waits by.
struct Player {
    clock: Arc<VirtualClock>,
    source: Box<dyn Source>,
}

impl Player {
    fn open(path: &Path) -> Result<Self, Error> {
        Self::open_at(path, None)
    }

    fn open_at(path: &Path, rate: Option<FrameRate>) -> Result<Self, Error> {
        let clock = VirtualClock::new();
        let source = file::open(path, Arc::clone(&clock) as Arc<dyn Clock>, file::Config { rate })?;
        Ok(Self { clock, source })
    }

    /// The next access unit, and when it was sent.
    fn try_next(&mut self) -> Result<(AccessUnit, MediaTime), Error> {
        match self.source.next()? {
            Some(Captured::Encoded(unit)) => Ok((unit, self.clock.now())),
            other => panic!("a file gave {other:?}"),
        }
    }

    fn take(&mut self, count: usize) -> Vec<(AccessUnit, MediaTime)> {
        (0..count).map(|_| self.try_next().unwrap()).collect()
    }

    fn rate(&self) -> Option<FrameRate> {
        match self.source.description() {
            Description::H264 { rate, .. } => *rate,
            other => panic!("{other:?}"),
        }
    }

    fn size(&self) -> (u32, u32) {
        match self.source.description() {
            Description::H264 { parameter_sets: Some(sets), .. } => {
                (sets.description().width, sets.description().height)
            }
            other => panic!("{other:?}"),
        }
    }
}

fn refusal(path: &Path) -> (String, Option<String>) {
    match Player::open(path).map(|_| ()) {
        Err(Error::Unusable { path: named, reason, remedy }) => {
            assert_eq!(named, path);
            (reason.into_owned(), remedy)
        }
        other => panic!("{}: {other:?}", path.display()),
    }
}

fn nanos(time: MediaTime) -> i128 {
    i128::from(time.as_nanos())
}

/// Plays `passes` passes and holds every time against the table of ffprobe.
fn check_times(name: &str, timescale: i128, pass: i128, passes: usize) {
    let packets = packets(name);
    let mut player = Player::open(&data(name)).unwrap();
    assert_eq!(player.size(), (64, 64));
    let units = player.take(packets.len() * passes);
    let (pts_of_first, dts_of_first) = (packets[0].pts.unwrap(), packets[0].dts.unwrap());
    let (stamp_of_first, sent_first) = (units[0].0.time(), units[0].1);
    assert_eq!(sent_first, START);
    for (index, (unit, sent)) in units.iter().enumerate() {
        let packet = &packets[index % packets.len()];
        let passed = (index / packets.len()) as i128 * pass;
        let expected = |ticks: i64| (i128::from(ticks) + passed) * 1_000_000_000 / timescale;
        let near = |measured: i128, ticks: i64| {
            // Rounding down both ends of a difference: a nanosecond.
            assert!((measured - expected(ticks)).abs() <= 1, "{name} {index}: {measured}");
        };
        near(nanos(*sent) - nanos(sent_first), packet.dts.unwrap() - dts_of_first);
        near(nanos(unit.time()) - nanos(stamp_of_first), packet.pts.unwrap() - pts_of_first);
        assert!(unit.time() <= *sent, "{name} {index} is stamped later than it is sent");
        assert_eq!(unit.is_keyframe(), packet.keyframe, "{name} {index}");
        assert_eq!(unit.size() + 4 * unit.nals().len(), packet.size, "{name} {index}");
    }
    // Some picture is sent the moment it is stamped with: the delay is no longer than needed.
    assert!(units.iter().any(|(unit, sent)| unit.time() == *sent), "{name}");
    let mut stamps: Vec<_> = units.iter().map(|(unit, _)| unit.time()).collect();
    stamps.sort();
    stamps.dedup();
    assert_eq!(stamps.len(), units.len(), "{name}: times repeat");
}

#[test]
fn times_are_those_of_ffprobe_pass_after_pass() {
    check_times("bframes.mp4", 12_800, 20 * 512, 40);
    check_times("negative-offsets.mp4", 12_800, 20 * 512, 40);
    check_times("cut.mp4", 12_800, 20 * 512, 40);
    check_times("avc3.mp4", 30_000, 12 * 1001, 1000);
    // ffprobe knows the last one's duration from the table as well: 12 pictures.
    check_times("sound.mov", 30_000, 12 * 1001, 1000);
}

#[test]
fn shown_in_order_the_pictures_follow_at_one_distance() {
    let mut player = Player::open(&data("bframes.mp4")).unwrap();
    assert_eq!(player.rate(), FrameRate::new(25, 1));
    let mut stamps: Vec<_> = player.take(100).iter().map(|(unit, _)| unit.time()).collect();
    stamps.sort();
    for pair in stamps.windows(2) {
        assert_eq!(pair[1].saturating_since(pair[0]).as_millis(), 40);
    }
}

#[test]
fn byte_streams_are_cut_where_ffprobe_cuts_them() {
    let ntsc = FrameRate::new(30_000, 1001).unwrap();
    for (name, rate, slices) in
        [("baseline.h264", FrameRate::new(25, 1).unwrap(), 1), ("slices.h264", ntsc, 3)]
    {
        let packets = packets(name);
        let mut player = Player::open(&data(name)).unwrap();
        assert_eq!((player.size(), player.rate()), ((64, 64), Some(rate)));
        let units = player.take(packets.len() * 3);
        for (index, (unit, sent)) in units.iter().enumerate() {
            let packet = &packets[index % packets.len()];
            let start_codes = packet.size - unit.size();
            assert!((3..=4).any(|code| start_codes <= code * unit.nals().len()), "{name} {index}");
            assert!(start_codes >= 3 * unit.nals().len(), "{name} {index}");
            assert_eq!(unit.is_keyframe(), packet.keyframe, "{name} {index}");
            let is_vcl = |nal: &&[u8]| NalType::of(nal[0]).is_vcl();
            assert_eq!(unit.nals().filter(is_vcl).count(), slices, "{name} {index}");
            assert_eq!(*sent, START + rate.offset_of(index as u64), "{name} {index}");
            assert_eq!(unit.time(), *sent, "{name} {index}");
        }
    }
}

#[test]
fn the_rate_asked_for_wins_over_the_streams_own() {
    let rate = FrameRate::new(10, 1);
    let mut player = Player::open_at(&data("baseline.h264"), rate).unwrap();
    assert_eq!(player.rate(), rate);
    let units = player.take(30);
    assert_eq!(units[29].1.saturating_since(START).as_millis(), 2900);
}

#[test]
fn what_cannot_be_streamed_is_refused_with_its_remedy() {
    for (name, reason, remedy) in [
        ("bframes.h264", "B-frames; High profile", Some("-f h264 -i PATH -an -c:v libx264")),
        ("interlaced.h264", "interlaced", Some("-f h264 -i PATH -an -c:v libx264")),
        ("no-idr.mp4", "does not begin with an IDR", Some("-i PATH -an -c:v libx264")),
        ("h265.mp4", "\"hev1\", not H.264", Some("-i PATH -an -c:v libx264")),
        ("fragmented.mp4", "fragmented", Some("-i PATH -an -c:v copy")),
    ] {
        let path = data(name);
        let (why, command) = refusal(&path);
        assert!(why.contains(reason), "{name}: {why}");
        let remedy = remedy
            .map(|remedy| format!("ffmpeg {}", remedy.replace("PATH", path.to_str().unwrap())));
        match (command, remedy) {
            (Some(command), Some(remedy)) => assert!(command.starts_with(&remedy), "{command}"),
            (command, remedy) => assert_eq!(command, remedy),
        }
    }
}

/// A file with this content, until the directory is dropped.
fn written(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("video");
    fs::write(&path, content).unwrap();
    (directory, path)
}

#[test]
fn content_of_other_kinds_is_named() {
    let avc = fs::read(data("bframes.mp4")).unwrap();
    let byte_stream = fs::read(data("baseline.h264")).unwrap();
    let second_picture = packets("baseline.h264")[0].size;
    for (content, reason) in [
        (&b""[..], "it is empty"),
        (b"\x1a\x45\xdf\xa3....", "Matroska"),
        (b"RIFF....AVI ", "AVI"),
        (b"\0\0\x01\xba....", "program stream"),
        (b"\0\0\0\x01\x40\x01\x0c\x01", "\"H.265\", not H.264"),
        (b"hello, world", "neither"),
        (&[0; 4096], "neither"),
        (b"\0\0\0\x01", "no picture"),
        (b"\0\0\0\x01\x67\x42", "no picture"),
        (b"\0\0\0\x01\x65\x88", "no sequence and picture parameter set"),
        (b"\0\0\0\x01\x67\x42\0\0\0\x01\x68\0\0\0\x01\x65\x88", "cannot be parsed"),
        (&byte_stream[second_picture..], "does not begin with an IDR"),
        // Cut off within the index, and within the pictures.
        (&avc[..avc.len() - 1], "index (moov) is missing"),
        (&avc[..100], "index (moov) is missing"),
        (b"\0\0\0\x08ftyp", "index (moov) is missing"),
        (b"\0\0\0\x08moov", "mvhd is missing"),
        (b"\0\0\0\0moov", "mvhd is missing"),
    ] {
        let (_directory, path) = written(content);
        let (why, _) = refusal(&path);
        assert!(why.contains(reason), "{:?}: {why}", content.escape_ascii().to_string());
    }
}

#[test]
fn what_is_no_file_is_told() {
    let directory = tempfile::tempdir().unwrap();
    for (path, kind) in [
        (directory.path().join("none"), std::io::ErrorKind::NotFound),
        (directory.path().to_owned(), std::io::ErrorKind::IsADirectory),
    ] {
        match Player::open(&path).map(|_| ()) {
            Err(Error::Read { path: named, error }) => {
                assert_eq!((named, error.kind()), (path, kind));
            }
            other => panic!("{other:?}"),
        }
    }
    let (why, _) = refusal(Path::new("/dev/null"));
    assert!(why.contains("no regular file"), "{why}");
}

#[test]
fn parameter_sets_may_be_in_band_alone() {
    let mut content = fs::read(data("avc3.mp4")).unwrap();
    let at = content.windows(4).position(|window| window == b"avcC").unwrap() + 4;
    // No SPS, no PPS: what they were is trailing bytes now.
    content[at + 5..at + 7].copy_from_slice(&[0xe0, 0]);
    let (_directory, path) = written(&content);
    assert_eq!(Player::open(&path).unwrap().size(), (64, 64));
    // Nor in band: their types become "unspecified".
    for (nal, unspecified) in [([0x67, 0x42], 24), ([0x68, 0xce], 25)] {
        for at in 0..content.len() - 1 {
            if content[at..at + 2] == nal {
                content[at] = unspecified;
            }
        }
    }
    fs::write(&path, &content).unwrap();
    assert!(refusal(&path).0.contains("no sequence and picture parameter set"));
}

#[test]
fn lengths_may_have_two_bytes() {
    // A length of four bytes, read as two of two: nothing, and then the same.
    let mut content = fs::read(data("bframes.mp4")).unwrap();
    let at = content.windows(4).position(|window| window == b"avcC").unwrap() + 4;
    assert_eq!(content[at + 4], 0xff);
    content[at + 4] = 0xfd;
    let (_directory, path) = written(&content);
    let units = Player::open(&path).unwrap().take(20);
    let expected = Player::open(&data("bframes.mp4")).unwrap().take(20);
    for ((unit, _), (expected, _)) in units.iter().zip(&expected) {
        assert!(unit.nals().eq(expected.nals()));
    }
}

#[test]
fn a_single_picture_is_repeated() {
    let byte_stream = fs::read(data("baseline.h264")).unwrap();
    let (_directory, path) = written(&byte_stream[..packets("baseline.h264")[0].size]);
    let units = Player::open(&path).unwrap().take(50);
    assert!(units.iter().all(|(unit, _)| unit.is_keyframe()));
    assert_eq!(units[49].1.saturating_since(START).as_millis(), 49 * 40);
}

#[test]
fn a_file_that_changes_while_it_plays_ends_in_an_error() {
    for (name, keep) in [("bframes.mp4", 1500), ("baseline.h264", 0)] {
        let (_directory, path) = written(&fs::read(data(name)).unwrap());
        let mut player = Player::open(&path).unwrap();
        player.take(2);
        File::options().write(true).open(&path).unwrap().set_len(keep).unwrap();
        let error = (0..100).find_map(|_| player.try_next().err());
        assert!(matches!(error, Some(Error::Unusable { .. })), "{name}: {error:?}");
    }
    // Written anew, as something that cannot be joined at its beginning.
    let byte_stream = fs::read(data("baseline.h264")).unwrap();
    let (_directory, path) = written(&byte_stream);
    let mut player = Player::open(&path).unwrap();
    fs::write(&path, &byte_stream[packets("baseline.h264")[0].size..]).unwrap();
    let error = (0..100).find_map(|_| player.try_next().err());
    assert!(error.unwrap().to_string().contains("does not begin with an IDR"));
}

#[test]
fn damaged_lengths_are_an_error() {
    let mut content = fs::read(data("bframes.mp4")).unwrap();
    let mut player = Player::open(&data("bframes.mp4")).unwrap();
    let third = player.take(3).pop().unwrap().0;
    let nal = third.nals().next().unwrap();
    let at = content.windows(nal.len()).position(|window| window == nal).unwrap();
    content[at - 4] = 1;
    let (_directory, path) = written(&content);
    let mut player = Player::open(&path).unwrap();
    player.take(2);
    let error = player.try_next().unwrap_err().to_string();
    assert!(error.contains("picture 3 is damaged"), "{error}");
}

#[test]
fn huge_files_cost_what_small_ones_do() {
    // An MP4 whose index lies behind 64 GiB, for the most part a hole.
    let content = fs::read(data("bframes.mp4")).unwrap();
    let index = content.windows(4).position(|window| window == b"moov").unwrap() - 4;
    let (pictures, moov) = content.split_at(index);
    let (_directory, path) = written(pictures);
    let mut file = File::options().write(true).open(&path).unwrap();
    let hole = 64u64 << 30;
    file.seek(SeekFrom::End(0)).unwrap();
    file.write_all(&[&[0, 0, 0, 1][..], b"free", &hole.to_be_bytes()].concat()).unwrap();
    file.seek(SeekFrom::Start(pictures.len() as u64 + hole)).unwrap();
    file.write_all(moov).unwrap();
    let before = peak_memory();
    Player::open(&path).unwrap().take(60);

    // An index of 1 GiB is not read at all.
    let (_directory, path) = written(b"\0\0\0\x08ftyp\x40\0\0\0moov");
    File::options().write(true).open(&path).unwrap().set_len(2 << 30).unwrap();
    assert!(refusal(&path).0.contains("more than the 64 MiB"));

    // A byte stream that goes on with zeros without end: one picture that never ends.
    let (_directory, path) = written(&fs::read(data("baseline.h264")).unwrap());
    let mut file = File::options().append(true).open(&path).unwrap();
    file.write_all(&[0xff; 8]).unwrap();
    file.set_len(8 << 30).unwrap();
    let mut player = Player::open(&path).unwrap();
    player.take(11);
    assert!(player.try_next().unwrap_err().to_string().contains("larger than 16 MiB"));
    let grown = peak_memory() - before;
    assert!(grown < 80 << 20, "{grown} bytes");
}

/// The most memory that this process has had, in bytes.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    kilobytes << 10
}

/// Opens and plays whatever it is, for a while.
fn play(path: &Path) {
    if let Ok(mut player) = Player::open(path) {
        for _ in 0..50 {
            if player.try_next().is_err() {
                break;
            }
        }
    }
}

#[test]
fn no_cut_makes_it_panic() {
    for name in ["bframes.mp4", "sound.mov", "baseline.h264"] {
        let (_directory, path) = written(&fs::read(data(name)).unwrap());
        let file = File::options().write(true).open(&path).unwrap();
        for length in (0..file.metadata().unwrap().len()).rev() {
            file.set_len(length).unwrap();
            play(&path);
        }
    }
}

proptest! {
    #[test]
    fn no_damage_makes_it_panic(
        name in prop::sample::select(vec!["bframes.mp4", "avc3.mp4", "sound.mov", "slices.h264"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let mut content = fs::read(data(name)).unwrap();
        for (at, value) in changes {
            let at = at.index(content.len());
            content[at] = value;
        }
        let (_directory, path) = written(&content);
        play(&path);
    }
}
