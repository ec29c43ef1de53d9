//! H.264 byte streams from a pipe and from a file: access units do not depend on how the bytes
//! arrive, hold one picture each, and lose none; pipe and file agree.
//!
//! Input: a byte that says how the pipe cuts, then the stream.

use std::{
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use capture::{file, pipe};
use media::{annexb, h264::NalType};

use crate::{
    chunks::next,
    clock::EagerClock,
    mp4::{pull, with_file},
};

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((&plan, stream)) = data.split_first() else { return };
    let whole = pictures(stream, None);
    let cut = pictures(stream, Some(plan));
    assert_eq!(whole, cut, "cut in pieces it gives something else");
    let (units, refusal) = whole;
    for unit in &units {
        assert!(unit.iter().any(|nal| is_vcl(nal)), "a unit without a picture");
    }
    if units.is_empty() {
        // Silence is no answer to a stream.
        assert!(refusal.is_some() || stream.is_empty(), "neither a picture nor a reason");
    } else if refusal.is_none() {
        // From the first picture given on, every slice is given: the last ones of the stream.
        let all = annexb::nal_units(stream).map(|range| &stream[range]);
        let all: Vec<_> = all.filter(|nal| is_vcl(nal) && nal.len() > 1).collect();
        let given = units.iter().flatten().filter(|nal| is_vcl(nal) && nal.len() > 1);
        let given: Vec<_> = given.map(|nal| &nal[..]).collect();
        assert!(all.ends_with(&given), "slices got lost");
    }
    if stream.len() <= LARGEST_FILE {
        with_file(stream, |path| same_from_file(path, &units, refusal.is_none()));
    }
}

/// A file that is opened gives what the pipe gives, and then the same again.
fn same_from_file(path: &Path, units: &[Vec<Vec<u8>>], is_whole: bool) {
    let opened = file::open(path, Arc::new(EagerClock::default()), file::Config::default());
    let Ok(source) = opened else { return };
    let (played, _) = pull(source, path, units.len() + usize::from(is_whole));
    for (at, (_, nals)) in played.iter().enumerate() {
        assert_eq!(nals, &units[at % units.len()], "picture {at} of the file is another");
    }
    let times: Vec<_> = played.iter().map(|(time, _)| *time).collect();
    assert!(times.is_sorted(), "time runs backwards: {times:?}");
}

/// The pictures that come through a pipe, as NAL units, and what it was refused for.
fn pictures(stream: &[u8], plan: Option<u8>) -> (Vec<Vec<Vec<u8>>>, Option<String>) {
    let reader = Pieces { rest: stream.to_vec().into(), plan, state: plan.unwrap_or(0).into() };
    let format = pipe::Format::H264 { rate: None };
    let source = pipe::open(Box::new(reader), format, Arc::new(EagerClock::default()));
    let (units, refusal) = pull(source.expect("a pipe"), Path::new("-"), usize::MAX);
    (units.into_iter().map(|(_, nals)| nals).collect(), refusal)
}

fn is_vcl(nal: &[u8]) -> bool {
    NalType::of(nal[0]).is_vcl()
}

/// A pipe that gives as many bytes at a time as it likes.
struct Pieces {
    rest: std::collections::VecDeque<u8>,
    plan: Option<u8>,
    state: u64,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let longest = match self.plan {
            None => u64::MAX,
            Some(plan) if plan & 3 == 0 => 1,
            Some(plan) if plan & 3 == 1 => 4,
            Some(_) => 300,
        };
        let length = usize::try_from(1 + next(&mut self.state) % longest).unwrap_or(usize::MAX);
        let length = if self.plan.is_none() { buffer.len() } else { length.min(buffer.len()) };
        self.rest.read(&mut buffer[..length])
    }
}

/// Larger ones would be read in several pieces, which the pipe does as well.
const LARGEST_FILE: usize = 64 << 10;
