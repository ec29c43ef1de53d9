// SPDX-License-Identifier: GPL-2.0
/*
 * What the device node answers, but for formats: crop, frame interval, commands, events.
 */
#include <media/v4l2-event.h>

#include "encoder.h"

static int get_selection(struct file *file, void *priv, struct v4l2_selection *selection)
{
	const struct context *context = context_of(file);

	if (selection->type != V4L2_BUF_TYPE_VIDEO_OUTPUT)
		return -EINVAL;
	switch (selection->target) {
	case V4L2_SEL_TGT_CROP:
		selection->r = context->crop;
		return 0;
	case V4L2_SEL_TGT_CROP_DEFAULT:
	case V4L2_SEL_TGT_CROP_BOUNDS:
		selection->r = (struct v4l2_rect){ 0, 0, context->width, context->height };
		return 0;
	default:
		return -EINVAL;
	}
}

/* As bcm2835-codec: only the size counts, the corner stays. */
static int set_selection(struct file *file, void *priv, struct v4l2_selection *selection)
{
	struct context *context = context_of(file);
	struct v4l2_rect *r = &selection->r;

	if (selection->type != V4L2_BUF_TYPE_VIDEO_OUTPUT ||
	    selection->target != V4L2_SEL_TGT_CROP)
		return -EINVAL;
	if (vb2_is_busy(v4l2_m2m_get_dst_vq(context->fh.m2m_ctx)))
		return -EBUSY;
	r->left = 0;
	r->top = 0;
	r->width = round_down(clamp(r->width, MIN_SIDE, context->width), 2);
	r->height = round_down(clamp(r->height, MIN_SIDE, context->height), 2);
	context->crop = *r;
	context->coded_size = coded_size(context);
	return 0;
}

static int get_parm(struct file *file, void *priv, struct v4l2_streamparm *parm)
{
	const struct context *context = context_of(file);

	if (!V4L2_TYPE_IS_OUTPUT(parm->type))
		return -EINVAL;
	parm->parm.output.capability = V4L2_CAP_TIMEPERFRAME;
	parm->parm.output.timeperframe = context->frame_interval;
	return 0;
}

static int set_parm(struct file *file, void *priv, struct v4l2_streamparm *parm)
{
	struct context *context = context_of(file);
	struct v4l2_fract interval = parm->parm.output.timeperframe;

	if (!V4L2_TYPE_IS_OUTPUT(parm->type))
		return -EINVAL;
	if (interval.numerator && interval.denominator)
		context->frame_interval = interval;
	return get_parm(file, priv, parm);
}

static int query_capability(struct file *file, void *priv, struct v4l2_capability *capability)
{
	strscpy(capability->driver, DRIVER_NAME, sizeof(capability->driver));
	strscpy(capability->card, "H.264 test encoder", sizeof(capability->card));
	strscpy(capability->bus_info, "platform:" DRIVER_NAME, sizeof(capability->bus_info));
	return 0;
}

static int subscribe(struct v4l2_fh *fh, const struct v4l2_event_subscription *subscription)
{
	if (subscription->type == V4L2_EVENT_EOS)
		return v4l2_event_subscribe(fh, subscription, 0, NULL);
	return v4l2_ctrl_subscribe_event(fh, subscription);
}

static int command(struct file *file, void *priv, struct v4l2_encoder_cmd *cmd)
{
	struct context *context = context_of(file);
	struct v4l2_m2m_ctx *m2m = context->fh.m2m_ctx;
	bool had_stopped;
	int err;

	err = v4l2_m2m_ioctl_try_encoder_cmd(file, priv, cmd);
	if (err)
		return err;
	/* "No-op" before that, says the specification of stateful encoders. */
	if (!vb2_is_streaming(v4l2_m2m_get_src_vq(m2m)))
		return 0;
	mutex_lock(&context->drain_lock);
	had_stopped = v4l2_m2m_has_stopped(m2m);
	err = v4l2_m2m_ioctl_encoder_cmd(file, priv, cmd);
	mutex_unlock(&context->drain_lock);
	if (err)
		return err;
	if (cmd->cmd == V4L2_ENC_CMD_STOP && v4l2_m2m_has_stopped(m2m) && !had_stopped)
		v4l2_event_queue_fh(&context->fh, &end_of_stream);
	if (cmd->cmd == V4L2_ENC_CMD_START) {
		vb2_clear_last_buffer_dequeued(v4l2_m2m_get_dst_vq(m2m));
		v4l2_m2m_try_schedule(m2m);
	}
	return 0;
}

static int queue_buffer(struct file *file, void *priv, struct v4l2_buffer *buffer)
{
	struct context *context = context_of(file);
	unsigned int every = READ_ONCE(qbuf_fail_every);

	if (every && ++context->qbufs % every == 0) {
		atomic_inc(&faults);
		return -(int)clamp(READ_ONCE(qbuf_errno), 1U, 133U);
	}
	return v4l2_m2m_ioctl_qbuf(file, priv, buffer);
}

const struct v4l2_ioctl_ops encoder_ioctls = {
	.vidioc_querycap = query_capability,
	.vidioc_enum_fmt_vid_out = enum_raw,
	.vidioc_enum_fmt_vid_cap = enum_coded,
	.vidioc_g_fmt_vid_out = get_raw,
	.vidioc_try_fmt_vid_out = try_raw,
	.vidioc_s_fmt_vid_out = set_raw,
	.vidioc_g_fmt_vid_cap = get_coded,
	.vidioc_try_fmt_vid_cap = try_coded,
	.vidioc_s_fmt_vid_cap = set_coded,
	.vidioc_g_fmt_vid_out_mplane = get_raw,
	.vidioc_try_fmt_vid_out_mplane = try_raw,
	.vidioc_s_fmt_vid_out_mplane = set_raw,
	.vidioc_g_fmt_vid_cap_mplane = get_coded,
	.vidioc_try_fmt_vid_cap_mplane = try_coded,
	.vidioc_s_fmt_vid_cap_mplane = set_coded,
	.vidioc_enum_framesizes = enum_sizes,
	.vidioc_g_selection = get_selection,
	.vidioc_s_selection = set_selection,
	.vidioc_g_parm = get_parm,
	.vidioc_s_parm = set_parm,
	.vidioc_reqbufs = v4l2_m2m_ioctl_reqbufs,
	.vidioc_create_bufs = v4l2_m2m_ioctl_create_bufs,
	.vidioc_prepare_buf = v4l2_m2m_ioctl_prepare_buf,
	.vidioc_querybuf = v4l2_m2m_ioctl_querybuf,
	.vidioc_expbuf = v4l2_m2m_ioctl_expbuf,
	.vidioc_qbuf = queue_buffer,
	.vidioc_dqbuf = v4l2_m2m_ioctl_dqbuf,
	.vidioc_streamon = v4l2_m2m_ioctl_streamon,
	.vidioc_streamoff = v4l2_m2m_ioctl_streamoff,
	.vidioc_try_encoder_cmd = v4l2_m2m_ioctl_try_encoder_cmd,
	.vidioc_encoder_cmd = command,
	.vidioc_subscribe_event = subscribe,
	.vidioc_unsubscribe_event = v4l2_event_unsubscribe,
};
