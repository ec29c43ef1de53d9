//! The bindings against what C compilers make of the kernel's headers: sizes, places of fields,
//! numbers of requests and flags.
//!
//! `layout.c` is compiled to assembly that has the numbers in it, so that compilers for other
//! machines can be asked too. `ilp32.txt` is what a 32-bit Arm has, with 64-bit times; a build for
//! such a machine is held against it here, and the C compiler for it is as well.

use std::{collections::BTreeMap, mem::offset_of, path::Path, process::Command};

use v4l2::uapi::{control::*, *};

/// Numbers by name.
type Layout = BTreeMap<String, u32>;

#[test]
fn the_bindings_are_as_this_machines_c_compiler_has_them() {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    assert_same(&of_rust(), &of_c(&compiler));
}

#[test]
#[ignore = "needs gcc-aarch64-linux-gnu"]
fn aarch64_has_the_same_as_other_64_bit_machines() {
    let layout = of_c("aarch64-linux-gnu-gcc");
    if cfg!(target_pointer_width = "64") {
        assert_same(&of_rust(), &layout);
    }
}

#[test]
#[ignore = "needs gcc-arm-linux-gnueabihf"]
fn arm_has_what_is_written_down() {
    assert_same(&of_ilp32(), &of_c("arm-linux-gnueabihf-gcc"));
}

/// What is written down can only be right for what is there.
#[test]
fn what_is_written_down_has_every_number() {
    let (rust, written) = (of_rust(), of_ilp32());
    let names = |layout: &Layout| layout.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&rust), names(&written));
    if cfg!(target_pointer_width = "32") {
        assert_same(&rust, &written);
    }
}

#[track_caller]
fn assert_same(rust: &Layout, c: &Layout) {
    let differs = |(name, number): (&String, &u32)| {
        let other = c.get(name);
        (other != Some(number)).then(|| format!("{name}: {number} here, {other:?} in C"))
    };
    let differences: Vec<String> = rust.iter().filter_map(differs).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!(rust.len(), c.len());
}

fn of_c(compiler: &str) -> Layout {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/layout/layout.c");
    let mut command = Command::new(compiler);
    // 64-bit times, also on 32-bit machines.
    command.args(["-O0", "-S", "-o", "-", "-D_TIME_BITS=64", "-D_FILE_OFFSET_BITS=64"]);
    let output = command.arg(source).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {compiler}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{compiler}:\n{errors}");
    let assembly = String::from_utf8(output.stdout).expect("assembly is text");
    parse(assembly.lines().filter_map(|line| line.strip_prefix("->")))
}

fn of_ilp32() -> Layout {
    parse(include_str!("ilp32.txt").lines())
}

fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> Layout {
    let parse = |line: &str| {
        let (name, number) = line.split_once(' ').expect("a name and a number");
        // Immediates have marks in some assemblies, and no sign is meant.
        let number: i64 = number.trim_start_matches(['#', '$']).parse().expect("a number");
        (name.to_owned(), number as u32)
    };
    lines.map(parse).collect()
}

macro_rules! layout {
    (
        structs { $($name:ident { $($field:ident $(as $c:literal)?),* })+ }
        constants { $($constant:ident)+ }
    ) => {{
        let mut layout = Layout::new();
        $(
            layout.insert(stringify!($name).to_owned(), size_of::<$name>() as u32);
            $({
                let field = stringify!($field);
                $(let field = { let _ = field; $c };)?
                let name = format!("{}.{field}", stringify!($name));
                layout.insert(name, offset_of!($name, $field) as u32);
            })*
        )+
        $(layout.insert(stringify!($constant).to_owned(), $constant as u32);)+
        layout
    }};
}

