//! Every input of every corpus, through its target, with whatever toolchain there is.
//!
//! A corpus is what libFuzzer found to reach something new, minimized; files with a speaking name
//! are inputs that once broke something.

use std::{
    collections::BTreeSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
};

macro_rules! replay {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        const REPLAYED: &[&str] = &[$(stringify!($name)),*];
    };
}

replay! {
    annexb
    authorization
    config
    connection
    control
    credentials
    h264_stream
    headers
    live_log
    mjpeg
    mp4
    packetizer
    parameter_sets
    rtcp
    rtsp_request
}

fn replay(name: &str) {
    let directory = corpus().join(name);
    let mut inputs: Vec<PathBuf> = fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{} is empty", directory.display());
    for input in inputs {
        let data = fs::read(&input).expect("a file");
        let run = catch_unwind(AssertUnwindSafe(|| fuzz::run(name, &data)));
        match run {
            Ok(ran) => assert!(ran.is_some(), "there is no target {name}"),
            Err(_) => panic!("broken by {}", input.display()),
        }
    }
}

#[test]
fn every_target_is_replayed_and_every_corpus_has_its_target() {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let targets: BTreeSet<String> =
        fuzz::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(targets, set(REPLAYED));
    assert_eq!(targets, names_in(corpus()));
    let binaries = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
    let binaries = names_in(binaries).into_iter();
    assert_eq!(targets, binaries.map(|name| name.trim_end_matches(".rs").to_owned()).collect());
}

fn names_in(directory: PathBuf) -> BTreeSet<String> {
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{directory:?}: {error}"));
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect()
}

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus")
}
