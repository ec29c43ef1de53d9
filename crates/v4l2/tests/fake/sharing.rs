//! Buffers shared between a camera and an encoder, both ways.

use std::{
    fs::File,
    os::fd::{AsFd, OwnedFd},
    os::unix::fs::FileExt,
    time::Duration,
};

use openh264::{decoder::Decoder, formats::YUVSource};
use v4l2::{
    Content, Device, Format, PixelFormat, Queue, Sizes,
    fake::{Alignment, Camera, Errno, Kernel, Mode, Picture, camera, encoder},
};

use crate::{
    CAMERA, ENCODER, SMALL, assert_content, camera_queue, format, next, queue_all, refusal,
};

/// A camera and an encoder of the same format; the encoder's coded queue streams.
struct Pair {
    kernel: Kernel,
    camera: Camera,
    device: Device,
    encoder: Device,
    coded: Queue,
    format: Format,
}

fn pair(alignment: Alignment) -> Pair {
    let kernel = Kernel::new();
    let mode = Mode {
        pixel_format: PixelFormat::NV12,
        sizes: Sizes::Discrete(vec![SMALL]),
        intervals: Vec::new(),
    };
    let camera = kernel.add_camera(CAMERA, camera::Config::of(vec![mode]));
    camera.always(|number, format| {
        Picture::of(vec![number as u8 + 16; format.planes[0].size as usize])
    });
    kernel.add_encoder(ENCODER, encoder::Config { alignment, ..encoder::Config::default() });
    let (device, encoder) = (kernel.open(CAMERA).unwrap(), kernel.open(ENCODER).unwrap());
    let format_of_camera = device.format(camera_queue(&device)).unwrap();
    let (raw, coded) = encoder.capability().memory_to_memory().unwrap();
    let set = encoder.set_format(raw, &format(SMALL, PixelFormat::NV12)).unwrap();
    let mut coded = Queue::allocate(&encoder, coded, 2).unwrap();
    queue_all(&mut coded);
    if alignment == EQUAL {
        assert_eq!(set.planes, format_of_camera.planes);
    }
    Pair { kernel, camera, device, encoder, coded, format: set }
}

fn export_all(queue: &mut Queue) -> Vec<OwnedFd> {
    (0..queue.len()).map(|index| queue.export(index, 0).unwrap()).collect()
}

/// The luma of a picture that is of one grey.
fn luma(decoder: &mut Decoder, coded: &mut Queue) -> u8 {
    let buffer = next(coded);
    let data = coded.data(&buffer, 0).unwrap();
    let picture = decoder.decode(data).unwrap().expect("a picture");
    let luma = picture.y()[0];
    coded.enqueue(buffer.index, Content::default()).unwrap();
    luma
}

#[test]
fn a_cameras_buffers_go_to_an_encoder() {
    let Pair { kernel, device, encoder, mut coded, format, .. } = pair(EQUAL);
    let (raw, _) = encoder.capability().memory_to_memory().unwrap();
    let mut pictures = Queue::allocate(&device, camera_queue(&device), 3).unwrap();
    let memory = export_all(&mut pictures);
    assert_eq!(pictures.bytes(0, 0), None, "others may write there");
    let mut source = Queue::import(&encoder, raw, 3).unwrap();
    queue_all(&mut pictures);
    for queue in [&mut pictures, &mut source, &mut coded] {
        queue.start().unwrap();
    }
    let mut decoder = Decoder::new().unwrap();
    let used = [format.planes[0].size];
    for number in 0..6 {
        let picture = next(&mut pictures);
        let shared = [(memory[picture.index].as_fd(), used[0])];
        let timestamp = picture.timestamp;
        let content = Content { used: &used, timestamp, shared: &shared };
        let slot = source.free().unwrap();
        source.enqueue(slot, content).unwrap();
        next(&mut source);
        pictures.enqueue(picture.index, Content::default()).unwrap();
        assert_eq!(luma(&mut decoder, &mut coded), number + 16);
    }
    drop((pictures, source, coded));
    assert_content(&kernel);
}

