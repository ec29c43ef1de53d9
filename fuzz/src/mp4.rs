//! MP4 files: one that is opened can be played, round and round, and is the same each time; one
//! that is not is refused in words.
//!
//! Input: a file.

use std::{
    cell::RefCell,
    fs::File,
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use capture::{Captured, Description, Error, Source, file};
use media::MediaTime;
use tempfile::NamedTempFile;

use crate::clock::EagerClock;

/// Runs one input.
pub fn run(data: &[u8]) {
    // What is no MP4 is the business of another target.
    if data.get(4..8).is_none_or(|kind| !kind.is_ascii()) {
        return;
    }
    with_file(data, |path| {
        let first = play(path, data.len());
        assert_eq!(first, play(path, data.len()), "the same file plays differently");
    });
}

/// Calls `run` with the path of a file that holds `data`.
pub(crate) fn with_file<T>(data: &[u8], run: impl FnOnce(&Path) -> T) -> T {
    thread_local! {
        static PLACE: RefCell<Option<NamedTempFile>> = const { RefCell::new(None) };
    }
    PLACE.with_borrow_mut(|place| {
        let place = place.get_or_insert_with(|| {
            let built = tempfile::Builder::new().prefix("fuzz").tempfile_in(memory());
            built.expect("a temporary file")
        });
        let file: &mut File = place.as_file_mut();
        file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0)).map(drop)).expect("emptied");
        file.write_all(data).expect("written");
        run(place.path())
    })
}

/// A directory that is kept in memory, where there is one.
fn memory() -> PathBuf {
    let shared = PathBuf::from("/dev/shm");
    if shared.is_dir() { shared } else { std::env::temp_dir() }
}

/// What a source gave: each picture's time and NAL units, and how it ended.
pub(crate) type Played = (Vec<(MediaTime, Vec<Vec<u8>>)>, Option<String>);

fn play(path: &Path, size: usize) -> Played {
    let opened = file::open(path, Arc::new(EagerClock::default()), file::Config::default());
    let source = match opened {
        Ok(source) => source,
        Err(error) => return (Vec::new(), Some(words(&error, path))),
    };
    let Description::H264 { parameter_sets: Some(sets), rate } = source.description() else {
        panic!("a file that cannot be described: {:?}", source.description());
    };
    assert!(sets.description().width > 0 && !sets.pps.is_empty());
    assert!(rate.is_none_or(|rate| rate.as_f64() > 0.0));
    let played = pull(source, path, PICTURES);
    let given: usize = played.0.iter().flat_map(|(_, nals)| nals).map(Vec::len).sum();
    assert!(given <= size.saturating_mul(PICTURES), "more than there is");
    played
}

/// Up to `pictures` of a source.
pub(crate) fn pull(mut source: Box<dyn Source>, path: &Path, pictures: usize) -> Played {
    let (mut units, mut bytes) = (Vec::new(), 0);
    while units.len() < pictures && bytes < MOST_BYTES {
        match source.next() {
            Ok(Some(Captured::Encoded(unit))) => {
                assert!(unit.nals().len() > 0, "a picture of nothing");
                assert!(!units.is_empty() || unit.is_keyframe(), "decoding cannot begin here");
                bytes += unit.size();
                units.push((unit.time(), unit.nals().map(<[u8]>::to_vec).collect()));
            }
            Ok(Some(other)) => panic!("{other:?} of an encoded source"),
            Ok(None) => break,
            Err(error) => return (units, Some(words(&error, path))),
        }
    }
    (units, None)
}

/// The message, which has to name the file and to say something beyond that.
fn words(error: &Error, path: &Path) -> String {
    let words = error.to_string();
    let name = path.display().to_string();
    assert!(words.contains(&name) && words.len() > name.len() + 4, "{words}");
    words
}

const PICTURES: usize = 40;
const MOST_BYTES: usize = 4 << 20;
