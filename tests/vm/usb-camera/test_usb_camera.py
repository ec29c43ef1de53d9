"""Tests of what needs no kernel: `python3 -m unittest discover -s tests/vm/usb-camera`."""

import struct
import tempfile
import unittest
from collections import namedtuple
from pathlib import Path

import content
import controls
import stream
from controls import GET_CUR, GET_DEF, GET_INFO, GET_LEN, GET_MAX, GET_MIN, GET_RES, SET_CUR, Stall
from descriptors import Descriptors, Formats
from usbip import HEADER, PACKET, Port, Transfer, Unlink

Settings = namedtuple("Settings", "manufacturer product serial vendor model uvc_version transfer")

CLIPS = (
    content.Clip(content.YUYV, 64, 48, (333333, 666666), (bytes(6144),) * 2),
    content.Clip(content.MJPEG, 64, 48, (333333,), (b"a" * 5000, b"b" * 5000)),
    content.Clip(content.MJPEG, 128, 96, (333333, 666666), (b"c" * 9000,)),
    content.Clip(content.H264, 64, 48, (333333,), (b"d" * 400000,)),
)


def settings(uvc_version=0x0110, transfer="iso"):
    return Settings("Maker", "Camera", "1", 0x1D6B, 0x0102, uvc_version, transfer)


class ContentTest(unittest.TestCase):
    SPS, PPS, IDR, P = b"\0\0\0\1\x67s", b"\0\0\0\1\x68p", b"\0\0\1\x65\x80i", b"\0\0\1\x41\x80q"
    SECOND_SLICE, DELIMITER = b"\0\0\1\x41\x40r", b"\0\0\0\1\x09\x10"

    def test_access_units_join_to_the_file(self):
        units = [
            self.SPS + self.PPS + self.IDR,
            self.P + self.SECOND_SLICE,
            self.DELIMITER + self.P,
        ]
        self.assertEqual(content.split_access_units(b"".join(units)), units)

    def test_parameter_sets_at_start_or_idr(self):
        first, plain = self.SPS + self.PPS + self.IDR, self.DELIMITER + self.IDR
        self.assertEqual(
            content.repackage([first, self.P, first], content.AT_START),
            [self.IDR, self.P, self.IDR],
        )
        repeated = content.repackage([first, self.P, plain], content.AT_IDR)
        self.assertEqual(repeated, [first, self.P, self.DELIMITER + self.SPS + self.PPS + self.IDR])

    def test_parameter_sets_at_start_are_not_repeated_when_the_file_is(self):
        first = self.SPS + self.PPS + self.IDR
        with tempfile.NamedTemporaryFile() as file:
            Path(file.name).write_bytes(first + self.P)
            clip = content.open_clip(content.H264, f"2x2={file.name}", content.AT_START)
        self.assertEqual([clip.frame(n) for n in range(4)], [first, self.P, self.IDR, self.P])

    def test_refusals(self):
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory, "clip")
            file.write_bytes(self.P)
            for format, description, said in (
                (content.YUYV, "640=x", "is not WIDTHxHEIGHT"),
                (content.YUYV, "0x2=x", "1 to 65535"),
                (content.YUYV, "2x2@fast=x", "is not WIDTHxHEIGHT"),
                (content.YUYV, "2x2@1.2.3=x", "rates"),
                (content.YUYV, f"2x2={file}", "not whole frames of 8 bytes"),
                (content.YUYV, f"2x2={directory}/none", "No such file"),
                (content.MJPEG, f"2x2={directory}", "no .jpg"),
                (content.H264, f"2x2={file}", "no IDR"),
            ):
                with self.subTest(description), self.assertRaisesRegex(content.ContentError, said):
                    content.open_clip(format, description)
            file.write_bytes(b"nothing")
            with self.assertRaisesRegex(content.ContentError, "no H.264 picture"):
                content.open_clip(content.H264, f"2x2={file}")
            Path(directory, "a.jpg").write_bytes(jpeg(2, 4))
            with self.assertRaisesRegex(content.ContentError, "a.jpg is 2x4, not 4x4"):
                content.open_clip(content.MJPEG, f"4x4={directory}")
            self.assertEqual(
                content.open_clip(content.MJPEG, f"2x4@10={directory}").intervals, (1_000_000,)
            )


