use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Wake,
};

use super::*;
use crate::{
    connection::playing::tests::{viewer, viewers},
    live::mount::{Start, tests::Stream},
};

/// A client that takes as many bytes as there is room, until it is gone.
#[derive(Clone, Default)]
struct Client(Arc<Mutex<Pipe>>);

#[derive(Default)]
struct Pipe {
    room: usize,
    taken: Vec<u8>,
    is_gone: bool,
    waker: Option<Waker>,
}

impl Client {
    fn pipe(&self) -> MutexGuard<'_, Pipe> {
        self.0.lock().unwrap()
    }

    fn make_room(&self, bytes: usize) {
        self.pipe().room += bytes;
        let waker = self.pipe().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The RTP packets it has got, which came in whole `$` frames.
    fn packets(&self) -> Vec<Vec<u8>> {
        let taken = &self.pipe().taken;
        let (mut rest, mut packets) = (&taken[..], Vec::new());
        while let [b'$', channel, high, low, frames @ ..] = rest {
            let (packet, next) = frames.split_at(usize::from(u16::from_be_bytes([*high, *low])));
            if *channel == 0 {
                packets.push(packet.to_vec());
            }
            rest = next;
        }
        assert_eq!(rest, b"");
        packets
    }
}

impl AsyncWrite for Client {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.pipe();
        if pipe.is_gone {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let bytes = &bytes[..bytes.len().min(pipe.room)];
        if bytes.is_empty() {
            pipe.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        pipe.room -= bytes.len();
        pipe.taken.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A connection's task, as far as being woken goes.
#[derive(Default)]
struct Owner(AtomicUsize);

impl Wake for Owner {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// One viewer within a connection.
struct Booth {
    stream: Stream,
    output: Output<Client>,
    client: Client,
    owner: Arc<Owner>,
}

impl Booth {
    /// Where the viewer has got its first report, and waits.
    fn waiting() -> Self {
        let booth = Self::new();
        booth.client.make_room(1000);
        assert!(booth.poll().is_some(), "a report has been written");
        assert!(booth.poll().is_none());
        booth.client.pipe().room = 0;
        booth
    }

    fn new() -> Self {
        let (stream, client) = (Stream::new(Start::OnDemand), Client::default());
        let output = Output::new(client.clone(), viewers(&stream));
        output.lock().start(viewer(&stream));
        Self { stream, output, client, owner: Arc::default() }
    }

    /// The connection's turn.
    fn poll(&self) -> Option<News> {
        let waker = Waker::from(Arc::clone(&self.owner));
        match self.output.poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(news) => Some(news),
            Poll::Pending => None,
        }
    }

    /// How often the connection has been woken.
    fn woken(&self) -> usize {
        self.owner.0.load(Ordering::Relaxed)
    }

    /// Publishes a picture; its packets.
    fn publish(&mut self, keyframe: bool, size: usize) -> Vec<Vec<u8>> {
        let mut cursor = self.stream.join();
        while self.stream.mount.read(&mut cursor).is_some() {}
        self.stream.publish(keyframe, size);
        let picture = self.stream.mount.read(&mut cursor).unwrap().entry;
        picture.batch.packets().map(<[u8]>::to_vec).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_keeps_up_wakes_nobody() {
    let mut booth = Booth::waiting();
    let mut expected = Vec::new();
    for number in 0..10 {
        expected.extend(booth.publish(number == 0, 20_000));
        booth.client.make_room(30_000);
        booth.output.advance();
        assert!(booth.client.packets() == expected);
    }
    assert_eq!(booth.woken(), 0);
    assert!(booth.poll().is_none(), "there is nothing to be told");
    assert_eq!(booth.output.lock().stuck(), None);
}

#[tokio::test(start_paused = true)]
async fn what_a_client_leaves_is_for_the_connection() {
    let mut booth = Booth::waiting();
    let mut expected = booth.publish(true, 20_000);
    booth.client.make_room(3000);
    booth.output.advance();
    assert_eq!((booth.client.pipe().room, booth.woken()), (0, 1));
    assert!(booth.poll().is_some(), "time runs from now on");
    assert_eq!(booth.output.lock().stuck(), Some(Instant::now()));
    assert!(booth.poll().is_none(), "there is no room");

    // While the connection has to write, nobody else does.
    expected.extend(booth.publish(false, 500));
    booth.output.advance();
    assert_eq!(booth.woken(), 1);
    booth.client.make_room(3000);
    assert_eq!(booth.woken(), 2, "it has been told of the room");
    booth.output.advance();
    assert_eq!(booth.client.pipe().room, 3000);
    assert!(booth.poll().is_some());
    booth.client.make_room(1 << 20);
    while booth.poll().is_some() {}
    assert!(booth.client.packets() == expected);
    assert_eq!(booth.output.lock().stuck(), None);
}

#[tokio::test(start_paused = true)]
async fn nobody_writes_before_the_connection_has() {
    let mut booth = Booth::new();
    booth.client.make_room(1 << 20);
    let expected = booth.publish(true, 5000);
    booth.output.advance();
    assert_eq!(booth.client.pipe().taken, b"");
    while booth.poll().is_some() {}
    assert!(booth.client.packets() == expected);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_stream_is_the_connections_business() {
    let mut booth = Booth::waiting();
    booth.client.make_room(1 << 20);
    let expected = booth.publish(true, 5000);
    let Booth { stream, output, client, owner } = booth;
    drop(stream.publisher);
    output.advance();
    assert_eq!(owner.0.load(Ordering::Relaxed), 1);
    assert!(client.packets() == expected, "what was published before comes before");
    let waker = Waker::from(owner);
    let Poll::Ready(news) = output.poll(&mut Context::from_waker(&waker)) else { panic!() };
    assert!(news.is_over && news.error.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_gone_is_written_to_once() {
    let mut booth = Booth::waiting();
    booth.publish(true, 5000);
    booth.client.pipe().is_gone = true;
    booth.output.advance();
    booth.output.advance();
    assert_eq!(booth.woken(), 1);
    let error = booth.poll().unwrap().error.unwrap();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}
