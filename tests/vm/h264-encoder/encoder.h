/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of the test encoder share: the device, an open file of it, and how it is told to
 * misbehave.
 *
 *   device.c     module, device node, open and close
 *   ioctls.c     crop, frame interval, commands, events
 *   formats.c    formats and sizes
 *   controls.c   controls
 *   streaming.c  buffers and the encoding itself     ──▶ picture.c ──▶ bits.c
 */
#ifndef ENCODER_H
#define ENCODER_H

#include <linux/atomic.h>
#include <linux/mutex.h>
#include <linux/workqueue.h>
#include <media/media-device.h>
#include <media/v4l2-ctrls.h>
#include <media/v4l2-device.h>
#include <media/v4l2-ioctl.h>
#include <media/v4l2-mem2mem.h>
#include <media/videobuf2-v4l2.h>

#include "picture.h"

#define DRIVER_NAME "h264-test-enc"
#define MAX_PLANES 3

/* Module parameters, see the README. These are set when the module is loaded: */
extern bool multiplanar;
extern bool contiguous;
extern bool gop_size;
extern unsigned int align_height;
/* These at any time: */
extern unsigned int poc_type;
extern bool restriction;
extern bool timing;
extern unsigned int encode_us;
extern unsigned int stall_after;
extern bool stall_low_level;
extern unsigned int drop_every;
extern unsigned int error_every;
extern unsigned int keyframe_flags;
extern unsigned int withhold_headers;
extern unsigned int qbuf_fail_every;
extern unsigned int qbuf_errno;
/* How often any of these has struck; to be read. */
extern atomic_t faults;

enum keyframe_flags { KEYFRAME_RIGHT, KEYFRAME_NEVER, KEYFRAME_ALWAYS, KEYFRAME_SWAPPED };
enum withhold_headers { HEADERS_AS_TOLD, HEADERS_PER_START, HEADERS_ONCE };

struct raw_format;

struct encoder {
	struct v4l2_device v4l2_dev;
	struct media_device media_dev;
	struct video_device video_dev;
	struct v4l2_m2m_dev *m2m_dev;
	struct device *dev;
	/* Of the device node and of all queues. */
	struct mutex lock;
	/* There is one encoding unit, whoever uses it. */
	struct workqueue_struct *unit;
};

/* An open file. */
struct context {
	struct v4l2_fh fh;
	struct encoder *encoder;
	struct work_struct work;
	/* No STOP between seeing that a buffer is not the last and giving it back. */
	struct mutex drain_lock;

	/* The raw side. */
	const struct raw_format *format;
	unsigned int width;
	unsigned int height;
	unsigned int stride;
	struct v4l2_rect crop;
	struct v4l2_fract frame_interval;
	u32 colorspace;
	u32 xfer_func;
	u32 ycbcr_enc;
	u32 quantization;

	/* The coded side: its buffers' bytes. */
	unsigned int coded_size;

	struct v4l2_ctrl_handler controls;
	struct v4l2_ctrl *bitrate_mode;
	struct v4l2_ctrl *bitrate;
	struct v4l2_ctrl *period;
	struct v4l2_ctrl *repeat_headers;
	struct v4l2_ctrl *header_mode;
	struct v4l2_ctrl *profile;
	struct v4l2_ctrl *level;
	atomic_t force_key;

	/* Since STREAMON of the respective queue. */
	struct position position;
	unsigned int frames_in;
	unsigned int frames_out;
	/* Coded buffers. */
	unsigned int sequence;
	bool wrote_headers;
	/* Bytes by which IDR pictures exceeded their share. */
	s64 debt;

	/* Since open. */
	bool wrote_headers_ever;
	unsigned int qbufs;
	unsigned int buffers_out;
};

static inline struct context *context_of(struct file *file)
{
	return container_of(file->private_data, struct context, fh);
}

/* ioctls.c */
extern const struct v4l2_ioctl_ops encoder_ioctls;

/* formats.c */
#define MIN_SIDE 32
void init_formats(struct context *context);
int enum_raw(struct file *file, void *priv, struct v4l2_fmtdesc *f);
int get_raw(struct file *file, void *priv, struct v4l2_format *f);
int try_raw(struct file *file, void *priv, struct v4l2_format *f);
int set_raw(struct file *file, void *priv, struct v4l2_format *f);
int enum_coded(struct file *file, void *priv, struct v4l2_fmtdesc *f);
int get_coded(struct file *file, void *priv, struct v4l2_format *f);
int try_coded(struct file *file, void *priv, struct v4l2_format *f);
int set_coded(struct file *file, void *priv, struct v4l2_format *f);
int enum_sizes(struct file *file, void *priv, struct v4l2_frmsizeenum *sizes);
/* Of an IDR picture whose samples all have to be escaped. */
unsigned int coded_size(const struct context *context);
unsigned int raw_planes(const struct context *context);
unsigned int raw_plane_size(const struct context *context, unsigned int plane);
/* @planes: where the memory of each plane begins */
struct raw_picture raw_picture(const struct context *context, const u8 *const planes[MAX_PLANES]);

/* controls.c */
int init_controls(struct context *context);
struct sequence sequence_of(const struct context *context);
/* Whether the hardware that this stands for could keep up at the level that is set. */
bool level_suffices(const struct context *context);

/* streaming.c */
extern const struct v4l2_m2m_ops encoder_m2m_ops;
extern const struct v4l2_event end_of_stream;
int init_queues(void *priv, struct vb2_queue *source, struct vb2_queue *destination);
void encode_work(struct work_struct *work);

#endif