class ControlsTest(unittest.TestCase):
    def setUp(self):
        self.units = controls.Units(controls.camera_controls(0x0110))

    def refused(self, expected, *request):
        with self.assertRaises(Stall):
            self.units.request(*request)
        self.assertEqual(self.units.request(0, 2, GET_CUR, 1, b""), bytes([expected]))

    def test_ranges(self):
        answers = [
            self.units.request(2, 2, request, 2, b"")
            for request in (GET_MIN, GET_MAX, GET_RES, GET_DEF)
        ]
        self.assertEqual([struct.unpack("<h", answer)[0] for answer in answers], [-64, 64, 1, 0])
        self.assertEqual(self.units.request(2, 2, GET_LEN, 2, b""), b"\2\0")
        self.assertEqual(self.units.request(2, 2, GET_INFO, 1, b""), b"\3")

    def test_a_set_value_stays_and_a_refused_one_changes_nothing(self):
        self.units.request(2, 2, SET_CUR, 2, struct.pack("<h", -30))
        self.refused(controls.OUT_OF_RANGE, 2, 2, SET_CUR, 2, struct.pack("<h", 65))
        self.assertEqual(self.units.request(2, 2, GET_CUR, 2, b""), struct.pack("<h", -30))
        self.assertEqual(self.units.request(0, 2, GET_CUR, 1, b""), bytes([controls.NO_ERROR]))

    def test_nonsense_stalls(self):
        self.refused(controls.INVALID_UNIT, 9, 2, GET_CUR, 2, b"")
        self.refused(controls.INVALID_CONTROL, 2, 0x12, GET_CUR, 2, b"")
        self.refused(controls.INVALID_REQUEST, 2, 2, 0x70, 2, b"")
        self.refused(controls.INVALID_REQUEST, 2, 2, SET_CUR, 1, b"\0")
        self.refused(controls.INVALID_REQUEST, 2, 5, GET_MAX, 1, b"")
        self.refused(controls.OUT_OF_RANGE, 2, 5, SET_CUR, 1, b"\3")
        self.refused(controls.OUT_OF_RANGE, 1, 2, SET_CUR, 1, b"\2")

    def test_automatic_white_balance_holds_the_temperature(self):
        self.refused(controls.WRONG_STATE, 2, 0x0A, SET_CUR, 2, struct.pack("<H", 3000))
        self.units.request(2, 0x0B, SET_CUR, 1, b"\0")
        self.units.request(2, 0x0A, SET_CUR, 2, struct.pack("<H", 3000))
        self.refused(controls.INVALID_VALUE, 2, 0x0A, SET_CUR, 2, struct.pack("<H", 3001))

    def test_a_turned_knob_tells_the_host(self):
        self.assertEqual(self.units.turn("brightness", 5), bytes([1, 2, 0, 2, 0, 5, 0]))
        self.assertRaises(KeyError, self.units.turn, "volume", 5)
        self.assertRaises(Stall, self.units.turn, "brightness", 500)


class DescriptorsTest(unittest.TestCase):
    def test_lengths_add_up(self):
        for transfer in ("iso", "bulk"):
            for version in (0x0110, 0x0150):
                with self.subTest(transfer=transfer, version=version):
                    units = controls.Units(controls.camera_controls(version))
                    descriptors = Descriptors(settings(version, transfer), Formats(CLIPS), units)
                    data = descriptors.configuration
                    self.assertEqual(struct.unpack_from("<H", data, 2)[0], len(data))
                    found, at = [], 0
                    while at < len(data):
                        found.append(data[at : at + data[at]])
                        at += data[at]
                    self.assertEqual(at, len(data))
                    headers = [i for i, one in enumerate(found) if one[1:3] == b"\x24\x01"]
                    for index, length_at in zip(headers, (5, 4)):
                        end = index
                        while found[end][1] == 0x24:
                            end += 1
                        total = struct.unpack_from("<H", found[index], length_at)[0]
                        self.assertEqual(total, sum(map(len, found[index:end])))
                    alternates = {one[3] for one in found if one[1] == 4 and one[2] == 1}
                    self.assertEqual(len(alternates), descriptors.alternates)


class NegotiationTest(unittest.TestCase):
    def setUp(self):
        self.negotiation = stream.Negotiation(Formats(CLIPS), settings())

    def wish(self, *fields):
        return struct.pack("<HBBI", 1, *fields).ljust(34, b"\0")

    def probe(self, *fields):
        self.negotiation.request(stream.PROBE, SET_CUR, 34, self.wish(*fields))
        return struct.unpack_from(
            "<HBBI", self.negotiation.request(stream.PROBE, GET_CUR, 34, b"")
        )[1:]

    def test_wishes_are_answered_with_what_there_is(self):
        self.assertEqual(self.probe(2, 2, 700000), (2, 2, 666666))
        self.assertEqual(self.probe(2, 9, 1), (2, 1, 333333))
        self.assertEqual(self.probe(9, 1, 1), (1, 1, 333333))

    def test_commit_takes_what_was_probed_and_nothing_else(self):
        self.assertRaises(Stall, self.negotiation.request, stream.COMMIT, GET_CUR, 34, b"")
        for wrong in (self.wish(9, 1, 333333), self.wish(2, 1, 1), b""):
            self.assertRaises(Stall, self.negotiation.request, stream.COMMIT, SET_CUR, 34, wrong)
        self.negotiation.request(stream.COMMIT, SET_CUR, 34, self.wish(2, 1, 333333))
        self.assertEqual(self.negotiation.committed[0], CLIPS[1])

    def test_the_packet_carries_the_clip_in_time(self):
        sizes = [self.negotiation.payload_size(clip, clip.intervals[0]) for clip in CLIPS]
        self.assertEqual(sizes, [1024, 1024, 1024, 2048])


