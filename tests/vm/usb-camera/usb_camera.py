#!/usr/bin/env python3
"""A USB camera in user space: Linux's own vhci_hcd and uvcvideo drive it as they would a real one.

It plays files as if it had filmed them, answers controls, and misbehaves on command. Events are
told on standard output, one a line; commands are read from a FIFO. See README.md. Needs root and
the modules vhci-hcd and uvcvideo.
"""

import argparse
import os
import select
import signal
import stat
import struct
import sys
import time

from content import AS_IN_FILE, AT_IDR, AT_START, H264, MJPEG, YUYV, ContentError, open_clip
from controls import Stall, Units, camera_controls
from descriptors import (
    CONTROL_INTERFACE,
    STATUS_ENDPOINT,
    STREAMING_INTERFACE,
    VIDEO_ENDPOINT,
    Descriptors,
    Formats,
)
from stream import DROPPED, ERRONEOUS, TRUNCATED, Dropped, Negotiation, Sender
from usbip import AttachError, Port, PortBusy, Transfer, free_port, video_nodes


def main():
    settings = parse_arguments()
    try:
        clips = open_clips(settings)
        commands = open_commands(settings.commands)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        Camera(settings, clips, commands).run()
    except (ContentError, AttachError) as error:
        sys.exit(f"usb_camera: {error}")
    except KeyboardInterrupt:
        pass


