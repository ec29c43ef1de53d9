//! The one that brings a mount its pictures, and outlives the runs of a source.

use std::{fmt, sync::Arc, time::Duration};

use media::{AccessUnit, Clock, FrameRate, MediaTime, h264::ParameterSets};
use rtp_packetizer::h264::Packetizer;
use tracing::{debug, info};

use super::{
    mount::{ASSUMED_INTERVAL, Announcement, Mount, Pace, Picture, Stage, Start},
    stages::{Stamps, Step, Typical},
};

/// The one that brings a mount its pictures. Publishing never waits for a viewer. Dropping it ends
/// the mount.
pub struct Publisher {
    mount: Arc<Mount>,
    packetizer: Packetizer,
    clock: Arc<dyn Clock>,
    rate: Option<FrameRate>,
    bitrate: Option<u32>,
    version: u64,
    /// Where viewers start as long as no run says otherwise.
    start: Start,
    /// What was said last, be the stream dark by now.
    announced: Option<Arc<Announcement>>,
    /// The source has just begun: what comes before its first keyframe cannot be decoded.
    awaits_keyframe: bool,
    /// The newest time that a picture was published with.
    newest: Option<MediaTime>,
    /// No picture of this run is published with a time up to this.
    floor: Option<MediaTime>,
}

impl Publisher {
    /// The only one of this mount, which has packets of the packetizer alone.
    pub(super) fn new(
        mount: Arc<Mount>,
        packetizer: Packetizer,
        clock: Arc<dyn Clock>,
        start: Start,
    ) -> Self {
        Self {
            mount,
            packetizer,
            clock,
            rate: None,
            bitrate: None,
            version: 0,
            start,
            announced: None,
            awaits_keyframe: true,
            newest: None,
            floor: None,
        }
    }

    /// The mount published to.
    pub fn mount(&self) -> &Arc<Mount> {
        &self.mount
    }

    /// Says what is known of the stream beforehand. With parameter sets, clients can be answered
    /// before the first picture.
    pub fn announce(
        &mut self,
        parameter_sets: Option<ParameterSets>,
        rate: Option<FrameRate>,
        bitrate: Option<u32>,
    ) {
        self.rate = rate;
        self.bitrate = bitrate;
        let interval = rate.map_or(ASSUMED_INTERVAL, FrameRate::interval);
        self.mount.set_pace(Pace { interval, bitrate });
        let is_known = parameter_sets.is_some();
        if let Some(sets) = parameter_sets {
            self.packetizer.set_parameter_sets(sets);
        }
        // Sets of another run may not be those of this one.
        if is_known || !self.awaits_keyframe {
            self.refresh_announcement();
        }
    }

    /// Says that keyframes can be had on demand after all, until the next interruption: a camera
    /// tells only when it is open whether its pictures are encoded here.
    pub fn start_on_demand(&self) {
        self.mount.set_start(Start::OnDemand);
    }

    /// What was announced last, be the stream dark by now.
    pub fn announced(&self) -> Option<&Announcement> {
        self.announced.as_deref()
    }

    /// The source does not run any more, and may come back. Viewers stay, and go on with the
    /// keyframe that it begins with then.
    pub fn interrupt(&mut self) {
        self.awaits_keyframe = true;
        self.floor = self.newest;
        self.mount.forget_keyframe();
        self.mount.set_start(self.start);
        self.mount.set_stage(Stage::Dark);
    }

    /// Packetizes a picture that came encoded, just now, and hands it to everyone who watches.
    pub fn publish(&mut self, unit: &AccessUnit) {
        self.publish_encoded(unit, &Stamps::of_encoded(self.clock.now()));
    }

    /// Packetizes a picture and hands it to everyone who watches. `stamps` say what became of it
    /// before.
    pub fn publish_encoded(&mut self, unit: &AccessUnit, stamps: &Stamps) {
        if self.awaits_keyframe && !unit.is_keyframe() {
            return;
        }
        self.awaits_keyframe = false;
        let time = self.lift(unit.time());
        let timestamp = self.mount.rtp_clock().timestamp(time);
        let Some(batch) = self.packetizer.packetize(unit, timestamp) else { return };
        if batch.is_keyframe() {
            self.refresh_announcement();
        }
        let published = self.clock.now();
        let past = self.mount.stages().published(unit.time(), stamps, published);
        if batch.is_keyframe() {
            self.mount.vitals().note_keyframe();
        }
        self.mount.push(Picture { batch, published, past }, self.packetizer.totals());
    }

    /// Time runs on from run to run, though the first pictures of one may have been taken while the
    /// last of another were still shown, and drivers' clocks differ.
    fn lift(&mut self, time: MediaTime) -> MediaTime {
        let time = match self.floor {
            Some(floor) if time <= floor && floor.saturating_since(time) < LONGEST_LIFT => {
                let lifted = floor + LEAST_STEP;
                self.floor = Some(lifted);
                lifted
            }
            _ => time,
        };
        self.newest = self.newest.max(Some(time));
        time
    }

    fn refresh_announcement(&mut self) {
        let Some(sets) = self.packetizer.parameter_sets() else { return };
        let same = self.announced.as_ref().filter(|known| {
            known.parameter_sets == *sets
                && (known.rate, known.bitrate) == (self.rate, self.bitrate)
        });
        let announcement = match same {
            Some(_) if matches!(*self.mount.stage().borrow(), Stage::Live(_)) => return,
            // The same again after an interruption.
            Some(known) => Arc::clone(known),
            None => {
                self.version += 1;
                debug!(mount = self.mount.name(), version = self.version, "new parameter sets");
                Arc::new(Announcement {
                    parameter_sets: sets.clone(),
                    rate: self.rate,
                    bitrate: self.bitrate,
                    version: self.version,
                })
            }
        };
        self.announced = Some(Arc::clone(&announcement));
        self.mount.set_stage(Stage::Live(announcement));
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("mount", &self.mount.name()).finish_non_exhaustive()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let stages = self.mount.stages();
        info!(
            pictures = stages.of(Step::Packetize).count(),
            delay_beyond_capture_and_encoding = %Typical(stages.of(Step::Added)),
            %stages,
            "stream closed"
        );
        self.mount.set_stage(Stage::Ended);
    }
}

/// A time that lies further back is of another clock: holding it up would hold all that follow.
const LONGEST_LIFT: Duration = Duration::from_secs(1);
/// Between pictures whose times would go back: recorders count in milliseconds.
const LEAST_STEP: Duration = Duration::from_millis(1);
