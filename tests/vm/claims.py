"""What all claims made in the virtual machine need."""

import subprocess
import time


def expect(found, wanted, what="found"):
    assert found == wanted, f"{what}: {found} and not {wanted}"


def wait_until(holds, otherwise, seconds=30):
    """`otherwise` says what is wrong when it never holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.05)


def run(*command, status=0):
    """What a command printed; its exit status must be `status` unless that is None."""
    done = subprocess.run(
        list(map(str, command)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=LONGEST,
    )
    if status is not None and done.returncode != status:
        raise AssertionError(f"{' '.join(done.args)}\nended with {done.returncode}:\n{done.stdout}")
    return done.stdout


# A dead end is seen as one, also on a slow machine.
LONGEST = 200
