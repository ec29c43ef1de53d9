use std::net::UdpSocket;

use testkit::namespace::in_namespace;
use tokio::time::advance;

use super::*;
use crate::{
    egress::udp::Sent,
    live::{
        mount::{Start, tests::Stream},
        stages::Step,
    },
};

/// A stream, its fan-out and its viewers, in virtual time.
struct Hall {
    stream: Stream,
    ports: Arc<Ports>,
    fanout: Fanout,
    task: JoinHandle<()>,
}

impl Hall {
    fn new(start: Start) -> Self {
        Self::with_entropy(start, 0x80)
    }

    fn with_entropy(start: Start, byte: u8) -> Self {
        let stream = Stream::new(start);
        let ports = Arc::new(Ports::bind(&["127.0.0.1".parse().unwrap()], 0).unwrap());
        let entropy = Entropy::new(move |bytes| bytes.fill(byte));
        let (mount, clock) = (Arc::clone(&stream.mount), Arc::clone(&stream.clock));
        let (fanout, task) = Fanout::spawn(mount, Arc::clone(&ports), clock, entropy);
        Self { stream, ports, fanout, task }
    }

    /// A viewer that starts now, as PLAY starts it.
    async fn watch(&self, seat: &Seat) {
        self.fanout.add(self.viewer(seat));
        settle().await;
    }

    fn viewer(&self, seat: &Seat) -> Viewer {
        let mut cursor = self.stream.join();
        let first = self.stream.mount.read(&mut cursor).map(|delivery| delivery.entry);
        Viewer {
            id: seat.id,
            rtp: Arc::clone(&seat.to_rtp),
            rtcp: Arc::clone(&seat.to_rtcp),
            first,
            cursor,
            counters: Arc::clone(&seat.counters),
        }
    }

    /// Publishes pictures, and gives the fan-out the time between them.
    async fn show(&mut self, pictures: impl IntoIterator<Item = (bool, usize)>) {
        for (keyframe, size) in pictures {
            self.stream.publish(keyframe, size);
            sleep(FRAME).await;
        }
    }

    /// Every packet made from now on.
    fn record(&self) -> Record {
        Record { mount: Arc::clone(&self.stream.mount), cursor: self.stream.join() }
    }
}

/// A viewer that is never slow: reads from the log what others must get.
struct Record {
    mount: Arc<Mount>,
    cursor: Cursor,
}

impl Record {
    fn packets(&mut self) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        while let Some(delivery) = self.mount.read(&mut self.cursor) {
            assert_eq!(delivery.skipped, 0);
            packets.extend(delivery.entry.batch.packets().map(<[u8]>::to_vec));
        }
        packets
    }
}

/// The sockets of a viewer.
struct Seat {
    id: ViewerId,
    rtp: UdpSocket,
    rtcp: UdpSocket,
    to_rtp: Arc<Destination>,
    to_rtcp: Arc<Destination>,
    counters: Arc<Counters>,
}

impl Seat {
    fn new() -> Self {
        Self::at("127.0.0.1")
    }

    fn at(address: &str) -> Self {
        let bind = || {
            let socket = UdpSocket::bind((address, 0)).unwrap();
            // What loopback has taken is there, or will be in no time.
            socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            let source = "127.0.0.1".parse().ok();
            let to = Arc::new(Destination::new(socket.local_addr().unwrap(), source));
            (socket, to)
        };
        let ((rtp, to_rtp), (rtcp, to_rtcp)) = (bind(), bind());
        let counters = Arc::new(Counters::default());
        Self { id: ViewerId::next(), rtp, rtcp, to_rtp, to_rtcp, counters }
    }

    fn sent(&self) -> u64 {
        self.counters.packets.load(Ordering::Relaxed)
    }

    /// The packets that have been sent since the last call.
    fn rtp(&self, seen: usize) -> Vec<Vec<u8>> {
        let sent = usize::try_from(self.sent()).unwrap();
        (seen..sent).map(|_| datagram(&self.rtp).expect("a packet that was sent")).collect()
    }

    /// Nothing but what was counted has come.
    fn assert_rtp_is_over(&self) {
        self.rtp.set_nonblocking(true).unwrap();
        assert_eq!(datagram(&self.rtp), None);
    }

