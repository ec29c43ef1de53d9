"""Trouble on request: what vivid and the test encoder do wrong when they are told to.

vivid's faults are controls of it, told by ioctl and not by v4l2-ctl: an open node keeps a
disconnected camera away. The encoder's are parameters of its module (h264-encoder/README.md).
"""

import fcntl
import os
import struct
from contextlib import contextmanager
from pathlib import Path

from claims import wait_until


class Vivid:
    """A camera of vivid's, by its node."""

    def __init__(self, node):
        self.node = node

    def tell(self, control, value=1):
        """Sets one of its controls; buttons take any value."""
        with self._opened() as node:
            _set(node, control, value)

    @contextmanager
    def unplugged(self):
        """Away while this lasts: whoever has it open, or opens it, gets ENODEV. It comes back, under
        its node, when nobody has it open any more; after this, so, when the last who used it has
        noticed and closed it.
        """
        with self._opened() as node:
            _set(node, DISCONNECT, 1)
            yield

    def is_there(self):
        try:
            with self._opened():
                return True
        except OSError:
            return False

    @contextmanager
    def _opened(self):
        node = os.open(self.node, os.O_RDWR | os.O_CLOEXEC)
        try:
            yield node
        finally:
            os.close(node)


@contextmanager
def encoder_told(**parameters):
    """Parameters of the test encoder's module, for as long as this lasts."""
    before = {name: (PARAMETERS / name).read_text() for name in parameters}
    try:
        for name, value in parameters.items():
            (PARAMETERS / name).write_text(str(value))
        yield
    finally:
        for name, value in before.items():
            (PARAMETERS / name).write_text(value)


@contextmanager
def encoder_misbehaves(seconds=60, **parameters):
    """The same, for as long as this lasts and until it has struck: it never does where another
    encoder is at work. Not with parameters that are no misbehaviour.
    """

    def struck():
        return int((PARAMETERS / "faults").read_text())

    before = struck()
    with encoder_told(**parameters):
        yield
        wait_until(
            lambda: struck() > before,
            lambda: f"the test encoder, told {parameters}, meets no picture to do so with",
            seconds,
        )


def _set(node, control, value):
    fcntl.ioctl(node, S_CTRL, struct.pack("Ii", control, value))


PARAMETERS = Path("/sys/module/h264_test_encoder/parameters")

# vivid-ctrls.c. Each but the first two makes the next one fail, once.
TEST_PATTERN = 0x00F0F000
# So many of a hundred pictures never come.
DROPPED = 0x00F0F040
DISCONNECT = 0x00F0F041
# The next picture is marked V4L2_BUF_FLAG_ERROR.
DAMAGED = 0x00F0F042
REQBUFS_FAILS = 0x00F0F043
QBUF_FAILS = 0x00F0F044
STREAMON_FAILS = 0x00F0F045
# The queue fails as if the hardware were broken, until it is stopped.
FATAL = 0x00F0F046

# _IOWR('V', 28, struct v4l2_control)
S_CTRL = 0xC008561C
