#!/usr/bin/env python3
"""From a USB camera to the player, with the kernel's uvcvideo: shows what it claims, line by line.

    tests/vm/usb-camera/make_media.sh target/usb-camera
    cargo xtask vm --load vhci-hcd --load uvcvideo -- \\
        python3 tests/vm/proof/usb.py target/debug/lenscast

Runs in the virtual machine, as root. Names after the program choose some of the claims. What is served
is compared with the clips that the camera plays; players are FFmpeg and `lenscast probe`. No claim is
about how fast anything is: the machine is emulated.
"""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from serving import SAME, Lenscast, prove, run, split_pictures, wait_until

sys.path.append(str(Path(__file__).parents[1] / "usb-camera"))
from rig import EmulatedCamera  # noqa: E402

# As udev would name it, which is not there: the program says it by itself.
NAME = "by-id/usb-Lenscast_Test_Camera_LC000001-video-index0"


def native_h264(settings):
    """the camera's own H.264 arrives as it is, over UDP and TCP: FFmpeg decodes the very pictures of
    its clip, in their order
    """
    wanted = checksums("-i", settings.media / "640x480.h264")
    seen = []
    with camera(settings), Lenscast(settings.lenscast, f"usb=v4l2:{NAME}?format=h264") as server:
        for transport in ("udp", "tcp"):
            found = checksums("-rtsp_transport", transport, "-i", server.url("usb"))
            places = [wanted.index(checksum) if checksum in wanted else None for checksum in found]
            # On a machine this slow the driver may leave a picture out, and what refers to it then
            # decodes to something else.
            run_of = following(places, len(wanted))
            assert len(run_of) >= 5, f"over {transport}, pictures of the clip: {places}"
            seen.append(f"over {transport}: pictures {run_of[0]} to {run_of[-1]} of the clip")
            report = server.probe("usb", transport)
            assert (report["width"], report["height"]) == (640, 480), report
            assert report["keyframes"] > 0, report
    return "\n".join(seen)


def raw(settings):
    """YUYV pictures are encoded and show what the camera's clip shows"""
    size = (320, 240)
    source = f"usb=v4l2:{NAME}?format=yuyv&size=320x240&fps=15"
    with camera(settings), Lenscast(settings.lenscast, source) as server:
        *_, found = server.pictures("usb", "tcp", size)
    wanted = clip_pictures(settings.media / "320x240.yuyv", size)
    distances = [found.distance(picture) for picture in wanted]
    assert min(distances) < SAME, f"no picture of the clip: {distances}"
    return f"it is picture {distances.index(min(distances))}, {min(distances):.1f} off on average"


def replugged(settings):
    """a camera that is pulled out while it is watched and plugged in again is served again, under
    the same name, and the program lives on
    """
    source = f"usb=v4l2:{NAME}?format=h264"
    with camera(settings) as usb, Lenscast(settings.lenscast, source) as server:
        viewer = subprocess.Popen(
            [settings.lenscast, "probe", server.url("usb"), "--seconds", "60"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            usb.wait("stream-on")
            usb.command("unplug")
            usb.wait("unplugged")
            usb.command("plug")
            usb.wait("ready")
        finally:
            viewer.kill()
            viewer.wait()
        probe = [settings.lenscast, "probe", server.url("usb"), "--seconds", "2"]
        plays = lambda: subprocess.run(probe, stdout=subprocess.DEVNULL).returncode == 0
        wait_until(plays, lambda: "the camera is not served again", seconds=60)
        server.stop()


def following(places, count):
    """As many as follow each other from the first on, in a clip that goes round."""
    run_of = places[:1] if places[0] is not None else []
    for place in places[len(run_of) :]:
        if not run_of or place != (run_of[-1] + 1) % count:
            break
        run_of.append(place)
    return run_of


def camera(settings):
    scratch = Path("/run/usb-camera")
    scratch.mkdir(exist_ok=True)
    return EmulatedCamera(SimpleNamespace(media=settings.media, scratch=scratch, transfer="iso"))


def checksums(*given):
    """A checksum of each of the first pictures that FFmpeg decodes of what it is given."""
    count = [] if "-rtsp_transport" not in given else ["-frames:v", "20"]
    said = run("ffmpeg", "-v", "error", *given, *count, "-pix_fmt", "yuv420p", "-f", "framemd5", "-")
    lines = [line for line in said.splitlines() if line and not line.startswith("#")]
    return [line.rsplit(",", 1)[1].strip() for line in lines]


def clip_pictures(path, size):
    """The pictures of a raw clip, as 4:2:0."""
    width, height = size
    converted = "/run/clip.yuv"
    run(
        "ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "yuyv422", "-s",
        f"{width}x{height}", "-i", path, "-pix_fmt", "yuv420p", "-f", "rawvideo", converted,
    )  # fmt: skip
    return split_pictures(Path(converted).read_bytes(), size)


if __name__ == "__main__":
    prove(__doc__, (native_h264, raw, replugged))
