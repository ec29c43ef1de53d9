//! H.264 parameter sets: what is read in an SPS another reader reads too (`sps.rs`, written for
//! this), and what is announced of a pair of them can be read back.
//!
//! Input: a NAL unit; then, behind a start code, more of them, which come with it in one picture.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use media::{
    AccessUnit, MediaTime, annexb,
    h264::{NalType, ParameterSets, SpsDescription},
};
use rtp_packetizer::h264::sdp;

mod sps;

/// Runs one input.
pub fn run(data: &[u8]) {
    let first = annexb::find_start_code(data, 0).unwrap_or(data.len());
    sequence(&data[..first]);
    for range in annexb::nal_units(data) {
        sequence(&data[range]);
    }
    let stream = [&annexb::START_CODE, data].concat();
    let unit = AccessUnit::from_annexb(stream.into(), MediaTime::ZERO);
    if let Ok(Some(sets)) = ParameterSets::in_band(&unit) {
        pair(&sets, &unit);
    }
}

fn sequence(nal: &[u8]) {
    let Ok(read) = SpsDescription::parse(nal) else { return };
    assert_eq!(nal[0] & 0x1f, 7);
    assert!(read.width > 0 && read.height > 0);
    assert_eq!(read.profile_level_id, nal[1..4]);
    assert!(!read.profile.is_empty());
    if let Some(rate) = read.frame_rate {
        assert!(rate.numerator() > 0 && rate.denominator() > 0);
    }
    // The other reader gives up where this one may know more.
    let Some(other) = sps::read(nal) else { return };
    assert_eq!((read.width, read.height), (other.width, other.height));
    assert_eq!(read.may_interlace, !other.frames_only);
    if read.profile_level_id[0] == 66 || other.order_is_decoding_order {
        assert!(!read.may_reorder);
    }
}

fn pair(sets: &ParameterSets, unit: &AccessUnit) {
    let nals = |kind| unit.nals().filter(move |nal| NalType::of(nal[0]) == kind);
    assert_eq!(nals(NalType::Sps).next(), Some(&sets.sps[..]));
    assert!(nals(NalType::Pps).eq(sets.pps.iter().map(|pps| &pps[..])));
    assert_eq!(SpsDescription::parse(&sets.sps).as_ref(), Ok(sets.description()));

    let profile: Vec<String> = sets.sps[1..4].iter().map(|byte| format!("{byte:02x}")).collect();
    let announced = sdp::profile_level_id(sets);
    assert!(announced.eq_ignore_ascii_case(&profile.concat()), "{announced}");
    let sprop = sdp::sprop_parameter_sets(sets);
    let decoded: Vec<Vec<u8>> =
        sprop.split(',').map(|set| STANDARD.decode(set).expect("base64")).collect();
    let expected: Vec<&[u8]> =
        std::iter::once(&sets.sps).chain(&sets.pps).map(|set| &set[..]).collect();
    assert_eq!(decoded, expected);
    let fmtp = sdp::fmtp(sets);
    assert!(fmtp.contains(&sprop) && fmtp.contains(&announced), "{fmtp}");
    assert!(fmtp.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{fmtp}");

    let copied = ParameterSets::new(sets.sps.clone(), sets.pps.iter().cloned());
    assert_eq!(copied.as_ref(), Ok(sets));
    assert!(ParameterSets::new(sets.sps.clone(), [Bytes::new()]).is_err());
}
