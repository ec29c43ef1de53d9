#!/usr/bin/env python3
"""From camera to player, with vivid and the test encoder: shows what it claims, line by line.

    cargo xtask vm --load h264_test_encoder \\
        --load 'vivid n_devs=4 node_types=1,1,1,1 num_inputs=1,1,1,1 input_types=0,0,0,0' \\
        -- python3 tests/vm/proof/cameras.py target/debug/lenscast

Runs in the virtual machine, as root. Names after the program choose some of the claims. What is
served is compared with what v4l2-ctl gets from the same camera; players are FFmpeg and `lenscast
probe`. No claim is about how fast anything is: the machine is emulated.
"""

import grp
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from stat import S_IFCHR

from serving import Device, Lenscast, Picture, nodes_of, prove

sys.path.append(str(Path(__file__).parents[1]))
from claims import expect, run, wait_until  # noqa: E402

SIZE = (320, 180)
# Slowly: each stream is encoded all the time, by an emulated processor.
ASKED = "size=320x180&fps=5"


def devices(settings):
    """`lenscast devices --json` lists the cameras with the formats and controls that v4l2-ctl
    lists, and the encoder, which would be chosen
    """
    load_encoder(multiplanar=1)
    listing = json.loads(run(settings.lenscast, "devices", "--json"))
    expect([camera["node"] for camera in listing["cameras"]], nodes_of("vivid"), "cameras")
    expect([one["node"] for one in listing["encoders"]], nodes_of("h264-test-enc"), "encoders")
    expect(listing["encoder"]["encoder"], nodes_of("h264-test-enc")[0], "what would encode")
    camera, *_ = listing["cameras"]
    codes = re.findall(r"^\s+\[\d+\]: '([^']+)'", run_v4l2_ctl(camera, "--list-formats"), re.M)
    formats = [code.replace(" ", "") for code in codes]
    expect([one["format"].replace(" ", "") for one in camera["formats"]], formats, "formats")
    usable = {one["usable_as"] for one in camera["formats"]} - {None}
    assert usable >= {"nv12", "i420", "yuyv", "uyvy"}, f"formats that can be served: {usable}"
    found = {
        one["name"]: tuple(one[key] for key in ("minimum", "maximum", "step", "default"))
        for one in camera["controls"]
        if one["type"] == "integer"
    }
    listed = run_v4l2_ctl(camera, "--list-ctrls")
    # Arrays have dimensions, and are no integers.
    line = (
        r"^\s+(\w+) 0x\w+ \(int(?:64)?\)\s*: min=(\S+) max=(\S+) step=(\S+) default=(\S+)"
        r"(?!.* dims=)"
    )
    wanted = {name: tuple(map(int, rest)) for name, *rest in re.findall(line, listed, re.M)}
    assert wanted, listed
    expect(found, wanted, "integer controls")
    return f"{len(formats)} formats, {len(found)} integer controls"


def stubs(settings):
    """nodes that are no devices, as boards leave behind, are a line each that says what is wrong,
    and keep nothing else from being listed
    """
    load_encoder(multiplanar=1)
    stubs = {
        "/dev/video90": os.mkfifo,
        "/dev/video91": lambda path: os.symlink("/dev/null", path),
        "/dev/video92": lambda path: os.symlink("/dev/nowhere", path),
        "/dev/video93": lambda path: Path(path).touch(),
        # Where videodev has no such device.
        "/dev/video94": lambda path: os.mknod(path, S_IFCHR | 0o600, os.makedev(81, 200)),
    }
    try:
        for path, make in stubs.items():
            make(path)
        listing = json.loads(run(settings.lenscast, "devices", "--json"))
        text = run(settings.lenscast, "devices")
    finally:
        for path in stubs:
            Path(path).unlink(missing_ok=True)
    expect([camera["node"] for camera in listing["cameras"]], nodes_of("vivid"), "cameras")
    expect([one["node"] for one in listing["encoders"]], nodes_of("h264-test-enc"), "encoders")
    reasons = {one["node"]: one["reason"] for one in listing["others"]}
    expect(sorted(reasons), sorted(stubs), "others")
    lines = [f"{node}: {reason}" for node, reason in reasons.items()]
    assert all(f"  {line}\n" in text for line in lines), text
    return "\n".join(lines)


