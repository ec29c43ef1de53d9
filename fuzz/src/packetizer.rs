//! H.264 into RTP and back: whatever NAL units come in pictures, at whatever packet size, our strict
//! depacketizer, that of the `rtp` crate and retina's get what went in, less what is not sent and
//! with parameter sets before keyframes; and every promise of a batch of packets holds.
//!
//! Input: two bytes of packet size, one of options, two of the first sequence number; then NAL
//! units, of which each begins with a byte of options and two of length.

use bytes::Bytes;
use media::{
    AccessUnit, MediaTime,
    h264::{NalType, ParameterSets},
};
use rtp::packetizer::Depacketizer as _;
use rtp_packetizer::{
    PacketBatch, RtpTimestamp, Sequence, Ssrc,
    h264::{
        Config, Packetizer,
        packetizer::{MAX_PACKET_SIZE, MIN_PACKET_SIZE},
    },
};
use testkit::{depacketizer::Depacketizer, retina::Retina};

use crate::{chunks::next, input::Input};

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let size = usize::from(input.short());
    let options = input.byte();
    let config = Config {
        payload_type: 96 + (options & 31),
        ssrc: Ssrc(0x0102_0304),
        first_sequence: Sequence(input.short()),
        packet_size: if options & 32 == 0 { MIN_PACKET_SIZE + size % 200 } else { size },
    };
    let is_possible = (MIN_PACKET_SIZE..=MAX_PACKET_SIZE).contains(&config.packet_size);
    let Ok(packetizer) = Packetizer::new(config) else { return assert!(!is_possible) };
    assert!(is_possible);
    let mut path = Path::new(config, packetizer, options & 64 != 0);
    for _ in 0..MOST_UNITS {
        let nals = picture(&mut input);
        if nals.is_empty() {
            break;
        }
        path.send(&nals);
    }
}

/// The NAL units of one picture: up to the first that is the last of one.
fn picture(input: &mut Input<'_>) -> Vec<Vec<u8>> {
    let mut nals = Vec::new();
    while !input.is_empty() && nals.len() < MOST_NALS {
        let options = input.byte();
        let length = input.short();
        nals.push(nal(options, usize::from(length), input));
        if options & 1 == 1 {
            break;
        }
    }
    nals.retain(|nal: &Vec<u8>| !nal.is_empty());
    nals
}

/// Bytes of the input, or as many that are made up, or parameter sets that can be read.
fn nal(options: u8, length: usize, input: &mut Input<'_>) -> Vec<u8> {
    let mut nal = match options >> 1 & 7 {
        0..=3 => input.bytes(length).to_vec(),
        4 | 5 => {
            let mut state = u64::from(input.byte());
            let noise = std::iter::repeat_with(|| {
                let word = next(&mut state);
                if word & 0x300 == 0 { 0 } else { word.to_le_bytes()[0] }
            });
            [input.byte()].into_iter().chain(noise.take(length)).collect()
        }
        6 => SPS.to_vec(),
        _ => PPS.to_vec(),
    };
    // Zeros at the end belong to no unit (H.264 7.4.1).
    nal.truncate(nal.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1));
    nal
}

/// The packetizer, and all who take from it what it makes.
struct Path {
    config: Config,
    packetizer: Packetizer,
    ours: Depacketizer,
    rtp: rtp::codecs::h264::H264Packet,
    /// Until it meets what it is known to take otherwise.
    retina: Option<Retina>,
    sent: u32,
    packets: u32,
    octets: u32,
    sequence: Sequence,
}

impl Path {
    fn new(config: Config, mut packetizer: Packetizer, with_sets: bool) -> Self {
        if with_sets {
            let sets = ParameterSets::new(Bytes::from_static(SPS), [Bytes::from_static(PPS)]);
            packetizer.set_parameter_sets(sets.expect("valid sets"));
        }
        let mut rtp = rtp::codecs::h264::H264Packet::default();
        rtp.is_avc = true;
        Self {
            config,
            packetizer,
            ours: Depacketizer::new(),
            rtp,
            retina: with_sets.then(|| Retina::new(None).expect("H.264 is known")),
            sent: 0,
            packets: 0,
            octets: 0,
            sequence: config.first_sequence,
        }
    }

