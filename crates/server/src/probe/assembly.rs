//! From RTP packets to access units (RFC 6184 sections 5.4 to 5.8), as far as a measurement needs:
//! where pictures begin and end, whether they are whole, and the parameter sets among them. The
//! pictures themselves are counted and not kept.
//!
//! Pure, and it never gives up: a bad packet spoils its access unit and is counted.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use media::h264::NalType;
use smallvec::SmallVec;

use super::parameter_sets::first_slice_of_picture;

/// What of an RTP packet matters here.
#[derive(Copy, Clone, Debug)]
pub(super) struct Packet<'a> {
    pub(super) arrival: Duration,
    /// RTP timestamp, unwrapped.
    pub(super) timestamp: i64,
    pub(super) marker: bool,
    /// Whether packets are missing right before this one.
    pub(super) after_loss: bool,
    pub(super) payload: &'a [u8],
}

/// An access unit, or what is left of one.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) timestamp: i64,
    /// Arrival of the last packet.
    pub(super) arrival: Duration,
    /// Bytes of its NAL units, headers included.
    pub(super) bytes: u32,
    /// Whether it has any coded picture. Parameter sets may come alone.
    pub(super) picture: bool,
    /// Whether all of the picture is there.
    pub(super) whole: bool,
    /// For an IDR picture, the picture parameter set that its first slice refers to.
    pub(super) idr: Option<u32>,
    /// SPS and PPS NAL units, in order.
    pub(super) parameter_sets: SmallVec<[Bytes; 2]>,
}

/// Puts access units together. Feed with [`handle_packet`](Self::handle_packet), then take with
/// [`poll_unit`](Self::poll_unit) until there is none.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    open: Option<OpenUnit>,
    done: VecDeque<Unit>,
    malformed: u64,
    first_malformation: Option<&'static str>,
}

#[derive(Debug)]
struct OpenUnit {
    unit: Unit,
    /// Something within it is missing or unreadable.
    damaged: bool,
    /// A slice with macroblock 0 was seen: the picture's head is there.
    head: bool,
    /// The unit being put together from fragments.
    fragmented: Option<PartialNal>,
}

#[derive(Debug)]
struct PartialNal {
    kind: NalType,
    length: u32,
    /// The first bytes; all of them, up to a limit, for parameter sets.
    kept: Vec<u8>,
}

impl Assembler {
    pub(super) fn handle_packet(&mut self, packet: &Packet<'_>) {
        match &mut self.open {
            Some(open) if open.unit.timestamp != packet.timestamp => {
                // What was lost may have been the end of this one as well as the next one's head.
                open.damaged |= packet.after_loss;
                self.close();
            }
            Some(open) if packet.after_loss => {
                open.damaged = true;
                open.fragmented = None;
            }
            Some(_) | None => {}
        }
        let open = self.open.get_or_insert_with(|| OpenUnit::new(packet.timestamp));
        open.unit.arrival = packet.arrival;
        if let Err(reason) = open.handle_payload(packet.payload) {
            open.damaged = true;
            open.fragmented = None;
            // A fragment whose start was lost is a consequence, not a fault of its own.
            if let Some(reason) = reason {
                self.malformed += 1;
                self.first_malformation.get_or_insert(reason);
            }
        }
        if packet.marker {
            self.close();
        }
    }

    /// The next access unit that has ended: by the marker bit, or by a packet with another
    /// timestamp.
    pub(super) fn poll_unit(&mut self) -> Option<Unit> {
        self.done.pop_front()
    }

    /// How many packets did not follow RFC 6184, and what was wrong with the first.
    pub(super) fn malformed(&self) -> (u64, Option<&'static str>) {
        (self.malformed, self.first_malformation)
    }

    fn close(&mut self) {
        let Some(OpenUnit { mut unit, damaged, head, fragmented }) = self.open.take() else {
            return;
        };
        unit.whole = head && !damaged && fragmented.is_none();
        self.done.push_back(unit);
    }
}

/// A refused payload: what is wrong, or nothing when it is only the rest of something lost.
type Refusal = Option<&'static str>;

