#!/usr/bin/env python3
"""From camera to player, with vivid and the test encoder: shows what it claims, line by line.

    cargo xtask vm --load 'vivid n_devs=4 node_types=1,1,1,1 num_inputs=1,1,1,1 input_types=0,0,0,0' \\
        --load h264_test_encoder -- python3 tests/vm/proof/cameras.py target/debug/lenscast

Runs in the virtual machine, as root. Names after the program choose some of the claims. What is served
is compared with what v4l2-ctl gets from the same camera; players are FFmpeg and `lenscast probe`. No
claim is about how fast anything is: the machine is emulated.
"""

from serving import Device, Lenscast, nodes_of, prove

SIZE = (320, 180)
ASKED = "size=320x180&fps=10"


def raw_formats(settings):
    """pictures in every raw format arrive as they are at FFmpeg, over UDP and TCP"""
    cameras = dict(zip(("nv12", "i420", "yuyv", "uyvy"), nodes_of("vivid")))
    wanted = {name: still(camera) for name, camera in cameras.items()}
    sources = [
        f"{name}=v4l2:{node}?format={name}&{ASKED}"
        for name, node in cameras.items()
    ]
    seen = []
    with Lenscast(settings.lenscast, *sources) as server:
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


if __name__ == "__main__":
    prove(__doc__, (raw_formats,))
