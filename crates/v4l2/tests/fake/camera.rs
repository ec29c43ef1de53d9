//! A camera's pictures, gaps, damage, unplugging.

use v4l2::{
    Content, ControlId, Event, Interest, Interval, Next, PixelFormat, Queue, Readiness, Size,
    Sizes, Trouble, Value, Waker,
    fake::{Camera, Errno, Kernel, Mode, Picture, Setting, camera::Config},
    queue::Clock,
};

use crate::{
    CAMERA, FOREVER, SMALL, assert_content, camera_queue, format, next, queue_all, refusal,
};

fn camera() -> (Kernel, Camera) {
    let kernel = Kernel::new();
    let interval = Interval { numerator: 1, denominator: 20 };
    let mode = |pixel_format| Mode {
        pixel_format,
        sizes: Sizes::Discrete(vec![SMALL, Size { width: 32, height: 32 }]),
        intervals: vec![interval, Interval { denominator: 10, ..interval }],
    };
    let modes = vec![mode(PixelFormat::YUYV), mode(PixelFormat::MJPEG)];
    let camera = kernel.add_camera(CAMERA, Config::of(modes));
    (kernel, camera)
}

const READABLE: Interest = Interest { readable: true, writable: false, event: false };

#[test]
fn pictures_come_as_they_were_given() {
    let (kernel, camera) = camera();
    {
        let device = kernel.open(CAMERA).unwrap();
        let kind = camera_queue(&device);
        let set = device.set_format(kind, &format(SMALL, PixelFormat::YUYV)).unwrap();
        assert_eq!((set.size, set.planes[0].stride, set.planes[0].size), (SMALL, 128, 6144));
        let slow = Interval { numerator: 1, denominator: 10 };
        assert_eq!(device.set_interval(kind, slow).unwrap(), Some(slow));
        let mut queue = Queue::allocate(&device, kind, 3).unwrap();
        queue_all(&mut queue);
        queue.start().unwrap();
        camera.give(Picture::of(vec![1; 6144]));
        camera.lose(2);
        camera.give(Picture { is_damaged: true, ..Picture::of(vec![2; 100]) });
        let first = next(&mut queue);
        assert_eq!(queue.data(&first, 0).unwrap(), [1; 6144]);
        assert_eq!((first.sequence, first.clock), (0, Clock::Monotonic));
        let second = next(&mut queue);
        assert_eq!(queue.data(&second, 0).unwrap(), [2; 100]);
        assert!(second.is_damaged);
        assert_eq!(second.sequence, 3);
        assert_eq!((second.timestamp - first.timestamp).as_millis(), 300);
        assert_eq!(queue.dequeue().unwrap(), Next::NotYet);
    }
    assert_eq!(kernel.open_files(), 0);
    assert_content(&kernel);
}

#[test]
fn a_camera_is_taken_while_somebody_else_has_buffers() {
    let (kernel, _camera) = camera();
    let (device, other) = (kernel.open(CAMERA).unwrap(), kernel.open(CAMERA).unwrap());
    let kind = camera_queue(&device);
    assert!(!device.is_taken(kind).unwrap());
    let mut queue = Queue::allocate(&other, kind, 2).unwrap();
    assert!(device.is_taken(kind).unwrap());
    // Who asks takes nothing away, not even from themselves.
    assert_eq!(refusal(other.is_taken(kind)), Errno::BUSY);
    queue_all(&mut queue);
    queue.start().unwrap();
    assert!(device.is_taken(kind).unwrap());
    drop(queue);
    assert!(!device.is_taken(kind).unwrap());
    assert!(Queue::allocate(&device, kind, 2).is_ok(), "asking left no queue behind");
    assert_content(&kernel);
}

