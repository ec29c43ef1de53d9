//! What a session description says of an H.264 stream (RFC 6184 section 8).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use media::h264::ParameterSets;

use crate::h264::params::without_padding;

/// The `a=fmtp` parameters of the stream, without `a=fmtp:96 ` in front:
/// `packetization-mode=1;profile-level-id=42C01E;sprop-parameter-sets=Z0LA…,aM48gA==`.
pub fn fmtp(sets: &ParameterSets) -> String {
    format!(
        "packetization-mode=1;profile-level-id={};sprop-parameter-sets={}",
        profile_level_id(sets),
        sprop_parameter_sets(sets),
    )
}

/// Bytes 1 to 3 of the SPS as six hexadecimal digits.
pub fn profile_level_id(sets: &ParameterSets) -> String {
    let [profile, constraints, level] = sets.description().profile_level_id;
    format!("{profile:02X}{constraints:02X}{level:02X}")
}

/// SPS and PPS NAL units in base64 (RFC 4648 section 4, padded), separated by commas, without start
/// codes or trailing zeros, which several players take for part of the set.
pub fn sprop_parameter_sets(sets: &ParameterSets) -> String {
    let mut text = String::new();
    for nal in std::iter::once(&sets.sps).chain(&sets.pps) {
        if !text.is_empty() {
            text.push(',');
        }
        STANDARD.encode_string(without_padding(nal), &mut text);
    }
    text
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn two_pps_and_padding() {
        let sps = &[
            0x67, 0x42, 0xc0, 0x1e, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a, 0,
        ];
        let pps = [&[0x68, 0xce, 0x3c, 0x80][..], &[0x68, 0x42, 0]].map(Bytes::from_static);
        let sets = ParameterSets::new(Bytes::from_static(sps), pps).unwrap();
        assert_eq!(
            fmtp(&sets),
            "packetization-mode=1;profile-level-id=42C01E;\
             sprop-parameter-sets=Z0LAHoyNQFAe0A8IhGo=,aM48gA==,aEI="
        );
    }
}