    /// What each RTCP datagram so far says: the sender's packet count, and whether it is a BYE.
    fn reports(&self) -> Vec<(u32, bool)> {
        self.rtcp.set_nonblocking(true).unwrap();
        std::iter::from_fn(|| datagram(&self.rtcp))
            .map(|report| {
                let packets = u32::from_be_bytes(report[20..24].try_into().unwrap());
                (packets, rtcp::parse(&report).unwrap().bye)
            })
            .collect()
    }
}

fn datagram(socket: &UdpSocket) -> Option<Vec<u8>> {
    let mut datagram = [0; 65_536];
    let length = socket.recv(&mut datagram).ok()?;
    Some(datagram[..length].to_vec())
}

/// Lets the fan-out do all it can do now.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

const FRAME: Duration = Duration::from_millis(40);
const CACHED: Start = Start::Cached { span: Duration::from_secs(12), bytes: 16 << 20 };

#[tokio::test(start_paused = true)]
async fn a_viewer_gets_a_report_at_once_and_then_every_packet_in_order() {
    let mut hall = Hall::new(Start::OnDemand);
    let (seat, other) = (Seat::new(), Seat::new());
    hall.watch(&seat).await;
    hall.watch(&other).await;
    let mut record = hall.record();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(seat.reports(), [(0, false)]);
    let mut seen = 0;
    for number in 0..50 {
        hall.show([(number % 10 == 0, 300 + number * 997)]).await;
        let expected = record.packets();
        assert!(!expected.is_empty());
        for seat in [&seat, &other] {
            assert_eq!(seat.rtp(seen), expected);
        }
        seen += expected.len();
    }
    let bytes = seat.counters.bytes.load(Ordering::Relaxed);
    assert!(bytes > seen as u64 * 12 && bytes == other.counters.bytes.load(Ordering::Relaxed));
    seat.assert_rtp_is_over();
}

#[tokio::test(start_paused = true)]
async fn a_late_viewer_is_told_what_was_made_before_it_came() {
    let mut hall = Hall::new(Start::OnDemand);
    hall.show([(true, 5000), (false, 100)]).await;
    let seat = Seat::new();
    hall.watch(&seat).await;
    sleep(FRAME).await;
    assert_eq!(seat.reports(), [(5, false)]);
    // The keyframe is young enough to begin with, and what followed it is caught up.
    assert_eq!(seat.sent(), 5);
}