class Camera:
    """The device with its cable, and the loop that serves host, clock and commands."""

    def __init__(self, settings, clips, commands):
        self.settings = settings
        self.formats = Formats(clips)
        self.commands = commands
        self.command_text = ""
        self.port = None
        self.plug_at = None
        self.plug_tries = 0
        self.wanted_port = settings.port
        self.power_on()

    def power_on(self):
        """The state of a camera just plugged in."""
        self.units = Units(camera_controls(self.settings.uvc_version))
        self.descriptors = Descriptors(self.settings, self.formats, self.units)
        self.negotiation = Negotiation(self.formats, self.settings)
        self.sender = Sender(self.settings.clock)
        self.alternate = 0
        self.status_transfers = []
        self.status_packets = []
        self.look_for_nodes = None

    def run(self):
        if not self.settings.unplugged:
            self.plug(self.wanted_port)
        while True:
            sources = [source for source in (self.port, self.commands) if source is not None]
            readable, _, _ = select.select(sources, [], [], self.wait())
            if self.commands in readable:
                self.read_commands()
            if self.port is not None and self.port in readable:
                self.serve_host()
            self.run_timers()

    def wait(self):
        now = time.monotonic()
        waits = [at - now for at in (self.plug_at, self.look_for_nodes) if at is not None]
        if self.port is not None:
            waits.append(self.sender.wait(now))
        waits = [max(0.0, seconds) for seconds in waits if seconds is not None]
        return min(waits, default=None)

    def run_timers(self):
        now = time.monotonic()
        if self.plug_at is not None and now >= self.plug_at:
            self.plug(self.wanted_port)
        if self.look_for_nodes is not None and now >= self.look_for_nodes:
            self.report_nodes(now)
        if self.port is not None:
            try:
                self.sender.send(self.port, now)
            except Dropped:
                self.end_connection("dropped")

    # Plugging

    def plug(self, wanted):
        """Attaches to a port; while the kernel still clears away what was there, tries again soon."""
        self.plug_at = None
        if self.port is not None:
            return tell("already-plugged", port=self.port.number)
        try:
            self.port = Port(free_port(wanted))
        except PortBusy as error:
            return self.plug_later(wanted, error)
        self.plug_tries = 0
        tell("plugged", port=self.port.number, serial=self.settings.serial)

    def plug_later(self, wanted, error):
        self.plug_tries += 1
        if self.plug_tries <= PLUG_TRIES:
            self.wanted_port, self.plug_at = wanted, time.monotonic() + POLL_SECONDS
            return
        if self.commands is None:
            raise AttachError(f"cannot plug the camera in: {error}")
        self.plug_tries = 0
        tell("not-plugged", why=str(error).replace(" ", "_"))

    def end_connection(self, event):
        """The cable is out, whoever pulled it."""
        self.stop_stream()
        port, self.port = self.port, None
        if event == "unplugged":
            port.detach()
        else:
            port.close()
        self.power_on()
        tell(event, port=port.number)

    def report_nodes(self, now):
        nodes = video_nodes(self.port.number) if self.port is not None else []
        self.look_for_nodes = None if nodes or self.port is None else now + POLL_SECONDS
        if nodes:
            tell("ready", node=nodes[0], port=self.port.number)

    # The host's requests

    def serve_host(self):
        messages = self.port.receive()
        if messages is None:
            return self.end_connection("detached")
        for message in messages:
            if not isinstance(message, Transfer):
                self.port.unlinked(message, self.cancel(message.cancelled))
            elif message.endpoint == 0:
                self.serve_control(message)
            elif message.endpoint == VIDEO_ENDPOINT:
                self.sender.transfers.append(message)
            elif message.endpoint == STATUS_ENDPOINT:
                self.status_transfers.append(message)
                self.send_status()
            else:
                self.port.complete(message, status=STALLED)

    def cancel(self, sequence):
        for transfer in self.status_transfers:
            if transfer.sequence == sequence:
                self.status_transfers.remove(transfer)
                return True
        return self.sender.cancel(sequence)

    def serve_control(self, transfer):
        request_type, request, value, index, length = struct.unpack("<BBHHH", transfer.setup)
        try:
            if request_type & TYPE_BITS == CLASS_TYPE:
                answer = self.class_request(
                    request_type, request, value, index, length, transfer.data
                )
            elif request_type & TYPE_BITS == STANDARD_TYPE:
                answer = self.standard_request(request_type, request, value, index)
            else:
                raise Stall
        except Stall:
            return self.port.complete(transfer, status=STALLED)
        if transfer.is_in:
            self.port.complete(transfer, [answer[:length]])
        else:
            self.port.complete(transfer, actual_length=len(transfer.data))

    def class_request(self, request_type, request, value, index, length, data):
        if request_type & RECIPIENT_BITS != TO_INTERFACE or bool(request_type & 0x80) != bool(
            request & 0x80
        ):
            raise Stall
        entity, interface, selector = index >> 8, index & 0xFF, value >> 8
        if interface == CONTROL_INTERFACE:
            return self.units.request(entity, selector, request, length, data)
        if interface != STREAMING_INTERFACE or entity != 0:
            raise Stall
        before = self.negotiation.committed
        answer = self.negotiation.request(selector, request, length, data)
        if self.negotiation.committed is not before:
            clip, _, _, interval = self.negotiation.committed
            tell("commit", format=clip.format, size=clip.size, interval=interval)
            if self.settings.transfer == "bulk":
                self.start_stream()
        return answer

    def standard_request(self, request_type, request, value, index):
        if request == GET_DESCRIPTOR:
            found = self.descriptors.read(value >> 8, value & 0xFF)
            if found is None:
                raise Stall
            return found
        if request == GET_STATUS:
            return b"\0\0"
        if request == SET_CONFIGURATION:
            self.look_for_nodes = time.monotonic()
        elif request == GET_CONFIGURATION:
            return b"\1"
        elif request == SET_INTERFACE:
            self.set_interface(index & 0xFF, value)
        elif request == GET_INTERFACE:
            return bytes([self.alternate if index == STREAMING_INTERFACE else 0])
        elif request == CLEAR_FEATURE and request_type == TO_ENDPOINT:
            if index & 0xF == VIDEO_ENDPOINT:
                self.stop_stream()  # how the Linux driver ends a stream of bulk transfers
        elif request not in (CLEAR_FEATURE, SET_FEATURE):
            raise Stall
        return b""

    def set_interface(self, interface, alternate):
        settings = {CONTROL_INTERFACE: 1, STREAMING_INTERFACE: self.descriptors.alternates}.get(
            interface, 0
        )
        if alternate >= settings:
            raise Stall
        if interface == STREAMING_INTERFACE:
            self.alternate = alternate
            self.stop_stream()
            if alternate:
                self.start_stream()

    def start_stream(self):
        self.stop_stream()
        if self.negotiation.committed is None:
            raise Stall
        clip, _, _, interval = self.negotiation.committed
        self.sender.start(clip, interval, time.monotonic())
        tell("stream-on", format=clip.format, size=clip.size, interval=interval)

    def stop_stream(self):
        if self.sender.running:
            frames, seconds, slips = self.sender.stop()
            tell("stream-off", frames=frames, seconds=f"{seconds:.2f}", slips=slips)

    def send_status(self):
        while self.status_packets and self.status_transfers:
            self.port.complete(self.status_transfers.pop(0), [self.status_packets.pop(0)])

    # Commands

    def read_commands(self):
        self.command_text += os.read(self.commands, 4096).decode("utf-8", "replace")
        *lines, self.command_text = self.command_text.split("\n")
        for line in lines:
            if line.strip():
                try:
                    self.obey(*line.split())
                except (TypeError, ValueError, KeyError, Stall) as error:
                    tell(
                        "refused", command=line.strip().replace(" ", "_"), why=type(error).__name__
                    )

    def obey(self, command, *arguments):
        handler = {
            "plug": self.command_plug,
            "unplug": self.command_unplug,
            "stall": self.command_stall,
            "set": self.command_set,
            "status": self.command_status,
            "quit": self.command_quit,
        }.get(command)
        if handler is not None:
            handler(*arguments)
        elif command in (ERRONEOUS, TRUNCATED, DROPPED):
            (count,) = arguments or ("1",)
            self.sender.faults += [command] * int(count)
            tell("fault", kind=command, frames=int(count))
        else:
            raise ValueError(command)

    def command_plug(self, port=None):
        self.plug(None if port is None else int(port))

    def command_unplug(self):
        if self.port is not None:
            self.end_connection("unplugged")

    def command_stall(self, seconds):
        self.sender.stalled_until = time.monotonic() + float(seconds)
        tell("stalled", seconds=seconds)

    def command_set(self, name, value):
        self.status_packets.append(self.units.turn(name, int(value)))
        if self.port is not None:
            self.send_status()
        tell("set", **{name: value})

    def command_status(self):
        tell(
            "status",
            plugged=int(self.port is not None),
            streaming=int(self.sender.running),
            **self.units.values,
        )

    def command_quit(self):
        if self.port is not None:
            self.end_connection("unplugged")
        sys.exit(0)


