"""What proofs in the virtual machine are made of: the program, what watches it, and pictures."""

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from claims import LONGEST, expect, run, wait_until  # noqa: E402


class Lenscast:
    """The program, serving. Its log is shown when a claim does not hold."""

    def __init__(self, binary, *sources, options=(), run_by=()):
        self.binary, self.sources, self.options, self.run_by = binary, sources, options, run_by

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="lenscast-")
        self.out = Path(self.directory.name, "out")
        self.log_file = Path(self.directory.name, "log")
        command = [*self.run_by, self.binary, "serve", "--open", "--listen", "127.0.0.1:0", "--udp-port", "0"]
        command += ["--state-dir", self.directory.name, *self.options]
        for source in self.sources:
            command += ["--source", source]
        with self.out.open("wb") as out, self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=log
            )
        wait_until(self.has_urls, lambda: f"the server prints no URL\n{self.log()}", seconds=60)
        return self

    def __exit__(self, failure, *_):
        if failure:
            print(f"---- log of the server\n{self.log()}----", flush=True)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                print("the server did not end on Ctrl-C", file=sys.stderr)
        self.directory.cleanup()

    def has_urls(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}\n{self.log()}")
        urls = re.findall(r"^\s*(rtsp://\S+)\s*$", self.out.read_text(errors="replace"), re.M)
        self.port = re.search(r":(\d+)/", urls[0])[1] if urls else None
        return bool(urls)

    def url(self, stream):
        return f"rtsp://127.0.0.1:{self.port}/{stream}"

    def log(self):
        """What it printed, and what it logged."""
        return "".join(file.read_text(errors="replace") for file in (self.out, self.log_file))

    def stop(self):
        """Ctrl-C; it must end well."""
        self.process.send_signal(signal.SIGINT)
        try:
            code = self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            raise AssertionError("the server does not end on Ctrl-C") from None
        assert code == 0, f"the server ended with {code} on Ctrl-C"

    def probe(self, stream, transport, seconds=3):
        """What `lenscast probe` reports of a stream; nothing may be lost or damaged."""
        said = run(
            self.binary, "probe", self.url(stream), "--json",
            "--seconds", str(seconds), "--transport", transport,
        )  # fmt: skip
        report = json.loads(said.splitlines()[-1])
        # An emulated machine may be late, but loses nothing on its way to itself.
        for key in ("lost_packets", "malformed_packets", "damaged_frames"):
            expect(report[key], 0, f"{key} in {said}")
        expect(report["verdict"], "good", said)
        return report

    def status(self):
        """What `lenscast status` says of it."""
        where = self.port, "--state-dir", self.directory.name
        return json.loads(run(self.binary, "status", "--json", *where))

    def pictures(self, stream, transport, size, count=2):
        """The first pictures that FFmpeg decodes."""
        path = Path(self.directory.name, "pictures.yuv")
        run(
            "ffmpeg", "-v", "error", "-y", "-rtsp_transport", transport, "-i", self.url(stream),
            "-frames:v", str(count), "-fps_mode", "passthrough",
            "-f", "rawvideo", "-pix_fmt", "yuv420p", path,
        )  # fmt: skip
        pictures = split_pictures(path.read_bytes(), size)
        expect(len(pictures), count, f"pictures of {stream} over {transport}")
        return pictures

    def watch(self, stream, size, transport="tcp"):
        """The pictures of a stream, for as long as they are watched."""
        return Watch(self.url(stream), size, transport)


class Watch:
    """Pictures of a stream as FFmpeg decodes them, one after the other, without end."""

    def __init__(self, url, size, transport):
        self.url, self.size, self.transport = url, size, transport

    def __enter__(self):
        command = ["ffmpeg", "-v", "error", "-rtsp_transport", self.transport, "-i", self.url]
        command += ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        # What it waits for may never come.
        self.timer = threading.Timer(LONGEST, self.process.kill)
        self.timer.start()
        return self.pictures()

    def __exit__(self, *_):
        self.timer.cancel()
        self.process.kill()
        self.process.communicate()

    def pictures(self):
        length = self.size[0] * self.size[1] * 3 // 2
        while len(data := self.process.stdout.read(length)) == length:
            yield Picture(data, self.size)
        said = self.process.stderr.read().decode(errors="replace")
        raise AssertionError(f"FFmpeg shows no more pictures: {said}")


