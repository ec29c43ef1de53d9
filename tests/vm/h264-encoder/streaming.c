// SPDX-License-Identifier: GPL-2.0
/*
 * Buffers, and the encoding of one after the other: what comes out for what goes in, which headers
 * and flags it has, and where that is spoilt on request.
 */
#include <linux/delay.h>
#include <media/v4l2-event.h>
#include <media/videobuf2-dma-contig.h>
#include <media/videobuf2-vmalloc.h>

#include "encoder.h"

const struct v4l2_event end_of_stream = { .type = V4L2_EVENT_EOS };

static bool nth(unsigned int count, unsigned int every)
{
	return every && count % every == 0;
}

/* Called with a spinlock held. */
static int job_ready(void *priv)
{
	struct context *context = priv;
	unsigned int limit = READ_ONCE(stall_after);

	if (limit && context->frames_out >= limit)
		goto stalled;
	if (stall_low_level && context->frames_out && !level_suffices(context))
		goto stalled;
	return 1;
stalled:
	atomic_inc(&faults);
	return 0;
}

static void device_run(void *priv)
{
	struct context *context = priv;

	queue_work(context->encoder->unit, &context->work);
}

const struct v4l2_m2m_ops encoder_m2m_ops = {
	.device_run = device_run,
	.job_ready = job_ready,
};

static bool headers_wanted(const struct context *context, bool key)
{
	return !context->wrote_headers || (key && context->repeat_headers->cur.val);
}

static bool headers_due(const struct context *context, bool key)
{
	switch (withhold_headers) {
	case HEADERS_ONCE:
		return !context->wrote_headers_ever;
	case HEADERS_PER_START:
		return !context->wrote_headers;
	default:
		return headers_wanted(context, key);
	}
}

/* Bytes that a picture may have at the bitrate that is set. */
static u64 share(const struct context *context)
{
	u64 bytes = (u64)(context->bitrate->cur.val / 8) * context->frame_interval.numerator;

	return div_u64(bytes, context->frame_interval.denominator);
}

/* How many macroblocks a P picture has coded: at least one, or nothing would ever move. */
static unsigned int run_length(struct context *context)
{
	s64 bytes = share(context);

	if (context->bitrate_mode->cur.val == V4L2_MPEG_VIDEO_BITRATE_MODE_CBR) {
		s64 repaid = min(bytes, context->debt);

		context->debt -= repaid;
		bytes -= repaid;
	}
	return max_t(u64, div_u64(bytes, CODED_BYTES), 1);
}

static bool key_due(struct context *context)
{
	unsigned int period = context->period->cur.val;
	bool forced = atomic_xchg(&context->force_key, 0);

	return forced || !context->frames_out || (period && context->position.since_idr >= period);
}

static void set_flags(struct vb2_v4l2_buffer *buffer, bool key)
{
	bool is_key = key;

	switch (keyframe_flags) {
	case KEYFRAME_NEVER:
		key = false;
		break;
	case KEYFRAME_ALWAYS:
		key = true;
		break;
	case KEYFRAME_SWAPPED:
		key = !key;
		break;
	}
	if (key != is_key)
		atomic_inc(&faults);
	buffer->flags &= ~(V4L2_BUF_FLAG_KEYFRAME | V4L2_BUF_FLAG_PFRAME | V4L2_BUF_FLAG_BFRAME);
	buffer->flags |= key ? V4L2_BUF_FLAG_KEYFRAME : V4L2_BUF_FLAG_PFRAME;
}

/* Encodes one picture; the state in which the coded buffer comes out. */
static enum vb2_buffer_state encode(struct context *context, struct vb2_v4l2_buffer *source,
				    struct vb2_v4l2_buffer *destination)
{
	struct vb2_buffer *coded = &destination->vb2_buf;
	struct sequence sequence = sequence_of(context);
	const u8 *planes[MAX_PLANES] = {};
	struct raw_picture raw;
	struct bits bits;
	bool key = key_due(context);
	unsigned int i;

	bits_init(&bits, vb2_plane_vaddr(coded, 0), vb2_plane_size(coded, 0));
	for (i = 0; i < raw_planes(context); i++) {
		planes[i] = vb2_plane_vaddr(&source->vb2_buf, i);
		if (!planes[i])
			bits.overflowed = true;
		else
			planes[i] += source->vb2_buf.planes[i].data_offset;
	}
	if (!bits.at)
		bits.overflowed = true;
	if (!bits.overflowed) {
		raw = raw_picture(context, planes);
		if (headers_due(context, key))
			write_parameter_sets(&bits, &sequence);
		else if (headers_wanted(context, key))
			atomic_inc(&faults);
		if (key)
			write_idr(&bits, &sequence, &context->position, &raw);
		else
			write_p(&bits, &sequence, &context->position, &raw, run_length(context));
	}
	context->frames_out++;
	if (bits.overflowed) {
		/* What follows must not refer to what never came out. */
		atomic_set(&context->force_key, 1);
		vb2_set_plane_payload(coded, 0, 0);
		return VB2_BUF_STATE_ERROR;
	}
	context->wrote_headers = true;
	context->wrote_headers_ever = true;
	if (key)
		context->debt += max_t(s64, (s64)bits_length(&bits) - share(context), 0);
	set_flags(destination, key);
	if (nth(++context->buffers_out, error_every)) {
		atomic_inc(&faults);
		vb2_set_plane_payload(coded, 0, bits_length(&bits) / 2);
		return VB2_BUF_STATE_ERROR;
	}
	vb2_set_plane_payload(coded, 0, bits_length(&bits));
	return VB2_BUF_STATE_DONE;
}

