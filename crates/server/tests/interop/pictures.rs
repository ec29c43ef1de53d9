//! What players decoded, held against what was sent: by the bit strip, or bit by bit.

use std::{
    collections::HashMap,
    fmt,
    fs::{self, OpenOptions},
    hash::Hash,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use capture::synthetic::strip;
use tempfile::TempDir;

use crate::{player::Viewing, running::output_of};

/// Pixels of every picture here: small, so that ten players fit on two cores.
pub(crate) const WIDTH: usize = 320;
pub(crate) const HEIGHT: usize = 240;
/// Bytes of a picture's luma.
pub(crate) const GRAY: usize = WIDTH * HEIGHT;
/// Bytes of a whole picture in yuv420p.
pub(crate) const YUV420P: usize = GRAY * 3 / 2;
/// Bytes of a whole picture as OpenCV has it.
pub(crate) const BGR: usize = GRAY * 3;

/// Checks that the pictures' bit strips count up by one, with no gap but where the server's log says
/// that it had no time to encode. Latency is written down, not judged: it is the machine's as much
/// as ours.
#[track_caller]
pub(crate) fn assert_consecutive(
    viewing: &Viewing<'_>,
    lumas: &[(Vec<u8>, SystemTime)],
    server_log: &str,
) {
    let mut skipped = server_log.matches(ENCODER_SKIPPED).count();
    let mut latencies = Vec::new();
    let mut numbers: Vec<u32> = Vec::new();
    for (index, (luma, at)) in lumas.iter().enumerate() {
        let stamp = strip::read(&luma[..GRAY], WIDTH, WIDTH, HEIGHT)
            .unwrap_or_else(|error| panic!("{viewing}: picture {index}: {error}"));
        if let Some(before) = numbers.last() {
            let missing = stamp.frame.wrapping_sub(*before).wrapping_sub(1) as usize;
            assert!(
                missing <= skipped,
                "{viewing}: picture {index} has number {} after {numbers:?}",
                stamp.frame
            );
            skipped -= missing;
        }
        numbers.push(stamp.frame);
        let taken = UNIX_EPOCH + Duration::from_nanos(stamp.wall.as_unix_nanos());
        let latency = at.duration_since(taken);
        latencies.push(latency.unwrap_or_else(|_| {
            panic!("{viewing}: picture {index} was decoded before it was taken")
        }));
    }
    assert!(!numbers.is_empty(), "{viewing}: no picture came");
    let longest = latencies.iter().max().copied().unwrap_or_default();
    assert!(longest < UNUSABLE, "{viewing}: a picture was {longest:?} old");
    latencies.sort();
    write_down(&format!(
        "{viewing}: {} pictures, {:.0} ms old at the median, {:.0} ms at most",
        latencies.len(),
        latencies[latencies.len() / 2].as_secs_f64() * 1e3,
        longest.as_secs_f64() * 1e3,
    ));
}

/// Checks that `received` is `own` again and again, from anywhere in it, and returns the place in
/// `own` of the last one.
#[track_caller]
pub(crate) fn assert_cyclic<T: Eq + Hash>(
    name: &impl fmt::Display,
    own: &[T],
    received: &[T],
) -> usize {
    let places: HashMap<&T, usize> = own.iter().zip(0..).collect();
    assert_eq!(places.len(), own.len(), "{name}: two pictures of the file are alike");
    let mut seen: Vec<usize> = Vec::new();
    for picture in received {
        let Some(&place) = places.get(picture) else {
            panic!("{name}: a picture after {seen:?} is not in the file");
        };
        if let Some(before) = seen.last() {
            let expected = (before + 1) % own.len();
            assert_eq!(place, expected, "{name}: of {}, after {seen:?}", own.len());
        }
        seen.push(place);
    }
    *seen.last().unwrap_or_else(|| panic!("{name}: no picture came"))
}

/// A short H.264 file and its pictures as FFmpeg decodes them from the file itself.
pub(crate) struct Clip {
    _directory: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) pictures: Vec<Vec<u8>>,
    /// Of each picture, as `framemd5` writes it.
    pub(crate) hashes: Vec<String>,
}

impl Clip {
    /// Two seconds of Annex B without reordering, 25 pictures a second.
    pub(crate) fn baseline() -> Self {
        Self::encode("baseline.h264", "-profile:v baseline", CLIP)
    }

    /// One second of Annex B without reordering, for when many are played in turn.
    pub(crate) fn fast() -> Self {
        Self::encode("fast.h264", "-profile:v baseline -vf setpts=PTS/2 -r 50", CLIP)
    }