def unprivileged(settings):
    """whoever may not open devices is told of each that it is so, and what to do, also by a server
    that shows the test card instead; members of the group video see what root sees
    """
    nodes = nodes_of("vivid") + nodes_of("h264-test-enc")
    nobody = ("setpriv", "--reuid=nobody", "--regid=nogroup")
    command = (settings.lenscast, "devices", "--json")
    for node in nodes:
        os.chown(node, 0, grp.getgrnam("video").gr_gid)
        os.chmod(node, 0o660)
    denied = json.loads(run(*nobody, "--clear-groups", *command))
    expect((denied["cameras"], denied["encoders"]), ([], []), "cameras, encoders")
    expect([one["node"] for one in denied["others"]], nodes, "others")
    for one in denied["others"]:
        assert "usermod -aG video" in one["reason"], one
    assert "this user may open" in denied["encoder"]["why"], denied["encoder"]
    with Lenscast(settings.lenscast, run_by=(*nobody, "--clear-groups")) as server:
        warnings = [line for line in server.log().splitlines() if " WARN " in line]
        for node in nodes:
            told = [line for line in warnings if node in line and "usermod -aG video" in line]
            assert told, f"nothing of {node} in {warnings}"
        server.probe("cam", "udp")
    member, root = (json.loads(run(*who, *command)) for who in ((*nobody, "--groups=video"), ()))
    for listing in (member, root):
        for device in listing["cameras"] + listing["encoders"]:
            # Some change by themselves.
            del device["controls"]
    expect(member, root, "what a member sees")
    return denied["others"][0]["reason"]


def control(settings):
    """`lenscast control` sets what v4l2-ctl then reads, and says of a wrong name or value which
    there are
    """
    camera, *_ = nodes_of("vivid")
    for value in (200, 55):
        run(settings.lenscast, "control", camera, f"brightness={value}")
        expect(Device(camera).control("brightness"), value, "brightness")
    listed = run(settings.lenscast, "control", camera)
    assert re.search(r"brightness\b.*\b55\b", listed), listed
    misspelt = run(settings.lenscast, "control", camera, "brightnes=1", status=1)
    assert "brightness" in misspelt, misspelt
    too_much = run(settings.lenscast, "control", camera, "brightness=1000", status=1)
    assert "255" in too_much, too_much
    expect(Device(camera).control("brightness"), 55, "brightness after refusals")
    Device(camera).set(brightness=128)
    return misspelt + too_much


