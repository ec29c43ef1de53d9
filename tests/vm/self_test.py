#!/usr/bin/env python3
"""Tests the test encoder itself, with other people's programs: v4l2-ctl, FFmpeg, v4l2-compliance.

    cargo xtask vm --seconds 600 -- python3 tests/vm/self_test.py

Runs in the virtual machine. Needs v4l-utils, ffmpeg and gcc on this machine. Exits 1 if something
is not as the module's README says. With --brief it tests what others build on, in a tenth of the time.
"""

import fcntl
import functools
import glob
import mmap
import os
import re
import select
import struct
import subprocess
import sys
import time

from faults import encoder_told

HERE = os.path.dirname(os.path.abspath(__file__))
WORK = "/tmp/self-test/"
COUNT = 12
CAPTURE, OUTPUT, MMAP = 1, 2, 1
QUERYBUF, QBUF, DQBUF = 9, 15, 17
failures = []


def check(what, is_so, seen=""):
    print(f"{'ok   ' if is_so else 'FAIL '} {what} {'' if is_so else seen}", flush=True)
    if not is_so:
        failures.append(what)


def run(*words, limit=100):
    """What it prints, and its exit code; None if it had to be stopped."""
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=limit,
        )
        return done.stdout.decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired as stopped:
        return (stopped.stdout or b"").decode(errors="replace"), None


def load(**parameters):
    run("modprobe", "-r", "h264_test_encoder")
    words = [f"{name}={value}" for name, value in parameters.items()]
    said, code = run("modprobe", "h264_test_encoder", *words)
    if code:
        sys.exit(f"cannot load h264_test_encoder {words}: {said}")


def node(driver):
    for path in sorted(glob.glob("/dev/video*")):
        if f"Driver name      : {driver}" in run("v4l2-ctl", "-d", path, "--info")[0]:
            return path
    sys.exit(f"there is no {driver}")


def picture_file(width, height, count):
    return f"{WORK}{width}x{height}-{count}.yuv"


@functools.cache
def pictures(width, height, count):
    """Moving pictures, as planar 4:2:0."""
    path = picture_file(width, height, count)
    run("ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc=s={width}x{height}:r=25",
        "-frames:v", str(count), "-pix_fmt", "yuv420p", path)
    with open(path, "rb") as file:
        data = file.read()
    size = width * height * 3 // 2
    return [data[at:at + size] for at in range(0, len(data), size)]


def planes(picture, width, height):
    luma, chroma = width * height, width * height // 4
    return picture[:luma], picture[luma:luma + chroma], picture[luma + chroma:]


def doubled(chroma, width):
    """4:2:2 from 4:2:0: the mean of two rows that are the same is that row."""
    row = width // 2
    return b"".join(chroma[at:at + row] * 2 for at in range(0, len(chroma), row))


def interleaved(*samples):
    out = bytearray(len(samples) * len(samples[0]))
    for index, each in enumerate(samples):
        out[index::len(samples)] = each
    return bytes(out)


def as_format(fourcc, picture, width, height):
    y, cb, cr = planes(picture, width, height)
    if fourcc in ("YU12", "YM12"):
        return picture
    if fourcc == "YV12":
        return y + cr + cb
    if fourcc in ("NV12", "NM12"):
        return y + interleaved(cb, cr)
    if fourcc == "NV21":
        return y + interleaved(cr, cb)
    cb, cr = doubled(cb, width), doubled(cr, width)
    if fourcc == "YUYV":
        return interleaved(y[0::2], cb, y[1::2], cr)
    return interleaved(cb, y[0::2], cr, y[1::2])


class Coded:
    """What v4l2-ctl saw when it encoded."""

    def __init__(self, fourcc="YU12", width=640, height=480, count=COUNT, options=(), crop=None):
        # v4l2-ctl reads pictures of the cropped size.
        size = crop or (width, height)
        frames = pictures(*size, count)
        with open(WORK + "in.raw", "wb") as file:
            file.write(b"".join(as_format(fourcc, frame, *size) for frame in frames))
        if crop:
            target = f"target=crop,left=0,top=0,width={crop[0]},height={crop[1]}"
            options = ["--set-selection-output", target, *options]
        if os.path.exists(WORK + "out.h264"):
            os.remove(WORK + "out.h264")
        start = time.monotonic()
        self.log, self.code = run(
            "v4l2-ctl", "-d", ENCODER,
            f"--set-fmt-video-out=width={width},height={height},pixelformat={fourcc}", *options,
            "--stream-mmap", "--stream-out-mmap", "--stream-from", WORK + "in.raw",
            "--stream-to", WORK + "out.h264", "--stream-count", str(count), "--verbose",
        )
        self.seconds = time.monotonic() - start
        self.stalled = "select timeout" in self.log
        dequeued = r"cap dqbuf: +\d+ seq: +(\d+) bytesused: (\d+).*\((.*)\)"
        self.buffers = re.findall(dequeued, self.log)
        # STOP came when all had come out: one more says that this is the end.
        self.end = self.buffers.pop() if self.buffers and self.buffers[-1][1] == "0" else None
        with open(WORK + "out.h264", "rb") as file:
            self.stream = file.read()
        self.first = frames[0]

    def flags(self, name):
        return [index for index, (_, _, flags) in enumerate(self.buffers) if name in flags.lower()]

    def sizes(self):
        return [int(size) for _, size, _ in self.buffers]

    def nal_types(self):
        return [unit[0] & 31 for unit in self.stream.split(b"\0\0\0\1")[1:]]

    def decoded(self):
        return decode(WORK + "out.h264")


