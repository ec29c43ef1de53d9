//! A source that makes up its pictures: valid parameter sets, and slices of which only the first
//! byte means anything. 25 pictures a second, a keyframe each second or when one is asked for.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use lenscast::live::{Mount, Publisher, mount::Start};
use media::{AccessUnit, Clock, FrameRate, MediaTime, h264::ParameterSets};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// How a source behaves.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where viewers start.
    pub start: Start,
    /// When the first picture comes. `None`: never.
    pub begins: Option<Duration>,
    /// Whether the parameter sets are known before the first picture.
    pub announced: bool,
    /// Pictures from one keyframe to the next.
    pub gop: u64,
    /// Bytes of a keyframe.
    pub keyframe: usize,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            start: Start::OnDemand,
            begins: Some(Duration::ZERO),
            announced: false,
            gop: 25,
            keyframe: 4000,
        }
    }
}

/// A source that runs.
pub struct Handle {
    mount: Arc<Mount>,
    state: watch::Sender<State>,
    task: JoinHandle<()>,
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum State {
    Running,
    /// No pictures, for now.
    Paused,
    Ended,
}

impl Handle {
    pub fn mount(&self) -> &Arc<Mount> {
        &self.mount
    }

    pub fn pause(&self) {
        self.state.send_replace(State::Paused);
    }

    pub fn go_on(&self) {
        self.state.send_replace(State::Running);
    }

    /// Ends the stream.
    pub fn end(&self) {
        self.state.send_replace(State::Ended);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Publishes until told to end.
pub fn run(source: &Source, mut publisher: Publisher, clock: Arc<dyn Clock>) -> Handle {
    let (state, mut changes) = watch::channel(State::Running);
    let mount = Arc::clone(publisher.mount());
    let sets = source.announced.then(parameter_sets);
    publisher.announce(sets, FrameRate::new(25, 1), Some(1_000_000));
    let source = source.clone();
    let task = tokio::spawn(async move {
        let began = Instant::now();
        let ended = |state: &State| *state == State::Ended;
        let Some(delay) = source.begins else {
            let _ = changes.wait_for(ended).await;
            return;
        };
        let mut since_keyframe = u64::MAX;
        for number in 0.. {
            let due = began + delay + INTERVAL * number;
            tokio::select! {
                _ = changes.wait_for(ended) => return,
                () = sleep_until(due) => {}
            }
            if *changes.borrow() == State::Paused {
                continue;
            }
            let now = clock.now();
            since_keyframe = since_keyframe.saturating_add(1);
            let wanted = publisher.mount().take_keyframe_request(now);
            if wanted || since_keyframe >= source.gop {
                since_keyframe = 0;
                publisher.publish(&keyframe(source.keyframe, now));
            } else {
                publisher.publish(&predicted(now));
            }
        }
    });
    Handle { mount, state, task }
}

/// An IDR picture with its parameter sets, the slice of about `size` bytes.
pub fn keyframe(size: usize, time: MediaTime) -> AccessUnit {
    let slice = [&[0x65, 0x88][..], &vec![0xaa; size]].concat();
    unit(&[SPS, PPS, &slice], time)
}

/// Any other picture, small enough for one packet.
pub fn predicted(time: MediaTime) -> AccessUnit {
    let slice = [&[0x41, 0x9a][..], &[0x55; 200]].concat();
    unit(&[&slice], time)
}

fn unit(nals: &[&[u8]], time: MediaTime) -> AccessUnit {
    let stream: Vec<u8> = nals.iter().flat_map(|nal| [&[0, 0, 0, 1], *nal].concat()).collect();
    AccessUnit::from_annexb(stream.into(), time)
}

fn parameter_sets() -> ParameterSets {
    ParameterSets::new(Bytes::from_static(SPS), [Bytes::from_static(PPS)]).expect("valid sets")
}

const INTERVAL: Duration = Duration::from_millis(40);
/// 640x480, Constrained Baseline, level 3.0.
const SPS: &[u8] =
    &[0x67, 0x42, 0xc0, 0x1e, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a];
const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];