    fn send(&mut self, nals: &[Vec<u8>]) {
        let mut data = Vec::new();
        for nal in nals {
            data.extend(u32::try_from(nal.len()).expect("16 bits").to_be_bytes());
            data.extend(nal);
        }
        let unit = AccessUnit::from_length_prefixed(data.into(), 4, MediaTime::ZERO);
        let unit = unit.expect("right lengths");
        let timestamp = RtpTimestamp(u32::MAX - 4000).after(3000 * self.sent);
        self.sent += 1;
        let kept: Vec<&[u8]> = nals.iter().map(|nal| &nal[..]).filter(|nal| is_sent(nal)).collect();
        let Some(batch) = self.packetizer.packetize(&unit, timestamp) else {
            assert!(kept.is_empty(), "nothing is made of {}", kept.len());
            return assert_eq!(self.packetizer.next_sequence(), self.sequence);
        };
        assert!(!kept.is_empty());
        self.promises(&batch, timestamp);
        let arrived = self.receive(&batch, timestamp);
        self.is_what_was_sent(&arrived, &kept);
        self.rtp_crate(&batch, &arrived);
        // Nor does it give what has no picture, or ends in what belongs before one.
        let has_picture = arrived.iter().any(|nal| NalType::of(nal[0]).is_vcl());
        let ends = arrived.last().is_some_and(|nal| !matches!(nal[0] & 0x1f, 6..=8));
        if !has_picture || !ends || arrived.iter().any(|nal| !retina_takes(nal)) {
            self.retina = None;
        }
        if let Some(retina) = &mut self.retina {
            let pictures = arrived.iter().filter(|nal| !is_parameter_set(nal)).map(Vec::as_slice);
            let pictures = length_prefixed(pictures);
            match retina.frame(&batch) {
                Ok(frame) => assert_eq!(frame.data(), pictures, "retina has something else"),
                Err(error) => panic!("retina: {error}"),
            }
        }
    }

    fn promises(&mut self, batch: &PacketBatch, timestamp: RtpTimestamp) {
        assert_eq!((batch.first_sequence(), batch.timestamp()), (self.sequence, timestamp));
        let octets: usize = batch.packets().map(|packet| packet.len() - 12).sum();
        assert_eq!(batch.octets() as usize, octets);
        let count = batch.packet_count();
        assert_eq!(batch.packets().count(), count);
        self.packets = self.packets.wrapping_add(u32::try_from(count).expect("few"));
        self.octets = self.octets.wrapping_add(batch.octets());
        self.sequence = self.sequence.after(count);
        assert_eq!(self.packetizer.next_sequence(), self.sequence);
        let totals = self.packetizer.totals();
        assert_eq!((totals.packets, totals.octets), (self.packets, self.octets));

        let mut image = &batch.interleaved()[..];
        for packet in batch.packets() {
            assert!(packet.len() <= self.config.packet_size);
            let (header, rest) = image.split_at(4);
            let length = u16::try_from(packet.len()).expect("it fits").to_be_bytes();
            assert_eq!(header, [b'$', 0, length[0], length[1]]);
            assert!(rest.starts_with(packet));
            image = &rest[packet.len()..];
        }
        assert!(image.is_empty());

        for (segments, bytes) in [(64, 65_507), (2, usize::MAX), (usize::MAX, 3000), (0, 0)] {
            let mut next = 0;
            for run in batch.runs(0, segments, bytes) {
                assert_eq!(run.packets.start, next);
                let packets: Vec<&[u8]> =
                    run.packets.clone().map(|at| batch.packet(at).expect("a packet")).collect();
                let (last, others) = packets.split_last().expect("no run is empty");
                assert!(others.iter().all(|packet| packet.len() == run.segment_size));
                assert!(last.len() <= run.segment_size);
                assert!(others.is_empty() || packets.len() <= segments);
                assert!(others.is_empty() || run.bytes.len() <= bytes);
                assert_eq!(batch.bytes()[run.bytes.clone()], packets.concat());
                next = run.packets.end;
            }
            assert_eq!(next, count);
        }
    }

