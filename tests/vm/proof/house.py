"""A camera that is served and watched, and goes on being watched, whatever happens to it."""

import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from serving import Device, Lenscast, Picture, nodes_of

sys.path.append(str(Path(__file__).parents[1]))
from claims import expect, wait_until  # noqa: E402
from faults import TEST_PATTERN, Vivid  # noqa: E402


class House:
    """A server with one of vivid's cameras and the machine's own encoder, and two viewers of it,
    over UDP and TCP.
    """

    def __init__(self, settings):
        self.settings = settings

    def __enter__(self):
        node, *_ = nodes_of("vivid")
        self.camera = Vivid(node)
        eyes = Device(node)
        eyes.set(osd_text_mode=2)
        self.looks = {}
        for pattern in PATTERNS:
            self.camera.tell(TEST_PATTERN, pattern)
            self.looks[pattern] = eyes.picture(SIZE)
        source = f"cam=v4l2:{node}?format=nv12&{ASKED}"
        with ExitStack() as stack:
            self.server = stack.enter_context(Lenscast(self.settings.lenscast, source))
            self.viewers = [
                stack.enter_context(Viewer(self.server.url("cam"), transport, SIZE))
                for transport in ("udp", "tcp")
            ]
            self.shown = BLUE
            # What FFmpeg says while it joins is its own.
            self.joined = self.change()
            self.must_be_encoded_by(TEST_ENCODER)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *failure):
        return self.stack.__exit__(*failure)

    def change(self, seconds=60):
        """Turns the camera to another picture, once it is there; when the last viewer shows it."""
        camera = self.camera
        wait_until(camera.is_there, lambda: f"{camera.node} does not come back", seconds)
        self.shown = PATTERNS[(PATTERNS.index(self.shown) + 1) % len(PATTERNS)]
        camera.tell(TEST_PATTERN, self.shown)
        return max(viewer.wait_for(self.looks[self.shown], seconds) for viewer in self.viewers)

    def stream(self):
        """What the server's status says of the stream."""
        (stream,) = self.server.status()["streams"]
        return stream

    def must_be_encoded_by(self, name):
        encoder = self.stream()["encoder"]
        assert encoder and encoder.startswith(name), f"{encoder} encodes, and not {name}"

    def encoder_failures(self):
        """How often the encoder was opened again, or another took over, by the log."""
        return sum(self.server.log().count(words) for words in ENCODER_FAILED)

    def stalls(self):
        """When the server's watchdog has taken the encoder for hanging."""
        ago = time.time() - time.monotonic()
        lines = [line for line in self.server.log().splitlines() if HANGS in line]
        return [datetime.fromisoformat(line.split()[0]).timestamp() - ago for line in lines]

    def must_be_content(self, since=None, until=float("inf")):
        """That everybody still watches, and had nothing to complain of in that time, or ever."""
        for viewer in self.viewers:
            viewer.must_go_on(3)
            found = viewer.complained(self.joined if since is None else since, until)
            expect(found, [], f"what {viewer} complains of")


class Viewer:
    """FFmpeg; what it shows, when, and what it complains of. Times are of `time.monotonic`."""

    def __init__(self, url, transport, size):
        self.url, self.transport, self.size = url, transport, size
        self.changed = threading.Condition()
        self.count, self.picture, self.shown_at = 0, None, None
        self.complaints = []

    def __enter__(self):
        # What comes while it has no processor must not be lost.
        RECEIVE_LIMIT.write_text(str(RECEIVE_BUFFER))
        # One thread, since several hold back as many pictures.
        command = ["ffmpeg", "-v", "error", "-threads", "1", "-rtsp_transport", self.transport]
        command += ["-buffer_size", str(RECEIVE_BUFFER), "-i", self.url, "-fps_mode", "passthrough"]
        # By its own choice it would count in whole pictures, and two could fall on one number.
        command += ["-enc_time_base", "1:90000", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.threads = [threading.Thread(target=run) for run in (self._look, self._listen)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.process.kill()
        for thread in self.threads:
            thread.join()
        self.process.wait()

    def wait_for(self, picture, seconds):
        """When it shows `picture`, and goes on with it."""
        deadline = time.monotonic() + seconds
        with self.changed:
            while not (self.picture and self.picture.shows(picture)):
                self._must_watch()
                left = deadline - time.monotonic()
                assert left > 0, f"{self} does not show it for {seconds:.0f} s: {self._seen()}"
                self.changed.wait(left)
            return self.shown_at

    def must_go_on(self, pictures, seconds=60):
        """Until it has shown so many more."""
        deadline = time.monotonic() + seconds
        with self.changed:
            wanted = self.count + pictures
            while self.count < wanted:
                self._must_watch()
                left = deadline - time.monotonic()
                assert left > 0, f"{self} has stood still for {seconds:.0f} s: {self._seen()}"
                self.changed.wait(left)

    def complained(self, since, until):
        """What it said of the stream in that time."""
        with self.changed:
            return [line for at, line in self.complaints if since <= at <= until]

    def _must_watch(self):
        assert self.process.poll() is None, f"{self} has been left alone: {self._seen()}"

    def _seen(self):
        said = "; ".join(line for _, line in self.complaints[-5:])
        return f"{self.count} pictures so far, and said {said or 'nothing'}"

    def _look(self):
        length = self.size[0] * self.size[1] * 3 // 2
        while len(data := self.process.stdout.read(length)) == length:
            with self.changed:
                self.count += 1
                self.picture, self.shown_at = Picture(data, self.size), time.monotonic()
                self.changed.notify_all()
        with self.changed:
            self.changed.notify_all()

    def _listen(self):
        for line in self.process.stderr:
            with self.changed:
                self.complaints.append((time.monotonic(), line.decode(errors="replace").strip()))

    def __str__(self):
        return f"the viewer over {self.transport.upper()}"


SIZE = (320, 180)
# Slowly: each stream is encoded and decoded all the time, by an emulated processor. FFmpeg shows a
# picture when the next one begins.
ASKED = "size=320x180&fps=10"
# vivid's test patterns: bars, and plain ones that no card of the server looks like.
PATTERNS = BARS, RED, GREEN, BLUE = 0, 7, 8, 9
# What nothing else in the machine is, and openh264 least of all.
TEST_ENCODER = "H.264 test encoder"
HANGS = "has given nothing for"
ENCODER_FAILED = ("the encoder is opened again", "openh264 encodes from now on")
RECEIVE_LIMIT = Path("/proc/sys/net/core/rmem_max")
RECEIVE_BUFFER = 8 << 20