fn of_rust() -> Layout {
    let mut layout = layout! {
        structs {
            v4l2_capability { card, bus_info, device_caps }
            v4l2_fmtdesc { pixelformat }
            v4l2_frmsizeenum { u as "discrete" }
            v4l2_frmivalenum { u as "discrete" }
            v4l2_pix_format { r#priv as "priv", xfer_func }
            v4l2_plane_pix_format {}
            v4l2_pix_format_mplane { plane_fmt, num_planes, xfer_func }
            v4l2_format { fmt }
            v4l2_captureparm { timeperframe }
            v4l2_streamparm { parm }
            v4l2_rect {}
            v4l2_selection { r }
            v4l2_requestbuffers { capabilities }
            v4l2_plane { m, data_offset }
            v4l2_buffer {
                timestamp, timecode, sequence, memory, m, length, request_fd
            }
            v4l2_exportbuffer { fd }
            v4l2_encoder_cmd { raw }
            v4l2_event_subscription {}
            v4l2_event { u, pending, timestamp, id }
            v4l2_query_ext_ctrl { minimum, flags, dims }
            v4l2_querymenu { u as "name" }
            v4l2_ext_controls { error_idx }
            dma_heap_allocation_data { fd, heap_flags }
        }
        constants {
            VIDIOC_QUERYCAP VIDIOC_ENUM_FMT VIDIOC_G_FMT VIDIOC_S_FMT VIDIOC_TRY_FMT
            VIDIOC_REQBUFS VIDIOC_QUERYBUF VIDIOC_QBUF VIDIOC_EXPBUF VIDIOC_DQBUF
            VIDIOC_STREAMON VIDIOC_STREAMOFF VIDIOC_G_PARM VIDIOC_S_PARM VIDIOC_QUERYMENU
            VIDIOC_G_EXT_CTRLS VIDIOC_S_EXT_CTRLS VIDIOC_ENUM_FRAMESIZES
            VIDIOC_ENUM_FRAMEINTERVALS VIDIOC_ENCODER_CMD VIDIOC_DQEVENT
            VIDIOC_SUBSCRIBE_EVENT VIDIOC_G_SELECTION VIDIOC_S_SELECTION
            VIDIOC_QUERY_EXT_CTRL DMA_HEAP_IOCTL_ALLOC
            V4L2_CAP_VIDEO_CAPTURE V4L2_CAP_VIDEO_CAPTURE_MPLANE V4L2_CAP_VIDEO_M2M
            V4L2_CAP_VIDEO_M2M_MPLANE V4L2_CAP_STREAMING V4L2_CAP_DEVICE_CAPS
            V4L2_BUF_FLAG_KEYFRAME V4L2_BUF_FLAG_PFRAME V4L2_BUF_FLAG_BFRAME
            V4L2_BUF_FLAG_ERROR V4L2_BUF_FLAG_LAST V4L2_BUF_FLAG_TIMESTAMP_MASK
            V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC V4L2_BUF_FLAG_TIMESTAMP_COPY
            V4L2_CID_MPEG_VIDEO_B_FRAMES V4L2_CID_MPEG_VIDEO_GOP_SIZE
            V4L2_CID_MPEG_VIDEO_BITRATE_MODE V4L2_CID_MPEG_VIDEO_BITRATE
            V4L2_CID_MPEG_VIDEO_BITRATE_PEAK V4L2_CID_MPEG_VIDEO_FRAME_RC_ENABLE
            V4L2_CID_MPEG_VIDEO_HEADER_MODE V4L2_CID_MPEG_VIDEO_REPEAT_SEQ_HEADER
            V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME V4L2_CID_MPEG_VIDEO_H264_MIN_QP
            V4L2_CID_MPEG_VIDEO_H264_MAX_QP V4L2_CID_MPEG_VIDEO_H264_I_PERIOD
            V4L2_CID_MPEG_VIDEO_H264_LEVEL V4L2_CID_MPEG_VIDEO_H264_PROFILE
            V4L2_CID_MPEG_VIDEO_PREPEND_SPSPPS_TO_IDR V4L2_PIX_FMT_PRIV_MAGIC
            V4L2_CTRL_FLAG_NEXT_CTRL
            V4L2_COLORSPACE_SMPTE170M V4L2_COLORSPACE_SMPTE240M V4L2_COLORSPACE_REC709
            V4L2_COLORSPACE_470_SYSTEM_M V4L2_COLORSPACE_470_SYSTEM_BG V4L2_COLORSPACE_JPEG
            V4L2_COLORSPACE_SRGB V4L2_COLORSPACE_OPRGB V4L2_COLORSPACE_BT2020
            V4L2_COLORSPACE_RAW V4L2_COLORSPACE_DCI_P3 V4L2_XFER_FUNC_709
            V4L2_XFER_FUNC_SRGB V4L2_XFER_FUNC_OPRGB V4L2_XFER_FUNC_SMPTE240M
            V4L2_XFER_FUNC_NONE V4L2_XFER_FUNC_DCI_P3 V4L2_XFER_FUNC_SMPTE2084
            V4L2_YCBCR_ENC_601 V4L2_YCBCR_ENC_709 V4L2_YCBCR_ENC_XV601 V4L2_YCBCR_ENC_XV709
            V4L2_YCBCR_ENC_BT2020 V4L2_YCBCR_ENC_BT2020_CONST_LUM V4L2_YCBCR_ENC_SMPTE240M
            V4L2_QUANTIZATION_FULL_RANGE V4L2_QUANTIZATION_LIM_RANGE
            V4L2_CID_MIN_BUFFERS_FOR_CAPTURE V4L2_CID_MIN_BUFFERS_FOR_OUTPUT
            V4L2_CID_EXPOSURE_ABSOLUTE V4L2_EVENT_CTRL V4L2_EVENT_CTRL_CH_VALUE
        }
    };
    // The one structure is read for both, and the other's fields are not to be seen outside.
    let timeperframe = offset_of!(v4l2_captureparm, timeperframe) as u32;
    layout.insert("v4l2_outputparm.timeperframe".to_owned(), timeperframe);
    layout.insert("v4l2_ext_control".to_owned(), size_of::<v4l2_ext_control>() as u32);
    let union = size_of::<v4l2_ext_control>() - 8;
    layout.insert("v4l2_ext_control.value64".to_owned(), union as u32);
    let address = size_of::<v4l2_ext_controls>() - size_of::<usize>();
    layout.insert("v4l2_ext_controls.controls".to_owned(), address as u32);
    layout
}
