#!/bin/bash
# Cameras and encoders that share their memory, in every way there is: with an encoder that takes
# others' pages, with one that needs contiguous memory and so has to lend its own, and with one that
# looks for chroma elsewhere.
#
#   cargo xtask vm -- tests/vm/proof/sharing.sh target/debug/deps/sharing-…
set -u
tests=$1
export V4L2_CAMERA=${V4L2_CAMERA:-/dev/video0} V4L2_ENCODER
failed=0
for parameters in "" contiguous=1 align_height=16 "contiguous=1 align_height=16"; do
    modprobe -r h264_test_encoder
    # shellcheck disable=SC2086
    modprobe h264_test_encoder $parameters || exit 1
    for name in /sys/class/video4linux/video*/name; do
        grep -q "H.264 test encoder" "$name" && V4L2_ENCODER=/dev/$(basename "$(dirname "$name")")
    done
    echo "$V4L2_ENCODER: ${parameters:-as it comes}"
    "$tests" --ignored --test-threads=1 || failed=1
done
exit $failed