def doctor(settings):
    """`lenscast doctor` knows a camera that is free, one that lenscast serves, and one that another
    program takes pictures from; and what makes H.264
    """
    load_encoder(multiplanar=1)
    node, encoder = nodes_of("vivid")[0], nodes_of("h264-test-enc")[0]

    def of_camera():
        ports = ("--listen", "127.0.0.1:0", "--udp-port", "0")
        findings = json.loads(run(settings.lenscast, "doctor", "--json", *ports, status=None))
        said = [one for one in findings["findings"] if one["seen"].startswith(f"{node}: ")]
        expect(len(said), 1, findings)
        encoders = [one["seen"] for one in findings["findings"] if one["topic"] == "encoders"]
        assert f"{encoder}: " in encoders[0], encoders
        return said[0]["verdict"], said[0]["seen"], said[0]["command"]

    verdict, seen, command = of_camera()
    expect((verdict, command), ("ok", None), seen)
    with Lenscast(settings.lenscast, f"v4l2:{node}?on_demand=false"):
        wait_until(lambda: "served by lenscast (process" in of_camera()[1], of_camera)
        expect(of_camera()[0], "ok")
    other = subprocess.Popen(
        ["v4l2-ctl", "-d", node, "--stream-mmap"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: of_camera()[0] == "broken", of_camera)
        expect(of_camera()[2], f"kill {other.pid}")
    finally:
        other.kill()
        other.wait()
    expect(of_camera()[0], "ok")


def raw_formats(settings):
    """pictures in every raw format go through the machine's own encoder and arrive as they are at
    FFmpeg, over UDP and TCP
    """
    load_encoder(multiplanar=1)
    cameras = dict(zip(("nv12", "i420", "yuyv", "uyvy"), nodes_of("vivid")))
    wanted = {name: still(camera) for name, camera in cameras.items()}
    sources = [f"{name}=v4l2:{node}?format={name}&{ASKED}" for name, node in cameras.items()]
    seen = []
    with Lenscast(settings.lenscast, *sources) as server:
        for name, transport in zip(cameras, ("udp", "tcp", "udp", "tcp")):
            *_, last = server.pictures(name, transport, SIZE)
            distance = last.must_show(wanted[name], f"{name} over {transport}")
            seen.append(f"{name} over {transport}: {distance:.1f} off on average")
        must_be_encoded_by("H.264 test encoder", server)
    return "\n".join(seen)


def by_library(settings):
    """camera and encoder are served as well when Debian's libv4l2, loaded at run time, answers for
    them in the kernel's place; `devices` lists them so, and a library that is not there is refused
    """
    load_encoder(multiplanar=1)
    camera, encoder = nodes_of("vivid")[0], nodes_of("h264-test-enc")[0]
    words = []
    for node in (camera, encoder):
        words += ["--v4l2-library", f"{node}=libv4l2.so.0"]
    listing = json.loads(run(settings.lenscast, "devices", "--json", *words))
    expect(listing["cameras"][0]["node"], camera, "cameras")
    expect(listing["encoder"]["encoder"], encoder, "what would encode")
    wanted = still(camera)
    seen = []
    sources = (f"cam=v4l2:{camera}?format=nv12&{ASKED}",)
    with Lenscast(settings.lenscast, *sources, options=words) as server:
        for transport in ("udp", "tcp"):
            *_, last = server.pictures("cam", transport, SIZE)
            distance = last.must_show(wanted, f"what FFmpeg decodes over {transport}")
            seen.append(f"over {transport}: {distance:.1f} off on average")
        must_be_encoded_by("H.264 test encoder", server)
        maps = Path(f"/proc/{server.process.pid}/maps").read_text()
        assert "/libv4l2.so" in maps, "the library is not in the server's memory"
        said = server.log()
        assert "libv4l2: error" not in said, said
        server.stop()
    words = ("--v4l2-library", f"{camera}=/nowhere.so", "--source", "test:")
    said = run(settings.lenscast, *words, status=1)
    assert "cannot load /nowhere.so" in said, said
    return "\n".join(seen)


def single_planar(settings):
    """an encoder with the single-planar API serves as well, and nothing is lost on the way"""
    load_encoder(multiplanar=0)
    camera, *_ = nodes_of("vivid")
    wanted = still(camera)
    seen = []
    with Lenscast(settings.lenscast, f"cam=v4l2:{camera}?format=nv12&{ASKED}") as server:
        *_, last = server.pictures("cam", "tcp", SIZE)
        last.must_show(wanted, "what FFmpeg decodes")
        for transport in ("udp", "tcp"):
            report = server.probe("cam", transport)
            expect((report["width"], report["height"]), SIZE, "size")
            assert report["frames"] > 1, report
            seen.append(f"{report['frames']} pictures over {transport}")
        must_be_encoded_by("H.264 test encoder", server)
        server.stop()
    return ", ".join(seen)


def without_encoder(settings):
    """where the machine has no encoder, the program encodes by itself, and the picture is right"""
    run("modprobe", "-r", "h264_test_encoder")
    camera, *_ = nodes_of("vivid")
    wanted = still(camera)
    try:
        with Lenscast(settings.lenscast, f"cam=v4l2:{camera}?format=yuyv&{ASKED}") as server:
            *_, last = server.pictures("cam", "udp", SIZE)
            distance = last.must_show(wanted, "what FFmpeg decodes")
            must_be_encoded_by("openh264", server)
    finally:
        load_encoder(multiplanar=1)
    return f"{distance:.1f} off on average"


def control_while_streaming(settings):
    """a control set by `lenscast control` while the camera streams shows in the pictures"""
    camera, *_ = nodes_of("vivid")
    bars = still(camera)
    with Lenscast(settings.lenscast, f"cam=v4l2:{camera}?format=nv12&{ASKED}") as server:
        with server.watch("cam", SIZE) as pictures:
            next(pictures).must_show(bars, "before")
            run(settings.lenscast, "control", camera, "test_pattern=5")
            black = Picture.plain(SIZE, luma=16, chroma=128)
            count = next(n for n, picture in enumerate(pictures) if picture.shows(black))
    return f"black after {count} pictures of bars"


def delay(settings):
    """where the time of a camera's pictures goes is in the status, step by step from the driver's
    timestamp to the last byte of each viewer; how long it takes is shown and not judged here
    """
    camera, *_ = nodes_of("vivid")
    source = f"cam=v4l2:{camera}?format=yuyv&encoder=openh264&{ASKED}"
    with Lenscast(settings.lenscast, source) as server:
        for transport in ("udp", "tcp"):
            server.probe("cam", transport)
        document = server.status()
        server.stop()
        log = server.log()
    expect(len(document["streams"]), 1, "streams")
    stream = document["streams"][0]
    steps = {step["step"]: step for step in stream["delays"]}
    way = ["capture", "convert", "wait", "encode", "packetize", "queue", "send", "pacing"]
    expect(list(steps), [*way, "added", "total"], "steps")
    # What vivid says of when a picture was taken lies ahead.
    for step in ("convert", "encode", "added", "total"):
        assert steps[step]["max"] > 0, f"{step} takes no time: {stream}"
    for step in ("queue", "send", "pacing", "added"):
        expect(steps[step]["count"], steps["total"]["count"], f"pictures counted for {step}")
    expect(stream["size"], list(SIZE), "size")
    told = re.findall(r"delay_beyond_capture_and_encoding=(median \S+ ms, p99 \S+ ms)", log)
    expect(len(told), 3, f"lines that tell a delay: two sessions and the stream, in\n{log}")
    shown = (f"{name} {step['p50']}/{step['p99']}" for name, step in steps.items())
    return f"median/p99 in ms: {', '.join(shown)}; of the stream, in the log: {told[-1]}"


def run_v4l2_ctl(camera, question):
    return run("v4l2-ctl", "-d", camera["node"], question)


def load_encoder(**parameters):
    """The test encoder, told to be so."""
    run("modprobe", "-r", "h264_test_encoder")
    words = [f"{name}={value}" for name, value in parameters.items()]
    run("modprobe", "h264_test_encoder", *words)


def must_be_encoded_by(name, server):
    encoders = re.findall(r'encoding encoder="([^"]+)"', server.log())
    assert encoders, "the log does not say what encodes"
    assert all(encoder.startswith(name) for encoder in encoders), f"encoded by {encoders}"


def still(node):
    """Makes a camera show bars that do not move and say nothing; what it shows then."""
    camera = Device(node)
    camera.set(osd_text_mode=2, test_pattern=0)
    return camera.picture(SIZE)


if __name__ == "__main__":
    claims = (devices, stubs, unprivileged, doctor, control, raw_formats, by_library)
    prove(__doc__, (*claims, single_planar, without_encoder, control_while_streaming, delay))
