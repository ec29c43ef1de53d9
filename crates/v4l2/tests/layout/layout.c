/*
 * Says how a C compiler lays out what src/uapi.rs has: compiled to assembly, never run, so that a
 * cross compiler can say it too. Each line of its output that begins with "->" is a name and a number.
 */
#include <stddef.h>
#include <sys/time.h>
#include <linux/dma-heap.h>
#include <linux/videodev2.h>

#define SAY(name, number) __asm__ volatile("\n->" name " %c0\n" : : "i"((int)(number)))
#define SIZE(type) SAY(#type, sizeof(struct type))
#define AT(type, field) SAY(#type "." #field, offsetof(struct type, field))
#define CALL(name) SAY(#name, name)

void layout(void)
{
	SIZE(v4l2_capability);
	AT(v4l2_capability, card);
	AT(v4l2_capability, bus_info);
	AT(v4l2_capability, device_caps);
	SIZE(v4l2_fmtdesc);
	AT(v4l2_fmtdesc, pixelformat);
	SIZE(v4l2_frmsizeenum);
	AT(v4l2_frmsizeenum, discrete);
	SIZE(v4l2_frmivalenum);
	AT(v4l2_frmivalenum, discrete);
	SIZE(v4l2_pix_format);
	AT(v4l2_pix_format, priv);
	AT(v4l2_pix_format, xfer_func);
	SIZE(v4l2_plane_pix_format);
	SIZE(v4l2_pix_format_mplane);
	AT(v4l2_pix_format_mplane, plane_fmt);
	AT(v4l2_pix_format_mplane, num_planes);
	AT(v4l2_pix_format_mplane, xfer_func);
	SIZE(v4l2_format);
	AT(v4l2_format, fmt);
	SIZE(v4l2_captureparm);
	AT(v4l2_captureparm, timeperframe);
	AT(v4l2_outputparm, timeperframe);
	SIZE(v4l2_streamparm);
	AT(v4l2_streamparm, parm);
	SIZE(v4l2_rect);
	SIZE(v4l2_selection);
	AT(v4l2_selection, r);
	SIZE(v4l2_requestbuffers);
	AT(v4l2_requestbuffers, capabilities);
	SIZE(v4l2_plane);
	AT(v4l2_plane, m);
	AT(v4l2_plane, data_offset);
	SIZE(v4l2_buffer);
	AT(v4l2_buffer, timestamp);
	AT(v4l2_buffer, timecode);
	AT(v4l2_buffer, sequence);
	AT(v4l2_buffer, memory);
	AT(v4l2_buffer, m);
	AT(v4l2_buffer, length);
	AT(v4l2_buffer, request_fd);
	SIZE(v4l2_exportbuffer);
	AT(v4l2_exportbuffer, fd);
	SIZE(v4l2_encoder_cmd);
	AT(v4l2_encoder_cmd, raw);
	SIZE(v4l2_event_subscription);
	SIZE(v4l2_event);
	AT(v4l2_event, u);
	AT(v4l2_event, pending);
	AT(v4l2_event, timestamp);
	AT(v4l2_event, id);
	SIZE(v4l2_query_ext_ctrl);
	AT(v4l2_query_ext_ctrl, minimum);
	AT(v4l2_query_ext_ctrl, flags);
	AT(v4l2_query_ext_ctrl, dims);
	SIZE(v4l2_querymenu);
	AT(v4l2_querymenu, name);
	SIZE(v4l2_ext_control);
	AT(v4l2_ext_control, value64);
	SIZE(v4l2_ext_controls);
	AT(v4l2_ext_controls, error_idx);
	AT(v4l2_ext_controls, controls);
	SIZE(dma_heap_allocation_data);
	AT(dma_heap_allocation_data, fd);
	AT(dma_heap_allocation_data, heap_flags);

	CALL(VIDIOC_QUERYCAP);
	CALL(VIDIOC_ENUM_FMT);
	CALL(VIDIOC_G_FMT);
	CALL(VIDIOC_S_FMT);
	CALL(VIDIOC_TRY_FMT);
	CALL(VIDIOC_REQBUFS);
	CALL(VIDIOC_QUERYBUF);
	CALL(VIDIOC_QBUF);
	CALL(VIDIOC_EXPBUF);
	CALL(VIDIOC_DQBUF);
	CALL(VIDIOC_STREAMON);
	CALL(VIDIOC_STREAMOFF);
	CALL(VIDIOC_G_PARM);
	CALL(VIDIOC_S_PARM);
	CALL(VIDIOC_QUERYMENU);
	CALL(VIDIOC_G_EXT_CTRLS);
	CALL(VIDIOC_S_EXT_CTRLS);
	CALL(VIDIOC_ENUM_FRAMESIZES);
	CALL(VIDIOC_ENUM_FRAMEINTERVALS);
	CALL(VIDIOC_ENCODER_CMD);
	CALL(VIDIOC_DQEVENT);
	CALL(VIDIOC_SUBSCRIBE_EVENT);
	CALL(VIDIOC_G_SELECTION);
	CALL(VIDIOC_S_SELECTION);
	CALL(VIDIOC_QUERY_EXT_CTRL);
	CALL(DMA_HEAP_IOCTL_ALLOC);

	CALL(V4L2_CAP_VIDEO_CAPTURE);
	CALL(V4L2_CAP_VIDEO_CAPTURE_MPLANE);
	CALL(V4L2_CAP_VIDEO_M2M);
	CALL(V4L2_CAP_VIDEO_M2M_MPLANE);
	CALL(V4L2_CAP_STREAMING);
	CALL(V4L2_CAP_DEVICE_CAPS);
	CALL(V4L2_BUF_FLAG_KEYFRAME);
	CALL(V4L2_BUF_FLAG_PFRAME);
	CALL(V4L2_BUF_FLAG_BFRAME);
	CALL(V4L2_BUF_FLAG_ERROR);
	CALL(V4L2_BUF_FLAG_LAST);
	CALL(V4L2_BUF_FLAG_TIMESTAMP_MASK);
	CALL(V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC);
	CALL(V4L2_BUF_FLAG_TIMESTAMP_COPY);
	CALL(V4L2_CID_MPEG_VIDEO_B_FRAMES);
	CALL(V4L2_CID_MPEG_VIDEO_GOP_SIZE);
	CALL(V4L2_CID_MPEG_VIDEO_BITRATE_MODE);
	CALL(V4L2_CID_MPEG_VIDEO_BITRATE);
	CALL(V4L2_CID_MPEG_VIDEO_BITRATE_PEAK);
	CALL(V4L2_CID_MPEG_VIDEO_FRAME_RC_ENABLE);
	CALL(V4L2_CID_MPEG_VIDEO_HEADER_MODE);
	CALL(V4L2_CID_MPEG_VIDEO_REPEAT_SEQ_HEADER);
	CALL(V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME);
	CALL(V4L2_CID_MPEG_VIDEO_H264_MIN_QP);
	CALL(V4L2_CID_MPEG_VIDEO_H264_MAX_QP);
	CALL(V4L2_CID_MPEG_VIDEO_H264_I_PERIOD);
	CALL(V4L2_CID_MPEG_VIDEO_H264_LEVEL);
	CALL(V4L2_CID_MPEG_VIDEO_H264_PROFILE);
	CALL(V4L2_CID_MPEG_VIDEO_PREPEND_SPSPPS_TO_IDR);
	CALL(V4L2_PIX_FMT_PRIV_MAGIC);
	CALL(V4L2_CTRL_FLAG_NEXT_CTRL);
	CALL(V4L2_COLORSPACE_SMPTE170M);
	CALL(V4L2_COLORSPACE_SMPTE240M);
	CALL(V4L2_COLORSPACE_REC709);
	CALL(V4L2_COLORSPACE_470_SYSTEM_M);
	CALL(V4L2_COLORSPACE_470_SYSTEM_BG);
	CALL(V4L2_COLORSPACE_JPEG);
	CALL(V4L2_COLORSPACE_SRGB);
	CALL(V4L2_COLORSPACE_OPRGB);
	CALL(V4L2_COLORSPACE_BT2020);
	CALL(V4L2_COLORSPACE_RAW);
	CALL(V4L2_COLORSPACE_DCI_P3);
	CALL(V4L2_XFER_FUNC_709);
	CALL(V4L2_XFER_FUNC_SRGB);
	CALL(V4L2_XFER_FUNC_OPRGB);
	CALL(V4L2_XFER_FUNC_SMPTE240M);
	CALL(V4L2_XFER_FUNC_NONE);
	CALL(V4L2_XFER_FUNC_DCI_P3);
	CALL(V4L2_XFER_FUNC_SMPTE2084);
	CALL(V4L2_YCBCR_ENC_601);
	CALL(V4L2_YCBCR_ENC_709);
	CALL(V4L2_YCBCR_ENC_XV601);
	CALL(V4L2_YCBCR_ENC_XV709);
	CALL(V4L2_YCBCR_ENC_BT2020);
	CALL(V4L2_YCBCR_ENC_BT2020_CONST_LUM);
	CALL(V4L2_YCBCR_ENC_SMPTE240M);
	CALL(V4L2_QUANTIZATION_FULL_RANGE);
	CALL(V4L2_QUANTIZATION_LIM_RANGE);
	CALL(V4L2_CID_MIN_BUFFERS_FOR_CAPTURE);
	CALL(V4L2_CID_MIN_BUFFERS_FOR_OUTPUT);
	CALL(V4L2_CID_EXPOSURE_ABSOLUTE);
	CALL(V4L2_EVENT_CTRL);
	CALL(V4L2_EVENT_CTRL_CH_VALUE);
}
