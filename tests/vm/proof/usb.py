#!/usr/bin/env python3
"""From a USB camera to the player, with the kernel's uvcvideo: shows what it claims, line by line.

    tests/vm/usb-camera/make_media.sh target/usb-camera
    cargo xtask vm --load vhci-hcd --load uvcvideo -- \\
        python3 tests/vm/proof/usb.py target/debug/lenscast

Runs in the virtual machine, as root. Names after the program choose some of the claims. What is
served is compared with the clips that the camera plays; players are FFmpeg and `lenscast probe`. No
claim is about how fast anything is: the machine is emulated.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace

from serving import SAME, Lenscast, prove, split_pictures

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "usb-camera")]
from claims import expect, run, wait_until  # noqa: E402
from rig import CLIPS, EmulatedCamera  # noqa: E402

# Pictures: more than decoders, pipes and sockets hold.
MANY = 150
# As udev would name it, which is not there: the program says it by itself.
NAME = "by-id/usb-Lenscast_Test_Camera_LC000001-video-index0"


def devices(settings):
    """`lenscast devices --json` lists the camera's formats, sizes and rates and its lasting name"""
    with camera(settings) as usb:
        listing = json.loads(run(settings.lenscast, "devices", "--json"))
        node = usb.node
    (found,) = listing["cameras"]
    expect((found["node"], found["driver"]), (node, "uvcvideo"), "the camera")
    assert NAME in found["names"], found["names"]
    assert found["is_default"], "a bare `lenscast` would not serve it"
    formats = {
        one["format"].replace("MJPG", "MJPEG"): {
            f"{size['width']}x{size['height']}": ",".join(
                f"{rate['numerator'] // rate['denominator']}" for rate in size["rates"]["list"]
            )
            for size in one["sizes"]["list"]
        }
        for one in found["formats"]
    }
    wanted = {
        format: {size: rates for size, rates, _ in clips} for format, clips in CLIPS.items()
    }
    expect(formats, wanted, "formats")
    return f"by itself it would give {found['would_give']}"


def controls(settings):
    """`lenscast control` by the lasting name: a control held by its automatic is refused with what
    holds it, and taken when that is off
    """
    with camera(settings) as usb:
        lenscast = (settings.lenscast, "control", NAME)
        refusal = run(*lenscast, "white_balance_temperature=3200", status=1)
        assert "white_balance_automatic" in refusal, refusal
        run(*lenscast, "white_balance_automatic=0", "white_balance_temperature=3200")
        expect(usb.control("white_balance_temperature"), "3200", "what the camera has")
    return refusal


def native_h264(settings):
    """the camera's own H.264 arrives as it is, over UDP and TCP: FFmpeg decodes the very pictures
    of its clip, in their order
    """
    wanted = checksums("-i", settings.media / "640x480.h264")
    seen = []
    source = f"usb=v4l2:{NAME}?format=h264&size=640x480&fps=30"
    with camera(settings), Lenscast(settings.lenscast, source) as server:
        for transport in ("udp", "tcp"):
            found = checksums("-rtsp_transport", transport, "-i", server.url("usb"))
            places = [wanted.index(one) if one in wanted else None for one in found]
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
    source = f"usb=v4l2:{NAME}?format=yuyv&size=320x240&fps=15"
    clip = ["-f", "rawvideo", "-pix_fmt", "yuyv422", "-s", "320x240", "-i", "320x240.yuyv"]
    return one_of_clip(settings, source, (320, 240), clip)


def mjpeg(settings):
    """MJPEG pictures are decoded, encoded and show what the camera's clip shows"""
    source = f"usb=v4l2:{NAME}?format=mjpeg&size=640x480&fps=15"
    return one_of_clip(settings, source, (640, 480), ["-i", "mjpeg-640x480/%03d.jpg"])


def one_of_clip(settings, source, size, clip):
    with camera(settings), Lenscast(settings.lenscast, source) as server:
        *_, found = server.pictures("usb", "tcp", size)
    wanted = clip_pictures(settings.media, clip, size)
    distances = [found.distance(picture) for picture in wanted]
    assert min(distances) < SAME, f"no picture of the clip: {distances}"
    return f"it is picture {distances.index(min(distances))}, {min(distances):.1f} off on average"


