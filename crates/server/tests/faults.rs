//! A camera that fails in every way, a hundred times: who watches goes on, and nothing is left over.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use capture::v4l2::{Camera, Config};
use lenscast::{
    clock::SystemClock,
    entropy::Entropy,
    live::{
        Condition, Cursor, Mount, Picture,
        mount::{Identity, Start},
    },
    pipeline,
    supervision::{
        Policy,
        keeper::{Keeper, Recipe},
    },
};
use media::Clock;
use rtp_packetizer::{RtpTimestamp, Sequence, Ssrc};
use testkit::viewer::Process;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use v4l2::{
    Waker,
    fake::{self, Errors, Kernel, camera},
};

#[tokio::test]
async fn a_hundred_failures_leave_nothing_behind() {
    let house = House::new();
    let (stop, stopped) = watch::channel(false);
    let (nodes, appeared) = watch::channel(0);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (mount, publisher) = Mount::new(identity(), Start::OnDemand, clock.clone()).unwrap();
    let own = house.clone();
    let recipe =
        Recipe { source: Box::new(move || own.run(clock.clone())), card: None, layout: None };
    let policy =
        Policy { on_demand: true, linger: Duration::from_secs(1), retries: true, card_after: None };
    let (clock, entropy) = (Arc::new(SystemClock), Entropy::from_system());
    let keeper = Keeper::new(recipe, policy, publisher, clock, entropy);
    let task = tokio::spawn(keeper.run(appeared, stopped));

    let mut cursor = mount.join(SystemClock.now());
    let first = next_keyframe(&mount, &mut cursor).await;
    // What is allocated once is there by now.
    let before = Process::current().usage().unwrap();
    let mut starts = mount.health().borrow().starts;
    for round in 0..100 {
        house.fail(round);
        let mut health = mount.health();
        let failed = health.wait_for(|health| health.condition == Condition::Away);
        timeout(LIMIT, failed)
            .await
            .unwrap_or_else(|_| panic!("round {round}: it never failed"))
            .unwrap();
        house.mend(round);
        let picture = tokio::select! {
            picture = next_keyframe(&mount, &mut cursor) => picture,
            () = appear(&nodes) => unreachable!("it goes on for ever"),
        };
        assert!(picture.published > first.published);
        let health = mount.health().borrow().clone();
        assert!(health.starts > starts && health.panics == 0, "round {round}: {health:?}");
        starts = health.starts;
    }
    let after = Process::current().usage().unwrap();
    assert_eq!((before.descriptors, before.threads), (after.descriptors, after.threads));
    assert_eq!(house.kernel.complaints(), [""; 0]);

    drop(cursor);
    stop.send_replace(true);
    timeout(LIMIT, task).await.expect("it stops").expect("no panic");
    assert_eq!(house.kernel.open_files(), 0);
}

/// Where the camera is plugged in.
#[derive(Clone)]
struct House {
    kernel: Kernel,
    camera: Arc<Mutex<Plugged>>,
}

/// A camera, and its node.
struct Plugged {
    camera: fake::Camera,
    node: String,
}

impl House {
    fn new() -> Self {
        let kernel = Kernel::new();
        let plugged = plug(&kernel, 0);
        Self { kernel, camera: Arc::new(Mutex::new(plugged)) }
    }

    fn run(&self, clock: Arc<dyn Clock>) -> pipeline::Config {
        let waker = Waker::new().ok();
        let (kernel, plugged, own) = (self.kernel.clone(), self.camera.clone(), waker.clone());
        pipeline::Config {
            open: Box::new(move || {
                let node = plugged.lock().unwrap().node.clone();
                let config = Config { waker: own, ..Config::default() };
                Ok(Box::new(Camera::start(kernel.open(node)?, config, clock)?))
            }),
            encoding: Some(Box::new(|layout, rate| encode::Config::new(layout, rate, 300_000, 30))),
            encoder: encode::Choice::Openh264,
            wake: Some(Box::new(move || waker.iter().for_each(Waker::wake))),
        }
    }

    /// In a way of its own in each round.
    fn fail(&self, round: usize) {
        let camera = &self.camera.lock().unwrap().camera;
        let (name, error) = match round % WAYS {
            0 => return camera.unplug(),
            1 => return camera.stall(),
            2 => ("VIDIOC_QBUF", rustix::io::Errno::IO),
            3 => ("VIDIOC_DQBUF", rustix::io::Errno::NODEV),
            _ => {
                // It comes back, and does not start.
                let request = ["VIDIOC_REQBUFS", "VIDIOC_STREAMON", "VIDIOC_S_FMT"][round % 3];
                let error = rustix::io::Errno::BUSY;
                camera.fail(request, Errors { after: 0, times: 1, error });
                ("VIDIOC_DQBUF", rustix::io::Errno::IO)
            }
        };
        camera.fail(name, Errors { after: 0, times: 1, error });
    }

    fn mend(&self, round: usize) {
        if round % WAYS <= 1 {
            let mut plugged = self.camera.lock().unwrap();
            plugged.camera.unplug();
            *plugged = plug(&self.kernel, round + 1);
        }
    }
}

fn plug(kernel: &Kernel, number: usize) -> Plugged {
    let node = format!("/dev/video{number}");
    let size = v4l2::Size { width: 320, height: 240 };
    let mut config = camera::Config::default();
    config.modes[0].sizes = v4l2::Sizes::Discrete(vec![size]);
    let camera = kernel.add_camera(&node, config);
    camera.always(|count, _| {
        // About as fast as a camera; the stand-in does not wait by itself.
        std::thread::sleep(Duration::from_millis(5));
        camera::Picture::of(vec![count as u8; 320 * 240 * 2])
    });
    Plugged { camera, node }
}

fn identity() -> Identity {
    Identity {
        name: "cam".to_owned(),
        users: None,
        ssrc: Ssrc(1),
        first_sequence: Sequence(100),
        first_timestamp: RtpTimestamp(9_000),
        cname: "tests@lenscast".to_owned(),
        packet_size: 1372,
    }
}

/// The kernel's directory of devices changes, and again: who waits for it tries at once.
async fn appear(nodes: &watch::Sender<u64>) {
    loop {
        nodes.send_modify(|count| *count += 1);
        sleep(Duration::from_millis(20)).await;
    }
}

/// The next keyframe that is published from now on.
async fn next_keyframe(mount: &Mount, cursor: &mut Cursor) -> Arc<Picture> {
    let now = SystemClock.now();
    let mut published = mount.subscribe();
    let read = async {
        loop {
            published.mark_unchanged();
            while let Some(delivery) = mount.read(cursor) {
                if delivery.entry.batch.is_keyframe() && delivery.entry.published >= now {
                    return delivery.entry;
                }
            }
            published.changed().await.expect("the mount lives");
        }
    };
    timeout(LIMIT, read).await.expect("a keyframe comes in time")
}

const WAYS: usize = 5;
const LIMIT: Duration = Duration::from_secs(20);