class Picture:
    """One picture, 4:2:0."""

    def __init__(self, data, size):
        width, height = size
        luma, chroma = width * height, (width // 2) * (height // 2)
        self.size = size
        self.planes = data[:luma], data[luma : luma + chroma], data[luma + chroma :]

    def distance(self, other):
        """The mean difference of samples, a few of them, of the plane where it is largest."""
        expect(self.size, other.size, "sizes")
        return max(
            sum(abs(a - b) for a, b in zip(ours[::SOME], theirs[::SOME])) / len(ours[::SOME])
            for ours, theirs in zip(self.planes, other.planes)
        )

    @staticmethod
    def plain(size, luma, chroma):
        """One colour all over."""
        width, height = size
        samples = width * height
        return Picture(bytes([luma]) * samples + bytes([chroma]) * (samples // 2), size)

    def shows(self, other):
        return self.distance(other) < SAME

    def must_show(self, other, what):
        """That both show the same, but for what a lossy encoder makes of it."""
        distance = self.distance(other)
        assert distance < SAME, f"{what} is another picture: {distance:.1f} on average"
        return distance


class Device:
    """A node, as v4l2-ctl has it: other people's eyes."""

    def __init__(self, node):
        self.node = node

    def set(self, **controls):
        pairs = ",".join(f"{name}={value}" for name, value in controls.items())
        run("v4l2-ctl", "-d", self.node, "-c", pairs)

    def control(self, name):
        return int(run("v4l2-ctl", "-d", self.node, "-C", name).split(":")[1].split()[0])

    def picture(self, size):
        """What the camera shows. Formats differ in how they tell it, not in what they tell."""
        with tempfile.NamedTemporaryFile(prefix="raw-") as file:
            width, height = size
            run(
                "v4l2-ctl", "-d", self.node, "-v",
                f"width={width},height={height},pixelformat=YU12", "--set-parm=5",
                "--stream-mmap", "--stream-count=1", f"--stream-to={file.name}",
            )  # fmt: skip
            return split_pictures(Path(file.name).read_bytes(), size)[0]


def prove(description, claims):
    """Runs claims: functions with what they claim as their documentation, which are given the
    command line's `lenscast`, `media`, `seconds` and `seed`. Ends this program with 1 if one does
    not hold.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("lenscast", type=Path, help="the program")
    parser.add_argument("--media", type=Path, help="what make_media.sh of the USB camera filled")
    parser.add_argument("--seconds", type=float, default=120, help="of what goes on for long")
    parser.add_argument("--seed", type=int, help="of what is random; else a new one, printed")
    names = [claim.__name__ for claim in claims]
    parser.add_argument("claims", nargs="*", help="some of them: " + ", ".join(names))
    settings = parser.parse_intermixed_args()
    settings.lenscast = settings.lenscast.absolute()
    if unknown := set(settings.claims) - set(names):
        parser.error(f"no claim {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    chosen = [claim for claim in claims if claim.__name__ in (settings.claims or names)]
    results = [check(claim, settings) for claim in chosen]
    print(f"{results.count(True)} passed, {results.count(False)} failed", flush=True)
    sys.exit(0 if all(results) else 1)


def check(claim, settings):
    started = time.monotonic()
    try:
        seen, holds = claim(settings), True
    except Exception as error:  # one that does not hold must not keep the others from being tried
        is_said = isinstance(error, (AssertionError, subprocess.TimeoutExpired))
        seen, holds = error if is_said else traceback.format_exc(), False
    said = " ".join(claim.__doc__.split())
    print(f"{'ok  ' if holds else 'FAIL'}  {said} [{time.monotonic() - started:.1f} s]", flush=True)
    if seen:
        print("\n".join(f"      {line}" for line in str(seen).splitlines()), flush=True)
    return holds


def nodes_of(driver):
    """Its nodes, in their order."""
    found = []
    paths = Path("/sys/class/video4linux").glob("video*")
    for path in sorted(paths, key=lambda path: int(path.name[len("video") :])):
        node = f"/dev/{path.name}"
        if f"Driver name      : {driver}\n" in run("v4l2-ctl", "-d", node, "--info"):
            found.append(node)
    return found


def split_pictures(data, size):
    width, height = size
    length = width * height * 3 // 2
    assert len(data) % length == 0, f"{len(data)} bytes are not whole pictures of {width}x{height}"
    return [Picture(data[at : at + length], size) for at in range(0, len(data), length)]


# Of so many samples one is looked at; they move from row to row, as no usual width is a multiple.
SOME = 13
# Levels out of 255. Bars of the wrong colours, swapped chromas or shifted rows are 10 and more off.
SAME = 4.0