impl OpenUnit {
    fn new(timestamp: i64) -> Self {
        let unit = Unit {
            timestamp,
            arrival: Duration::ZERO,
            bytes: 0,
            picture: false,
            whole: false,
            idr: None,
            parameter_sets: SmallVec::new(),
        };
        Self { unit, damaged: false, head: false, fragmented: None }
    }

    fn handle_payload(&mut self, payload: &[u8]) -> Result<(), Refusal> {
        let Some((&header, rest)) = payload.split_first() else {
            return Err(Some("an RTP packet without payload"));
        };
        if header & 0x80 != 0 {
            return Err(Some("a NAL unit with the forbidden bit set"));
        }
        let kind = header & 0x1f;
        if self.fragmented.is_some() && kind != FU_A {
            self.damaged = true;
            self.fragmented = None;
        }
        match kind {
            0 => Err(Some("NAL unit type 0 (start codes have no place in RTP)")),
            1..=23 => {
                self.finish_nal(PartialNal::whole(payload));
                Ok(())
            }
            STAP_A => self.handle_aggregate(rest),
            FU_A => self.handle_fragment(header, rest),
            _ => Err(Some("a packet type that only interleaved mode has (packetization-mode=2)")),
        }
    }

    /// ```text
    ///  +---------------+------------------+------------+------------------+----
    ///  | STAP-A header | NAL unit 1 size  | NAL unit 1 | NAL unit 2 size  | …
    ///  +---------------+------------------+------------+------------------+----
    /// ```
    fn handle_aggregate(&mut self, mut rest: &[u8]) -> Result<(), Refusal> {
        while let Some((size, tail)) = rest.split_first_chunk::<2>() {
            let size = usize::from(u16::from_be_bytes(*size));
            let Some((nal, tail)) = tail.split_at_checked(size).filter(|(nal, _)| !nal.is_empty())
            else {
                return Err(Some("an aggregation packet with a wrong length inside"));
            };
            self.finish_nal(PartialNal::whole(nal));
            rest = tail;
        }
        if rest.is_empty() { Ok(()) } else { Err(Some("an aggregation packet with a byte left")) }
    }

    /// ```text
    ///   FU indicator      FU header
    ///  |F|NRI| 28      | |S|E|R|  Type  | fragment …
    /// ```
    fn handle_fragment(&mut self, indicator: u8, rest: &[u8]) -> Result<(), Refusal> {
        let Some((&header, fragment)) = rest.split_first() else {
            return Err(Some("a fragment without its header"));
        };
        let (start, end) = (header & 0x80 != 0, header & 0x40 != 0);
        if start {
            // The one before never ended.
            self.damaged |= self.fragmented.is_some();
            self.fragmented = Some(PartialNal::begin((indicator & 0xe0) | (header & 0x1f)));
        }
        let Some(nal) = &mut self.fragmented else { return Err(None) };
        nal.append(fragment);
        if end && let Some(nal) = self.fragmented.take() {
            self.finish_nal(nal);
        }
        Ok(())
    }

    fn finish_nal(&mut self, nal: PartialNal) {
        self.unit.bytes = self.unit.bytes.saturating_add(nal.length);
        match nal.kind {
            NalType::Sps | NalType::Pps
                if self.unit.parameter_sets.len() < MOST_PARAMETER_SETS
                    && nal.kept.len() == nal.length as usize =>
            {
                self.unit.parameter_sets.push(nal.kept.into());
            }
            kind if kind.is_vcl() => {
                self.unit.picture = true;
                if let Some(parameter_set) = first_slice_of_picture(&nal.kept) {
                    self.head = true;
                    if kind == NalType::Idr {
                        self.unit.idr = Some(parameter_set);
                    }
                }
            }
            _ => {}
        }
    }
}

impl PartialNal {
    fn begin(header: u8) -> Self {
        Self { kind: NalType::of(header), length: 1, kept: vec![header] }
    }

    /// `nal` is not empty.
    fn whole(nal: &[u8]) -> Self {
        let mut partial = Self::begin(nal[0]);
        partial.append(&nal[1..]);
        partial
    }

