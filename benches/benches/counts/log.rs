//! The live log: a picture comes in, and each viewer takes it.

use std::{hint::black_box, sync::Arc};

use benches::pictures::{LARGE, SMALL, batch, inter, keyframe, published};
use gungraun::library_benchmark;
use lenscast::live::{
    Picture,
    log::{Cursor, Limits, Log},
};

#[library_benchmark]
#[bench::full_log(full())]
fn append((mut log, next): (Log<Picture>, Arc<Picture>)) -> Log<Picture> {
    log.push(black_box(next));
    log
}

#[library_benchmark]
#[bench::viewers_1(watched_by(1))]
#[bench::viewers_100(watched_by(100))]
fn read((log, mut cursors): (Log<Picture>, Vec<Cursor>)) -> (Log<Picture>, Vec<Cursor>) {
    for cursor in &mut cursors {
        black_box(log.read(cursor).expect("it was just appended"));
    }
    (log, cursors)
}

/// A log as full as it gets, so that for a picture that comes another goes; and what comes next.
fn full() -> (Log<Picture>, Arc<Picture>) {
    let (large, small) = (batch(&keyframe(LARGE)), batch(&inter(SMALL)));
    let mut log = Log::new(Limits::default());
    (0..PICTURES).for_each(|number| log.push(published(number, &large, &small)));
    (log, published(PICTURES, &large, &small))
}

/// The same with viewers that have read all but the picture that came last.
fn watched_by(viewers: usize) -> (Log<Picture>, Vec<Cursor>) {
    let (mut log, next) = full();
    let (mut cursor, _) = log.from_newest_keyframe().expect("a keyframe is there");
    while log.read(&mut cursor).is_some() {}
    log.push(next);
    (log, vec![cursor; viewers])
}

/// Twenty seconds, and one picture: what comes next is no keyframe.
const PICTURES: u64 = 601;