/* HEADER_MODE_SEPARATE: a buffer of their own, ahead of the picture. */
static bool write_separate_headers(struct context *context, struct vb2_v4l2_buffer *destination)
{
	struct sequence sequence = sequence_of(context);
	struct vb2_buffer *coded = &destination->vb2_buf;
	struct bits bits;

	if (context->header_mode->cur.val != V4L2_MPEG_VIDEO_HEADER_MODE_SEPARATE ||
	    context->frames_out || !headers_due(context, true) || context->wrote_headers)
		return false;
	bits_init(&bits, vb2_plane_vaddr(coded, 0), vb2_plane_size(coded, 0));
	if (!bits.at)
		return false;
	write_parameter_sets(&bits, &sequence);
	if (bits.overflowed)
		return false;
	context->wrote_headers = true;
	context->wrote_headers_ever = true;
	vb2_set_plane_payload(coded, 0, bits_length(&bits));
	return true;
}

void encode_work(struct work_struct *work)
{
	struct context *context = container_of(work, struct context, work);
	struct v4l2_m2m_ctx *m2m = context->fh.m2m_ctx;
	struct vb2_v4l2_buffer *source = v4l2_m2m_next_src_buf(m2m);
	struct vb2_v4l2_buffer *destination = v4l2_m2m_next_dst_buf(m2m);
	unsigned int least_us = min(READ_ONCE(encode_us), 1000000U);
	enum vb2_buffer_state state;
	bool last, dropped;

	if (WARN_ON(!source || !destination))
		goto finished;
	if (least_us)
		fsleep(least_us);
	if (write_separate_headers(context, destination)) {
		v4l2_m2m_dst_buf_remove(m2m);
		v4l2_m2m_buf_copy_metadata(source, destination, false);
		destination->sequence = context->sequence++;
		destination->flags &= ~(V4L2_BUF_FLAG_KEYFRAME | V4L2_BUF_FLAG_PFRAME);
		v4l2_m2m_buf_done(destination, VB2_BUF_STATE_DONE);
		goto finished;
	}
	dropped = nth(++context->frames_in, READ_ONCE(drop_every));
	if (dropped) {
		atomic_inc(&faults);
		vb2_set_plane_payload(&destination->vb2_buf, 0, 0);
		state = VB2_BUF_STATE_DONE;
	} else {
		state = encode(context, source, destination);
	}

	mutex_lock(&context->drain_lock);
	last = v4l2_m2m_is_last_draining_src_buf(m2m, source);
	v4l2_m2m_src_buf_remove(m2m);
	/* The end of the stream comes out, be it with nothing in it. */
	if (!dropped || last) {
		v4l2_m2m_dst_buf_remove(m2m);
		v4l2_m2m_buf_copy_metadata(source, destination, false);
		destination->sequence = context->sequence++;
		destination->flags &= ~V4L2_BUF_FLAG_LAST;
		if (last) {
			destination->flags |= V4L2_BUF_FLAG_LAST;
			v4l2_m2m_mark_stopped(m2m);
			/* Who sees the buffer may ask for the event at once. */
			v4l2_event_queue_fh(&context->fh, &end_of_stream);
		}
		v4l2_m2m_buf_done(destination, state);
	}
	source->sequence = context->frames_in - 1;
	v4l2_m2m_buf_done(source, VB2_BUF_STATE_DONE);
	mutex_unlock(&context->drain_lock);
finished:
	v4l2_m2m_job_finish(context->encoder->m2m_dev, m2m);
}

static int queue_setup(struct vb2_queue *queue, unsigned int *buffers, unsigned int *planes,
		       unsigned int sizes[], struct device *devices[])
{
	struct context *context = vb2_get_drv_priv(queue);
	bool raw = V4L2_TYPE_IS_OUTPUT(queue->type);
	unsigned int i, needed, n = raw ? raw_planes(context) : 1;

	if (*planes && *planes != n)
		return -EINVAL;
	for (i = 0; i < n; i++) {
		needed = raw ? raw_plane_size(context, i) : context->coded_size;
		if (!*planes)
			sizes[i] = needed;
		else if (sizes[i] < needed)
			return -EINVAL;
	}
	*planes = n;
	return 0;
}