#[test]
fn an_encoders_buffers_go_to_a_camera() {
    let Pair { kernel, device, encoder, mut coded, format, .. } = pair(EQUAL);
    let (raw, _) = encoder.capability().memory_to_memory().unwrap();
    let mut source = Queue::allocate(&encoder, raw, 3).unwrap();
    let memory = export_all(&mut source);
    let mut pictures = Queue::import(&device, camera_queue(&device), 3).unwrap();
    let used = [format.planes[0].size];
    let give = |pictures: &mut Queue, index: usize| {
        let shared = [(memory[index].as_fd(), used[0])];
        pictures.enqueue(index, Content { shared: &shared, ..Content::default() }).unwrap();
    };
    (0..3).for_each(|index| give(&mut pictures, index));
    for queue in [&mut pictures, &mut source, &mut coded] {
        queue.start().unwrap();
    }
    let mut decoder = Decoder::new().unwrap();
    for number in 0..6 {
        let picture = next(&mut pictures);
        let timestamp = Duration::from_secs(number.into());
        source.enqueue(picture.index, Content { used: &used, timestamp, shared: &[] }).unwrap();
        next(&mut source);
        give(&mut pictures, picture.index);
        assert_eq!(luma(&mut decoder, &mut coded), number + 16);
    }
    drop((pictures, source, coded));
    assert_content(&kernel);
}

#[test]
fn memory_that_two_have_queued_is_complained_of() {
    let Pair { kernel, device, encoder, format, .. } = pair(EQUAL);
    let (raw, _) = encoder.capability().memory_to_memory().unwrap();
    let mut pictures = Queue::allocate(&device, camera_queue(&device), 3).unwrap();
    let memory = export_all(&mut pictures);
    let mut source = Queue::import(&encoder, raw, 3).unwrap();
    pictures.enqueue(0, Content::default()).unwrap();
    let used = [format.planes[0].size];
    let shared = [(memory[0].as_fd(), used[0])];
    source.enqueue(0, Content { used: &used, shared: &shared, ..Content::default() }).unwrap();
    let complaints = kernel.complaints();
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(complaints[0].ends_with("the memory is queued somewhere else, too"));
}

#[test]
fn an_encoder_that_wants_more_rows_refuses_a_cameras_memory() {
    // 48 rows are made 64.
    let Pair { device, encoder, format, .. } = pair(Alignment { stride: 32, height: 64 });
    let (raw, _) = encoder.capability().memory_to_memory().unwrap();
    let mut pictures = Queue::allocate(&device, camera_queue(&device), 1).unwrap();
    let length = pictures.bytes(0, 0).unwrap().len() as u32;
    let memory = pictures.export(0, 0).unwrap();
    let mut source = Queue::import(&encoder, raw, 1).unwrap();
    let shared = [(memory.as_fd(), length)];
    let content = Content { used: &[length], shared: &shared, ..Content::default() };
    assert!(length < format.planes[0].size);
    assert_eq!(refusal(source.enqueue(0, content)), Errno::INVAL);
    // As long as it wants, but that much is not there.
    let shared = [(memory.as_fd(), 1 << 20)];
    let content = Content { shared: &shared, ..content };
    assert_eq!(refusal(source.enqueue(0, content)), Errno::FAULT);
}

#[test]
fn a_device_that_imports_nothing_says_so() {
    let kernel = Kernel::new();
    kernel.add_camera(CAMERA, camera::Config { imports: false, ..camera::Config::default() });
    let device = kernel.open(CAMERA).unwrap();
    assert_eq!(refusal(Queue::import(&device, camera_queue(&device), 2)), Errno::INVAL);
}

#[test]
fn exported_memory_is_the_buffers_own() {
    let Pair { camera, device, .. } = pair(EQUAL);
    camera.give(Picture::of(b"seen by both".to_vec()));
    let mut pictures = Queue::allocate(&device, camera_queue(&device), 1).unwrap();
    let memory = File::from(pictures.export(0, 0).unwrap());
    queue_all(&mut pictures);
    pictures.start().unwrap();
    let picture = next(&mut pictures);
    assert_eq!(picture.span(0), Some(0..12));
    let mut bytes = [0; 12];
    memory.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"seen by both");
}

const EQUAL: Alignment = Alignment { stride: 32, height: 2 };
