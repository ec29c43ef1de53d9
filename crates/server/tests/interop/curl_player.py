"""Plays an RTSP URL with libcurl and writes its RTP packets to standard output.

Usage: curl_player.py URL tcp PICTURES
Each packet is preceded by its length in two bytes (RFC 4571). libcurl receives RTP only on the RTSP
connection. What it is asked here is what its manual shows: OPTIONS, DESCRIBE, SETUP, PLAY, then
RECEIVE for each packet, TEARDOWN.
"""

import io
import sys
from urllib.parse import urlsplit

import pycurl

VIDEO = 0


class Client:
    def __init__(self, url):
        parts = urlsplit(url)
        self.url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self.curl = pycurl.Curl()
        self.curl.setopt(pycurl.URL, self.url)
        self.curl.setopt(pycurl.TIMEOUT, 8)
        self.curl.setopt(pycurl.FAILONERROR, True)
        if parts.username:
            self.curl.setopt(pycurl.HTTPAUTH, pycurl.HTTPAUTH_DIGEST)
            self.curl.setopt(pycurl.USERNAME, parts.username)
            self.curl.setopt(pycurl.PASSWORD, parts.password)

    def ask(self, method, uri):
        """Returns the headers of the answer, names in lower case, and its body."""
        head, body = [], io.BytesIO()
        self.curl.setopt(pycurl.OPT_RTSP_REQUEST, method)
        self.curl.setopt(pycurl.OPT_RTSP_STREAM_URI, uri)
        self.curl.setopt(pycurl.HEADERFUNCTION, lambda line: head.append(line.decode()))
        # Packets that come between are of no use before PLAY is answered.
        self.curl.setopt(pycurl.WRITEFUNCTION, body.write)
        self.curl.perform()
        fields = (line.partition(":") for line in head if ":" in line)
        headers = {name.strip().lower(): value.strip() for name, _, value in fields}
        return headers, body.getvalue()

    def play(self, uri, take):
        """PLAY, then every interleaved frame to `take` until that returns True."""
        self.curl.setopt(pycurl.OPT_RTSP_REQUEST, pycurl.RTSPREQ_PLAY)
        self.curl.setopt(pycurl.OPT_RTSP_STREAM_URI, uri)
        self.curl.setopt(pycurl.HEADERFUNCTION, lambda line: None)
        self.curl.setopt(pycurl.WRITEFUNCTION, take.frame)
        self.curl.perform()
        while not take.done():
            self.curl.setopt(pycurl.OPT_RTSP_REQUEST, pycurl.RTSPREQ_RECEIVE)
            self.curl.perform()


class Packets:
    def __init__(self, pictures):
        self.pictures = pictures

    def frame(self, frame):
        """One `$` frame, header and all."""
        channel, packet = frame[1], frame[4:]
        if len(packet) != int.from_bytes(frame[2:4], "big"):
            sys.exit(f"libcurl hands out {len(packet)} bytes of a frame of {frame[2:4].hex()}")
        if channel == VIDEO and not self.done():
            sys.stdout.buffer.write(frame[2:])
            self.pictures -= packet[1] >> 7

    def done(self):
        return self.pictures <= 0


def main(url, pictures):
    client = Client(url)
    headers, _ = client.ask(pycurl.RTSPREQ_OPTIONS, client.url)
    if "DESCRIBE" not in headers["public"]:
        sys.exit(f"no DESCRIBE in Public: {headers['public']}")
    headers, sdp = client.ask(pycurl.RTSPREQ_DESCRIBE, client.url)
    lines = sdp.decode().splitlines()
    for line in ("m=video 0 RTP/AVP 96", "a=rtpmap:96 H264/90000"):
        if line not in lines:
            sys.exit(f"no {line} in {lines}")
    base = headers["content-base"]
    controls = [line.partition(":")[2] for line in lines if line.startswith("a=control:")]
    client.curl.setopt(pycurl.OPT_RTSP_TRANSPORT, "RTP/AVP/TCP;unicast;interleaved=0-1")
    client.ask(pycurl.RTSPREQ_SETUP, base + controls[-1])
    client.play(base, Packets(pictures))
    sys.stdout.buffer.flush()
    client.ask(pycurl.RTSPREQ_TEARDOWN, base)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[3]))