def tell(event, **details):
    print(event, *(f"{key}={value}" for key, value in details.items()), flush=True)


def open_clips(settings):
    clips = []
    for format, described in (
        (YUYV, settings.yuyv),
        (MJPEG, settings.mjpeg),
        (H264, settings.h264),
    ):
        clips += [
            open_clip(format, description, settings.parameter_sets) for description in described
        ]
    if not clips:
        raise ContentError("nothing to film: give --yuyv, --mjpeg or --h264")
    if len({(clip.format, clip.size) for clip in clips}) < len(clips):
        raise ContentError("two clips of one format have the same size")
    return clips


def open_commands(path):
    """The FIFO for commands, made if it is not there."""
    if path is None:
        return None
    if not os.path.exists(path):
        os.mkfifo(path, 0o600)
    if not stat.S_ISFIFO(os.stat(path).st_mode):
        raise ContentError(f"{path} is no FIFO")
    # Open for writing too, so that it does not end when a writer closes it.
    return os.open(path, os.O_RDWR | os.O_NONBLOCK)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    clip = "SIZE[@RATE,..]=PATH"
    parser.add_argument(
        "--yuyv", action="append", default=[], metavar=clip, help="raw frames in one file"
    )
    parser.add_argument(
        "--mjpeg", action="append", default=[], metavar=clip, help="a directory of .jpg files"
    )
    parser.add_argument("--h264", action="append", default=[], metavar=clip, help="an Annex B file")
    parser.add_argument(
        "--parameter-sets",
        choices=(AS_IN_FILE, AT_START, AT_IDR),
        default=AS_IN_FILE,
        help="SPS and PPS as in the H.264 file, in a stream's first frame alone, or with every IDR picture",
    )
    parser.add_argument(
        "--commands", metavar="FIFO", help="where commands are read from; made if not there"
    )
    parser.add_argument(
        "--port", type=int, help="the port of vhci_hcd, 0 to 14; the first free one"
    )
    parser.add_argument("--unplugged", action="store_true", help="wait for the command `plug`")
    parser.add_argument("--transfer", choices=("iso", "bulk"), default="iso")
    parser.add_argument(
        "--uvc", choices=("1.1", "1.5"), default="1.1", help="the version in the descriptors"
    )
    parser.add_argument(
        "--clock",
        choices=("none", "pts", "scr"),
        default="pts",
        help="what the payload headers say of time: nothing, PTS, or PTS and SCR",
    )
    parser.add_argument("--manufacturer", default="Lenscast")
    parser.add_argument("--product", default="Test Camera")
    parser.add_argument("--serial", default="LC000001")
    parser.add_argument(
        "--id", default="1d6b:0102", metavar="VENDOR:PRODUCT", help="USB ids in hexadecimal"
    )
    settings = parser.parse_args()
    settings.uvc_version = {"1.1": 0x0110, "1.5": 0x0150}[settings.uvc]
    try:
        settings.vendor, settings.model = (int(part, 16) for part in settings.id.split(":"))
        struct.pack("<HH", settings.vendor, settings.model)
    except (ValueError, struct.error):
        parser.error(
            f"--id {settings.id}: two numbers of up to four hexadecimal digits are wanted, like 1d6b:0102"
        )
    if any(
        len(text.encode("utf-16-le")) > 252
        for text in (settings.manufacturer, settings.product, settings.serial)
    ):
        parser.error("a USB string has at most 126 letters")
    return settings


STALLED = -32
POLL_SECONDS = 0.05
PLUG_TRIES = 200

# Standard requests (USB 2.0, table 9-4) and the parts of bmRequestType.
GET_STATUS, CLEAR_FEATURE, SET_FEATURE, GET_DESCRIPTOR = 0, 1, 3, 6
GET_CONFIGURATION, SET_CONFIGURATION, GET_INTERFACE, SET_INTERFACE = 8, 9, 10, 11
TYPE_BITS, STANDARD_TYPE, CLASS_TYPE = 0x60, 0x00, 0x20
RECIPIENT_BITS, TO_INTERFACE, TO_ENDPOINT = 0x1F, 0x01, 0x02

if __name__ == "__main__":
    main()