#[test]
fn a_picture_given_by_another_thread_ends_the_wait() {
    let (kernel, camera) = camera();
    let device = kernel.open(CAMERA).unwrap();
    let mut queue = Queue::allocate(&device, camera_queue(&device), 2).unwrap();
    queue_all(&mut queue);
    queue.start().unwrap();
    let thread = std::thread::spawn(move || (next(&mut queue).sequence, queue));
    camera.give(Picture { sequence: Some(7), ..Picture::of(vec![]) });
    assert_eq!(thread.join().unwrap().0, 7);
    let waker = Waker::new().unwrap();
    waker.wake();
    let mut queue = Queue::allocate(&device, camera_queue(&device), 2).unwrap();
    queue_all(&mut queue);
    queue.start().unwrap();
    let ready = device.wait(READABLE, Some(std::os::fd::AsFd::as_fd(&waker)), FOREVER).unwrap();
    assert_eq!(ready, Readiness { woken: true, ..Readiness::default() });
}

#[test]
fn an_endless_camera_gives_one_picture_at_a_time() {
    let (kernel, camera) = camera();
    camera.always(|number, format| Picture::of(vec![number as u8; format.planes[0].size as usize]));
    let device = kernel.open(CAMERA).unwrap();
    let mut queue = Queue::allocate(&device, camera_queue(&device), 4).unwrap();
    queue_all(&mut queue);
    queue.start().unwrap();
    for number in 0..20 {
        let buffer = next(&mut queue);
        assert_eq!(queue.data(&buffer, 0).unwrap()[0], number);
        queue.enqueue(buffer.index, Content::default()).unwrap();
    }
    camera.stall();
    next(&mut queue);
    assert_eq!(device.wait(READABLE, None, FOREVER).unwrap(), Readiness::default());
    drop(queue);
    assert_content(&kernel);
}

#[test]
fn a_camera_that_is_unplugged_gives_errors() {
    let (kernel, camera) = camera();
    let device = kernel.open(CAMERA).unwrap();
    let kind = camera_queue(&device);
    let mut queue = Queue::allocate(&device, kind, 2).unwrap();
    queue_all(&mut queue);
    queue.start().unwrap();
    camera.unplug();
    let gone = Readiness { error: true, gone: true, ..Readiness::default() };
    assert_eq!(device.wait(READABLE, None, FOREVER).unwrap(), gone);
    assert_eq!(queue.dequeue().unwrap_err().trouble(), Trouble::Gone);
    assert_eq!(device.controls().unwrap_err().trouble(), Trouble::Gone);
    assert_eq!(refusal(queue.stop()), Errno::NODEV);
    drop((queue, device));
    assert_eq!(refusal(kernel.open(CAMERA)), Errno::NOENT);
    let (_again, device) = (kernel.add_camera(CAMERA, Config::default()), kernel.open(CAMERA));
    device.unwrap();
    assert_content(&kernel);
}

#[test]
fn whoever_watches_a_control_hears_what_others_set() {
    const BRIGHTNESS: ControlId = ControlId(0x0098_0900);
    let kernel = Kernel::new();
    let settings = vec![Setting::integer(BRIGHTNESS.0, "Brightness", (0, 10), 5)];
    kernel.add_camera(CAMERA, Config { settings, ..Config::default() });
    let [watching, other] = [(); 2].map(|()| kernel.open(CAMERA).unwrap());
    assert!(watching.watch(BRIGHTNESS).unwrap());
    assert!(!watching.watch(ControlId(0x0098_0901)).unwrap(), "there is none");
    let control = other.control(BRIGHTNESS).unwrap().unwrap();
    let event = Interest { event: true, ..Interest::default() };
    let waiting = std::thread::spawn(move || {
        assert!(watching.wait(event, None, FOREVER).unwrap().event);
        assert_eq!(watching.event().unwrap(), Some(Event::ControlChanged(BRIGHTNESS)));
        assert_eq!(watching.event().unwrap(), None);
    });
    other.set_value(&control, &Value::Number(7)).unwrap();
    waiting.join().unwrap();
    assert_eq!(other.event().unwrap(), None, "who sets it knows it");
}
