"""Plays an RTSP URL with aiortsp and writes its RTP packets to standard output.

Usage: aiortsp_player.py URL udp|tcp PICTURES
Each packet is preceded by its length in two bytes (RFC 4571). Ends after the packet with as many
markers before it as asked for; fails when the stream ends earlier.
"""

import asyncio
import sys

from aiortsp.rtsp.reader import RTSPReader


async def main(url, transport, pictures):
    # The scheme chooses the transport; rtspt:// is TCP.
    url = url.replace("rtsp://", "rtspt://", 1) if transport == "tcp" else url
    async with RTSPReader(url, timeout=8, log_level=40) as reader:
        async for packet in reader.iter_packets():
            # As it came: dpkt keeps every field of it.
            raw = bytes(packet)
            sys.stdout.buffer.write(len(raw).to_bytes(2, "big") + raw)
            pictures -= packet.m
            if pictures == 0:
                break
        # Leaving cancels the task that plays; it says TEARDOWN before it ends.
        runner = reader._runner
    sys.stdout.buffer.flush()
    ended = await asyncio.gather(runner, return_exceptions=True)
    if pictures > 0:
        sys.exit(f"{pictures} pictures early the stream ended: {ended[0]!r}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
