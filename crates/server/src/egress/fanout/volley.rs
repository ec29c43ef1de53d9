//! Sends to several viewers at once.
//!
//! Viewers that keep up are all to get the same packets at the same time: one call of the kernel
//! carries them to all of these. Each still has its own position and pace, and what cannot go to one
//! of them holds up that one alone.

use media::{Clock, MediaTime};
use smallvec::SmallVec;
use tokio::time::sleep;

use super::{
    PACE,
    active::{Active, Progress},
};
use crate::{
    egress::udp::{AT_ONCE, Parcel, Ports, Sent},
    live::Mount,
};

/// Numbers of viewers.
type Numbers = SmallVec<[usize; AT_ONCE]>;

/// Sends whatever may be sent to `viewers` now, of whom there are [`AT_ONCE`] at most, as a rule.
/// Says when to come back for the rest.
pub(super) async fn serve(
    viewers: &mut [Active],
    mount: &Mount,
    ports: &Ports,
    clock: &dyn Clock,
) -> Option<MediaTime> {
    let mut wake: Option<MediaTime> = None;
    let mut open: Numbers = (0..viewers.len()).collect();
    let mut now = clock.now();
    open.retain(|&mut number| goes_on(viewers[number].prepare(mount, now), &mut wake));
    while !open.is_empty() {
        let mut left = std::mem::take(&mut open);
        while let Some(group) = take_group(viewers, &mut left) {
            let mut done = 0;
            while done < group.len() {
                let (whole, otherwise) = send(viewers, &group[done..], ports);
                now = clock.now();
                let whole = group[done..done + whole].iter().map(|&number| (number, Sent::Whole));
                let next = group.get(done + whole.len()).copied();
                // When the socket is full, that one is tried again.
                let otherwise = next.zip(otherwise).filter(|(_, sent)| *sent != Sent::Full);
                for (number, sent) in whole.chain(otherwise) {
                    done += 1;
                    let progress = match viewers[number].sent(sent, now) {
                        Progress::Ready => viewers[number].prepare(mount, now),
                        pause => pause,
                    };
                    if goes_on(progress, &mut wake) {
                        open.push(number);
                    }
                }
                if done < group.len() && otherwise.is_none() {
                    // A millisecond empties no more than a part of the buffer, so no bandwidth is
                    // lost.
                    sleep(PACE).await;
                }
            }
        }
    }
    wake
}

/// Whether a viewer may be sent more now; if not, when it may.
fn goes_on(progress: Progress, wake: &mut Option<MediaTime>) -> bool {
    match progress {
        Progress::Ready => return true,
        Progress::Idle => {}
        Progress::Wait(at) => *wake = Some(wake.map_or(at, |sooner| sooner.min(at))),
    }
    false
}

/// Takes those out of `left` whose parcels go with that of the first; `None` when nobody is left.
fn take_group(viewers: &[Active], left: &mut Numbers) -> Option<Numbers> {
    let first = loop {
        let number = *left.first()?;
        match viewers[number].parcel() {
            Some(first) => break first,
            None => left.remove(0),
        };
    };
    let mut group = Numbers::new();
    left.retain(|&mut number| {
        let goes = viewers[number].parcel().is_some_and(|parcel| parcel.goes_with(&first));
        if goes {
            group.push(number);
        }
        !goes
    });
    Some(group)
}

/// One call, as a rule, for all of a group.
fn send(viewers: &[Active], group: &[usize], ports: &Ports) -> (usize, Option<Sent>) {
    let parcels: SmallVec<[Parcel<'_>; AT_ONCE]> =
        group.iter().filter_map(|&number| viewers[number].parcel()).collect();
    let pair = parcels.first().and_then(|first| ports.pair_for(first.to.peer().ip()));
    match pair {
        Some(pair) => pair.rtp.send_all(&parcels),
        // There is no way to any of them.
        None => (0, Some(Sent::Lost(nix::errno::Errno::EAFNOSUPPORT))),
    }
}
