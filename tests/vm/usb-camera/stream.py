"""The streaming interface: negotiation by probe and commit (UVC 1.1, 4.3.1.1) and the payloads
(2.4.3).

Every stream begins with a clip's first frame. Frames are due at the negotiated interval; when the
host takes them later, the clock slips and no frame is left out, so what arrives is always the
file's next frame.
"""

import struct
from collections import deque

from controls import GET_CUR, GET_DEF, GET_INFO, GET_LEN, GET_MAX, GET_MIN, SET_CUR, Stall
from descriptors import CLOCK_FREQUENCY, PACKET_SIZES


class Negotiation:
    """The probe and commit controls."""

    def __init__(self, formats, settings):
        self.formats = formats
        self.is_bulk = settings.transfer == "bulk"
        self.length = 48 if settings.uvc_version >= 0x0150 else 34
        self.default = self.settle(1, 1, 0)
        self.probed = self.default
        self.committed = None

    def request(self, selector, request, length, data):
        """Answers a request to PROBE or COMMIT, or raises Stall."""
        if selector not in (PROBE, COMMIT):
            raise Stall()
        if request == SET_CUR:
            self.set(selector, data)
            return b""
        if request == GET_LEN:
            return self.length.to_bytes(2, "little")
        if request == GET_INFO:
            return b"\x03"
        if request == GET_CUR:
            chosen = self.probed if selector == PROBE else self.committed
        elif selector == PROBE and request in (GET_MIN, GET_MAX, GET_DEF):
            clip = self.default[0] if request == GET_DEF else self.probed[0]
            interval = {
                GET_MIN: clip.intervals[0],
                GET_MAX: clip.intervals[-1],
                GET_DEF: clip.intervals[0],
            }[request]
            indices = (self.default if request == GET_DEF else self.probed)[1:3]
            chosen = self.settle(*indices, interval)
        else:
            chosen = None
        if chosen is None:
            raise Stall()
        return self.pack(chosen)

    def set(self, selector, data):
        if len(data) != self.length:
            raise Stall()
        _hint, format_index, frame_index, interval = struct.unpack_from("<HBBI", data)
        if selector == PROBE:
            # A camera answers a wish it cannot fulfil with what it can.
            self.probed = self.settle(format_index, frame_index, interval) or self.settle(
                format_index, 1, interval
            )
            self.probed = self.probed or self.default
            return
        chosen = self.settle(format_index, frame_index, interval)
        if chosen is None or chosen[3] != interval:
            raise Stall()
        self.committed = chosen

    def settle(self, format_index, frame_index, interval):
        """(clip, its two indices, the nearest interval it has); None if there is no such clip."""
        clip = self.formats.find(format_index, frame_index)
        if clip is None:
            return None
        nearest = min(
            clip.intervals, key=lambda known: abs(known - (interval or clip.intervals[0]))
        )
        return clip, format_index, frame_index, nearest

    def pack(self, chosen):
        clip, format_index, frame_index, interval = chosen
        hint_interval_fixed, framing_fid_and_eof = 1, 3
        packed = struct.pack(
            "<HBBIHHHHHIIIBBBB",
            hint_interval_fixed,
            format_index,
            frame_index,
            interval,
            0,
            0,
            0,
            0,
            DELAY_MILLISECONDS,
            clip.frame_buffer_size,
            self.payload_size(clip, interval),
            CLOCK_FREQUENCY,
            framing_fid_and_eof,
            1,
            1,
            1,
        )
        return packed.ljust(self.length, b"\0")

    def payload_size(self, clip, interval):
        """Bytes in one payload: a bulk transfer's, or the smallest packet that carries the clip in
        time.
        """
        if self.is_bulk:
            return BULK_PAYLOAD
        a_packet = (
            clip.longest * 1250 // interval + LONGEST_HEADER
        )  # 8000 packets a second, 100 ns units
        return next((size for size in PACKET_SIZES if size >= a_packet), PACKET_SIZES[-1])