def unplugged(settings):
    """a camera that is pulled out while it is watched and plugged in elsewhere shows its pictures
    again, by the name it had, to those who stayed, over UDP and TCP, while other streams go on
    """
    size = (640, 480)
    source = f"usb=v4l2:{NAME}?format=h264&size=640x480&fps=30"
    card = "card=test:?size=320x240&fps=5"
    with camera(settings) as usb, Lenscast(settings.lenscast, source, card) as server:
        first = usb.node
        with (
            server.watch("usb", size, "tcp") as over_tcp,
            server.watch("usb", size, "udp") as over_udp,
        ):
            viewers = [Counted(over_tcp), Counted(over_udp)]
            for viewer in viewers:
                viewer.must_see_more(1)
            usb.command("unplug")
            usb.wait("unplugged")
            wait_until(
                lambda: "the source is lost" in server.log(), lambda: "nobody says that it is lost"
            )
            server.probe("card", "tcp")
            usb.command("plug 3")
            second = usb.wait("ready")["node"]
            wait_until(
                lambda: "the source is back" in server.log(), lambda: "nobody says that it is back"
            )
            for viewer in viewers:
                viewer.must_see_more(MANY)
            expect(server.log().count("session over"), 1, "sessions over, that of the probe")
        server.stop()
    return f"it was {first}, then {second}"


def card(settings):
    """while a camera is pulled out its viewers see a card where that is asked for, who comes then is
    served as well, and the camera takes its place again
    """
    source = f"usb=v4l2:{NAME}?format=yuyv&size=320x240&offline=card&encoder=openh264"
    with camera(settings) as usb, Lenscast(settings.lenscast, source) as server:
        with server.watch("usb", (320, 240)) as pictures:
            viewer = Counted(pictures)
            viewer.must_see_more(1)
            usb.command("unplug")
            usb.wait("unplugged")
            wait_until(
                lambda: "a card is shown" in server.log(), lambda: "nobody says that it is lost"
            )
            viewer.must_see_more(MANY // 10)
            report = server.probe("usb", "udp")
            expect((report["width"], report["height"]), (320, 240), report)
            usb.command("plug 2")
            usb.wait("ready")
            wait_until(
                lambda: "the source is back" in server.log(), lambda: "nobody says that it is back"
            )
            viewer.must_see_more(MANY // 10)
        server.stop()
        expect(server.log().count("camera on"), 2, "times that the camera was on")
    return f"{report['frames']} pictures of the card in three seconds"


class Counted:
    """Pictures that are looked at as they come, so that nobody has to wait for who shows them."""

    def __init__(self, pictures):
        self.count = 0
        threading.Thread(target=self.look, args=(pictures,), daemon=True).start()

    def look(self, pictures):
        # At its end, which whoever counts on more will notice.
        with contextlib.suppress(AssertionError):
            for _ in pictures:
                self.count += 1

    def must_see_more(self, count):
        wanted = self.count + count
        wait_until(lambda: self.count >= wanted, lambda: f"{self.count} of {wanted} pictures", 60)


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
    output = ["-fps_mode", "passthrough", "-pix_fmt", "yuv420p", "-f", "framemd5", "-"]
    said = run("ffmpeg", "-v", "error", *given, *count, *output)
    lines = [line for line in said.splitlines() if line and not line.startswith("#")]
    return [line.rsplit(",", 1)[1].strip() for line in lines]


def clip_pictures(media, clip, size):
    """The pictures of a clip, as 4:2:0."""
    with tempfile.NamedTemporaryFile(prefix="clip-") as file:
        command = ["ffmpeg", "-v", "error", "-y", *clip, "-vf", "scale=out_range=tv"]
        command += ["-pix_fmt", "yuv420p", "-f", "rawvideo", file.name]
        subprocess.run(command, cwd=media, stdin=subprocess.DEVNULL, check=True)
        return split_pictures(Path(file.name).read_bytes(), size)


if __name__ == "__main__":
    prove(__doc__, (devices, controls, native_h264, raw, mjpeg, unplugged, card))
