#!/usr/bin/env python3
"""Cameras and encoders fail at random, viewers stay: shows what it claims, line by line.

    cargo xtask vm --seconds 900 -- python3 tests/vm/proof/trouble.py target/debug/lenscast \\
        --seconds 600

Runs in the virtual machine, as root. Two viewers, FFmpeg over UDP and over TCP, watch one camera
all the time. What happens to it, and for how long, is drawn from a seed, which is printed; the same one
gives the same troubles again, if not the same moments. After each the camera is turned to another
picture: so it is a new one that viewers show, and they must within two seconds, as FFmpeg has decoded
it, from when the device is back. That is when the trouble is over; but an encoder that hangs stays so
until it is opened again, so there it is when the server's watchdog has struck, which has a limit of
its own. The program must be a debug build, which panics on request.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from house import TEST_ENCODER, House
from serving import prove

sys.path.append(str(Path(__file__).parents[1]))
import faults  # noqa: E402
from claims import expect, wait_until  # noqa: E402


def goes_on(settings):
    """whatever fails, viewers over UDP and TCP stay connected, show the camera again soon after it
    is back, and decode without a complaint from then on; nothing is left behind
    """
    seed = settings.seed if settings.seed is not None else time.time_ns() % 1_000_000
    print(f"      seed {seed}", flush=True)
    chance = random.Random(seed)
    took = []
    with House(settings) as house:
        house.must_be_content()
        before, since, ends = Footprint(house.server), house.joined, deadline(settings.seconds)
        while time.monotonic() < ends:
            trouble, counted = chance.choice(TROUBLES)
            counts = house.stream()
            begun = time.monotonic()
            house.must_be_content(since, begun)
            work = Footprint(house.server).processor
            trouble(house, chance)
            over = time.monotonic()
            since = house.change()
            back = max([over, *(stall for stall in house.stalls() if stall < since)])
            used = (Footprint(house.server).processor - work) / (since - begun)
            took.append(since - back)
            hung = f"hung {back - over:.1f} s more, " if back > over else ""
            print(
                f"      {begun - house.joined:6.1f} s {trouble.__name__:<16} {over - begun:4.1f} s, "
                f"{hung}seen {took[-1]:.1f} s after; {used * 100:.0f} % of a processor",
                flush=True,
            )
            # What never struck would prove nothing.
            if counted:
                must_grow(house, counted, counts)
            assert back - over < WATCHDOG, f"after {back - over:.1f} s it is seen that it hangs"
            assert took[-1] < SOON, f"after that it took {took[-1]:.1f} s"
            if chance.random() < 0.2:
                house.server.probe("cam", chance.choice(("udp", "tcp")), seconds=1)
        house.must_be_content(since)
        since = start_again(house)
        before.must_be_again(house.server)
        house.must_be_content(since)
        house.server.stop()
    took.sort()
    middle, worst = took[len(took) // 2], took[-1]
    return f"{len(took)} troubles; seen again after {middle:.1f} s, at worst {worst:.1f} s"


class Footprint:
    """What a program holds."""

    def __init__(self, server):
        process = Path(f"/proc/{server.process.pid}")
        self.descriptors = len(list((process / "fd").iterdir()))
        self.threads = len(list((process / "task").iterdir()))
        status = (process / "status").read_text()
        self.mebibytes = int(status.split("VmRSS:")[1].split()[0]) / 1024
        # The name may have blanks; user and system time are the 12th and 13th after it.
        ticks = (process / "stat").read_text().rpartition(")")[2].split()[11:13]
        self.processor = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    def must_be_again(self, server):
        def counts(footprint):
            return footprint.descriptors, footprint.threads

        wait_until(
            lambda: counts(Footprint(server)) == counts(self),
            lambda: f"descriptors, threads: {counts(Footprint(server))}, at first {counts(self)}",
        )
        grown = Footprint(server).mebibytes - self.mebibytes
        assert grown < GROWTH, f"{grown:.1f} MiB more than at first"


def unplugged(house, chance):
    with house.camera.unplugged():
        time.sleep(chance.uniform(0.2, 4))


def fails_to_start(house, chance):
    fault, call = chance.choice(
        (
            (faults.REQBUFS_FAILS, "VIDIOC_REQBUFS"),
            (faults.STREAMON_FAILS, "VIDIOC_STREAMON"),
            (faults.QBUF_FAILS, "VIDIOC_QBUF"),
        )
    )
    before = house.server.log().count(call)
    house.camera.tell(fault)
    with house.camera.unplugged():
        time.sleep(chance.uniform(0.2, 1))
    wait_until(
        lambda: house.server.log().count(call) > before, lambda: f"the log tells of no {call}"
    )


def takes_no_buffer(house, chance):
    house.camera.tell(faults.QBUF_FAILS)


def breaks_down(house, chance):
    house.camera.tell(faults.FATAL)


def damages(house, chance):
    for _ in range(chance.randint(1, 3)):
        house.camera.tell(faults.DAMAGED)
        time.sleep(chance.uniform(0, 0.5))


def drops(house, chance):
    counts = house.stream()
    house.camera.tell(faults.DROPPED, chance.randint(20, 90))
    time.sleep(chance.uniform(0.5, 3))
    must_grow(house, "gaps", counts)
    house.camera.tell(faults.DROPPED, 0)


def panics(house, chance):
    """Debug builds panic when told to: by one signal where the camera is read, by the other where
    its pictures are encoded.
    """
    house.server.process.send_signal(chance.choice((signal.SIGUSR1, signal.SIGUSR2)))


def encoder(name, *choices):
    """A misbehaviour of the encoder, for a while, and until it has struck."""

    def misbehaves(house, chance):
        if not house.stream()["encoder"].startswith(TEST_ENCODER):
            start_again(house)
        with faults.encoder_misbehaves(**chance.choice(choices)):
            time.sleep(chance.uniform(0.5, 5))

    misbehaves.__name__ = name
    return misbehaves


def start_again(house):
    """What openh264 has taken over goes back to the encoder at the next start; when it is seen."""
    with house.camera.unplugged():
        pass
    seen = house.change()
    house.must_be_encoded_by(TEST_ENCODER)
    return seen


def must_grow(house, counted, before):
    """What the server's status counts of the stream."""
    wait_until(
        lambda: house.stream()[counted] > before[counted],
        lambda: f"{counted} are {before[counted]} as before: {house.stream()}",
    )


def deadline(seconds):
    return time.monotonic() + seconds


# With what the server's status counts of it; the encoder counts for itself.
TROUBLES = (
    (unplugged, "failures"),
    (fails_to_start, "failures"),
    (takes_no_buffer, "failures"),
    (breaks_down, "failures"),
    (damages, "gaps"),
    (drops, "gaps"),
    (panics, "panics"),
    (encoder("encoder_stalls", {"stall_after": 1}, {"stall_after": 5}), None),
    (encoder("encoder_flags", *({"keyframe_flags": which} for which in (1, 2, 3))), None),
    (encoder("encoder_drops", {"drop_every": 2}, {"drop_every": 5}), None),
    (encoder("encoder_damages", {"error_every": 2}, {"error_every": 5}), None),
    (encoder("encoder_refuses", {"qbuf_fail_every": 3}, {"qbuf_fail_every": 11}), None),
)
# As people bear it.
SOON = 2
# The server has two seconds of patience with an encoder.
WATCHDOG = 2.5
# Of memory, what caches of the allocator may come to.
GROWTH = 16

if __name__ == "__main__":
    prove(__doc__, (goes_on,))
