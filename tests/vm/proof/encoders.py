#!/usr/bin/env python3
"""What viewers see of an encoder that misbehaves: shows what it claims, line by line.

    cargo xtask vm -- python3 tests/vm/proof/encoders.py target/debug/lenscast

Runs in the virtual machine, as root. Names after the program choose some of the claims. The camera
is vivid; two viewers, FFmpeg over UDP and over TCP, are there before, while and after the encoder
misbehaves, must go on decoding without a complaint, and must see it when the camera's picture
changes. The encoder counts what it does wrong: a claim about that holds only if it has struck.
"""

import sys
from pathlib import Path

from house import TEST_ENCODER, House
from serving import prove

sys.path.append(str(Path(__file__).parents[1]))
from faults import encoder_misbehaves, encoder_told  # noqa: E402


def wrong_flags(settings):
    """an encoder that marks no picture as a key picture, or every one, or the wrong ones, is seen
    through: whoever joins begins with a key picture
    """
    seen = []
    with House(settings) as house:
        for flags, transport in ((1, "udp"), (2, "tcp"), (3, "udp")):
            with encoder_misbehaves(keyframe_flags=flags):
                house.change()
                report = house.server.probe("cam", transport)
                assert 1 <= report["keyframes"] < report["frames"], report
                seen.append(f"{report['keyframes']} of {report['frames']}")
        house.must_be_encoded_by(TEST_ENCODER)
        ends_well(house)
    return "key pictures: " + ", ".join(seen)


def few_headers(settings):
    """an encoder that gives its parameter sets once serves viewers that come later as well"""
    # Nothing that it counts: the server asks it for no more. So it cannot give more by mistake.
    with encoder_told(withhold_headers=1), House(settings) as house:
        for transport in ("udp", "tcp"):
            report = house.server.probe("cam", transport)
            assert report["keyframes"] >= 1, report
        assert house.stream()["keyframes"] > 1, "all came with the first key picture"
        house.must_be_encoded_by(TEST_ENCODER)
        ends_well(house)


def dropped(settings):
    """pictures that go in and never come out are missing, and nothing else is"""
    with House(settings) as house:
        with encoder_misbehaves(drop_every=3):
            house.change()
            house.change()
            house.server.probe("cam", "tcp")
        house.must_be_encoded_by(TEST_ENCODER)
        ends_well(house)


def damaged(settings):
    """pictures that come out damaged, and marked so, are not sent, nor what refers to them"""
    with House(settings) as house:
        with encoder_misbehaves(error_every=5):
            house.change()
            house.change()
            house.server.probe("cam", "tcp")
        said = house.server.log()
        assert "a coded picture is damaged" in said, "the log does not tell of damage"
        house.must_be_encoded_by(TEST_ENCODER)
        ends_well(house)


def refuses_buffers(settings):
    """an encoder that does not take some buffers goes on with others; one that takes none is opened
    again, or openh264 takes over; viewers stay
    """
    with House(settings) as house:
        with encoder_misbehaves(qbuf_fail_every=7):
            house.change()
            house.change()
        house.must_be_encoded_by(TEST_ENCODER)
        with encoder_misbehaves(qbuf_fail_every=1):
            house.change()
            must_have_failed(house)
        house.server.probe("cam", "tcp")
        ends_well(house)


def stalls(settings):
    """an encoder that gives nothing more is opened again, or openh264 takes over; viewers stay"""
    with House(settings) as house:
        with encoder_misbehaves(stall_after=10):
            house.change()
            house.change()
            house.change()
            must_have_failed(house)
        house.server.probe("cam", "tcp")
        ends_well(house)


def must_have_failed(house):
    assert house.encoder_failures() > 0, "the log tells of no encoder that failed"


def ends_well(house):
    house.change()
    house.must_be_content()
    house.server.stop()


if __name__ == "__main__":
    prove(__doc__, (wrong_flags, few_headers, dropped, damaged, refuses_buffers, stalls))
