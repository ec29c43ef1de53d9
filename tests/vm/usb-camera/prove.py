#!/usr/bin/env python3
"""Shows that the emulated camera is a camera. To be run in the virtual machine.

As root, with vhci-hcd and uvcvideo loaded. v4l2-ctl lists and sets, FFmpeg and v4l2-ctl capture, and
what arrives is compared with the files byte by byte. Prints a line for each claim and ends with 1
if one does not hold. Rates are printed and never judged.
"""

import argparse
import os
import re
import struct
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

from content import H264, MJPEG, YUYV, nal_units, split_access_units
from rig import (
    CLIPS,
    EmulatedCamera,
    follow,
    pictures,
    split_jpegs,
    start_stream,
)

sys.path.append(str(Path(__file__).parents[1]))
from claims import expect, run, wait_until  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("media", type=Path, help="the directory that make_media.sh filled")
    names = [claim.__name__ for claim in CLAIMS]
    parser.add_argument("claims", nargs="*", help="some of them: " + ", ".join(names))
    parser.add_argument("--transfer", choices=("iso", "bulk"), default="iso")
    parser.add_argument("--scratch", type=Path, default=Path("/run/usb-camera"))
    parser.add_argument(
        "--compliance", action="store_true", help="print what v4l2-compliance says, unjudged"
    )
    settings = parser.parse_intermixed_args()
    if unknown := set(settings.claims) - set(names):
        parser.error(f"no claim {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    settings.scratch.mkdir(parents=True, exist_ok=True)
    proof = Proof(settings)
    for claim in CLAIMS:
        if not settings.claims or claim.__name__ in settings.claims:
            proof.check(claim)
    if settings.compliance:
        with EmulatedCamera(settings) as camera:
            # Status 1 means that a test of it failed, which is told and not judged here.
            print(run("v4l2-compliance", "-d", camera.node, "-s", "30", status=None), flush=True)
    sys.exit(1 if proof.failed else 0)


class Proof:
    def __init__(self, settings):
        self.settings = settings
        self.failed = 0

    def check(self, claim):
        started = time.monotonic()
        try:
            with EmulatedCamera(self.settings, *getattr(claim, "options", ())) as camera:
                try:
                    seen = claim(camera)
                except Exception:
                    print(camera.told, file=sys.stderr)
                    raise
            verdict = "ok    "
        except (AssertionError, TimeoutError, subprocess.SubprocessError) as error:
            self.failed += 1
            seen, verdict = str(error), "FAIL  "
        print(
            verdict + " ".join(claim.__doc__.split()),
            f"[{time.monotonic() - started:.1f} s]",
            flush=True,
        )
        for line in (seen or "").splitlines():
            print(f"      {line}", flush=True)


def formats(camera):
    """v4l2-ctl lists the formats, sizes and rates"""
    listed = run("v4l2-ctl", "-d", camera.node, "--list-formats-ext")
    found = {}
    for line in listed.splitlines():
        if match := re.search(r"\[\d+\]: '(\w+)'", line):
            format = found.setdefault(match[1].replace("MJPG", MJPEG), {})
        elif match := re.search(r"Discrete (\d+x\d+)", line):
            rates = format.setdefault(match[1], [])
        elif match := re.search(r"\(([\d.]+) fps\)", line):
            rates.append(float(match[1]))
    wanted = {
        format: {size: [float(rate) for rate in rates.split(",")] for size, rates, _ in clips}
        for format, clips in CLIPS.items()
    }
    expect(found, wanted)


def controls(camera):
    """v4l2-ctl lists the controls and their menus, sets them, and they stay"""
    listed = run("v4l2-ctl", "-d", camera.node, "--list-ctrls-menus")
    for wanted in (
        r"brightness .*min=-64 max=64 step=1 default=0 value=0",
        r"contrast .*min=0 max=95 step=1 default=32 value=32",
        r"power_line_frequency .*default=1 value=1.*\n\s+0: Disabled\n\s+1: 50 Hz\n\s+2: 60 Hz",
        r"white_balance_automatic .*default=1 value=1",
        r"white_balance_temperature .*min=2800 max=6500 step=10 default=4600 value=4600 flags=inactive",
        r"auto_exposure .*default=3 value=3.*\n\s+1: Manual Mode\n\s+3: Aperture Priority Mode",
        r"exposure_time_absolute .*min=1 max=5000 step=1 default=156 value=156 flags=inactive",
    ):
        assert re.search(wanted, listed), f"{wanted} is not in\n{listed}"
    camera.set_control("brightness", -17)
    camera.set_control("white_balance_automatic", 0)
    camera.set_control("white_balance_temperature", 3200)
    camera.set_control("auto_exposure", 1)
    camera.set_control("exposure_time_absolute", 333)
    camera.command("status")
    state = camera.wait("status")
    wanted = {
        "brightness": "-17",
        "white_balance_temperature": "3200",
        "exposure_time_absolute": "333",
    }
    expect({name: camera.control(name) for name in wanted}, wanted)
    expect({name: state[name] for name in wanted}, wanted)
    camera.set_control("auto_exposure", 3)
    refusal = camera.set_control("exposure_time_absolute", 200, status=None)
    return f"set while automatic: {refusal.strip() or 'taken'}"


def event(camera):
    """a control turned on the camera itself reaches an application as an event"""
    waiting = subprocess.Popen(
        ["v4l2-ctl", "-d", camera.node, "--wait-for-event=ctrl=white_balance_temperature"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    # An application may turn up after the knob: turn it until the event is there.
    for step in range(100):
        camera.command(f"set white_balance_temperature {3000 + 10 * step}")
        try:
            output, _ = waiting.communicate(timeout=0.5)
            break
        except subprocess.TimeoutExpired:
            continue
    else:
        waiting.kill()
        raise AssertionError("no event")
    assert re.search(r"value: 3\d\d\d", output), output


def raw_frames(camera):
    """YUYV arrives as in the file, by v4l2-ctl and by FFmpeg"""
    size, _, path = CLIPS[YUYV][0]
    file = (camera.media / path).read_bytes()
    length = 2 * int(size.split("x")[0]) * int(size.split("x")[1])
    frames = [file[at : at + length] for at in range(0, len(file), length)]
    data, rate = camera.capture(YUYV, size, 20)
    lost = follow([data[at : at + length] for at in range(0, len(data), length)], frames)
    data = camera.record("yuyv422", size, 20)
    lost += follow([data[at : at + length] for at in range(0, len(data), length)], frames)
    return f"{rate}; {lost} of 40 frames left out by the driver"


def jpegs(camera):
    """MJPEG arrives as in the files, in both sizes, by v4l2-ctl and by FFmpeg"""
    seen = []
    for size, _, path in CLIPS[MJPEG]:
        frames = [file.read_bytes() for file in sorted((camera.media / path).glob("*.jpg"))]
        data, rate = camera.capture(MJPEG, size, 40)
        lost = follow(split_jpegs(data), frames)
        lost += follow(split_jpegs(camera.record("mjpeg", size, 40)), frames)
        seen.append(f"{rate}; {lost} of 80 frames left out by the driver")
    return "\n".join(seen)


def h264(camera):
    """H.264 arrives as in the file, in both sizes, by v4l2-ctl and by FFmpeg, and decodes to the
    file's pictures
    """
    seen = []
    for size, _, path in CLIPS[H264]:
        frames = split_access_units((camera.media / path).read_bytes())
        data, rate = camera.capture(H264, size, 70)
        lost = follow(split_access_units(data), frames)
        recorded = camera.record("h264", size, 40)
        recorded_units = split_access_units(recorded)
        lost_by_ffmpeg = follow(recorded_units, frames)
        if not lost_by_ffmpeg:
            wanted = b"".join(frames[: len(recorded_units)])
            expect(pictures(camera, recorded), pictures(camera, wanted))
            rate += "; the same pictures"
        seen.append(f"{rate}; {lost + lost_by_ffmpeg} of 110 frames left out by the driver")
    return "\n".join(seen)


def sets_at_start(camera):
    """with --parameter-sets start, SPS and PPS come in a stream's first frame alone"""
    size = CLIPS[H264][0][0]
    data, _ = camera.capture(H264, size, 70)
    # The file has an IDR picture with both every 30 frames.
    kinds = [kind for _, kind, _ in nal_units(data)]
    expect((kinds.count(SPS), kinds.count(PPS)), (1, 1))
    first_picture = [kind for _, kind, _ in nal_units(split_access_units(data)[0])]
    assert kinds.count(IDR_SLICE) > first_picture.count(IDR_SLICE), "one IDR picture only"


sets_at_start.options = ("--parameter-sets", "start")


def clock(camera):
    """with --clock scr, PTS and SCR reach the metadata node, one PTS to a frame"""
    siblings = Path(
        "/sys/class/video4linux", Path(camera.node).name, "device/video4linux"
    ).iterdir()
    (node,) = {f"/dev/{sibling.name}" for sibling in siblings} - {camera.node}
    path = camera.scratch / "metadata"
    path.unlink(missing_ok=True)
    # It waits for the camera to stream; v4l2-ctl creates the file when it does.
    reader = subprocess.Popen(
        ["v4l2-ctl", "-d", node, "--stream-mmap=4", "--stream-count=10", f"--stream-to={path}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_until(path.exists, lambda: f"v4l2-ctl does not read {node}")
        camera.capture(MJPEG, CLIPS[MJPEG][0][0], 40)
        reader.communicate(timeout=60)
    finally:
        reader.kill()
    # Of each payload header: the host's time and frame number, length and bits, PTS, STC, SOF.
    headers = list(struct.iter_unpack("<QHBBIIH", path.read_bytes()))
    assert len(headers) >= 10, f"{len(headers)} headers"
    stamps = {}
    for _, _, length, bits, stamp, counter, _ in headers:
        expect((length, bits & 0x8C), (12, 0x8C))
        delay = (counter - stamp) % 2**32 / 48_000_000
        assert delay < 60, f"sent {delay} s after it was taken"
        stamps.setdefault(stamp, set()).add(bits & 1)
    assert all(len(frame_ids) == 1 for frame_ids in stamps.values()), stamps
    steps = [round((after - before) % 2**32 / 48_000, 1) for before, after in pairwise(stamps)]
    return f"{len(headers)} headers, milliseconds between frames {steps}"


clock.options = ("--clock", "scr")


def newer_version(camera):
    """as a UVC 1.5 camera it has an automatic power line frequency and streams"""
    listed = run("v4l2-ctl", "-d", camera.node, "--list-ctrls-menus")
    assert re.search(r"power_line_frequency[^\n]*\n(\s+\d: [^\n]*\n){3}\s+3: Auto", listed), listed
    size, _, path = CLIPS[H264][0]
    data, _ = camera.capture(H264, size, 10)
    follow(split_access_units(data), split_access_units((camera.media / path).read_bytes()))


newer_version.options = ("--uvc", "1.5")


def wait_until_gone(camera):
    node = camera.node
    wait_until(lambda: not os.path.exists(node), lambda: f"{node} is still there")


def unplug(camera):
    """unplugged while streaming it is gone, and comes back on another port as itself, also under
    another node
    """
    holder = os.open(camera.node, os.O_RDWR)
    try:
        stream = start_stream(camera)
        camera.command("unplug")
        camera.wait("unplugged")
        stream.communicate(timeout=60)
        wait_until_gone(camera)
        camera.command("plug 3")
        plugged, ready = camera.wait("plugged"), camera.wait("ready")
    finally:
        os.close(holder)
    expect(plugged["port"], "3")
    assert ready["node"] != camera.node, "the node that is still open was used again"
    old, camera.node = camera.node, ready["node"]
    identity = Path("/sys/class/video4linux", Path(camera.node).name, "device/..").resolve()
    names = {
        name: (identity / name).read_text().strip()
        for name in ("serial", "product", "manufacturer")
    }
    expect(names, {"serial": "LC000001", "product": "Test Camera", "manufacturer": "Lenscast"})
    camera.capture(MJPEG, CLIPS[MJPEG][0][0], 5)
    camera.command("unplug")
    camera.wait("unplugged")
    camera.command("plug 3")
    again = camera.wait("ready")["node"]
    camera.node = again
    camera.capture(MJPEG, CLIPS[MJPEG][0][0], 5)
    return f"{old}, then {ready['node']} on port 3, then {again}"


def pulled_by_host(camera):
    """detached by the host in mid-stream, it is told and can be plugged again"""
    stream = start_stream(camera)
    Path("/sys/devices/platform/vhci_hcd.0/detach").write_text("0")
    camera.wait("detached")
    stream.communicate(timeout=60)
    camera.command("plug")
    camera.node = camera.wait("ready")["node"]
    camera.capture(H264, CLIPS[H264][0][0], 5)


def dropped(camera):
    """the connection breaks in mid-frame: the stream ends, the node goes, plugged again it works"""
    stream = start_stream(camera)
    camera.command("drop")
    camera.wait("dropped")
    stream.communicate(timeout=60)
    wait_until_gone(camera)
    camera.command("plug")
    camera.node = camera.wait("ready")["node"]
    camera.capture(H264, CLIPS[H264][0][0], 5)


def stall(camera):
    """stalled, it sends nothing for as long as told, and goes on with the next frame"""
    size, _, path = CLIPS[MJPEG][0]
    started = time.monotonic()
    camera.command("stall 5")
    camera.wait("stalled")
    data, _ = camera.capture(MJPEG, size, 10)
    took = time.monotonic() - started
    frames = [file.read_bytes() for file in sorted((camera.media / path).glob("*.jpg"))]
    follow(split_jpegs(data), frames)
    assert took >= 5, f"10 frames after {took:.1f} s"
    return f"10 frames after {took:.1f} s"


def bad_frames(camera):
    """frames with the error bit and frames cut short are left out or, with nodrop=1, marked by the
    driver
    """
    seen = [
        show_bad_frames(camera, fault, format, False)
        for fault in ("error", "truncate")
        for format in (YUYV, MJPEG)
    ]
    nodrop = Path("/sys/module/uvcvideo/parameters/nodrop")
    before = nodrop.read_text()
    try:
        # The driver looks at it when a camera is plugged in.
        nodrop.write_text("1")
        camera.command("unplug")
        camera.wait("unplugged")
        camera.command("plug")
        camera.node = camera.wait("ready")["node"]
        seen += [
            show_bad_frames(camera, fault, format, True)
            for fault in ("error", "truncate")
            for format in (YUYV, MJPEG)
        ]
    finally:
        nodrop.write_text(before)
    return "\n".join(seen)


def show_bad_frames(camera, fault, format, nodrop):
    """Captures with the first two frames faulty and checks what the driver makes of them; says what
    it was.
    """
    width, height = CLIPS[format][0][0].split("x")
    camera.command(f"{fault} 2")
    camera.wait("fault")
    log = run(
        "v4l2-ctl",
        "-d",
        camera.node,
        "-v",
        f"pixelformat={format.replace(MJPEG, 'MJPG')},width={width},height={height}",
        "--stream-mmap=8",
        "--stream-count=6",
        "--verbose",
        status=0,
    )
    camera.wait("stream-off")
    buffers = re.findall(r"cap dqbuf: .*seq: +(\d+) bytesused: (\d+) .*\((.*)\)", log)
    first, sizes = int(buffers[0][0]), [int(size) for _, size, _ in buffers]
    marked = sum("error" in flags for _, _, flags in buffers)
    # v4l2-ctl counts the good ones alone.
    assert len(buffers) == 6 + marked, log
    is_noticed = fault == "error" or format == YUYV  # the driver cannot know where a JPEG ends
    expect((first, marked), ((0, 2) if nodrop else (2, 0)) if is_noticed else (0, 0))
    if fault == "truncate" and (nodrop or format == MJPEG):
        assert max(sizes[:2]) < 0.6 * min(sizes[2:]), f"no short frames in {sizes}"
    return f"{fault} {format}{' nodrop=1' if nodrop else ''}: from sequence {first}, {marked} marked, {sizes} bytes"


IDR_SLICE, SPS, PPS = 5, 7, 8

CLAIMS = (
    formats,
    controls,
    event,
    raw_frames,
    jpegs,
    h264,
    sets_at_start,
    clock,
    newer_version,
    stall,
    bad_frames,
    unplug,
    pulled_by_host,
    dropped,
)

if __name__ == "__main__":
    main()
