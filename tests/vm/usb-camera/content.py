"""What the camera films: clips read from files, one bytes object a frame.

A clip is one format at one size with its frame intervals. Frames are never re-encoded or padded, so
whoever captures from the camera can compare what arrived with the file, byte by byte.
"""

import re
from dataclasses import dataclass
from pathlib import Path

YUYV = "YUYV"
MJPEG = "MJPEG"
H264 = "H264"

# Which access units carry the parameter sets, see `repackage`.
AS_IN_FILE = "file"
AT_START = "start"
AT_IDR = "idr"


class ContentError(Exception):
    """A file or a clip's description that cannot be used, said so that it can be mended."""


@dataclass(frozen=True)
class Clip:
    """One format and size. `intervals` are in units of 100 ns, shortest first, as UVC has them.

    The frames are played over and over; `opening`, if not None, stands for the first one when a
    stream begins.
    """

    format: str
    width: int
    height: int
    intervals: tuple
    frames: tuple
    opening: bytes = None

    def frame(self, number):
        """The frame with this number in a stream, from 0."""
        if number == 0 and self.opening is not None:
            return self.opening
        return self.frames[number % len(self.frames)]

    @property
    def size(self):
        return f"{self.width}x{self.height}"

    @property
    def longest(self):
        """Bytes of the longest frame."""
        return max(map(len, (*self.frames, self.opening or b"")))

    @property
    def frame_buffer_size(self):
        """Bytes a host must set aside for a frame (dwMaxVideoFrameBufferSize)."""
        raw = self.width * self.height * 2
        return raw if self.format == YUYV else max(raw, self.longest)


def open_clip(format, description, parameter_sets=AS_IN_FILE):
    """Reads the clip `WIDTHxHEIGHT[@RATE,...]=PATH`; the rates are frames a second, 30 and 15 if
    not given.
    """
    match = re.fullmatch(r"(\d+)x(\d+)(?:@([\d.,]+))?=(.+)", description)
    if not match:
        raise ContentError(
            f"{description!r} is not WIDTHxHEIGHT[@RATE,...]=PATH, like 640x480@30,15=clip"
        )
    width, height = int(match[1]), int(match[2])
    if not (0 < width < 65536 and 0 < height < 65536):
        raise ContentError(f"{description!r}: a width and a height are 1 to 65535")
    intervals = parse_rates(match[3] or "30,15", description)
    path, opening = Path(match[4]), None
    try:
        if format == YUYV:
            frames = split_yuyv(path.read_bytes(), width, height)
        elif format == MJPEG:
            frames = read_jpegs(path, width, height)
        else:
            frames = split_access_units(path.read_bytes())
            opening, frames = frames[0], repackage(frames, parameter_sets)
    except OSError as error:
        raise ContentError(f"{path}: {error.strerror}") from error
    except ContentError as error:
        raise ContentError(f"{path}: {error}") from error
    return Clip(format, width, height, intervals, tuple(frames), opening)


def parse_rates(text, description):
    try:
        rates = sorted({float(rate) for rate in text.split(",")}, reverse=True)
    except ValueError:
        raise ContentError(f"{description!r}: {text!r} are not rates like 30,15,7.5") from None
    if not all(0.1 <= rate <= 1000 for rate in rates) or len(rates) > 32:
        raise ContentError(f"{description!r}: up to 32 rates from 0.1 to 1000 frames a second")
    return tuple(int(10_000_000 / rate) for rate in rates)


def split_yuyv(data, width, height):
    size = width * height * 2
    if not data or len(data) % size:
        raise ContentError(
            f"{len(data)} bytes are not whole frames of {size} bytes ({width}x{height} YUYV)"
        )
    return [data[start : start + size] for start in range(0, len(data), size)]


def read_jpegs(directory, width, height):
    paths = sorted(path for path in directory.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
    if not paths:
        raise ContentError("no .jpg file in this directory")
    frames = []
    for path in paths:
        frame = path.read_bytes()
        found = jpeg_size(frame)
        if found != (width, height):
            said = (
                "is no baseline or progressive JPEG" if found is None else "is {}x{}".format(*found)
            )
            raise ContentError(f"{path.name} {said}, not {width}x{height}")
        frames.append(frame)
    return frames


def jpeg_size(data):
    """Width and height from the frame header (SOF0 to SOF2) of a JPEG, or None. ITU-T T.81, B.2.2."""
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in (0xC0, 0xC1, 0xC2):
            height, width = int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(
                data[at + 7 : at + 9], "big"
            )
            return width, height
        at += 2 + length
    return None


def split_access_units(data):
    """Cuts an Annex B stream into access units without changing a byte: joined, they are the file
    again.

    A unit begins at an access unit delimiter, at the first of the NAL units that may precede a
    picture (SEI, SPS, PPS, 14 to 18), or at a slice with first_mb_in_slice 0 after a slice (ITU-T
    H.264, 7.4.1.2.3 and 7.4.1.2.4, without arbitrary slice order).
    """
    units, start, has_slice = [], 0, False
    for begin, kind, payload in nal_units(data):
        is_slice = kind in (1, 2, 3, 4, 5)
        opens = kind in (6, 7, 8, 9) or 14 <= kind <= 18
        if is_slice:
            opens = payload + 1 < len(data) and data[payload + 1] & 0x80 and kind in (1, 2, 5)
        if has_slice and opens:
            units.append(data[start:begin])
            start, has_slice = begin, False
        has_slice = has_slice or is_slice
    if not has_slice:
        raise ContentError("no H.264 picture in this file (an Annex B stream is wanted)")
    units.append(data[start:])
    return units


def repackage(units, parameter_sets):
    """Chooses which access units carry SPS and PPS.

    AS_IN_FILE leaves them alone; AT_START takes them out of all, so that with the opening frame as
    it was they come when a stream starts and never again, as some cameras do it; AT_IDR puts the
    latest ones before every IDR picture that has none.
    """
    if 5 not in (kind for _, kind, _ in nal_units(units[0])):
        raise ContentError("the first picture is no IDR picture")
    if parameter_sets == AS_IN_FILE:
        return units
    result, latest = [], b""
    for unit in units:
        nals = split_nal_units(unit)
        sets = b"".join(nal for kind, nal in nals if kind in (7, 8))
        latest = sets or latest
        if parameter_sets == AT_START:
            unit = b"".join(nal for kind, nal in nals if kind not in (7, 8))
        elif parameter_sets == AT_IDR and not sets and any(kind == 5 for kind, _ in nals):
            delimiters = b"".join(nal for kind, nal in nals if kind == 9)
            unit = delimiters + latest + b"".join(nal for kind, nal in nals if kind != 9)
        result.append(unit)
    return result


def split_nal_units(unit):
    """The NAL units of one access unit as (type, bytes with start code)."""
    starts = [(begin, kind) for begin, kind, _ in nal_units(unit)]
    ends = [begin for begin, _ in starts[1:]] + [len(unit)]
    return [(kind, unit[begin:end]) for (begin, kind), end in zip(starts, ends)]


def nal_units(data):
    """Yields (where its start code begins, nal_unit_type, where its header byte is)."""
    at = data.find(b"\0\0\1")
    while at >= 0 and at + 3 < len(data):
        begin = at - 1 if at > 0 and data[at - 1] == 0 else at
        yield begin, data[at + 3] & 0x1F, at + 3
        at = data.find(b"\0\0\1", at + 3)
