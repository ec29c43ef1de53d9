"""Runs the emulated camera for a proof, captures from it, and compares with the files."""

import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path

from content import H264, MJPEG, YUYV

sys.path.append(str(Path(__file__).parents[1]))
from claims import run  # noqa: E402

HERE = Path(__file__).parent


class EmulatedCamera:
    """usb_camera.py with the media as its clips, and what it has told so far."""

    def __init__(self, settings, *options):
        self.media, self.scratch = settings.media, settings.scratch
        self.fifo = self.scratch / "commands"
        self.told = ""
        self.read_to = 0
        command = [
            sys.executable,
            HERE / "usb_camera.py",
            "--transfer",
            settings.transfer,
            "--commands",
            self.fifo,
        ]
        for option, clips in (
            ("--yuyv", CLIPS[YUYV]),
            ("--mjpeg", CLIPS[MJPEG]),
            ("--h264", CLIPS[H264]),
        ):
            for size, rates, path in clips:
                command += [option, f"{size}@{rates}={self.media / path}"]
        if not self.fifo.exists():
            os.mkfifo(self.fifo)
        self.process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE)

    def __enter__(self):
        self.node = self.wait("ready")["node"]
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=20)
        self.process.stdout.close()

    def command(self, line):
        self.fifo.write_text(line + "\n")

    def wait(self, event, seconds=60):
        """The details of the next `event` told after the last one waited for."""
        deadline = time.monotonic() + seconds
        while True:
            match = re.compile(rf"^{event}\b(.*)\n", re.MULTILINE).search(self.told, self.read_to)
            if match:
                self.read_to = match.end()
                return dict(pair.split("=", 1) for pair in match[1].split())
            readable, _, _ = select.select(
                [self.process.stdout], [], [], max(0, deadline - time.monotonic())
            )
            data = os.read(self.process.stdout.fileno(), 65536) if readable else b""
            if not data:
                ended = "ended" if readable else f"did not tell it in {seconds} s"
                raise TimeoutError(
                    f"waiting for {event!r}: the camera {ended}; it told:\n{self.told}"
                )
            self.told += data.decode()

    def control(self, name):
        return run("v4l2-ctl", "-d", self.node, "-C", name).split(":", 1)[1].split()[0]

    def set_control(self, name, value, status=0):
        return run("v4l2-ctl", "-d", self.node, "-c", f"{name}={value}", status=status)

    def capture(self, format, size, count, name="capture"):
        """`count` frames as v4l2-ctl gets them, joined, and a line with the rate the camera saw."""
        path = self.scratch / name
        width, height = size.split("x")
        fourcc = "MJPG" if format == MJPEG else format
        run(
            "v4l2-ctl",
            "-d",
            self.node,
            "-v",
            f"pixelformat={fourcc},width={width},height={height}",
            "-p",
            "30",
            "--stream-mmap=8",
            f"--stream-count={count}",
            f"--stream-to={path}",
            status=0,
        )
        off = self.wait("stream-off")
        rate = int(off["frames"]) / max(float(off["seconds"]), 0.001)
        return (
            path.read_bytes(),
            f"{format} {size}: {rate:.1f} frames a second of 30, {off['slips']} slips",
        )

    def record(self, input_format, size, count):
        """`count` frames as FFmpeg gets them, not transcoded, joined."""
        path = self.scratch / "recorded"
        muxer = {"h264": "h264", "mjpeg": "mjpeg", "yuyv422": "rawvideo"}[input_format]
        run(
            "ffmpeg",
            "-hide_banner",
            "-loglevel",
            "error",
            "-y",
            "-f",
            "v4l2",
            "-input_format",
            input_format,
            "-video_size",
            size,
            "-framerate",
            "30",
            "-i",
            self.node,
            "-frames:v",
            str(count),
            "-c",
            "copy",
            "-f",
            muxer,
            path,
            status=0,
        )
        return path.read_bytes()


def start_stream(camera):
    """An application that captures H.264 until it cannot; it runs when this returns."""
    width, height = CLIPS[H264][0][0].split("x")
    stream = subprocess.Popen(
        [
            "v4l2-ctl",
            "-d",
            camera.node,
            "-v",
            f"pixelformat=H264,width={width},height={height}",
            "--stream-mmap=4",
            "--stream-count=100000",
            f"--stream-to={os.devnull}",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    camera.wait("stream-on")
    return stream


def follow(received, frames):
    """Checks that what was received are frames of the clip in their order, from the first on;
    returns how many were left out: the driver drops what the camera sends while the application has
    all buffers.
    """
    assert received, "nothing was received"
    position = lost = 0
    for count, frame in enumerate(received):
        skipped = next(
            (n for n in range(len(frames)) if frames[(position + n) % len(frames)] == frame), None
        )
        assert skipped is not None, f"frame {count} ({len(frame)} bytes) is none of the clip's"
        assert count or not skipped, f"the stream begins with frame {skipped} of the clip"
        position, lost = position + skipped + 1, lost + skipped
    return lost


def split_jpegs(data):
    return [b"\xff\xd8\xff" + part for part in data.split(b"\xff\xd8\xff")[1:]]


def pictures(camera, stream):
    """A checksum for each picture that the H.264 stream decodes to."""
    path = camera.scratch / "pictures.h264"
    path.write_bytes(stream)
    return run("ffmpeg", "-loglevel", "error", "-i", path, "-f", "framemd5", "-", status=0)


# Format: (size, rates, where make_media.sh put it).
CLIPS = {
    YUYV: (("640x480", "30,15,5", "640x480.yuyv"), ("320x240", "30,15", "320x240.yuyv")),
    MJPEG: (("640x480", "30,15", "mjpeg-640x480"), ("1280x720", "30,15", "mjpeg-1280x720")),
    H264: (("640x480", "30,15", "640x480.h264"), ("1280x720", "30", "1280x720.h264")),
}
