"""Plays an RTSP URL with PyAV and writes its pictures, raw, to standard output.

Usage: pyav_player.py URL udp|tcp gray|yuv420p FRAMES (0: until the stream ends)
Fails when a presentation time is not after the one before.
"""

import sys

import av


def planes(frame):
    """The picture's bytes without what pads its lines."""
    for number, plane in enumerate(frame.planes):
        lines, width = memoryview(plane), plane.width
        for line in range(plane.height):
            yield lines[line * plane.line_size :][:width]


def main(url, transport, pixels, frames):
    options = {"rtsp_transport": transport, "timeout": "5000000", "buffer_size": "4194304"}
    before, count = None, 0
    with av.open(url, options=options, timeout=8) as stream:
        for frame in stream.decode(video=0):
            # FFmpeg does not know the time of the first picture of an H.264 stream from RTSP.
            if frame.pts is None and count > 0:
                sys.exit(f"picture {count} has no presentation time")
            if before is not None and frame.pts <= before:
                sys.exit(f"picture {count} is of {frame.pts}, the one before of {before}")
            if frame.format.name not in ("yuv420p", "yuvj420p"):
                sys.exit(f"picture {count} is {frame.format.name}")
            rows = b"".join(planes(frame))
            # The luma as decoded: any conversion would only add doubt.
            sys.stdout.buffer.write(rows[: frame.width * frame.height] if pixels == "gray" else rows)
            sys.stdout.buffer.flush()
            before, count = frame.pts, count + 1
            if count == frames:
                break


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
