use media::MediaTime;

use super::*;

#[test]
fn sizes_out_of_range_are_refused() {
    for packet_size in [0, 13, MIN_PACKET_SIZE - 1, MAX_PACKET_SIZE + 1, usize::MAX] {
        let refused = Packetizer::new(Config { packet_size, ..Config::default() }).unwrap_err();
        assert_eq!(refused, ConfigError::PacketSize(packet_size));
    }
    let refused = Packetizer::new(Config { payload_type: 128, ..Config::default() }).unwrap_err();
    assert_eq!(refused, ConfigError::PayloadType(128));
}

#[test]
fn a_unit_of_delimiters_makes_nothing() {
    let mut packetizer = Packetizer::new(Config::default()).unwrap();
    let data = Bytes::from_static(&[0, 0, 1, 9, 0x10, 0, 0, 1, 12, 0xff, 0x80, 0, 0, 1, 10]);
    let unit = AccessUnit::from_annexb(data, MediaTime::ZERO);
    assert!(packetizer.packetize(&unit, RtpTimestamp(0)).is_none());
    assert_eq!(packetizer.next_sequence(), Sequence(0));
    assert_eq!(packetizer.totals(), Totals::default());
}