class SenderTest(unittest.TestCase):
    def send(self, transfers, fault=None, clock="scr"):
        port = FakePort()
        sender = stream.Sender(clock)
        sender.faults = [fault] if fault else []
        sender.start(CLIPS[1], 333333, 100.0)
        sender.transfers.extend(transfers)
        sender.send(port, 100.0)
        return sender, port

    def test_packets_join_to_the_frame_and_only_the_last_ends_it(self):
        for clock, length in (("none", 2), ("pts", 6), ("scr", 12)):
            with self.subTest(clock):
                sender, port = self.send([packets(2), packets(32)], clock=clock)
                payloads = port.payloads
                self.assertEqual(
                    b"".join(payload[length:] for payload in payloads), CLIPS[1].frames[0]
                )
                self.assertEqual({payload[0] for payload in payloads}, {length})
                ends = [bool(payload[1] & stream.END_OF_FRAME) for payload in payloads]
                self.assertEqual(ends, [False] * (len(ends) - 1) + [True])
                self.assertFalse(sender.transfers)

    def test_the_next_frame_waits_and_toggles_the_frame_id(self):
        sender, port = self.send([packets(32), packets(32)])
        self.assertEqual(len(sender.transfers), 1)
        self.assertAlmostEqual(sender.wait(100.0), 0.0333333)
        before = len(port.payloads)
        sender.send(port, 100.04)
        self.assertEqual({payload[1] & 1 for payload in port.payloads[:before]}, {0})
        self.assertEqual({payload[1] & 1 for payload in port.payloads[before:]}, {1})

    def test_a_late_host_makes_the_clock_slip(self):
        sender, port = self.send([packets(32), packets(32)])
        sender.send(port, 105.0)
        self.assertEqual(sender.stop()[0::2], (2, 1))

    def test_faults(self):
        _, port = self.send([packets(32)], fault=stream.ERRONEOUS)
        self.assertTrue(all(payload[1] & stream.ERROR for payload in port.payloads))
        _, port = self.send([packets(32)], fault=stream.TRUNCATED)
        self.assertEqual(sum(len(payload) - 12 for payload in port.payloads), 2500)
        self.assertRaises(stream.Dropped, self.send, [packets(32)], fault=stream.DROPPED)

    def test_bulk(self):
        sender, port = started_sender(CLIPS[3]), FakePort()
        sender.transfers.extend(Transfer(n, 1, True, 16384, b"", b"", None) for n in range(30))
        sender.send(port, 100.0)
        self.assertEqual(b"".join(payload[12:] for payload in port.payloads), CLIPS[3].frames[0])
        self.assertEqual({len(payload) for payload in port.payloads[:-1]}, {16384})


class PortTest(unittest.TestCase):
    def test_messages_are_taken_however_they_are_cut(self):
        submit = HEADER.pack(1, 7, 0, 1, 1, 0, 4096, 0, 2, 1, bytes(8))
        submit += PACKET.pack(0, 2048, 0, 0) + PACKET.pack(2048, 2048, 0, 0)
        out = HEADER.pack(1, 8, 0, 0, 0, 0, 3, 0, 0xFFFF_FFFF, 0, b"12345678") + b"abc"
        unlink = HEADER.pack(2, 9, 0, 0, 0, 7, 0, 0, 0, 0, bytes(8))
        wanted = [
            Transfer(7, 1, True, 4096, bytes(8), b"", (2048, 2048)),
            Transfer(8, 0, False, 3, b"12345678", b"abc", None),
            Unlink(9, 7),
        ]
        data = submit + out + unlink
        for cut in range(len(data)):
            port = Port.__new__(Port)
            port.received = bytearray()
            found = []
            for part in (data[:cut], data[cut:]):
                port.received += part
                while (message := port.take()) is not None:
                    found.append(message)
            self.assertEqual(found, wanted)


class FakePort:
    """Takes apart what a sender completes."""

    def __init__(self):
        self.payloads = []

    def complete(self, transfer, data=(), status=0, actual_length=None):
        self.payloads.append(b"".join(data))

    def complete_packets(self, transfer, data, lengths):
        joined, at = b"".join(data), 0
        for length in lengths:
            self.payloads.append(joined[at : at + length])
            at += length
        assert at == len(joined)


def started_sender(clip):
    sender = stream.Sender("scr")
    sender.start(clip, 333333, 100.0)
    return sender


def packets(count):
    return Transfer(1, 1, True, 1024 * count, b"", b"", (1024,) * count)


def jpeg(width, height):
    return (
        b"\xff\xd8\xff\xe0\0\4ab\xff\xc0\0\x0b\x08"
        + struct.pack(">HH", height, width)
        + b"\1\1\x11\0\xff\xd9"
    )


if __name__ == "__main__":
    unittest.main()
