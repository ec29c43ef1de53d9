"""The camera's controls: what GET_CUR, GET_MIN, ... answer and what is refused (UVC 1.1, 4.2.1 and
4.2.2).

A refused request stalls, and its reason is what the next GET_CUR of the request error code control
says. No control changes the picture: the frames are the files'.
"""

import struct
from dataclasses import dataclass

SET_CUR, GET_CUR, GET_MIN, GET_MAX, GET_RES, GET_LEN, GET_INFO, GET_DEF = (
    0x01,
    0x81,
    0x82,
    0x83,
    0x84,
    0x85,
    0x86,
    0x87,
)

CAMERA_TERMINAL = 1
PROCESSING_UNIT = 2
OUTPUT_TERMINAL = 3

# Request error codes (UVC 1.1, table 4-5).
(
    NO_ERROR,
    WRONG_STATE,
    OUT_OF_RANGE,
    INVALID_UNIT,
    INVALID_CONTROL,
    INVALID_REQUEST,
    INVALID_VALUE,
) = (0, 2, 4, 5, 6, 7, 8)


class Stall(Exception):
    """The request is refused: the control endpoint stalls."""

    def __init__(self, code=INVALID_REQUEST):
        super().__init__(f"request error code {code}")
        self.code = code


@dataclass(frozen=True)
class Control:
    """`bit` is its place in the unit's bmControls; `pack` its struct format, little endian.

    `values` lists what a menu takes, as cameras answer no GET_MIN, GET_MAX or GET_RES for menus;
    `resolution` of a menu, if not None, is the bitmap of the modes there are. While `auto`, another
    control's name, has a value other than `manual`, this one is read only.
    """

    name: str
    unit: int
    selector: int
    bit: int
    pack: str
    default: int
    minimum: int = 0
    maximum: int = 0
    resolution: int = None
    values: tuple = ()
    auto: str = None
    manual: int = 0

    @property
    def length(self):
        return struct.calcsize(self.pack)


def camera_controls(uvc_version):
    """The controls of a plausible webcam; UVC 1.5 adds "auto" to the power line frequencies."""
    line_frequencies = (0, 1, 2, 3) if uvc_version >= 0x0150 else (0, 1, 2)
    camera, processing = CAMERA_TERMINAL, PROCESSING_UNIT
    return (
        Control("brightness", processing, 0x02, 0, "<h", 0, -64, 64, 1),
        Control("contrast", processing, 0x03, 1, "<H", 32, 0, 95, 1),
        Control("saturation", processing, 0x07, 3, "<H", 64, 0, 100, 1),
        Control(
            "white_balance_temperature",
            processing,
            0x0A,
            6,
            "<H",
            4600,
            2800,
            6500,
            10,
            auto="white_balance_automatic",
        ),
        Control("power_line_frequency", processing, 0x05, 10, "<B", 1, values=line_frequencies),
        Control("white_balance_automatic", processing, 0x0B, 12, "<B", 1, values=(0, 1)),
        Control("auto_exposure", camera, 0x02, 1, "<B", 8, values=(1, 8), resolution=0b1001),
        Control("exposure_dynamic_framerate", camera, 0x03, 2, "<B", 0, values=(0, 1)),
        Control(
            "exposure_time_absolute",
            camera,
            0x04,
            3,
            "<I",
            156,
            1,
            5000,
            1,
            auto="auto_exposure",
            manual=1,
        ),
    )


class Units:
    """The values of all controls, from plugging to unplugging, and the reason of the last refusal."""

    def __init__(self, controls):
        self.controls = controls
        self.values = {control.name: control.default for control in controls}
        self.by_address = {(control.unit, control.selector): control for control in controls}
        self.error = NO_ERROR

    def bitmap(self, unit, length):
        """bmControls of a unit."""
        bits = sum(1 << control.bit for control in self.controls if control.unit == unit)
        return bits.to_bytes(length, "little")

    def request(self, unit, selector, request, length, data):
        """Answers a request to the video control interface or raises Stall."""
        if unit == 0 and selector == ERROR_CODE_SELECTOR:
            return self.error_code(request)
        try:
            answer = self.unit_request(unit, selector, request, length, data)
        except Stall as stall:
            self.error = stall.code
            raise
        self.error = NO_ERROR
        return answer

    def error_code(self, request):
        if request == GET_CUR:
            return bytes([self.error])
        if request == GET_INFO:
            return bytes([INFO_GET])
        raise Stall(INVALID_REQUEST)

    def unit_request(self, unit, selector, request, length, data):
        control = self.by_address.get((unit, selector))
        if control is None:
            known = unit in (0, CAMERA_TERMINAL, PROCESSING_UNIT, OUTPUT_TERMINAL)
            raise Stall(INVALID_CONTROL if known else INVALID_UNIT)
        if request == SET_CUR:
            self.set(control, data)
            return b""
        if request == GET_INFO:
            return bytes([INFO_GET | INFO_SET | self.info(control)])
        if request == GET_LEN:
            return control.length.to_bytes(2, "little")
        value = {
            GET_CUR: self.values[control.name],
            GET_DEF: control.default,
            GET_MIN: None if control.values else control.minimum,
            GET_MAX: None if control.values else control.maximum,
            GET_RES: control.resolution,
        }.get(request)
        if value is None:
            raise Stall(INVALID_REQUEST)
        return struct.pack(control.pack, value)

    def info(self, control):
        if control.auto is None:
            return 0
        return INFO_AUTO_UPDATE | (INFO_DISABLED_BY_AUTO if self.is_automatic(control) else 0)

    def is_automatic(self, control):
        return control.auto is not None and self.values[control.auto] != control.manual

    def set(self, control, data):
        if len(data) != control.length:
            raise Stall(INVALID_REQUEST)
        (value,) = struct.unpack(control.pack, data)
        self.check(control, value)
        if self.is_automatic(control):
            raise Stall(WRONG_STATE)
        self.values[control.name] = value

    def check(self, control, value):
        """Refuses a value that the control does not take."""
        if control.values:
            if value not in control.values:
                raise Stall(OUT_OF_RANGE)
        elif not control.minimum <= value <= control.maximum:
            raise Stall(OUT_OF_RANGE)
        elif (value - control.minimum) % control.resolution:
            raise Stall(INVALID_VALUE)

    def turn(self, name, value):
        """Sets a control from the camera's own side, like a button on it; returns the status packet
        that tells the host (UVC 1.1, table 2-2). Raises KeyError for an unknown name and Stall for
        a value it does not take.
        """
        control = next((control for control in self.controls if control.name == name), None)
        if control is None:
            raise KeyError(name)
        self.check(control, value)
        self.values[name] = value
        status_type, event, attribute = (
            1,
            0,
            0,
        )  # video control interface, control change, its value
        return bytes([status_type, control.unit, event, control.selector, attribute]) + struct.pack(
            control.pack, value
        )


ERROR_CODE_SELECTOR = 0x02
INFO_GET, INFO_SET, INFO_DISABLED_BY_AUTO, INFO_AUTO_UPDATE = 0x01, 0x02, 0x04, 0x08
