//! An encoder's pictures, headers, drain.

use std::time::Duration;

use openh264::{decoder::Decoder, formats::YUVSource};
use v4l2::{
    Content, Device, Next, PixelFormat, Queue, Size,
    fake::{Kernel, encoder::Config},
    queue::{Clock, Picture},
    uapi,
};

use crate::{ENCODER, SMALL, assert_content, format, next, queue_all};

/// Both queues, streaming, and the format of the raw one.
fn start(device: &Device, size: Size, pixel_format: PixelFormat) -> (Queue, Queue, v4l2::Format) {
    let (raw, coded) = device.capability().memory_to_memory().unwrap();
    device.set_format(coded, &format(size, PixelFormat::H264)).unwrap();
    let set = device.set_format(raw, &format(size, pixel_format)).unwrap();
    if set.size != size {
        assert_eq!(device.set_crop(raw, size).unwrap(), Some(size));
    }
    let mut source = Queue::allocate(device, raw, 2).unwrap();
    let mut coded = Queue::allocate(device, coded, 2).unwrap();
    queue_all(&mut coded);
    source.start().unwrap();
    coded.start().unwrap();
    (source, coded, set)
}

/// Fills a buffer with noise and queues it.
fn feed(source: &mut Queue, seed: u32, timestamp: Duration) {
    let index = source.free().unwrap();
    let mut used = Vec::new();
    for plane in 0..source.planes() {
        let bytes = source.bytes_mut(index, plane).unwrap();
        let noise = |at: usize| (at as u32).wrapping_mul(seed * 2 + 1).wrapping_mul(0x9e37_79b1);
        bytes
            .iter_mut()
            .enumerate()
            .for_each(|(at, byte)| *byte = (noise(at) >> 13) as u8 % 7 * 40);
        used.push(bytes.len() as u32);
    }
    source.enqueue(index, Content { used: &used, timestamp, shared: &[] }).unwrap();
}

#[test]
fn what_comes_out_decodes_to_what_went_in() {
    for pixel_format in
        [PixelFormat::YUV420, PixelFormat::NV12, PixelFormat::YUYV, PixelFormat::UYVY]
    {
        for size in [SMALL, Size { width: 50, height: 34 }] {
            let kernel = Kernel::new();
            kernel.add_encoder(ENCODER, Config::default());
            let device = kernel.open(ENCODER).unwrap();
            let (mut source, mut coded, set) = start(&device, size, pixel_format);
            let mut decoder = Decoder::new().unwrap();
            for number in 0..3 {
                let time = Duration::from_micros(1_000_001 * u64::from(number));
                feed(&mut source, number, time);
                let taken = next(&mut source);
                let raw = source.bytes(taken.index, 0).unwrap();
                let buffer = next(&mut coded);
                assert_eq!((buffer.timestamp, buffer.clock), (time, Clock::Copied));
                let is_key = number == 0;
                let picture = if is_key { Picture::Key } else { Picture::Predicted };
                assert_eq!((buffer.picture, buffer.sequence), (Some(picture), number));
                let data = coded.data(&buffer, 0).unwrap();
                let decoded = decoder.decode(data).unwrap().expect("a picture");
                let (width, height) = (size.width as usize, size.height as usize);
                assert_eq!(decoded.dimensions(), (width, height));
                let (stride, _, _) = decoded.strides();
                let raw_stride = set.planes[0].stride as usize;
                for y in 0..height {
                    for x in 0..width {
                        let at = match pixel_format {
                            PixelFormat::YUYV => y * raw_stride + 2 * x,
                            PixelFormat::UYVY => y * raw_stride + 2 * x + 1,
                            _ => y * raw_stride + x,
                        };
                        assert_eq!(decoded.y()[y * stride + x], raw[at], "{x} {y} {pixel_format}");
                    }
                }
                let at = match pixel_format {
                    PixelFormat::YUV420 | PixelFormat::NV12 => {
                        raw_stride * set.size.height as usize
                    }
                    PixelFormat::YUYV => 1,
                    _ => 0,
                };
                let expected = match pixel_format {
                    PixelFormat::YUV420 | PixelFormat::NV12 => raw[at],
                    _ => (u16::from(raw[at]) + u16::from(raw[at + raw_stride])).div_ceil(2) as u8,
                };
                assert_eq!(decoded.u()[0], expected);
                coded.enqueue(buffer.index, Content::default()).unwrap();
            }
            drop((source, coded, device));
            assert_content(&kernel);
        }
    }
}

#[test]
fn a_drained_encoder_ends_and_goes_on() {
    let kernel = Kernel::new();
    kernel.add_encoder(ENCODER, Config { latency: 1, ..Config::default() });
    let device = kernel.open(ENCODER).unwrap();
    assert!(device.subscribe(uapi::V4L2_EVENT_EOS).unwrap());
    let (mut source, mut coded, _) = start(&device, SMALL, PixelFormat::NV12);
    feed(&mut source, 0, Duration::ZERO);
    assert_eq!(coded.dequeue().unwrap(), Next::NotYet);
    feed(&mut source, 1, Duration::from_secs(1));
    assert!(!next(&mut coded).is_last);
    assert_eq!(coded.dequeue().unwrap(), Next::NotYet);
    device.encoder_command(uapi::V4L2_ENC_CMD_STOP).unwrap();
    let last = next(&mut coded);
    assert!(last.is_last && !coded.data(&last, 0).unwrap().is_empty());
    assert_eq!(device.event().unwrap(), Some(v4l2::Event::EndOfStream));
    assert_eq!(coded.dequeue().unwrap(), Next::Drained);
    assert_eq!(device.event().unwrap(), None);
    queue_all(&mut coded);
    for _ in 0..2 {
        next(&mut source);
    }
    feed(&mut source, 2, Duration::from_secs(2));
    device.encoder_command(uapi::V4L2_ENC_CMD_START).unwrap();
    feed(&mut source, 3, Duration::from_secs(3));
    let more = next(&mut coded);
    assert_eq!((more.timestamp, more.picture), (Duration::from_secs(2), Some(Picture::Predicted)));
    drop((source, coded, device));
    assert_content(&kernel);
}