static int buf_out_validate(struct vb2_buffer *buffer)
{
	to_vb2_v4l2_buffer(buffer)->field = V4L2_FIELD_NONE;
	return 0;
}

static int buf_prepare(struct vb2_buffer *buffer)
{
	struct context *context = vb2_get_drv_priv(buffer->vb2_queue);
	unsigned int i;

	if (!V4L2_TYPE_IS_OUTPUT(buffer->vb2_queue->type))
		return 0;
	for (i = 0; i < raw_planes(context); i++) {
		u64 end = (u64)raw_plane_size(context, i) + buffer->planes[i].data_offset;

		if (vb2_plane_size(buffer, i) < end)
			return -EINVAL;
	}
	return 0;
}

static void buf_queue(struct vb2_buffer *buffer)
{
	struct context *context = vb2_get_drv_priv(buffer->vb2_queue);
	struct v4l2_m2m_ctx *m2m = context->fh.m2m_ctx;
	struct vb2_v4l2_buffer *v4l2_buffer = to_vb2_v4l2_buffer(buffer);

	/* STOP had no input to wait for, and no buffer to say so in. */
	if (V4L2_TYPE_IS_CAPTURE(buffer->vb2_queue->type) &&
	    vb2_is_streaming(buffer->vb2_queue) && v4l2_m2m_dst_buf_is_last(m2m)) {
		vb2_set_plane_payload(buffer, 0, 0);
		v4l2_buffer->field = V4L2_FIELD_NONE;
		v4l2_buffer->sequence = context->sequence++;
		v4l2_event_queue_fh(&context->fh, &end_of_stream);
		v4l2_m2m_last_buffer_done(m2m, v4l2_buffer);
		return;
	}
	v4l2_m2m_buf_queue(m2m, v4l2_buffer);
}

static int start_streaming(struct vb2_queue *queue, unsigned int count)
{
	struct context *context = vb2_get_drv_priv(queue);

	v4l2_m2m_update_start_streaming_state(context->fh.m2m_ctx, queue);
	if (V4L2_TYPE_IS_OUTPUT(queue->type)) {
		context->frames_in = 0;
	} else {
		context->frames_out = 0;
		context->sequence = 0;
		context->wrote_headers = false;
		context->debt = 0;
		context->position.since_idr = 0;
	}
	return 0;
}

static void stop_streaming(struct vb2_queue *queue)
{
	struct context *context = vb2_get_drv_priv(queue);
	struct v4l2_m2m_ctx *m2m = context->fh.m2m_ctx;
	bool raw = V4L2_TYPE_IS_OUTPUT(queue->type);
	struct vb2_v4l2_buffer *buffer;

	while ((buffer = raw ? v4l2_m2m_src_buf_remove(m2m) : v4l2_m2m_dst_buf_remove(m2m)))
		v4l2_m2m_buf_done(buffer, VB2_BUF_STATE_ERROR);
	v4l2_m2m_update_stop_streaming_state(m2m, queue);
	if (raw && v4l2_m2m_has_stopped(m2m))
		v4l2_event_queue_fh(&context->fh, &end_of_stream);
}

static const struct vb2_ops queue_ops = {
	.queue_setup = queue_setup,
	.buf_out_validate = buf_out_validate,
	.buf_prepare = buf_prepare,
	.buf_queue = buf_queue,
	.start_streaming = start_streaming,
	.stop_streaming = stop_streaming,
	.wait_prepare = vb2_ops_wait_prepare,
	.wait_finish = vb2_ops_wait_finish,
};

static int init_queue(struct context *context, struct vb2_queue *queue, u32 type)
{
	queue->type = type;
	queue->io_modes = VB2_MMAP | VB2_DMABUF;
	queue->drv_priv = context;
	queue->buf_struct_size = sizeof(struct v4l2_m2m_buffer);
	queue->ops = &queue_ops;
	queue->mem_ops = contiguous ? &vb2_dma_contig_memops : &vb2_vmalloc_memops;
	queue->dev = context->encoder->dev;
	queue->timestamp_flags = V4L2_BUF_FLAG_TIMESTAMP_COPY;
	queue->lock = &context->encoder->lock;
	return vb2_queue_init(queue);
}

int init_queues(void *priv, struct vb2_queue *source, struct vb2_queue *destination)
{
	int err;

	err = init_queue(priv, source, multiplanar ? V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE :
						     V4L2_BUF_TYPE_VIDEO_OUTPUT);
	if (err)
		return err;
	return init_queue(priv, destination, multiplanar ? V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE :
							   V4L2_BUF_TYPE_VIDEO_CAPTURE);
}
