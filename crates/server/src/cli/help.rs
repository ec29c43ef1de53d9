//! The longer texts of `--help`.

pub(super) const SOURCE: &str = "\
What to stream: [NAME=]KIND:ARG[?key=value&key=value]. May be given several times; then each needs \
a NAME, which is the path of its URL. Without any, the first camera is served as `cam`, or the \
test card where there is none.

  v4l2:DEVICE           a camera                   size fps format bitrate gop encoder controls
                                                   on_demand offline
  test:                 the moving test card       size fps bitrate gop encoder on_demand
  file:PATH             H.264 in Annex B or MP4    fps on_demand
  stdin:yuv420p         raw pictures from a pipe   size (needed) fps bitrate gop encoder
  stdin:h264            Annex B from a pipe        fps

  size     1280x720: even sides
  fps      30, 29.97 or 30000/1001
  bitrate  2M, 800k or 1500000 bits per second; without it, chosen by size and fps
  gop      from one keyframe to the next: 1s, 500ms or 30 (frames)
  encoder  auto (the machine's own, else openh264), openh264, or the node of one: /dev/video11
  format   of a camera: h264 (not encoded again), nv12, i420, yuyv, uyvy, mjpeg; else what fits best
  controls of a camera: brightness=10,contrast=5, by the names of `v4l2-ctl --list-ctrls`
  on_demand  true: it runs only while somebody watches, as cameras and the test card do; or false
  offline  while a camera is away: freeze (its last picture is seen on) or card

DEVICE is a node (/dev/video0), a name that stays when cameras are plugged in elsewhere or in \
another order (by-id/usb-…, by-path/…, or the bus, usb-0000:00:14.0-1), or nothing: the first \
camera that can be used.

NAME is made of letters, digits, . _ - and inner /. In a PATH write ? as %3F and % as %25.
Quote the whole for the shell: & and ? mean something to it.";

pub(super) const LISTEN: &str = "\
Where to accept RTSP; may be given several times [default: 8554]

  8554 or :8554      every address of this machine, IPv6 and IPv4
  127.0.0.1:8554     this address only; [::1]:8554 for IPv6
  0.0.0.0            every IPv4 address, port 8554
  localhost:8554     this machine only, both families";

pub(super) const USER: &str = "\
Who may watch; may be given several times. Everyone on this machine can read the password in the \
list of processes (ps) and the shell keeps it in its history: better set LENSCAST_USER and \
LENSCAST_PASSWORD, or write [[user]] in a file.

With no user at all, and reachable from other machines, lenscast makes one with a strong password \
and shows it once; `lenscast passwd` sets a new one.";

pub(super) const LIBRARY: &str = "\
A device that a library answers for in the kernel's place; may be given several times. For encoders \
that answer nobody but a library of the board's maker, as NVIDIA's on a Jetson:

  --v4l2-library /dev/v4l2-nvenc=/usr/lib/aarch64-linux-gnu/tegra/libnvv4l2.so

A LIBRARY without a slash is looked for where the system has its libraries. A lenscast that is \
linked statically can load none.";

pub(super) const EXAMPLES: &str = "\
Examples:
  The first camera, or a test card; it prints the URL to paste into VLC, mpv or ffplay:
    lenscast

  One camera among several, as it is wanted:
    lenscast --source 'v4l2:/dev/video2?size=1280x720&fps=30&controls=brightness=140'

  Only for this machine, without a password, then in VLC: Media > Open Network Stream
    lenscast --listen localhost
    vlc rtsp://localhost:8554/cam

  A recording as a camera for Frigate, which then takes rtsp://frigate:s3cret@HOST:8554/door
    LENSCAST_USER=frigate LENSCAST_PASSWORD=s3cret lenscast --source door=file:/videos/door.mp4

  Two streams, one of them small:
    lenscast --source 'hall=test:' --source 'hall/small=test:?size=320x240&fps=10'

  Pictures made by a program (OpenCV, or anything that FFmpeg reads) through a pipe:
    ffmpeg -i in.mkv -f rawvideo -pix_fmt yuv420p -s 640x480 -r 30 - |
      lenscast --source 'stdin:yuv420p?size=640x480&fps=30'

  H.264 that is already there, not encoded again:
    ffmpeg -i in.mkv -c copy -bsf:v h264_mp4toannexb -f h264 - | lenscast --source stdin:h264

  It does not work, or not well: what is wrong on this machine, and what mends it:
    lenscast doctor

  Everything in a file, looked over first:
    lenscast check lenscast.toml && lenscast --config lenscast.toml

Environment:
  LENSCAST_USER, LENSCAST_PASSWORD   a user who may watch: both or neither
  LENSCAST_LOG                       as --log, which wins over it";
