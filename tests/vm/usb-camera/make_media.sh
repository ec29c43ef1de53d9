#!/bin/sh
# make_media.sh DIRECTORY: fills DIRECTORY with the clips prove.py plays, by FFmpeg, on the host. Every frame differs
# from its neighbours, so that a frame lost, doubled or mixed up shows.
set -eu
out=${1:?usage: make_media.sh DIRECTORY}
mkdir -p "$out"

film() { # film SIZE FRAMES FFMPEG-OPTIONS...
    size=$1 frames=$2
    shift 2
    ffmpeg -hide_banner -loglevel error -y -f lavfi -i "testsrc2=size=$size:rate=30" -frames:v "$frames" "$@"
}

for size in 320x240 640x480; do
    film "$size" 15 -pix_fmt yuyv422 -f rawvideo "$out/$size.yuyv"
done
for size in 640x480 1280x720; do
    mkdir -p "$out/mjpeg-$size"
    film "$size" 30 -c:v mjpeg -q:v 4 "$out/mjpeg-$size/%03d.jpg"
    film "$size" 60 -c:v libx264 -preset veryfast -tune zerolatency -profile:v baseline -pix_fmt yuv420p -g 30 \
        -b:v 2M -f h264 "$out/$size.h264"
done
