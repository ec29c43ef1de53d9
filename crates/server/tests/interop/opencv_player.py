"""Plays an RTSP URL or a file with OpenCV and writes its pictures, raw BGR, to standard output.

Usage: opencv_player.py URL udp|tcp PICTURES
       opencv_player.py FILE file 0   (to its end)
"""

import os
import sys

# Read when OpenCV opens a stream, so to be set before.
TRANSPORTS = {
    "udp": "rtsp_transport;udp|timeout;5000000|buffer_size;4194304",
    "tcp": "rtsp_transport;tcp|timeout;5000000",
}
if sys.argv[2] in TRANSPORTS:
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = TRANSPORTS[sys.argv[2]]

import cv2


def main(source, pictures):
    capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG)
    if not capture.isOpened():
        sys.exit("OpenCV cannot open the stream")
    count = 0
    while pictures == 0 or count < pictures:
        came, picture = capture.read()
        if not came:
            break
        sys.stdout.buffer.write(picture.tobytes())
        count += 1
    capture.release()
    if count < pictures:
        sys.exit(f"the stream ended after {count} pictures")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[3]))
