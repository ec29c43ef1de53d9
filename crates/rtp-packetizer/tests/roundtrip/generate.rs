//! Random access units. Bodies come from a length and a seed: cheap to make, quick to shrink.

use bytes::Bytes;
use media::{AccessUnit, MediaTime};
use proptest::prelude::*;
use rtp_packetizer::{
    Sequence, Ssrc,
    h264::{
        Config,
        packetizer::{MAX_PACKET_SIZE, MIN_PACKET_SIZE},
    },
};

/// One NAL unit of an access unit, and whether it is to arrive.
#[derive(Clone, Debug)]
pub(crate) struct Nal {
    pub(crate) bytes: Vec<u8>,
    /// Zero bytes behind it, which are not to arrive.
    pub(crate) padding: usize,
    pub(crate) kept: bool,
}

/// Which NAL units a receiver can take.
#[derive(Copy, Clone)]
pub(crate) enum Taste {
    /// All that may be sent.
    Any,
    /// Without the forbidden bit, at least three bytes: what the `rtp` crate can return.
    RtpCrate,
    /// Also nothing that looks like a start code: retina splits at those. Parameter sets are
    /// left to the test, for retina parses them.
    Retina,
}

pub(crate) fn config() -> impl Strategy<Value = Config> {
    let packet_size = prop_oneof![
        Just(MIN_PACKET_SIZE),
        MIN_PACKET_SIZE..300usize,
        300..3000usize,
        3000..=MAX_PACKET_SIZE,
        Just(MAX_PACKET_SIZE),
    ];
    (0..=127u8, any::<u32>(), any::<u16>(), packet_size).prop_map(
        |(payload_type, ssrc, first_sequence, packet_size)| Config {
            payload_type,
            ssrc: Ssrc(ssrc),
            first_sequence: Sequence(first_sequence),
            packet_size,
        },
    )
}

/// The NAL units of an access unit that ends in a slice.
pub(crate) fn unit(taste: Taste) -> impl Strategy<Value = Vec<Nal>> {
    let nal = prop_oneof![8 => kept(taste), 2 => dropped()];
    (prop::collection::vec(nal, 0..8), slice(taste)).prop_map(|(mut nals, slice)| {
        nals.push(slice);
        nals
    })
}

pub(crate) fn access_unit(nals: &[Nal]) -> AccessUnit {
    let mut data = Vec::new();
    for nal in nals {
        data.extend(((nal.bytes.len() + nal.padding) as u32).to_be_bytes());
        data.extend(&nal.bytes);
        data.resize(data.len() + nal.padding, 0);
    }
    AccessUnit::from_length_prefixed(Bytes::from(data), 4, MediaTime::ZERO).unwrap()
}

pub(crate) fn arriving(nals: &[Nal]) -> Vec<&[u8]> {
    nals.iter().filter(|nal| nal.kept).map(|nal| &nal.bytes[..]).collect()
}

fn kept(taste: Taste) -> BoxedStrategy<Nal> {
    let small = match taste {
        Taste::Retina => of_types(taste, &[6], 1..200),
        _ => prop_oneof![
            of_types(taste, &[6, 8], 1..200),
            of_types(taste, &[6, 8], 1..5000),
            unparsable_sps(taste),
        ]
        .boxed(),
    };
    let others = of_types(taste, &[13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23], 1..500);
    prop_oneof![4 => small, 4 => slice(taste), 1 => others].boxed()
}

fn slice(taste: Taste) -> BoxedStrategy<Nal> {
    let types = &[1, 2, 3, 4, 5];
    prop_oneof![
        of_types(taste, types, 1..10),
        of_types(taste, types, 1..5000),
        of_types(taste, types, 5000..200_000),
    ]
    .boxed()
}

/// Parameter sets of a parsable SPS would be repeated before later IDR pictures: the tables beside
/// the packetizer test that. Here `seq_parameter_set_id` is 255, out of range.
fn unparsable_sps(taste: Taste) -> impl Strategy<Value = Nal> {
    of_types(taste, &[7], 8..3000).prop_map(|mut nal| {
        nal.bytes[1..6].copy_from_slice(&[66, 0, 30, 0, 0x80]);
        nal
    })
}

fn of_types(
    taste: Taste,
    types: &'static [u8],
    body: std::ops::Range<usize>,
) -> BoxedStrategy<Nal> {
    let header = (prop::sample::select(types), 0..4u8, any::<bool>());
    (header, body, any::<u64>(), 0..3usize)
        .prop_map(move |((kind, nri, forbidden), length, seed, padding)| {
            let forbidden = u8::from(forbidden && matches!(taste, Taste::Any));
            let length = if matches!(taste, Taste::Any) { length } else { length.max(2) };
            let mut bytes = vec![forbidden << 7 | nri << 5 | kind];
            bytes.extend(noise(seed).take(length));
            if matches!(taste, Taste::Retina) {
                for at in 2..bytes.len() {
                    if bytes[at - 1] == 0 && bytes[at] == 0 {
                        bytes[at] = 3;
                    }
                }
            }
            *bytes.last_mut().unwrap() |= 1;
            Nal { bytes, padding, kept: true }
        })
        .boxed()
}

fn dropped() -> impl Strategy<Value = Nal> {
    let types = prop_oneof![0..=0u8, 9..=12u8, 24..=31u8];
    let unwanted =
        (types, 0..4u8, 0..300usize, any::<u64>()).prop_map(|(kind, nri, length, seed)| {
            let mut bytes = vec![nri << 5 | kind];
            bytes.extend(noise(seed).take(length));
            bytes
        });
    let without_body = (1..=31u8, 0..4u8).prop_map(|(kind, nri)| vec![nri << 5 | kind]);
    (prop_oneof![unwanted, without_body], 0..3usize).prop_map(|(bytes, padding)| Nal {
        bytes,
        padding,
        kept: false,
    })
}

/// Splitmix64, with many zeros among its bytes.
fn noise(seed: u64) -> impl Iterator<Item = u8> {
    let mut state = seed;
    std::iter::from_fn(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        Some(if word & 0x300 == 0 { 0 } else { word as u8 })
    })
}
