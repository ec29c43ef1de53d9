"""Serves an H.264 file with gst-rtsp-server, as `cargo xtask compare` wants it: one shared media for
all viewers, nothing transcoded, no end. Prints the URL, and a line when it serves.

Needs the system's Python, because Debian's bindings are its modules: python3-gi,
gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-good and -bad.
"""

import resource
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer

# Pictures go out when they are due, because sinks wait for the clock.
PIPELINE = (
    "( filesrc location={file} ! qtdemux ! h264parse "
    "! rtph264pay name=pay0 pt=96 config-interval=-1 mtu={packet_size} )"
)


def refuse_seeking(media) -> None:
    """Each PLAY of a file from its beginning would begin it anew, for all viewers. With a live source
    none does, and live is what is compared."""

    def answer(_, info):
        is_seeking = info.get_query().type == Gst.QueryType.SEEKING
        return Gst.PadProbeReturn.DROP if is_seeking else Gst.PadProbeReturn.OK

    pad = media.get_element().get_by_name("pay0").get_static_pad("src")
    pad.add_probe(Gst.PadProbeType.QUERY_UPSTREAM, answer)


def main() -> None:
    file, packet_size = sys.argv[1:]
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    server.set_backlog(4096)
    # One session for each viewer, and no limit to them.
    server.get_session_pool().set_max_sessions(0)
    media = GstRtspServer.RTSPMediaFactory()
    media.set_launch(PIPELINE.format(file=file, packet_size=packet_size))
    media.set_shared(True)
    media.connect("media-configure", lambda _, media: refuse_seeking(media))
    server.get_mount_points().add_factory("/film", media)
    if server.attach(None) == 0:
        sys.exit("gst-rtsp-server: cannot listen")
    print(f"rtsp://127.0.0.1:{server.get_bound_port()}/film", flush=True)
    print("gst-rtsp-server serves with", Gst.version_string(), flush=True)
    GLib.MainLoop().run()


main()
