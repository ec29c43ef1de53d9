#!/usr/bin/env python3
"""From camera to player, with vivid and the test encoder: shows what it claims, line by line.

    cargo xtask vm --load 'vivid n_devs=4 node_types=0x1 num_inputs=1 input_types=0x00' \\
        --load h264_test_encoder -- python3 tests/vm/proof/cameras.py target/debug/lenscast

Runs in the virtual machine, as root. Names after the program choose some of the claims. What is served
is compared with what v4l2-ctl gets from the same camera; players are FFmpeg and `lenscast probe`. No
claim is about how fast anything is: the machine is emulated.
"""

import argparse
import sys
from pathlib import Path

from rig import Device, Lenscast, Proof, expect, nodes_of, run

SIZE = (320, 180)
ASKED = "size=320x180&fps=10"


def raw_formats(lenscast):
    """pictures in every raw format arrive as they are at FFmpeg, over UDP and TCP"""
    cameras = dict(zip(("nv12", "i420", "yuyv", "uyvy"), nodes_of("vivid")))
    wanted = {name: still(camera) for name, camera in cameras.items()}
    sources = [
        f"{name}=v4l2:{node}?format={name}&{ASKED}&encoder=openh264"
        for name, node in cameras.items()
    ]
    seen = []
    with Lenscast(lenscast, *sources) as server:
        for name, transport in zip(cameras, ("udp", "tcp", "udp", "tcp")):
            *_, last = server.pictures(name, transport, SIZE)
            distance = last.must_show(wanted[name], f"{name} over {transport}")
            seen.append(f"{name} over {transport}: {distance:.1f} off on average")
    return "\n".join(seen)


def still(node):
    """Makes a camera show bars that do not move and say nothing; what it shows then."""
    camera = Device(node)
    camera.set(osd_text_mode=2, test_pattern=0)
    return camera.picture(SIZE)


CLAIMS = (raw_formats,)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lenscast", type=Path, help="the program")
    names = [claim.__name__ for claim in CLAIMS]
    parser.add_argument("claims", nargs="*", help="some of them: " + ", ".join(names))
    settings = parser.parse_args()
    if unknown := set(settings.claims) - set(names):
        parser.error(f"no claim {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    proof = Proof()
    for claim in CLAIMS:
        if not settings.claims or claim.__name__ in settings.claims:
            proof.check(claim, settings.lenscast)
    sys.exit(1 if proof.failed else 0)


if __name__ == "__main__":
    main()
