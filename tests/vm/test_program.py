#!/usr/bin/env python3
"""Builds a test of the workspace and prints where its program is, to be run in the virtual machine.

    tests/vm/test_program.py -p v4l2 --lib
"""

import json
import subprocess
import sys

COMMAND = ["cargo", "test", "--no-run", "--quiet", "--message-format=json-render-diagnostics"]


def main():
    built = subprocess.run(COMMAND + sys.argv[1:], stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        sys.exit(built.returncode)
    messages = (json.loads(line) for line in built.stdout.splitlines())
    programs = {
        message["executable"]
        for message in messages
        if message["reason"] == "compiler-artifact"
        and message["profile"]["test"]
        and message["executable"]
    }
    if len(programs) != 1:
        sys.exit(f"{len(programs)} programs, not one: {sorted(programs)}")
    print(*programs)


if __name__ == "__main__":
    main()
