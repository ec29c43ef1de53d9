"""A device's side of the USB/IP protocol and the attachment to the kernel's vhci_hcd.

The kernel is handed one end of a socket pair, as if a remote host's device had been imported; it
sends transfers (USBIP_CMD_SUBMIT) and cancellations (USBIP_CMD_UNLINK) and takes the results.
Numbers are big endian.
"""

import errno
import glob
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

HIGH_SPEED = 3


class AttachError(Exception):
    """The kernel does not take the camera, and why."""


class PortBusy(AttachError):
    """The port is in use, maybe only until the kernel has cleared away what was there."""


@dataclass(frozen=True)
class Transfer:
    """A transfer the host asks for. `packets` are the lengths of an isochronous transfer's packets,
    else None.
    """

    sequence: int
    endpoint: int
    is_in: bool
    length: int
    setup: bytes
    data: bytes
    packets: tuple


@dataclass(frozen=True)
class Unlink:
    """The host takes back the transfer with the number `cancelled`."""

    sequence: int
    cancelled: int


class Port:
    """A plugged cable: the socket to one port of vhci_hcd. Closing it pulls the cable."""

    def __init__(self, number):
        self.number = number
        self.received = bytearray()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            device = 1 << 16 | 2  # bus and device number on the pretended other host; any will do
            write_sysfs("attach", f"{number} {theirs.fileno()} {device} {HIGH_SPEED}")
        except OSError as error:
            ours.close()
            if error.errno == errno.EBUSY:
                raise PortBusy(f"port {number} is busy") from error
            raise AttachError(f"the kernel refuses the camera: {error.strerror}") from error
        finally:
            theirs.close()
        self.socket = ours

    def fileno(self):
        return self.socket.fileno()

    def receive(self):
        """Reads once and returns the messages that are complete, or None when the kernel has let
        go.
        """
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionError:
            return None
        if not data:
            return None
        self.received += data
        messages = []
        while (message := self.take()) is not None:
            messages.append(message)
        return messages

    def take(self):
        if len(self.received) < HEADER.size:
            return None
        fields = HEADER.unpack_from(self.received)
        command, sequence, _device, direction, endpoint = fields[:5]
        if command == CMD_UNLINK:
            del self.received[: HEADER.size]
            return Unlink(sequence, fields[5])
        if command != CMD_SUBMIT:
            raise AttachError(f"the kernel sent the unknown USB/IP command {command:#x}")
        _flags, length, _start_frame, packet_count, _interval, setup = fields[5:]
        is_in = direction == DIRECTION_IN
        data_length = 0 if is_in else length
        packet_count = 0 if packet_count == NOT_ISOCHRONOUS else packet_count
        end = HEADER.size + data_length + PACKET.size * packet_count
        if len(self.received) < end:
            return None
        body = bytes(self.received[HEADER.size : end])
        del self.received[:end]
        packets = None
        if packet_count:
            packets = tuple(length for _, length, _, _ in PACKET.iter_unpack(body[data_length:]))
        return Transfer(sequence, endpoint, is_in, length, setup, body[:data_length], packets)

    def complete(self, transfer, data=(), status=0, actual_length=None):
        """Ends a transfer; `data` are the parts of what an IN transfer returns."""
        length = sum(map(len, data)) if actual_length is None else actual_length
        self.send(
            [RESULT.pack(RET_SUBMIT, transfer.sequence, 0, 0, 0, status, length, 0, 0, 0), *data]
        )

    def complete_packets(self, transfer, data, lengths):
        """Ends an isochronous transfer; `lengths` of its packets are filled, one after the other,
        by `data`.
        """
        count = len(transfer.packets)
        header = RESULT.pack(RET_SUBMIT, transfer.sequence, 0, 0, 0, 0, sum(lengths), 0, count, 0)
        described, offset = [], 0
        for index, room in enumerate(transfer.packets):
            filled = lengths[index] if index < len(lengths) else 0
            described.append(PACKET.pack(offset, room, filled, 0))
            offset += room
        self.send([header, *data, *described])

    def unlinked(self, unlink, was_pending):
        status = CONNECTION_RESET if was_pending else 0
        self.send([RESULT.pack(RET_UNLINK, unlink.sequence, 0, 0, 0, status, 0, 0, 0, 0)])

    def send(self, parts):
        """Sends all parts; the kernel always reads, so this does not wait for anything the camera
        does.
        """
        try:
            for start in range(0, len(parts), PARTS_AT_ONCE):
                block = parts[start : start + PARTS_AT_ONCE]
                sent, total = self.socket.sendmsg(block), sum(map(len, block))
                if sent < total:
                    self.socket.sendall(b"".join(block)[sent:])
        except ConnectionError:
            pass  # unplugged from the other side: the next `receive` says so

    def detach(self):
        """Tells the kernel that the device is gone."""
        try:
            write_sysfs("detach", str(self.number))
        except OSError:
            pass  # it has gone already
        self.close()

    def close(self):
        self.socket.close()


def free_port(wanted=None):
    """The number of a free high-speed port, `wanted` if it is free. Raises AttachError if there is
    none.
    """
    for line in read_status():
        hub, number, state = line[:3]
        if hub == "hs" and int(state) == PORT_FREE and wanted in (None, int(number)):
            return int(number)
    raise PortBusy("no free high-speed port" if wanted is None else f"port {wanted} is not free")


def read_status():
    try:
        text = (VHCI / "status").read_text()
    except FileNotFoundError:
        raise AttachError(f"no {VHCI}: load the kernel module vhci-hcd") from None
    return [line.split() for line in text.splitlines()[1:]]


def video_nodes(port):
    """The video device nodes that the kernel's driver made for the device on a port, in order."""
    pattern = f"{VHCI}/usb*/*-{port + 1}/*/video4linux/video*"
    nodes = [f"/dev/{os.path.basename(path)}" for path in glob.glob(pattern)]
    return sorted(
        (node for node in nodes if os.path.exists(node)),
        key=lambda node: int(node[len("/dev/video") :]),
    )


def write_sysfs(attribute, text):
    with open(VHCI / attribute, "w", encoding="ascii") as file:
        file.write(text)


VHCI = Path("/sys/devices/platform/vhci_hcd.0")
PORT_FREE = 4

CMD_SUBMIT, CMD_UNLINK, RET_SUBMIT, RET_UNLINK = 1, 2, 3, 4
DIRECTION_IN = 1
NOT_ISOCHRONOUS = 0xFFFF_FFFF
CONNECTION_RESET = -104
# command, sequence, device, direction, endpoint; flags (or the cancelled sequence), length, start
# frame, packets, interval, setup
HEADER = struct.Struct(">IIIIIIiIII8s")
# the same five; status, actual length, start frame, packets, errors, padding
RESULT = struct.Struct(">IIIIIiiIII8x")
# offset, length, actual length, status
PACKET = struct.Struct(">IIIi")
PARTS_AT_ONCE = 1000  # below the kernel's limit of 1024 to one sendmsg
