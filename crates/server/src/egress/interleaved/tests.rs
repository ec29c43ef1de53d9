use std::task::Waker;

use media::{AccessUnit, MediaTime};
use proptest::prelude::*;
use rtp_packetizer::{
    RtpTimestamp, Sequence, Ssrc,
    h264::{Config, Packetizer},
};
use rtsp_proto::Event;

use super::*;
use crate::live::stages::Past;

fn picture(size: usize, packet_size: usize) -> Arc<Picture> {
    let mut packetizer = Packetizer::new(Config {
        payload_type: 96,
        ssrc: Ssrc(1),
        first_sequence: Sequence(1),
        packet_size,
    })
    .unwrap();
    let mut stream = vec![0, 0, 1, 0x65];
    stream.extend((0..size).map(|at| (at % 251) as u8 | 1));
    let unit = AccessUnit::from_annexb(stream.into(), MediaTime::ZERO);
    let batch = packetizer.packetize(&unit, RtpTimestamp(9)).unwrap();
    Arc::new(Picture { batch, published: MediaTime::ZERO, past: Past::default() })
}

/// Takes as many bytes as it is told at each write.
struct Sink {
    written: Vec<u8>,
    room: usize,
}

impl AsyncWrite for Sink {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let taken = bytes.len().min(self.room);
        self.written.extend_from_slice(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let taken = all.len().min(self.room);
        self.written.extend_from_slice(&all[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Sink {
    fn new() -> Self {
        Self { written: Vec::new(), room: 0 }
    }

    fn take(&mut self, outbox: &mut Outbox, room: usize) {
        self.room = room;
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(outbox.poll_write(&mut context, self), Poll::Ready(Ok(_))));
    }

    fn drain(&mut self, outbox: &mut Outbox) {
        while !outbox.is_empty() {
            self.take(outbox, usize::MAX);
        }
    }
}

/// What was written, in pieces: a frame's channel and payload, or one line of a reply.
#[derive(Debug, PartialEq)]
enum Piece {
    Frame(u8, Vec<u8>),
    Line(String),
}

fn pieces(mut bytes: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    while let Some(&first) = bytes.first() {
        let length = if first == b'$' {
            let length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
            pieces.push(Piece::Frame(bytes[1], bytes[4..4 + length].to_vec()));
            4 + length
        } else {
            let length = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 1;
            pieces.push(Piece::Line(String::from_utf8(bytes[..length].to_vec()).unwrap()));
            length
        };
        bytes = &bytes[length..];
    }
    pieces
}

/// rtp-packetizer builds the image of a picture and cannot use rtsp-proto, which says what a frame
/// looks like: what the one writes, the other must read.
#[test]
fn the_image_of_a_picture_is_what_the_protocol_calls_frames() {
    let picture = picture(5000, 500);
    let mut image = BytesMut::from(&picture.batch.interleaved()[..]);
    let clock = std::time::Instant::now();
    let mut connection = rtsp_proto::Connection::new(rtsp_proto::wire::Limits::default(), clock);
    for packet in picture.batch.packets() {
        let Ok(Some(Event::Interleaved { channel: 0, payload })) =
            connection.receive(&mut image, clock)
        else {
            panic!("no frame before {image:?}");
        };
        assert_eq!(payload, packet);
    }
    assert!(image.is_empty());
    assert_eq!(rtp_packetizer::batch::INTERLEAVED_HEADER_LENGTH, HEADER_LEN);
    for (channel, length) in [(0, 0), (3, 1), (255, u16::MAX)] {
        let theirs = rtp_packetizer::batch::interleaved_header(channel, length.into());
        assert_eq!(theirs, interleaved::header(channel, length));
    }
}

#[test]
fn a_reply_waits_for_the_frame_begun_and_passes_all_others() {
    for channel in [0, 6] {
        let (mut outbox, mut sink) = (Outbox::default(), Sink::new());
        let picture = picture(3000, 1000);
        outbox.start_picture(Arc::clone(&picture), channel);
        sink.take(&mut outbox, 1500);
        outbox.urgent().extend_from_slice(b"reply\n");
        sink.drain(&mut outbox);
        let mut expected: Vec<_> =
            picture.batch.packets().map(|packet| Piece::Frame(channel, packet.to_vec())).collect();
        assert!(expected.len() >= 4, "the picture is several packets");
        expected.insert(2, Piece::Line("reply\n".to_owned()));
        assert_eq!(pieces(&sink.written), expected, "channel {channel}");
    }
}

#[test]
fn an_abandoned_picture_ends_at_a_frame() {
    for channel in [0, 6] {
        for written in [0, 1, 2, 3, 4, 999, 1004, 1005, 1500] {
            let (mut outbox, mut sink) = (Outbox::default(), Sink::new());
            let picture = picture(3000, 1000);
            outbox.start_picture(Arc::clone(&picture), channel);
            if written > 0 {
                sink.take(&mut outbox, written);
            }
            outbox.abandon_picture();
            outbox.urgent().extend_from_slice(b"reply\n");
            sink.drain(&mut outbox);
            let mut expected: Vec<_> = picture
                .batch
                .packets()
                .take(written.div_ceil(1004))
                .map(|packet| Piece::Frame(channel, packet.to_vec()))
                .collect();
            expected.push(Piece::Line("reply\n".to_owned()));
            assert_eq!(pieces(&sink.written), expected, "channel {channel}, {written} written");
        }
    }
}

proptest! {
    #[test]
    fn however_little_is_taken_the_stream_stays_whole(
        sizes in prop::collection::vec(1usize..4000, 1..4),
        channel in prop_oneof![Just(0u8), any::<u8>()],
        rooms in prop::collection::vec(1usize..1500, 1..80),
        replies in prop::collection::vec(0usize..40, 0..6),
    ) {
        let (mut outbox, mut sink) = (Outbox::default(), Sink::new());
        let pictures: Vec<_> = sizes.iter().map(|&size| picture(size, 500)).collect();
        let mut waiting = pictures.iter();
        let mut rooms = rooms.iter().cycle();
        for step in 0.. {
            if outbox.wants_picture() && let Some(next) = waiting.next() {
                outbox.start_picture(Arc::clone(next), channel);
            }
            for reply in replies.iter().filter(|&&at| at == step) {
                outbox.urgent().extend_from_slice(format!("reply {reply}\n").as_bytes());
            }
            if outbox.is_empty() && waiting.len() == 0 && step > 40 {
                break;
            }
            if !outbox.is_empty() {
                sink.take(&mut outbox, *rooms.next().unwrap());
            }
        }
        let (frames, lines): (Vec<_>, Vec<_>) =
            pieces(&sink.written).into_iter().partition(|piece| matches!(piece, Piece::Frame(..)));
        let expected: Vec<_> = pictures
            .iter()
            .flat_map(|picture| picture.batch.packets())
            .map(|packet| Piece::Frame(channel, packet.to_vec()))
            .collect();
        prop_assert_eq!(frames, expected);
        prop_assert_eq!(lines.len(), replies.len());
    }
}
