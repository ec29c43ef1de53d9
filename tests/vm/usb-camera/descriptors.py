"""The USB descriptors of the camera (USB 2.0, chapter 9; UVC 1.1, chapter 3 and the payload
specifications).

    camera terminal 1 -> processing unit 2 -> output terminal 3 -> streaming interface 1

H.264 is described as a frame-based format with the GUID "H264", the way UVC 1.1 cameras offer it
natively and the only way the Linux driver takes it.
"""

import struct

from content import H264, MJPEG, YUYV
from controls import CAMERA_TERMINAL, OUTPUT_TERMINAL, PROCESSING_UNIT

VIDEO_ENDPOINT = 1
STATUS_ENDPOINT = 2
CONTROL_INTERFACE = 0
STREAMING_INTERFACE = 1

CLOCK_FREQUENCY = 48_000_000

# What an isochronous packet may carry in each alternate setting, from 1 on; 1024 bytes in up to
# three transactions.
PACKET_SIZES = (1024, 2048, 3072)
BULK_PACKET_SIZE = 512
STATUS_PACKET_SIZE = 16


class Formats:
    """The clips as UVC numbers them: formats from 1, the sizes of each from 1."""

    def __init__(self, clips):
        self.formats = []
        for format in (YUYV, MJPEG, H264):
            sizes = [clip for clip in clips if clip.format == format]
            if sizes:
                self.formats.append(sizes)

    def find(self, format_index, frame_index):
        """The clip with these two indices or None."""
        if not 1 <= format_index <= len(self.formats):
            return None
        sizes = self.formats[format_index - 1]
        return sizes[frame_index - 1] if 1 <= frame_index <= len(sizes) else None


class Descriptors:
    """All descriptors of one camera; `settings` has the names, ids, version and kind of transfer."""

    def __init__(self, settings, formats, units):
        self.settings = settings
        self.strings = (settings.manufacturer, settings.product, settings.serial)
        self.device = struct.pack(
            "<BBHBBBBHHHBBBB",
            18,
            DEVICE,
            0x0200,
            *COMPOSITE,
            64,
            settings.vendor,
            settings.model,
            0x0100,
            1,
            2,
            3,
            1,
        )
        self.qualifier = struct.pack(
            "<BBHBBBBBB", 10, DEVICE_QUALIFIER, 0x0200, *COMPOSITE, 64, 1, 0
        )
        self.configuration = self.configure(formats, units)
        # Alternate settings of the streaming interface.
        self.alternates = 1 if settings.transfer == "bulk" else 1 + len(PACKET_SIZES)

    def read(self, kind, index):
        """The descriptor asked for by GET_DESCRIPTOR or None."""
        if kind == STRING:
            return self.string(index)
        return {
            DEVICE: self.device,
            CONFIGURATION: self.configuration,
            DEVICE_QUALIFIER: self.qualifier,
        }.get(kind)

    def string(self, index):
        if index == 0:
            return struct.pack("<BBH", 4, STRING, US_ENGLISH)
        if index > len(self.strings):
            return None
        text = self.strings[index - 1].encode("utf-16-le")
        return bytes([2 + len(text), STRING]) + text

    def configure(self, formats, units):
        body = bytes([8, INTERFACE_ASSOCIATION, CONTROL_INTERFACE, 2, VIDEO, 3, 0, 0])
        body += self.control_interface(units) + self.streaming_interface(formats)
        bus_powered, milliamperes = 0x80, 500
        return (
            struct.pack(
                "<BBHBBBBB",
                9,
                CONFIGURATION,
                9 + len(body),
                2,
                1,
                0,
                bus_powered,
                milliamperes // 2,
            )
            + body
        )

    def interface(self, number, alternate, endpoints, subclass):
        protocol = 1 if self.settings.uvc_version >= 0x0150 else 0
        return bytes([9, INTERFACE, number, alternate, endpoints, VIDEO, subclass, protocol, 0])

    def control_interface(self, units):
        camera = class_specific(
            2,
            struct.pack("<BHBBHHHB", CAMERA_TERMINAL, 0x0201, 0, 0, 0, 0, 0, 3)
            + units.bitmap(CAMERA_TERMINAL, 3),
        )
        # bmControls grew to three bytes in UVC 1.5.
        width = 3 if self.settings.uvc_version >= 0x0150 else 2
        processing = class_specific(
            5,
            struct.pack("<BBHB", PROCESSING_UNIT, CAMERA_TERMINAL, 0, width)
            + units.bitmap(PROCESSING_UNIT, width)
            + bytes([0, 0]),
        )
        output = class_specific(
            3, struct.pack("<BHBBB", OUTPUT_TERMINAL, 0x0101, 0, PROCESSING_UNIT, 0)
        )
        entities = camera + processing + output
        header = class_specific(
            1,
            struct.pack(
                "<HHIBB",
                self.settings.uvc_version,
                13 + len(entities),
                CLOCK_FREQUENCY,
                1,
                STREAMING_INTERFACE,
            ),
        )
        every_8_ms = 7
        status = endpoint(STATUS_ENDPOINT, INTERRUPT, STATUS_PACKET_SIZE, every_8_ms)
        status += struct.pack("<BBBH", 5, CS_ENDPOINT, INTERRUPT, STATUS_PACKET_SIZE)
        return self.interface(CONTROL_INTERFACE, 0, 1, 1) + header + entities + status

    def streaming_interface(self, formats):
        described = b"".join(
            describe_format(index, sizes) for index, sizes in enumerate(formats.formats, start=1)
        )
        count = len(formats.formats)
        header = class_specific(
            1,
            struct.pack(
                "<BHBBBBBBB",
                count,
                13 + count + len(described),
                0x80 | VIDEO_ENDPOINT,
                0,
                OUTPUT_TERMINAL,
                0,
                0,
                0,
                1,
            )
            + bytes(count),
        )
        if self.settings.transfer == "bulk":
            first = self.interface(STREAMING_INTERFACE, 0, 1, 2)
            return first + header + described + endpoint(VIDEO_ENDPOINT, BULK, BULK_PACKET_SIZE, 0)
        result = self.interface(STREAMING_INTERFACE, 0, 0, 2) + header + described
        for alternate, size in enumerate(PACKET_SIZES, start=1):
            additional = (size + 1023) // 1024 - 1
            packet = size // (additional + 1) | additional << 11
            result += self.interface(STREAMING_INTERFACE, alternate, 1, 2)
            result += endpoint(VIDEO_ENDPOINT, ISOCHRONOUS_ASYNCHRONOUS, packet, 1)
        return result


