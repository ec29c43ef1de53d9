//! The fan-out as it runs in the server: a picture is published, a task wakes up, and all UDP viewers
//! have it. The difference to `egress/udp` is what the server itself costs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use benches::pictures::{INTERVAL, SMALL, batch, inter, keyframe};
use criterion::{BenchmarkId, Criterion, Throughput};
use lenscast::{
    egress::{
        fanout::{Counters, Fanout, Viewer, ViewerId},
        udp::Ports,
    },
    entropy::Entropy,
    live::mount::{Identity, Mount, Start},
};
use media::{Clock, MediaTime, WallTime};
use rtp_packetizer::{RtpTimestamp, Sequence, Ssrc};

use crate::egress::{Seat, runtime};

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fanout");
    for (name, size) in [("4 KB", SMALL), ("17 KB", 17_000)] {
        for viewers in [1, 64] {
            group.throughput(Throughput::Elements(viewers as u64));
            group.bench_function(BenchmarkId::new(name, viewers), |bencher| {
                bencher.iter_custom(|iterations| {
                    runtime().block_on(publish(size, viewers, iterations))
                });
            });
        }
    }
    group.finish();
}

/// Publishes so many pictures, one after the other; how long it took until all had each.
async fn publish(size: usize, viewers: usize, pictures: u64) -> Duration {
    let clock = Arc::new(Steps::default());
    let identity = Identity {
        name: "cam".to_owned(),
        users: None,
        ssrc: Ssrc(1),
        first_sequence: Sequence(0),
        first_timestamp: RtpTimestamp(0),
        cname: "benches".to_owned(),
        packet_size: 1372,
    };
    let (mount, mut publisher) =
        Mount::new(identity, Start::OnDemand, clock.clone()).expect("a good packet size");
    let ports =
        Arc::new(Ports::bind(&["127.0.0.1".parse().expect("an address")], 0).expect("ports"));
    let entropy = Entropy::new(|bytes| bytes.fill(0x80));
    let (fanout, task) = Fanout::spawn(Arc::clone(&mount), ports, clock.clone(), entropy);

    let seats: Vec<(Seat, Seat, Arc<Counters>)> =
        (0..viewers).map(|_| (Seat::new(), Seat::new(), Arc::default())).collect();
    for (rtp, rtcp, counters) in &seats {
        fanout.add(Viewer {
            id: ViewerId::next(),
            rtp: Arc::clone(&rtp.destination),
            rtcp: Arc::clone(&rtcp.destination),
            first: None,
            cursor: mount.join(clock.now()),
            counters: Arc::clone(counters),
        });
    }
    publisher.publish(&keyframe(SMALL));
    let first = sent(&seats[0].2).await;
    let picture = inter(size);
    let each = u64::try_from(batch(&picture).packet_count()).unwrap_or(u64::MAX);

    let mut took = Duration::ZERO;
    for number in 1..=pictures {
        for (rtp, rtcp, _) in &seats {
            rtp.drain();
            rtcp.drain();
        }
        clock.step();
        let begin = Instant::now();
        publisher.publish(&picture);
        for (_, _, counters) in &seats {
            while counters.packets.load(Ordering::Relaxed) < first + each * number {
                tokio::task::yield_now().await;
            }
        }
        took += begin.elapsed();
    }
    fanout.shut_down().await;
    task.await.expect("the fan-out does not panic");
    took
}

/// Waits for the first picture; how many packets it was.
async fn sent(counters: &Counters) -> u64 {
    loop {
        match counters.packets.load(Ordering::Relaxed) {
            0 => tokio::task::yield_now().await,
            packets => return packets,
        }
    }
}

/// A clock that shows the time of the picture, however fast pictures follow: the pacer sees them at
/// their rate.
#[derive(Debug, Default)]
struct Steps(AtomicU64);

impl Steps {
    fn step(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Clock for Steps {
    fn now(&self) -> MediaTime {
        let step = u32::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        MediaTime::from_nanos(1_000_000_000) + INTERVAL * step
    }

    fn wall(&self) -> WallTime {
        WallTime::from_unix_nanos(1_700_000_000_000_000_000)
    }

    fn sleep_until(&self, _: MediaTime) {}
}