    /// The same as MP4 and with `length` pictures.
    pub(crate) fn baseline_mp4(length: usize) -> Self {
        Self::encode("baseline.mp4", "-profile:v baseline", length)
    }

    /// The same length as MP4, two B-frames between others, which hence come out of order.
    pub(crate) fn b_frames() -> Self {
        Self::encode("bframes.mp4", "-bf 2 -b_strategy 0 -flags +cgop", CLIP)
    }

    fn encode(file: &str, how: &str, length: usize) -> Self {
        let directory = tempfile::tempdir().expect("a directory for a clip");
        let path = directory.path().join(file);
        let mut encode = ffmpeg();
        encode.args(["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25", "-frames:v"]);
        encode.args(format!("{length} -pix_fmt yuv420p -c:v libx264 -preset veryfast").split(' '));
        encode.args("-threads 1 -g 25 -sc_threshold 0".split(' ')).args(how.split(' ')).arg(&path);
        output_of("encoding a clip", encode);
        let decode = |format: &str| {
            let mut decode = ffmpeg();
            decode.arg("-i").arg(&path).args("-an -fps_mode passthrough -f".split(' '));
            decode.args([format, "-"]);
            output_of("decoding a clip", decode)
        };
        let pictures: Vec<_> = decode("rawvideo").chunks(YUV420P).map(<[u8]>::to_vec).collect();
        let hashes = parse_framemd5(&decode("framemd5")).map(|picture| picture.hash).collect();
        assert_eq!(pictures.len(), length, "{file}: the clip's own pictures");
        Self { _directory: directory, path, pictures, hashes }
    }

    /// What to give to `--source`, without a name.
    pub(crate) fn source(&self) -> String {
        format!("file:{}", self.path.display())
    }
}

/// A line of `framemd5`.
pub(crate) struct Hashed {
    pub(crate) presentation: i64,
    pub(crate) hash: String,
}

/// The lines that `-f framemd5` writes.
pub(crate) fn parse_framemd5(output: &[u8]) -> impl Iterator<Item = Hashed> {
    str::from_utf8(output)
        .expect("framemd5 is text")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            let [_stream, _dts, pts, _duration, _size, hash] = fields[..] else {
                panic!("not a line of framemd5: {line:?}");
            };
            let presentation = pts.parse().unwrap_or_else(|_| panic!("no time in {line:?}"));
            Hashed { presentation, hash: hash.to_owned() }
        })
}

/// A file of raw yuv420p pictures with bit strips that count from 0, for a pipe.
pub(crate) fn stamped_pictures(path: &Path, count: u32) {
    let mut file = fs::File::create(path).expect("a file for pictures");
    for frame in 0..count {
        let mut picture = vec![128; YUV420P];
        for (index, pixel) in picture[..GRAY].iter_mut().enumerate() {
            // Something that moves: pictures all alike would be coded as nothing.
            *pixel = ((index % WIDTH + index / WIDTH + frame as usize * 3) / 4 % 128 + 64) as u8;
        }
        let wall = media::WallTime::from_unix_nanos(u64::from(frame) * 1_000_000);
        let stamp = strip::Stamp { frame, wall };
        strip::write(&mut picture[..GRAY], WIDTH, WIDTH, HEIGHT, stamp).expect("room for a strip");
        file.write_all(&picture).expect("room for pictures");
    }
}

/// The numbers that [`stamped_pictures`] gave to pictures.
#[track_caller]
pub(crate) fn stamped_numbers(lumas: &[Vec<u8>]) -> Vec<u32> {
    let number = |(index, luma): (usize, &Vec<u8>)| match strip::read(luma, WIDTH, WIDTH, HEIGHT) {
        Ok(stamp) => stamp.frame,
        Err(error) => panic!("picture {index}: {error}"),
    };
    lumas.iter().enumerate().map(number).collect()
}

/// FFmpeg, quiet, overwriting nothing.
pub(crate) fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error"]);
    command
}

/// Adds a line to the file that `cargo xtask test` shows at the end.
fn write_down(line: &str) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop.txt");
    let file = OpenOptions::new().append(true).create(true).open(path);
    // One write, so that lines of tests in parallel do not mix.
    let _ = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
}

/// Pictures in a clip.
pub(crate) const CLIP: usize = 50;
/// What the server logs about each picture that came while it was still encoding another.
pub(crate) const ENCODER_SKIPPED: &str = "a picture was skipped";
/// Older pictures are not live: something has queued them.
const UNUSABLE: Duration = Duration::from_secs(5);