def describe_format(index, sizes):
    frames = len(sizes)
    format = sizes[0].format
    if format == YUYV:
        guid = b"YUY2" + MEDIA_SUBTYPE
        result = class_specific(
            4, struct.pack("<BB16sBBBBBB", index, frames, guid, 16, 1, 0, 0, 0, 0)
        )
    elif format == MJPEG:
        result = class_specific(6, struct.pack("<BBBBBBBB", index, frames, 0, 1, 0, 0, 0, 0))
    else:
        guid = b"H264" + MEDIA_SUBTYPE
        result = class_specific(
            16, struct.pack("<BB16sBBBBBBB", index, frames, guid, 0, 1, 0, 0, 0, 0, 1)
        )
    for frame_index, clip in enumerate(sizes, start=1):
        result += describe_frame(frame_index, clip)
    bt709, bt709_transfer, smpte170m = 1, 1, 4
    return result + class_specific(13, bytes([bt709, bt709_transfer, smpte170m]))


def describe_frame(index, clip):
    bits = 8 * (clip.frame_buffer_size if clip.format == YUYV else clip.longest)
    slowest, fastest = (
        min(bits * 10_000_000 // interval, 0xFFFF_FFFF)
        for interval in (clip.intervals[-1], clip.intervals[0])
    )
    body = struct.pack("<BBHHII", index, 0, clip.width, clip.height, slowest, fastest)
    intervals = struct.pack(f"<{len(clip.intervals)}I", *clip.intervals)
    if clip.format == H264:
        bytes_per_line = 0
        body += (
            struct.pack("<IBI", clip.intervals[0], len(clip.intervals), bytes_per_line) + intervals
        )
        return class_specific(17, body)
    body += (
        struct.pack("<IIB", clip.frame_buffer_size, clip.intervals[0], len(clip.intervals))
        + intervals
    )
    return class_specific(5 if clip.format == YUYV else 7, body)


def class_specific(subtype, body):
    return bytes([3 + len(body), CS_INTERFACE, subtype]) + body


def endpoint(number, attributes, packet_size, interval):
    """An IN endpoint."""
    return struct.pack("<BBBBHB", 7, ENDPOINT, 0x80 | number, attributes, packet_size, interval)


DEVICE, CONFIGURATION, STRING, INTERFACE, ENDPOINT, DEVICE_QUALIFIER, INTERFACE_ASSOCIATION = (
    1,
    2,
    3,
    4,
    5,
    6,
    11,
)
CS_INTERFACE, CS_ENDPOINT = 0x24, 0x25
ISOCHRONOUS_ASYNCHRONOUS, BULK, INTERRUPT = 0x05, 0x02, 0x03
VIDEO = 14
COMPOSITE = (0xEF, 2, 1)  # class, subclass and protocol of a device with an interface association
US_ENGLISH = 0x0409
MEDIA_SUBTYPE = bytes.fromhex("00001000800000aa00389b71")
