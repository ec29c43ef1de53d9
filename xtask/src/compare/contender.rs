//! Who sends.

use clap::ValueEnum;

use super::Transport;

/// Who sends.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Contender {
    /// A bare loop, one call for each viewer and run of packets: what all others are held against
    Floor,
    Lenscast,
    /// A bare loop with as few calls, or as little in each, as there is a way to
    LowerFloor,
    /// gst-rtsp-server, as Debian has it, driven by Python
    Gst,
}

impl Contender {
    /// In the order of their turns.
    pub(crate) const ALL: [Self; 4] = [Self::Floor, Self::Lenscast, Self::LowerFloor, Self::Gst];
    /// In the order of the table.
    pub(crate) const ROWS: [Self; 4] = [Self::Floor, Self::LowerFloor, Self::Lenscast, Self::Gst];

    pub(crate) fn name(self, transport: Transport) -> &'static str {
        match (self, transport) {
            (Self::Lenscast, _) => "lenscast",
            (Self::Gst, _) => "gst-rtsp-server",
            (Self::Floor, Transport::Udp) => "floor: sendmsg, segmented",
            (Self::LowerFloor, Transport::Udp) => "floor: sendmmsg, segmented",
            (Self::Floor, Transport::Tcp) => "floor: writev",
            (Self::LowerFloor, Transport::Tcp) => "floor: write, contiguous",
        }
    }

    /// The turns of one round: nobody always comes first, or after the same one.
    pub(crate) fn turns(contenders: &[Self], round: usize) -> Vec<Self> {
        let mut turns = contenders.to_vec();
        if let Some(half) = round.checked_div(2).filter(|_| !turns.is_empty()) {
            let length = turns.len();
            turns.rotate_left(half % length);
        }
        if round % 2 == 1 {
            turns.reverse();
        }
        turns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_has_one_turn_in_each_round_and_is_first_at_times() {
        let rounds: Vec<_> = (0..8).map(|round| Contender::turns(&Contender::ALL, round)).collect();
        for contender in Contender::ALL {
            for turns in &rounds {
                assert_eq!(turns.iter().filter(|turn| **turn == contender).count(), 1);
            }
            assert!(rounds.iter().any(|turns| turns[0] == contender), "{contender:?}");
        }
        assert_ne!(rounds[0], rounds[1]);
        assert!(Contender::turns(&[], 3).is_empty());
    }
}