    /// What our own, strict depacketizer gets.
    fn receive(&mut self, batch: &PacketBatch, timestamp: RtpTimestamp) -> Vec<Vec<u8>> {
        let mut arrived = None;
        for packet in batch.packets() {
            assert!(arrived.is_none(), "packets behind the last");
            arrived = self.ours.push(packet).unwrap_or_else(|defect| panic!("{defect}"));
        }
        let arrived = arrived.expect("a whole picture");
        assert_eq!((arrived.timestamp, arrived.packets), (timestamp, batch.packet_count()));
        assert_eq!(arrived.is_keyframe(), batch.is_keyframe());
        arrived.nals
    }

    /// All that was to be sent, in its order; nothing beside it but parameter sets, and those
    /// stand before an IDR picture when they are known.
    fn is_what_was_sent(&self, arrived: &[Vec<u8>], kept: &[&[u8]]) {
        let sets = self.packetizer.parameter_sets();
        let arriving = || arrived.iter().map(Vec::as_slice);
        let pictures = |nal: &&[u8]| !is_parameter_set(nal);
        assert!(arriving().filter(pictures).eq(kept.iter().copied().filter(pictures)));
        let mut sent = kept.iter().copied().filter(|nal| is_parameter_set(nal)).peekable();
        for nal in arriving().filter(|nal| is_parameter_set(nal)) {
            if sent.next_if_eq(&nal).is_none() {
                let is_known = sets
                    .is_some_and(|sets| sets.sps == nal || sets.pps.iter().any(|pps| pps == nal));
                assert!(is_known, "parameter sets out of nowhere: {nal:x?}");
            }
        }
        assert_eq!(sent.next(), None, "parameter sets are missing");
        let of = |kind| arriving().position(|nal| NalType::of(nal[0]) == kind);
        if let (Some(idr), Some(_)) = (of(NalType::Idr), sets) {
            let sps = of(NalType::Sps).expect("an SPS in a keyframe");
            let pps = of(NalType::Pps).expect("a PPS in a keyframe");
            assert!(sps < pps && pps < idr || !kept.iter().copied().all(|nal| pictures(&nal)));
        }
    }

    /// It cannot take the forbidden bit, nor fragments of less than it takes for a header.
    fn rtp_crate(&mut self, batch: &PacketBatch, arrived: &[Vec<u8>]) {
        if arrived.iter().any(|nal| nal[0] & 0x80 != 0 || nal.len() < 3) {
            return;
        }
        let mut theirs = Vec::new();
        for (at, packet) in batch.packets().enumerate() {
            let payload = Bytes::copy_from_slice(&packet[12..]);
            let tail = self.rtp.is_partition_tail(packet[1] & 0x80 != 0, &payload);
            assert_eq!(tail, at + 1 == batch.packet_count());
            theirs.extend(self.rtp.depacketize(&payload).expect("the rtp crate takes it"));
        }
        assert_eq!(theirs, length_prefixed(arrived.iter().map(Vec::as_slice)));
    }
}

/// Whether retina gives this unit as it got it: it splits at start codes, reads parameter sets by
/// itself, and wants more than a header.
fn retina_takes(nal: &[u8]) -> bool {
    let known = match NalType::of(nal[0]) {
        NalType::Sps => nal == SPS,
        NalType::Pps => nal == PPS,
        _ => true,
    };
    known && nal[0] & 0x80 == 0 && nal.len() >= 3 && !nal.windows(2).any(|pair| pair == [0, 0])
}

/// RFC 6184 has no place for types 0 and 24 to 31; delimiters, filler and ends of streams are of
/// no use to receivers; and a header without a body says nothing.
fn is_sent(nal: &[u8]) -> bool {
    nal.len() > 1 && matches!(nal[0] & 0x1f, 1..=8 | 13..=23)
}

fn is_parameter_set(nal: &[u8]) -> bool {
    matches!(NalType::of(nal[0]), NalType::Sps | NalType::Pps)
}

fn length_prefixed<'a>(nals: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let length = |nal: &[u8]| u32::try_from(nal.len()).expect("short").to_be_bytes();
    nals.flat_map(|nal| [&length(nal), nal].concat()).collect()
}

/// 640x480, Constrained Baseline, level 3.0.
const SPS: &[u8] =
    &[0x67, 0x42, 0xc0, 0x1e, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a];
const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];
const MOST_UNITS: usize = 16;
const MOST_NALS: usize = 40;