def decode(path):
    """Planar pictures, one after the other."""
    if os.path.exists(WORK + "out.yuv"):
        os.remove(WORK + "out.yuv")
    said, code = run("ffmpeg", "-v", "warning", "-y", "-i", path, "-f", "rawvideo",
                     "-pix_fmt", "yuv420p", WORK + "out.yuv")
    if code or said.strip():
        check("FFmpeg decodes without complaint", False, said)
    if not os.path.exists(WORK + "out.yuv"):
        return b""
    with open(WORK + "out.yuv", "rb") as file:
        return file.read()


def test_formats(fourccs):
    for fourcc in fourccs:
        coded = Coded(fourcc, count=3)
        decoded = coded.decoded()
        check(f"{fourcc}: the key picture is the input, bit for bit",
              decoded[:len(coded.first)] == coded.first, coded.log[-500:])
        check(f"{fourcc}: every picture comes out", len(decoded) == 3 * len(coded.first))


def test_sizes():
    for fourcc, stride in (("YU12", 256), ("NV12", 224), ("YUYV", 448)):
        coded = Coded(fourcc, 200, 120, count=2)
        said, _ = run("v4l2-ctl", "-d", ENCODER, "--try-fmt-video-out",
                      f"width=200,height=120,pixelformat={fourcc}", "--verbose")
        check(f"{fourcc} 200x120: rows are {stride} bytes",
              re.search(rf"Bytes per [Ll]ine +: {stride}\b", said), said)
        check(f"{fourcc} 200x120: the key picture is the input",
              coded.decoded()[:len(coded.first)] == coded.first, coded.log[-500:])
    coded = Coded("NV12", 200, 120, count=2, crop=(176, 96))
    decoded = coded.decoded()
    check("cropped: size", len(decoded) == 2 * 176 * 96 * 3 // 2, str(len(decoded)))
    check("cropped: the corner of the input", decoded[:len(coded.first)] == coded.first)


def test_controls():
    coded = Coded(options=["-c", "h264_i_frame_period=5"])
    check("I period: key pictures", coded.flags("keyframe") == [0, 5, 10], str(coded.buffers))
    check("I period: NAL units", coded.nal_types() == [7, 8] + ([5, 1, 1, 1, 1] * 3)[:COUNT],
          str(coded.nal_types()))
    check("the last buffer is flagged so",
          "last" in coded.end[2] if coded.end else coded.flags("last") == [COUNT - 1],
          f"{coded.buffers} {coded.end}")
    check("EOS event", "EOS EVENT" in coded.log)
    check("sequence", [int(seq) for seq, _, _ in coded.buffers] == list(range(COUNT)))
    coded = Coded(options=["-c", "h264_i_frame_period=5,repeat_sequence_header=1"])
    check("repeated headers", coded.nal_types().count(7) == 3, str(coded.nal_types()))
    coded = Coded(count=3, options=["-c", "sequence_header_mode=0"])
    check("separate headers", coded.sizes()[0] < 100 and coded.nal_types()[:3] == [7, 8, 5],
          str(coded.buffers))
    for profile, level, start in ((1, 9, "42c01f"), (2, 11, "4d4028"), (4, 13, "64002a")):
        coded = Coded(count=1, options=["-c", f"h264_profile={profile},h264_level={level}"])
        check(f"SPS says {start}", coded.stream[5:8].hex() == start, coded.stream[:12].hex())
    coded = Coded(options=["--set-output-parm", "25", "-c",
                           "video_bitrate=8000000,video_bitrate_mode=1,h264_i_frame_period=6"])
    check("CBR: P pictures pay for the IDR picture",
          all(size < 500 for size in coded.sizes()[1:6]), str(coded.sizes()))
    for bits in (1_000_000, 8_000_000):
        coded = Coded(options=["--set-output-parm", "25", "-c", f"video_bitrate={bits}"])
        wanted = bits // 8 // 25
        check(f"{bits} bit/s: size of P pictures",
              all(wanted * 0.9 - 400 < size <= wanted * 1.1 for size in coded.sizes()[1:]),
              str(coded.sizes()))


def test_ffmpeg():
    frames = pictures(640, 480, COUNT)
    said, _ = run("ffmpeg", "-v", "warning", "-y", "-f", "rawvideo", "-video_size", "640x480",
                  "-pixel_format", "yuv420p", "-framerate", "25", "-i",
                  picture_file(640, 480, COUNT), "-force_key_frames", "expr:eq(n,7)",
                  "-c:v", "h264_v4l2m2m", "-b:v", "4M", WORK + "ffmpeg.h264")
    with open(WORK + "ffmpeg.h264", "rb") as file:
        types = [unit[0] & 31 for unit in file.read().split(b"\0\0\0\1")[1:]]
    pictures_seen = [kind for kind in types if kind in (1, 5)]
    check("FFmpeg encodes", len(pictures_seen) == COUNT, said)
    # It is the next to be encoded: some may have been queued before the control was set.
    keys = [index for index, kind in enumerate(pictures_seen) if kind == 5]
    check("FFmpeg forces a key picture", len(keys) == 2 and 1 <= keys[1] <= 7, str(types))
    key = keys[-1] if keys else 0
    check("FFmpeg's key picture is its input",
          decode(WORK + "ffmpeg.h264")[key * len(frames[key]):][:len(frames[key])] == frames[key])


def test_parameter_sets():
    for poc_type in (0, 2):
        for restriction in (0, 1):
            told = {"poc_type": poc_type, "restriction": restriction}
            with encoder_told(**told):
                coded = Coded(count=4, options=["-c", "h264_level=9"])
            check(f"{told}: decodes", len(coded.decoded()) == 4 * len(coded.first))
            said, _ = run("ffprobe", "-v", "error", "-strict", "1", "-show_entries",
                          "stream=has_b_frames", "-of", "csv=p=0", WORK + "out.h264")
            held = int(said.strip() or -1)
            check(f"{told}: a strict decoder holds back {'none' if restriction else 'some'}",
                  held == 0 if restriction else held > 0, said)
    with encoder_told(timing=1):
        Coded(count=2, options=["--set-output-parm", "15"])
        said, _ = run("ffprobe", "-v", "error", "-show_entries", "stream=r_frame_rate", "-of",
                      "csv=p=0", WORK + "out.h264")
        check("frame rate in the SPS", said.strip() == "15/1", said)


def test_misbehaviour():
    period = ["-c", "h264_i_frame_period=5"]
    with encoder_told(keyframe_flags=1):
        check("KEYFRAME never", Coded(options=period).flags("keyframe") == [])
    with encoder_told(keyframe_flags=2):
        check("KEYFRAME always", len(Coded(options=period).flags("keyframe")) == COUNT)
    with encoder_told(keyframe_flags=3):
        coded = Coded(options=period)
        check("KEYFRAME swapped", coded.flags("p-frame") == [0, 5, 10], str(coded.buffers))
    with encoder_told(withhold_headers=1):
        coded = Coded(options=["-c", "h264_i_frame_period=5,repeat_sequence_header=1"])
        check("headers not repeated", coded.nal_types().count(7) == 1, str(coded.nal_types()))
    with encoder_told(stall_after=5):
        coded = Coded()
        check("stalls after 5", coded.stalled and len(coded.buffers) == 5, coded.log[-300:])
    check("and works again", len(Coded().buffers) == COUNT)
    with encoder_told(stall_low_level=1):
        coded = Coded(options=["-c", "h264_level=0"])
        check("stalls at a level too low", coded.stalled and len(coded.buffers) == 1,
              coded.log[-300:])
        coded = Coded(options=["-c", "h264_level=9"])
        check("not at one that suffices", len(coded.buffers) == COUNT)
    with encoder_told(drop_every=4):
        coded = Coded()
        check("drops every fourth",
              coded.nal_types().count(1) + coded.nal_types().count(5) == COUNT * 3 // 4,
              str(coded.buffers))
    with encoder_told(error_every=4):
        coded = Coded()
        check("every fourth is flagged ERROR", coded.flags("error") == [3, 7, 11],
              str(coded.buffers))
    with encoder_told(qbuf_fail_every=3, qbuf_errno=11):
        coded = Coded()
        check("QBUF fails", re.search(r"VIDIOC_QBUF.*\(Resource temporarily", coded.log),
              str([line for line in coded.log.splitlines() if "QBUF" in line]))
    with encoder_told(encode_us=200000):
        coded = Coded(count=5)
        check("takes its time", coded.seconds > 1.0, str(coded.seconds))


def first_nal_types(starts):
    """Of the first buffer after each of so many starts of one open file; single-planar."""
    types = []
    with open(ENCODER, "rb+", buffering=0) as device:
        for _ in range(starts):
            maps = {}
            for kind in (CAPTURE, OUTPUT):
                ioctl(device, 8, struct.pack("<IIIII", 1, kind, MMAP, 0, 0))
                _, _, size, offset = buffer(device, QUERYBUF, kind)
                maps[kind] = mmap.mmap(device.fileno(), size, offset=offset)
                buffer(device, QBUF, kind, size if kind == OUTPUT else 0)
                ioctl(device, 18, struct.pack("<I", kind), 1)
            select.select([device], [], [], 20)
            buffer(device, DQBUF, CAPTURE)
            types.append(maps[CAPTURE][4] & 31)
            for kind in (CAPTURE, OUTPUT):
                ioctl(device, 19, struct.pack("<I", kind), 1)
                maps[kind].close()
                ioctl(device, 8, struct.pack("<IIIII", 0, kind, MMAP, 0, 0))
    return types


def ioctl(device, number, argument, direction=3):
    request = direction << 30 | len(argument) << 16 | ord("V") << 8 | number
    return fcntl.ioctl(device, request, argument)


def buffer(device, number, kind, used=0):
    """Index, bytes used, length and offset of struct v4l2_buffer, as 64-bit machines have it."""
    layout = "<IIIII4xqq16xIIQIII4x"
    given = struct.pack(layout, 0, kind, used, 0, 1, 0, 0, 0, MMAP, 0, 0, 0, 0)
    got = struct.unpack(layout, ioctl(device, number, given))
    return got[0], got[2], got[10], got[9]


def test_restart():
    # The input is all zero, too: nothing needs more bytes.
    for withheld, wanted in ((0, [7, 7]), (1, [7, 7]), (2, [7, 5])):
        with encoder_told(withhold_headers=withheld):
            types = first_nal_types(2)
            check(f"restarted with withhold_headers={withheld}", types == wanted, str(types))


def test_sharing():
    program = WORK + "dmabuf"
    said, code = run("gcc", "-O1", "-o", program, os.path.join(HERE, "dmabuf.c"))
    if code:
        sys.exit(said)
    said, code = run(program, CAMERA, ENCODER, "640x480")
    check("DMABUF, every way", code == 0 and said.count("works") >= 18, said)


def test_compliance():
    said, code = run("v4l2-compliance", "-d", ENCODER, "-s", "5", limit=120)
    # Releases before 1.26 know NV12 by another description than this kernel's, and stop there.
    if "fmtdesc.description mismatch" in said:
        print("note  v4l2-compliance is too old for this kernel: not counted")
        return
    check("v4l2-compliance", code == 0, said[-3000:])


def test_all():
    global ENCODER
    everything = ["YU12", "YV12", "NV12", "NV21", "YUYV", "UYVY", "NM12", "YM12"]
    for planarity, formats in ((1, everything), (0, ["YU12", "YUYV"])):
        load(multiplanar=planarity)
        ENCODER = node("h264-test-enc")
        print(f"---- {'multi' if planarity else 'single'}-planar", flush=True)
        test_formats(formats)
        test_sharing()
        test_compliance()
        if planarity:
            test_sizes()
            test_controls()
            test_ffmpeg()
            test_parameter_sets()
            test_misbehaviour()
        else:
            test_restart()
    exports = r"encoder exports, camera imports +NV12 +coded MMAP +works"
    for name, value, refusal in (("contiguous", 1, "Bad address"),
                                 ("align_height", 16, "Invalid argument")):
        load(**{name: value})
        parameter = f"{name}={value}"
        said, code = run(WORK + "dmabuf", CAMERA, ENCODER, "640x360")
        check(f"{parameter}: the camera's buffers are refused",
              code == 1 and f"FAILS   encoder QBUF: {refusal}" in said, said)
        check(f"{parameter}: the encoder's are not", re.search(exports, said), said)


def test_briefly():
    """That it encodes at all, is told to by controls, and misbehaves: what other tests build on."""
    global ENCODER
    ENCODER = node("h264-test-enc")
    test_formats(["YU12", "NV12"])
    coded = Coded(options=["-c", "h264_i_frame_period=5"])
    check("I period: key pictures", coded.flags("keyframe") == [0, 5, 10], str(coded.buffers))
    with encoder_told(stall_after=5):
        coded = Coded()
        check("stalls after 5", coded.stalled and len(coded.buffers) == 5, coded.log[-300:])


os.makedirs(WORK, exist_ok=True)
CAMERA = node("vivid")
if sys.argv[1:] == ["--brief"]:
    test_briefly()
elif not sys.argv[1:]:
    test_all()
else:
    sys.exit("self_test.py [--brief]")
print(f"{len(failures)} failed: {failures}" if failures else "all is well")
sys.exit(1 if failures else 0)
