#!/usr/bin/env python3
"""What viewers see of an encoder that misbehaves: shows what it claims, line by line.

    cargo xtask vm -- python3 tests/vm/proof/encoders.py target/debug/lenscast

Runs in the virtual machine, as root. Names after the program choose some of the claims. The camera
is vivid; two viewers, FFmpeg over UDP and over TCP, are there before, while and after the encoder
misbehaves, must go on decoding without a complaint, and must see it when the camera's picture
changes.
"""

import sys
from pathlib import Path

from house import House
from serving import prove

sys.path.append(str(Path(__file__).parents[1]))
from faults import encoder_told  # noqa: E402


def wrong_flags(settings):
    """an encoder that marks no picture as a key picture, or every one, or the wrong ones, is seen
    through: whoever joins begins with a key picture
    """
    seen = []
    with House(settings) as house:
        for flags, transport in ((1, "udp"), (2, "tcp"), (3, "udp")):
            with encoder_told(keyframe_flags=flags):
                house.change()
                report = house.server.probe("cam", transport)
                assert 1 <= report["keyframes"] < report["frames"], report
                seen.append(f"{report['keyframes']} of {report['frames']}")
        ends_well(house)
    return "key pictures: " + ", ".join(seen)


def few_headers(settings):
    """an encoder that gives its parameter sets once serves viewers that come later as well"""
    with encoder_told(withhold_headers=1), House(settings) as house:
        for transport in ("udp", "tcp"):
            house.server.probe("cam", transport)
        ends_well(house)


def dropped(settings):
    """pictures that go in and never come out are missing, and nothing else is"""
    with House(settings) as house:
        with encoder_told(drop_every=3):
            house.change()
            house.change()
            house.server.probe("cam", "tcp")
        ends_well(house)


def damaged(settings):
    """pictures that come out damaged, and marked so, are not sent, nor what refers to them"""
    with House(settings) as house:
        with encoder_told(error_every=5):
            house.change()
            house.change()
            house.server.probe("cam", "tcp")
        ends_well(house)


def refuses_buffers(settings):
    """an encoder that takes no buffers is opened again, or openh264 takes over; viewers stay"""
    with House(settings) as house:
        with encoder_told(qbuf_fail_every=7):
            house.change()
            house.change()
        house.server.probe("cam", "tcp")
        ends_well(house)


def stalls(settings):
    """an encoder that gives nothing more is opened again, or openh264 takes over; viewers stay"""
    with House(settings) as house:
        with encoder_told(stall_after=10):
            house.change()
            house.change()
            house.change()
        house.server.probe("cam", "tcp")
        ends_well(house)


def ends_well(house):
    house.change()
    house.must_be_content()
    house.server.stop()


if __name__ == "__main__":
    prove(__doc__, (wrong_flags, few_headers, dropped, damaged, refuses_buffers, stalls))