class Sender:
    """Cuts the frames of the running stream into payloads and completes the host's transfers with
    them.

    `clock` says which fields the payload headers have: "none", "pts", or "scr" for both PTS and
    SCR.
    """

    def __init__(self, clock):
        self.clock = clock
        self.transfers = deque()
        self.clip = None
        self.stalled_until = 0.0
        self.faults = []
        self.frame_id = 0

    @property
    def running(self):
        return self.clip is not None

    def start(self, clip, interval, now):
        self.clip, self.interval = clip, interval / 10_000_000
        self.sent, self.slips, self.started = 0, 0, now
        self.due = now
        self.frame = None
        self.frame_id = 0

    def stop(self):
        """Ends the stream; transfers the host has not cancelled stay pending. Returns (frames,
        seconds, slips).
        """
        seconds = self.due - self.started
        self.clip, self.frame = None, None
        return self.sent, seconds, self.slips

    def wait(self, now):
        """Seconds until there is something to send, or None if that depends on the host alone."""
        if not self.running or not self.transfers:
            return None
        return 0.0 if self.frame is not None else max(0.0, max(self.due, self.stalled_until) - now)

    def cancel(self, sequence):
        """Forgets a pending transfer; false if there is none with this number."""
        for transfer in self.transfers:
            if transfer.sequence == sequence:
                self.transfers.remove(transfer)
                return True
        return False

    def send(self, port, now):
        """Completes the transfers that can be completed now. Raises Dropped when the connection is
        to break.
        """
        while self.running and self.transfers:
            if self.frame is None:
                if now < max(self.due, self.stalled_until):
                    return
                self.next_frame(now)
            transfer = self.transfers.popleft()
            if transfer.packets is None:
                self.fill_transfer(port, transfer, now)
            else:
                self.fill_packets(port, transfer, now)
            if self.at == len(self.frame):
                self.frame = None
                self.sent += 1
                self.frame_id ^= 1

    def next_frame(self, now):
        interval = self.interval
        if now - self.due > interval:
            self.due = now
            self.slips += 1
        self.captured, self.due = self.due, self.due + interval
        self.fault = self.faults.pop(0) if self.faults else None
        frame = self.clip.frame(self.sent)
        if self.fault == TRUNCATED:
            frame = frame[: max(1, len(frame) // 2)]
        self.frame, self.at = memoryview(frame), 0

    def fill_transfer(self, port, transfer, now):
        header, last = self.header(now, False), self.header(now, True)
        chunk = self.frame[self.at : self.at + min(transfer.length, BULK_PAYLOAD) - len(header)]
        self.at += len(chunk)
        parts = [last if self.at == len(self.frame) else header, chunk]
        self.drop_if_told(port, transfer, parts, len(header) + len(chunk))
        port.complete(transfer, parts)

    def fill_packets(self, port, transfer, now):
        header, last = self.header(now, False), self.header(now, True)
        parts, lengths = [], []
        frame, at, end = self.frame, self.at, len(self.frame)
        for room in transfer.packets:
            chunk = frame[at : at + room - len(header)]
            at += len(chunk)
            parts += (header if at < end else last, chunk)
            lengths.append(len(header) + len(chunk))
            if at == end:
                break
        self.at = at
        self.drop_if_told(port, transfer, parts, sum(lengths))
        port.complete_packets(transfer, parts, lengths)

    def drop_if_told(self, port, transfer, parts, length):
        if self.fault == DROPPED and (self.at * 2 >= len(self.frame)):
            joined = b"".join(parts)
            port.complete(transfer, [joined[: length // 2]], actual_length=length)
            raise Dropped

    def header(self, now, is_last):
        flags = END_OF_HEADER | self.frame_id | (END_OF_FRAME if is_last else 0)
        if self.fault == ERRONEOUS:
            flags |= ERROR
        if self.clock == "none":
            return bytes([2, flags])
        time_stamp = ticks(self.captured)
        if self.clock == "pts":
            return struct.pack("<BBI", 6, flags | PTS, time_stamp)
        frame_number = int(now * 1000) & 0x7FF
        return struct.pack("<BBIIH", 12, flags | PTS | SCR, time_stamp, ticks(now), frame_number)


class Dropped(Exception):
    """A frame has been sent by half and the connection is to end now."""


def ticks(seconds):
    """The device's clock at a time."""
    return int(seconds * CLOCK_FREQUENCY) & 0xFFFF_FFFF


# What can be wrong with a frame.
ERRONEOUS = "error"
TRUNCATED = "truncate"
DROPPED = "drop"

PROBE, COMMIT = 1, 2
DELAY_MILLISECONDS = 20
BULK_PAYLOAD = (
    16384  # what the Linux driver asks for in one transfer at most: 32 packets of 512 bytes
)
LONGEST_HEADER = 12

# Bits of the payload header's bmHeaderInfo.
END_OF_FRAME, PTS, SCR, ERROR, END_OF_HEADER = 0x02, 0x04, 0x08, 0x40, 0x80