#[tokio::test(start_paused = true)]
async fn reports_come_every_two_and_a_half_to_seven_and_a_half_seconds() {
    for (entropy, millis) in [(0x00, 2500), (0x80, 5010), (0xff, 7500)] {
        let hall = Hall::with_entropy(Start::OnDemand, entropy);
        let seat = Seat::new();
        hall.watch(&seat).await;
        sleep(Duration::from_millis(1)).await;
        assert_eq!(seat.reports().len(), 1);
        for _ in 0..3 {
            sleep(Duration::from_millis(millis - 30)).await;
            assert_eq!(seat.reports().len(), 0, "before {millis} ms");
            sleep(Duration::from_millis(30)).await;
            assert_eq!(seat.reports().len(), 1, "at {millis} ms");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_keyframe_leaves_in_a_burst_and_then_evenly_within_a_quarter_of_the_interval() {
    let mut hall = Hall::new(Start::OnDemand);
    let seat = Seat::new();
    hall.watch(&seat).await;
    let mut record = hall.record();
    sleep(FRAME).await;
    let mut seen = 0;
    // However long there was nothing to send before.
    for pause in [Duration::ZERO, FRAME, Duration::from_secs(10)] {
        sleep(pause).await;
        hall.stream.publish(true, 300_000);
        let expected = record.packets();
        let (size, count) = (expected.iter().map(Vec::len).sum::<usize>(), expected.len());
        assert_eq!(count, 221);
        let start = seat.sent();
        let mut packets = Vec::new();
        for millis in 0..=11 {
            settle().await;
            let sent = usize::try_from(seat.sent() - start).unwrap();
            let rate = size * 4 / 40;
            // One packet more may be under way, and the timer's step.
            let most = 32 + (rate * (millis + 1)).div_ceil(1372);
            assert!(sent <= most.min(count), "{sent} after {millis} ms and a pause of {pause:?}");
            if millis == 0 {
                assert_eq!(sent, 32, "after a pause of {pause:?}");
            }
            packets.extend(seat.rtp(seen + packets.len()));
            advance(Duration::from_millis(1)).await;
        }
        assert_eq!(packets.len(), count, "after a quarter of the interval");
        assert!(packets == expected);
        seen += count;
    }
}

/// What the log and the status tell of a picture's delay is all there is of it.
#[tokio::test(start_paused = true)]
async fn the_steps_of_a_picture_are_its_whole_delay() {
    let mut hall = Hall::new(Start::OnDemand);
    // The picture with which a viewer begins is as late as the viewer is.
    hall.stream.publish(true, 300_000);
    sleep(Duration::from_millis(1)).await;
    let (seat, other) = (Seat::new(), Seat::new());
    hall.watch(&seat).await;
    hall.watch(&other).await;
    sleep(FRAME * 2).await;
    let mount = Arc::clone(&hall.stream.mount);
    assert_eq!(mount.stages().of(Step::Total).count(), 0);
    assert_eq!(seat.counters.added.read().count(), 0);

    let before = hall.stream.publish_late(300_000);
    sleep(FRAME).await;
    let of = |step| {
        let delays = mount.stages().of(step);
        assert_eq!(delays.count(), 2, "{step}");
        delays.longest()
    };
    let (queue, send, pacing) = (of(Step::Queue), of(Step::Send), of(Step::Pacing));
    assert_eq!(queue, Duration::ZERO, "here, nothing takes time but what is made to");
    // All but a burst of 32 packets, in a quarter of 40 ms for the whole.
    let expected = Duration::from_millis(10).mul_f64(1.0 - 32.0 * 1372.0 / 303_000.0);
    assert!(pacing.abs_diff(expected) < Duration::from_micros(20), "{pacing:?}, {expected:?}");
    // The timer is late by up to two of its steps.
    let late = send - pacing;
    assert!(late <= Duration::from_millis(2), "{late:?} late");
    assert_eq!(of(Step::Total), Duration::from_millis(20) + queue + send);
    assert_eq!(of(Step::Added), before + queue + late);
    assert_eq!(seat.counters.added.read().longest(), of(Step::Added));
}

#[tokio::test(start_paused = true)]
async fn a_cached_start_is_caught_up_at_twice_real_time_and_no_faster() {
    let mut hall = Hall::new(CACHED);
    let picture = |number: u32| (number.is_multiple_of(300), 3000);
    hall.show((0..250).map(picture)).await;
    let (seat, mut record) = (Seat::new(), hall.record());
    hall.watch(&seat).await;
    let (joined, mut packets, mut expected) = (250, Vec::new(), Vec::new());
    for number in joined..joined + 300 {
        hall.show([picture(number)]).await;
        packets.extend(seat.rtp(packets.len()));
        expected.extend(record.packets());
        // Three packets each.
        let pictures = packets.len() as u32 / 3;
        let elapsed = number + 1 - joined;
        assert!(pictures <= 2 * elapsed + 2, "{pictures} pictures in the time of {elapsed}");
        assert!(pictures + 2 >= (2 * elapsed).min(number), "{pictures} in that of {elapsed}");
    }
    assert_eq!(seat.counters.skipped.load(Ordering::Relaxed), 0);
    assert!(packets == expected);
}

#[tokio::test(start_paused = true)]
async fn a_large_picture_that_is_caught_up_is_paced_like_any_other() {
    let mut hall = Hall::new(CACHED);
    let large = 10;
    let size = |number| if number == large { 300_000 } else { 3000 };
    hall.show((0..50).map(|number| (number == 0, size(number)))).await;
    let seat = Seat::new();
    hall.watch(&seat).await;
    // Those before it, of three packets each, in half their time.
    let (before, count, due) = (large * 3, 221_usize, FRAME.as_millis() as usize * large / 2);
    for millis in 0..due {
        settle().await;
        assert!(seat.sent() <= before as u64, "after {millis} ms");
        advance(Duration::from_millis(1)).await;
    }
    for millis in 0..=11 {
        settle().await;
        let sent = usize::try_from(seat.sent()).unwrap();
        // All of it in ten milliseconds; the timer may be a step late.
        let most = before + 32 + (count * (millis + 1)).div_ceil(10);
        assert!(sent <= most, "{sent} packets {millis} ms after it was due");
        advance(Duration::from_millis(1)).await;
    }
    assert_eq!(seat.sent(), (before + count) as u64, "after a quarter of the interval");
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_silent_and_a_goodbye_is_not() {
    let mut hall = Hall::new(Start::OnDemand);
    let (paused, over) = (Seat::new(), Seat::new());
    hall.watch(&paused).await;
    hall.watch(&over).await;
    hall.show([(true, 3000)]).await;
    hall.fanout.remove(paused.id, false);
    hall.fanout.remove(over.id, true);
    settle().await;
    hall.show([(false, 3000), (true, 3000)]).await;
    assert_eq!(paused.reports(), [(0, false)]);
    assert_eq!(over.reports(), [(0, false), (3, true)]);
    assert_eq!((paused.sent(), over.sent()), (3, 3));

    // PLAY again is a new viewer at the same ports.
    let again = Seat { id: ViewerId::next(), ..paused };
    hall.watch(&again).await;
    hall.show([(true, 3000)]).await;
    assert_eq!(again.reports(), [(9, false)]);
    assert_eq!(again.sent(), 3 + 3 + 3, "the young keyframe, and the next");
}

#[tokio::test(start_paused = true)]
async fn a_viewer_added_twice_gets_each_packet_once() {
    let mut hall = Hall::new(Start::OnDemand);
    let seat = Seat::new();
    hall.watch(&seat).await;
    hall.watch(&seat).await;
    hall.show([(true, 3000)]).await;
    assert_eq!(seat.rtp(0).len(), 3);
    hall.fanout.remove(seat.id, true);
    settle().await;
    hall.show([(true, 3000)]).await;
    assert_eq!(seat.sent(), 3);
    seat.assert_rtp_is_over();
}

/// TEARDOWN on another connection, while this one still writes the reply to its PLAY.
#[tokio::test(start_paused = true)]
async fn a_viewer_that_was_removed_before_it_was_added_never_starts() {
    let mut hall = Hall::new(Start::OnDemand);
    let (early, stranger) = (Seat::new(), Seat::new());
    hall.fanout.remove(early.id, true);
    hall.watch(&early).await;
    hall.watch(&stranger).await;
    hall.show([(true, 3000)]).await;
    assert_eq!((early.sent(), stranger.sent()), (0, 3));
    assert_eq!(early.reports(), []);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_of_a_stream_its_last_picture_is_sent_and_then_a_goodbye() {
    let mut hall = Hall::new(Start::OnDemand);
    let seat = Seat::new();
    hall.watch(&seat).await;
    hall.show([(true, 100)]).await;
    let before = seat.sent();
    let mut record = hall.record();
    hall.stream.publish(true, 300_000);
    let expected = record.packets().len() as u64 - before;
    let Hall { stream, task, .. } = hall;
    drop(stream.publisher);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(seat.reports(), [(0, false)], "not while pictures are being sent");
    assert!(seat.sent() - before < expected);
    task.await.unwrap();
    assert_eq!(seat.sent() - before, expected);
    assert_eq!(seat.reports(), [(222, true)]);
}

#[tokio::test(start_paused = true)]
async fn shutting_down_tells_all_viewers_and_needs_none() {
    let hall = Hall::new(Start::OnDemand);
    let seats = [Seat::new(), Seat::new()];
    for seat in &seats {
        hall.watch(seat).await;
    }
    hall.fanout.shut_down().await;
    for seat in &seats {
        assert_eq!(seat.reports(), [(0, false), (0, true)]);
    }
    hall.task.await.unwrap();
    // Again, of a task that is gone.
    hall.fanout.shut_down().await;

    let empty = Hall::new(Start::OnDemand);
    empty.fanout.shut_down().await;
    // Without handles there is nothing to do.
    let Hall { fanout, task, .. } = Hall::new(Start::OnDemand);
    drop(fanout);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whoever_is_gone_harms_nobody() {
    let mut hall = Hall::new(Start::OnDemand);
    let (here, gone) = (Seat::new(), Seat::new());
    hall.watch(&gone).await;
    hall.watch(&here).await;
    drop((gone.rtp, gone.rtcp));
    let mut record = hall.record();
    let mut packets = Vec::new();
    for number in 0..25 {
        hall.show([(number == 0, 40_000)]).await;
        packets.extend(here.rtp(packets.len()));
    }
    assert!(packets == record.packets());
    assert!(here.to_rtp.is_segmented());
    for counters in [&here.counters, &gone.counters] {
        assert_eq!(counters.refused.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn one_viewer_behind_a_narrow_link_costs_nobody_else_their_segments() {
    let test =
        "egress::fanout::tests::one_viewer_behind_a_narrow_link_costs_nobody_else_their_segments";
    let setup = "ip route replace local 127.0.0.3 dev lo table local mtu 600";
    in_namespace(test, setup).then(|| {
        virtual_time(async {
            let mut hall = Hall::new(Start::OnDemand);
            let (narrow, wide) = (Seat::at("127.0.0.3"), Seat::new());
            hall.watch(&narrow).await;
            hall.watch(&wide).await;
            let mut record = hall.record();
            let mut seen = 0;
            for number in 0..20 {
                hall.show([(number % 5 == 0, 50_000)]).await;
                let expected = record.packets();
                for seat in [&narrow, &wide] {
                    assert!(seat.rtp(seen) == expected);
                }
                seen += expected.len();
            }
            assert!(!narrow.to_rtp.is_segmented() && wide.to_rtp.is_segmented());
            assert_eq!(narrow.counters.refused.load(Ordering::Relaxed), 0);
        });
    });
}

/// The socket is shared: when it is full, everyone waits, and nobody loses anything.
#[test]
fn a_full_socket_is_waited_for_and_nothing_is_lost() {
    let test = "egress::fanout::tests::a_full_socket_is_waited_for_and_nothing_is_lost";
    // 80 Mbit/s, and a queue longer than the socket's buffer.
    let setup = "tc qdisc add dev lo root tbf rate 80mbit burst 70k limit 100m";
    in_namespace(test, setup).then(|| {
        real_time(async {
            let mut hall = Hall::new(Start::OnDemand);
            // An error about somebody gone must not make the waiting a spinning.
            let gone = Destination::new("127.0.0.1:9".parse().unwrap(), None);
            let pair = hall.ports.pair_for("127.0.0.1".parse().unwrap()).unwrap();
            assert_eq!(pair.rtp.send(&gone, b"hello", None), Sent::Whole);
            let seats = [Seat::new(), Seat::new(), Seat::new()];
            for seat in &seats {
                hall.watch(seat).await;
            }
            let mut record = hall.record();
            let readers = seats.map(|seat| {
                std::thread::spawn(move || {
                    let mut packets = Vec::new();
                    seat.rtp.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
                    packets.extend(std::iter::from_fn(|| datagram(&seat.rtp)));
                    assert_eq!(seat.counters.refused.load(Ordering::Relaxed), 0);
                    (packets, dropped_by_receiver(&seat.rtp))
                })
            });
            // 12 MB in all: the buffer holds 8 at the most.
            for number in 0..8 {
                hall.stream.publish(number == 0, 500_000);
            }
            let expected = record.packets();
            for reader in readers {
                let read = tokio::task::spawn_blocking(|| reader.join().unwrap()).await.unwrap();
                let (packets, dropped) = read;
                assert_eq!(packets.len() + dropped, expected.len());
                let mut rest = expected.iter();
                let is_next = |packet: &Vec<u8>| rest.by_ref().any(|expected| expected == packet);
                assert!(packets.iter().all(is_next), "another order, or another packet");
            }
        });
    });
}

/// How many datagrams came to `socket` when its buffer was full, because this machine had something
/// else to do than to read: these were sent.
fn dropped_by_receiver(socket: &UdpSocket) -> usize {
    let port = format!(":{:04X}", socket.local_addr().unwrap().port());
    let table = std::fs::read_to_string("/proc/self/net/udp").unwrap();
    let mut rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row.get(1).is_some_and(|local| local.ends_with(&port))).unwrap();
    row.last().unwrap().parse().unwrap()
}

fn real_time(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

fn virtual_time(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(test);
}
