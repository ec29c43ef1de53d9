//! Reports out and in (RFC 3550 section 6.4).

use std::hint::black_box;

use benches::reports::{RECEIVER_REPORT, sender_info};
use bytes::BytesMut;
use gungraun::library_benchmark;
use rtp_packetizer::rtcp::{self, Received, RtcpError};

#[library_benchmark]
#[bench::written(BytesMut::with_capacity(1024))]
fn sender_report(mut out: BytesMut) -> BytesMut {
    rtcp::write_sender_report(black_box(&mut out), black_box(&sender_info()));
    out
}

#[library_benchmark]
#[bench::parsed()]
fn receiver_report() -> Result<Received, RtcpError> {
    rtcp::parse(black_box(RECEIVER_REPORT))
}