    fn append(&mut self, bytes: &[u8]) {
        let limit = match self.kind {
            NalType::Sps | NalType::Pps => LARGEST_PARAMETER_SET,
            _ => SLICE_HEADER,
        };
        let room = limit.saturating_sub(self.kept.len());
        self.kept.extend(&bytes[..bytes.len().min(room)]);
        self.length = self.length.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    }
}

/// RFC 6184 section 5.2: a single-time aggregation packet.
const STAP_A: u8 = 24;
/// RFC 6184 section 5.2: a fragmentation unit.
const FU_A: u8 = 28;

/// Kept of an SPS or PPS; a larger one (scaling lists take some hundred bytes) is not real.
const LARGEST_PARAMETER_SET: usize = 4096;
/// Parameter sets kept of one access unit: every id there is, SPS and PPS.
const MOST_PARAMETER_SETS: usize = 32 + 256;
/// Kept of a slice: three Exp-Golomb numbers of up to 32 bits, and emulation prevention bytes.
const SLICE_HEADER: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPS: &[u8] = &[0x67, 0x42, 0xc0, 0x1e, 0x8c];
    const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];
    /// first_mb_in_slice 0, slice_type 7, pic_parameter_set_id 0; then picture.
    const IDR: &[u8] = &[0x65, 0x88, 0x84, 0x11, 0x22, 0x33];
    /// The same of a picture that is not an IDR.
    const SLICE: &[u8] = &[0x41, 0x9a, 0x11];
    /// A slice that begins at macroblock 1.
    const SECOND_SLICE: &[u8] = &[0x41, 0x46, 0x11];

    #[derive(Default)]
    struct Script {
        assembler: Assembler,
        arrival: u64,
    }

    impl Script {
        fn packet(&mut self, timestamp: i64, flags: &str, payload: &[u8]) -> &mut Self {
            self.arrival += 1;
            self.assembler.handle_packet(&Packet {
                arrival: Duration::from_millis(self.arrival),
                timestamp,
                marker: flags.contains('m'),
                after_loss: flags.contains('l'),
                payload,
            });
            self
        }

        fn units(&mut self) -> Vec<Unit> {
            std::iter::from_fn(|| self.assembler.poll_unit()).collect()
        }
    }

    fn fragments(nal: &[u8], size: usize) -> Vec<Vec<u8>> {
        let pieces: Vec<&[u8]> = nal[1..].chunks(size).collect();
        let last = pieces.len() - 1;
        let packet = |(index, piece): (usize, &&[u8])| {
            let start = if index == 0 { 0x80 } else { 0 };
            let end = if index == last { 0x40 } else { 0 };
            let mut packet = vec![(nal[0] & 0xe0) | FU_A, start | end | (nal[0] & 0x1f)];
            packet.extend(*piece);
            packet
        };
        pieces.iter().enumerate().map(packet).collect()
    }

    fn aggregate(nals: &[&[u8]]) -> Vec<u8> {
        let mut packet = vec![0x60 | STAP_A];
        for nal in nals {
            packet.extend((nal.len() as u16).to_be_bytes());
            packet.extend(*nal);
        }
        packet
    }

    #[test]
    fn a_keyframe_in_an_aggregate_and_fragments() {
        let mut script = Script::default();
        script.packet(0, "", &aggregate(&[SPS, PPS]));
        let parts = fragments(IDR, 2);
        for (index, part) in parts.iter().enumerate() {
            script.packet(0, if index + 1 == parts.len() { "m" } else { "" }, part);
        }
        let units = script.units();
        let [unit] = &units[..] else { panic!("{units:?}") };
        assert!(unit.whole && unit.picture);
        assert_eq!(unit.idr, Some(0));
        assert_eq!(unit.parameter_sets[..], [Bytes::from_static(SPS), Bytes::from_static(PPS)]);
        assert_eq!(unit.bytes as usize, SPS.len() + PPS.len() + IDR.len());
        assert_eq!(unit.arrival, Duration::from_millis(4));
        assert_eq!(script.assembler.malformed(), (0, None));
    }

    #[test]
    fn without_marker_the_next_timestamp_ends_a_unit() {
        let mut script = Script::default();
        script.packet(0, "", IDR).packet(3000, "", SLICE);
        let units = script.units();
        assert_eq!(units.len(), 1);
        assert!(units[0].whole);
        assert_eq!(units[0].arrival, Duration::from_millis(1));
    }

    #[test]
    fn what_a_loss_spoils() {
        let [first, second] = &fragments(IDR, 3)[..] else { panic!() };
        let third: &[u8] = &[0x41, 0x9a];
        // (packets, whether each unit is whole)
        type Packets<'a> = &'a [(i64, &'a str, &'a [u8])];
        let cases: [(&str, Packets<'_>, &[bool]); 8] = [
            ("none", &[(0, "", first), (0, "m", second)], &[true]),
            ("within a fragmented unit", &[(0, "", first), (0, "lm", second)], &[false]),
            ("its first fragment", &[(0, "lm", second)], &[false]),
            ("its last fragment", &[(0, "", first), (9, "lm", third)], &[false, true]),
            ("between whole units", &[(0, "m", IDR), (9, "lm", third)], &[true, true]),
            ("the first of two slices", &[(0, "lm", SECOND_SLICE)], &[false]),
            ("between slices", &[(0, "", SLICE), (0, "lm", SECOND_SLICE)], &[false]),
            ("the marker's packet", &[(0, "", IDR), (9, "lm", third)], &[false, true]),
        ];
        for (what, packets, expected) in cases {
            let mut script = Script::default();
            for &(timestamp, flags, payload) in packets {
                script.packet(timestamp, flags, payload);
            }
            let whole: Vec<bool> = script.units().iter().map(|unit| unit.whole).collect();
            assert_eq!(whole, expected, "{what}");
            assert_eq!(script.assembler.malformed().0, 0, "{what}");
        }
    }

    #[test]
    fn faults_of_the_sender() {
        let fu = |header: u8, bytes: &[u8]| [&[0x7c, header], bytes].concat();
        let cases: [(&str, Vec<u8>, bool); 9] = [
            ("nothing", vec![], true),
            ("forbidden bit", vec![0xe5, 0x88], true),
            ("start code", vec![0, 0, 0, 1, 0x65], true),
            ("interleaved mode", vec![0x79, 0, 0], true),
            ("aggregate too long", vec![0x78, 0, 9, 0x67], true),
            ("aggregate with an empty unit", vec![0x78, 0, 0], true),
            ("aggregate with a byte left", vec![0x78, 0, 1, 0x67, 0], true),
            ("fragment without header", vec![0x7c], true),
            ("fragment without start", fu(0x05, &[1, 2]), false),
        ];
        for (what, payload, counted) in cases {
            let mut script = Script::default();
            script.packet(0, "m", &payload).packet(9, "m", IDR);
            let units = script.units();
            assert!(!units[0].whole && units[1].whole, "{what}: {units:?}");
            assert_eq!(script.assembler.malformed().0, u64::from(counted), "{what}");
        }
    }

    #[test]
    fn parameter_sets_alone_are_no_picture() {
        let mut script = Script::default();
        script.packet(0, "m", SPS).packet(0, "m", IDR);
        let units = script.units();
        assert!(!units[0].picture && units[0].parameter_sets.len() == 1);
        assert!(units[1].picture && units[1].whole);
    }

    #[test]
    fn endless_units_are_not_kept() {
        let mut script = Script::default();
        script.packet(0, "", &[0x7c, 0x85, 0x88, 0x84]);
        for _ in 0..10_000 {
            script.packet(0, "", &[&[0x7c, 0x05][..], &[0x55; 1000]].concat());
        }
        let kept = script.assembler.open.as_ref().unwrap().fragmented.as_ref().unwrap();
        assert_eq!((kept.kept.len(), kept.length), (SLICE_HEADER, 10_000_003));
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(
            packets in prop::collection::vec(
                (0i64..3, any::<bool>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..12)),
                0..40,
            ),
        ) {
            let mut assembler = Assembler::default();
            for (timestamp, marker, after_loss, payload) in &packets {
                assembler.handle_packet(&Packet {
                    arrival: Duration::ZERO,
                    timestamp: *timestamp,
                    marker: *marker,
                    after_loss: *after_loss,
                    payload,
                });
                while let Some(unit) = assembler.poll_unit() {
                    prop_assert!(unit.picture || !unit.whole);
                }
            }
        }
    }
}
