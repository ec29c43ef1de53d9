//! Retina's depacketizer, by another author, on packets that never saw a socket.

use std::num::NonZeroU32;

use retina::codec::{CodecItem, FrameFormat, ParametersRef};
use rtp_packetizer::PacketBatch;

/// Retina's depacketizer through the door it leaves open for fuzzing.
pub struct Retina {
    depacketizer: retina::codec::Depacketizer,
    buffer: retina::testutil::DepacketizeBuf,
}

impl Retina {
    /// For a stream whose SDP has these parameters, or none.
    ///
    /// # Errors
    ///
    /// What retina does not like about them.
    pub fn new(fmtp: Option<&str>) -> Result<Self, String> {
        let mut depacketizer =
            retina::codec::Depacketizer::new("video", "h264", 90_000, None, fmtp)?;
        depacketizer.set_frame_format(FrameFormat::MP4);
        Ok(Self { depacketizer, buffer: retina::testutil::DepacketizeBuf::new(1 << 20) })
    }

    /// The one frame that `batch` makes, when its last packet has come and not before: NAL units
    /// with four bytes of length each, without parameter sets.
    ///
    /// # Errors
    ///
    /// What retina complains of, or that the frame came too early or never.
    pub fn frame(&mut self, batch: &PacketBatch) -> Result<retina::codec::VideoFrame, String> {
        for (at, packet) in batch.packets().enumerate() {
            let (header, payload) = retina::rtp::PacketHeader::validate(packet)?;
            let timestamp = i64::from(header.timestamp());
            let timestamp = retina::Timestamp::new(timestamp, CLOCK_RATE, 0);
            let meta = retina::rtp::PacketMeta {
                ctx: retina::PacketContext::dummy(),
                stream_id: 0,
                timestamp: timestamp.ok_or("a timestamp out of range")?,
                sequence_number: header.sequence_number(),
                ssrc: header.ssrc(),
                mark: header.mark(),
                loss: 0,
            };
            let payload = &packet[usize::from(payload.start)..usize::from(payload.end)];
            self.buffer.push(&mut self.depacketizer, meta, payload)?;
            self.depacketizer.check_invariants();
            match self.depacketizer.pull() {
                None => {}
                Some(Ok(CodecItem::VideoFrame(frame))) if at + 1 == batch.packet_count() => {
                    return Ok(frame);
                }
                other => return Err(format!("after packet {at}: {other:?}")),
            }
        }
        Err("no frame after the last packet".to_owned())
    }

    /// Width and height that the parameter sets say, once it has some.
    pub fn size(&self) -> Option<(u32, u32)> {
        match self.depacketizer.parameters()? {
            ParametersRef::Video(video) => Some(video.pixel_dimensions()),
            _ => None,
        }
    }
}

/// Of every video format (RFC 6184 8.2.1), in hertz.
const CLOCK_RATE: NonZeroU32 = NonZeroU32::new(90_000).unwrap();
