use std::{
    io::Cursor,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::advance;

use super::*;
use crate::{
    credentials::Access,
    entropy::Entropy,
    limits::Limits,
    live::{
        mount::{Start, tests::Stream},
        stages::Step,
    },
    shared::{Gate, Streams},
};

pub(in crate::connection) fn viewers(stream: &Stream) -> Viewers {
    let gate = Gate { access: Access::Open, authenticator: None };
    let entropy = Entropy::new(|bytes| bytes.fill(0x80));
    let clock = Arc::clone(&stream.clock);
    let limits = Limits::default();
    Viewers::new(Arc::new(Shared::new(Streams::default(), gate, None, clock, entropy, limits)))
}

pub(in crate::connection) fn viewer(stream: &Stream) -> InterleavedViewer {
    InterleavedViewer {
        session: SessionId::from_entropy([7; 16]),
        mount: Arc::clone(&stream.mount),
        first: None,
        cursor: stream.join(),
        rtp: 0,
        rtcp: 1,
        counters: Arc::default(),
        head_start: Duration::ZERO,
    }
}

/// A client that takes so many bytes, and tells how many it took.
fn read(outbox: &mut Outbox, viewers: &mut Viewers, bytes: usize) -> usize {
    let mut room = vec![0; bytes];
    let mut client = Cursor::new(&mut room[..]);
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(taken)) = outbox.poll_write(&mut context, &mut client) else {
        panic!("there is room")
    };
    viewers.written(outbox);
    taken
}

#[tokio::test(start_paused = true)]
async fn a_picture_is_sent_when_its_last_byte_is() {
    let mut stream = Stream::new(Start::OnDemand);
    stream.publish(true, 5000);
    let (mut viewers, mut outbox) = (viewers(&stream), Outbox::default());
    let (stages, viewer) = (Arc::clone(&stream.mount), viewer(&stream));
    let counters = Arc::clone(&viewer.counters);
    advance(Duration::from_millis(1)).await;
    viewers.start(viewer, &mut outbox);
    // The picture that was there before the viewer is nobody's delay.
    viewers.load(&mut outbox);
    while !outbox.is_empty() {
        read(&mut outbox, &mut viewers, usize::from(u16::MAX));
    }
    assert_eq!(stages.stages().of(Step::Total).count(), 0);

    let before = stream.publish_late(50_000);
    advance(Duration::from_millis(7)).await;
    viewers.load(&mut outbox);
    advance(Duration::from_millis(5)).await;
    assert_eq!(read(&mut outbox, &mut viewers, 20_000), 20_000);
    assert_eq!(stages.stages().of(Step::Total).count(), 0, "the rest is still to be taken");
    advance(Duration::from_millis(8)).await;
    read(&mut outbox, &mut viewers, usize::from(u16::MAX));
    assert!(outbox.is_empty());
    let millis = [Step::Queue, Step::Send, Step::Pacing, Step::Added, Step::Total].map(|step| {
        let delays = stages.stages().of(step);
        assert_eq!(delays.count(), 1, "{step}");
        delays.longest().as_millis()
    });
    assert_eq!(millis, [7, 13, 0, before.as_millis() + 20, 40]);
    assert_eq!(counters.added.read().longest().as_millis(), millis[3]);
}

#[tokio::test(start_paused = true)]
async fn a_picture_given_up_is_not_counted() {
    let mut stream = Stream::new(Start::OnDemand);
    let (mut viewers, mut outbox) = (viewers(&stream), Outbox::default());
    let viewer = viewer(&stream);
    let session = viewer.session;
    viewers.start(viewer, &mut outbox);
    stream.publish_late(50_000);
    viewers.load(&mut outbox);
    read(&mut outbox, &mut viewers, 20_000);
    viewers.stop(session, true, &mut outbox);
    while !outbox.is_empty() {
        read(&mut outbox, &mut viewers, usize::from(u16::MAX));
    }
    assert_eq!(stream.mount.stages().of(Step::Total).count(), 0);
}
