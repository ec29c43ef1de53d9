// SPDX-License-Identifier: GPL-2.0
/*
 * Formats of both queues. Rows are padded as bcm2835-codec pads them.
 */
#include <linux/math.h>

#include "encoder.h"

#define MAX_SIDE 1920
#define DEFAULT_WIDTH 640
#define DEFAULT_HEIGHT 480

enum layout {
	PLANAR, /* Y, then the two chroma components at half the stride */
	INTERLEAVED, /* Y, then pairs of chroma samples at the same stride */
	PACKED, /* 4:2:2, four bytes for two pixels */
};

struct raw_format {
	u32 fourcc;
	enum layout layout;
	/* Of memory; one means that all follows in it. */
	unsigned int planes;
	/* Bytes that the luma rows are a multiple of. */
	unsigned int align;
	/* PACKED: bytes before the first Y, Cb, Cr. Others: 1 if Cr comes before Cb. */
	u8 y, cb, cr;
	bool cr_first;
};

static const struct raw_format raw_formats[] = {
	{ V4L2_PIX_FMT_YUV420, PLANAR, 1, 64 },
	{ V4L2_PIX_FMT_YVU420, PLANAR, 1, 64, .cr_first = true },
	{ V4L2_PIX_FMT_NV12, INTERLEAVED, 1, 32 },
	{ V4L2_PIX_FMT_NV21, INTERLEAVED, 1, 32, .cr_first = true },
	{ V4L2_PIX_FMT_YUYV, PACKED, 1, 64, .y = 0, .cb = 1, .cr = 3 },
	{ V4L2_PIX_FMT_UYVY, PACKED, 1, 64, .y = 1, .cb = 0, .cr = 2 },
	/* The multi-planar API only. */
	{ V4L2_PIX_FMT_NV12M, INTERLEAVED, 2, 32 },
	{ V4L2_PIX_FMT_YUV420M, PLANAR, 3, 64 },
};

static const struct raw_format *raw_format_at(unsigned int index)
{
	if (index >= ARRAY_SIZE(raw_formats))
		return NULL;
	if (raw_formats[index].planes > 1 && !multiplanar)
		return NULL;
	return &raw_formats[index];
}

static const struct raw_format *find_raw_format(u32 fourcc)
{
	const struct raw_format *format;
	unsigned int i;

	for (i = 0; (format = raw_format_at(i)); i++)
		if (format->fourcc == fourcc)
			return format;
	return NULL;
}

static unsigned int plane_stride(const struct raw_format *format, unsigned int stride,
				 unsigned int plane)
{
	return plane && format->layout == PLANAR ? stride / 2 : stride;
}

static unsigned int plane_size(const struct raw_format *format, unsigned int stride,
			       unsigned int height, unsigned int plane)
{
	if (format->layout == PACKED)
		return stride * height;
	if (format->planes == 1)
		return stride * height * 3 / 2;
	return plane_stride(format, stride, plane) * (plane ? height / 2 : height);
}

unsigned int raw_planes(const struct context *context)
{
	return context->format->planes;
}

unsigned int raw_plane_size(const struct context *context, unsigned int plane)
{
	return plane_size(context->format, context->stride, context->height, plane);
}

struct raw_picture raw_picture(const struct context *context, const u8 *const planes[MAX_PLANES])
{
	const struct raw_format *format = context->format;
	unsigned int stride = context->stride, chroma_stride = plane_stride(format, stride, 1);
	const u8 *cb, *cr;
	struct raw_picture raw = {};

	if (format->layout == PACKED) {
		raw.component[0] = (struct samples){ planes[0] + format->y, stride, 2 };
		raw.component[1] = (struct samples){ planes[0] + format->cb, stride, 4 };
		raw.component[2] = (struct samples){ planes[0] + format->cr, stride, 4 };
		raw.chroma_rows_full = true;
		return raw;
	}
	cb = format->planes > 1 ? planes[1] : planes[0] + stride * context->height;
	if (format->layout == INTERLEAVED)
		cr = cb + 1;
	else if (format->planes > 2)
		cr = planes[2];
	else
		cr = cb + chroma_stride * (context->height / 2);
	if (format->cr_first)
		swap(cb, cr);
	raw.component[0] = (struct samples){ planes[0], stride, 1 };
	raw.component[1] = (struct samples){ cb, chroma_stride, format->layout == PLANAR ? 1 : 2 };
	raw.component[2] = (struct samples){ cr, chroma_stride, format->layout == PLANAR ? 1 : 2 };
	return raw;
}

unsigned int coded_size(const struct context *context)
{
	struct sequence sequence = { .width = context->crop.width, .height = context->crop.height };

	return PAGE_ALIGN(macroblocks(&sequence) * CODED_BYTES_AT_WORST + HEADER_BYTES);
}

void init_formats(struct context *context)
{
	context->format = &raw_formats[0];
	context->width = DEFAULT_WIDTH;
	context->height = ALIGN(DEFAULT_HEIGHT, align_height);
	context->stride = ALIGN(DEFAULT_WIDTH, context->format->align);
	context->crop = (struct v4l2_rect){ 0, 0, DEFAULT_WIDTH, DEFAULT_HEIGHT };
	context->frame_interval = (struct v4l2_fract){ 1, 30 };
	context->colorspace = V4L2_COLORSPACE_REC709;
	context->coded_size = coded_size(context);
}

/* The fields that both kinds of struct v4l2_format have are worked out in the multi-planar one. */
static struct v4l2_pix_format_mplane unpack(const struct v4l2_format *f)
{
	const struct v4l2_pix_format *pix = &f->fmt.pix;

	if (multiplanar)
		return f->fmt.pix_mp;
	return (struct v4l2_pix_format_mplane){
		.width = pix->width,
		.height = pix->height,
		.pixelformat = pix->pixelformat,
		.colorspace = pix->colorspace,
		.ycbcr_enc = pix->ycbcr_enc,
		.quantization = pix->quantization,
		.xfer_func = pix->xfer_func,
		.plane_fmt[0] = { .sizeimage = pix->sizeimage, .bytesperline = pix->bytesperline },
	};
}

static void pack(struct v4l2_format *f, const struct v4l2_pix_format_mplane *mp)
{
	struct v4l2_pix_format *pix = &f->fmt.pix;

	if (multiplanar) {
		f->fmt.pix_mp = *mp;
		return;
	}
	pix->width = mp->width;
	pix->height = mp->height;
	pix->pixelformat = mp->pixelformat;
	pix->field = mp->field;
	pix->colorspace = mp->colorspace;
	pix->ycbcr_enc = mp->ycbcr_enc;
	pix->quantization = mp->quantization;
	pix->xfer_func = mp->xfer_func;
	pix->bytesperline = mp->plane_fmt[0].bytesperline;
	pix->sizeimage = mp->plane_fmt[0].sizeimage;
}

static void fill_planes(struct v4l2_pix_format_mplane *mp, const struct raw_format *format,
			unsigned int stride)
{
	unsigned int i;

	memset(mp->plane_fmt, 0, sizeof(mp->plane_fmt));
	mp->num_planes = format->planes;
	for (i = 0; i < format->planes; i++) {
		mp->plane_fmt[i].bytesperline = plane_stride(format, stride, i);
		mp->plane_fmt[i].sizeimage = plane_size(format, stride, mp->height, i);
	}
}

static void fill_colors(struct v4l2_pix_format_mplane *mp, const struct context *context)
{
	mp->colorspace = context->colorspace;
	mp->xfer_func = context->xfer_func;
	mp->ycbcr_enc = context->ycbcr_enc;
	mp->quantization = context->quantization;
}

static const struct raw_format *adjust_raw(const struct context *context,
					   struct v4l2_pix_format_mplane *mp)
{
	const struct raw_format *format = find_raw_format(mp->pixelformat) ?: &raw_formats[0];
	unsigned int stride = min(mp->plane_fmt[0].bytesperline, 4U * MAX_SIDE);

	mp->pixelformat = format->fourcc;
	mp->width = round_down(clamp(mp->width, MIN_SIDE, MAX_SIDE), 2);
	mp->height = ALIGN(clamp(mp->height, MIN_SIDE, MAX_SIDE), align_height);
	mp->field = V4L2_FIELD_NONE;
	mp->flags = 0;
	memset(mp->reserved, 0, sizeof(mp->reserved));
	stride = max(stride, format->layout == PACKED ? 2 * mp->width : mp->width);
	fill_planes(mp, format, ALIGN(stride, format->align));
	if (mp->colorspace == V4L2_COLORSPACE_DEFAULT)
		fill_colors(mp, context);
	return format;
}

static void adjust_coded(const struct context *context, struct v4l2_pix_format_mplane *mp)
{
	unsigned int size = min(mp->plane_fmt[0].sizeimage, 64U << 20);

	mp->pixelformat = V4L2_PIX_FMT_H264;
	mp->width = context->crop.width;
	mp->height = context->crop.height;
	mp->field = V4L2_FIELD_NONE;
	mp->flags = 0;
	mp->num_planes = 1;
	memset(mp->reserved, 0, sizeof(mp->reserved));
	memset(mp->plane_fmt, 0, sizeof(mp->plane_fmt));
	mp->plane_fmt[0].sizeimage = max(size, coded_size(context));
	fill_colors(mp, context);
}

/* The other planarity has the same functions, and is refused here. */
static bool is_ours(struct file *file, u32 type)
{
	return v4l2_m2m_get_vq(context_of(file)->fh.m2m_ctx, type)->type == type;
}

int enum_raw(struct file *file, void *priv, struct v4l2_fmtdesc *f)
{
	const struct raw_format *format = raw_format_at(f->index);

	if (!format)
		return -EINVAL;
	f->pixelformat = format->fourcc;
	return 0;
}

int enum_coded(struct file *file, void *priv, struct v4l2_fmtdesc *f)
{
	if (f->index)
		return -EINVAL;
	f->pixelformat = V4L2_PIX_FMT_H264;
	return 0;
}

int get_raw(struct file *file, void *priv, struct v4l2_format *f)
{
	const struct context *context = context_of(file);
	struct v4l2_pix_format_mplane mp = {
		.pixelformat = context->format->fourcc,
		.width = context->width,
		.height = context->height,
		.field = V4L2_FIELD_NONE,
	};

	if (!is_ours(file, f->type))
		return -EINVAL;
	fill_planes(&mp, context->format, context->stride);
	fill_colors(&mp, context);
	pack(f, &mp);
	return 0;
}

int try_raw(struct file *file, void *priv, struct v4l2_format *f)
{
	struct v4l2_pix_format_mplane mp = unpack(f);

	if (!is_ours(file, f->type))
		return -EINVAL;
	adjust_raw(context_of(file), &mp);
	pack(f, &mp);
	return 0;
}

/* The crop becomes all of it, without the rows that alignment added; so does the coded picture. */
int set_raw(struct file *file, void *priv, struct v4l2_format *f)
{
	struct context *context = context_of(file);
	struct v4l2_pix_format_mplane mp = unpack(f);
	unsigned int rows = clamp(mp.height, MIN_SIDE, MAX_SIDE);
	const struct raw_format *format;

	if (!is_ours(file, f->type))
		return -EINVAL;
	if (vb2_is_busy(v4l2_m2m_get_vq(context->fh.m2m_ctx, f->type)))
		return -EBUSY;
	format = adjust_raw(context, &mp);
	context->format = format;
	context->width = mp.width;
	context->height = mp.height;
	context->stride = mp.plane_fmt[0].bytesperline;
	context->crop = (struct v4l2_rect){ 0, 0, mp.width, round_down(rows, 2) };
	context->colorspace = mp.colorspace;
	context->xfer_func = mp.xfer_func;
	context->ycbcr_enc = mp.ycbcr_enc;
	context->quantization = mp.quantization;
	if (!vb2_is_busy(v4l2_m2m_get_dst_vq(context->fh.m2m_ctx)))
		context->coded_size = coded_size(context);
	pack(f, &mp);
	return 0;
}

int get_coded(struct file *file, void *priv, struct v4l2_format *f)
{
	const struct context *context = context_of(file);
	struct v4l2_pix_format_mplane mp = {};

	if (!is_ours(file, f->type))
		return -EINVAL;
	adjust_coded(context, &mp);
	mp.plane_fmt[0].sizeimage = context->coded_size;
	pack(f, &mp);
	return 0;
}

int try_coded(struct file *file, void *priv, struct v4l2_format *f)
{
	struct v4l2_pix_format_mplane mp = unpack(f);

	if (!is_ours(file, f->type))
		return -EINVAL;
	adjust_coded(context_of(file), &mp);
	pack(f, &mp);
	return 0;
}

int set_coded(struct file *file, void *priv, struct v4l2_format *f)
{
	struct context *context = context_of(file);
	struct v4l2_pix_format_mplane mp = unpack(f);

	if (!is_ours(file, f->type))
		return -EINVAL;
	if (vb2_is_busy(v4l2_m2m_get_vq(context->fh.m2m_ctx, f->type)))
		return -EBUSY;
	adjust_coded(context, &mp);
	context->coded_size = mp.plane_fmt[0].sizeimage;
	pack(f, &mp);
	return 0;
}

int enum_sizes(struct file *file, void *priv, struct v4l2_frmsizeenum *sizes)
{
	if (sizes->index)
		return -EINVAL;
	if (sizes->pixel_format != V4L2_PIX_FMT_H264 && !find_raw_format(sizes->pixel_format))
		return -EINVAL;
	sizes->type = V4L2_FRMSIZE_TYPE_STEPWISE;
	sizes->stepwise = (struct v4l2_frmsize_stepwise){
		MIN_SIDE, MAX_SIDE, 2, MIN_SIDE, MAX_SIDE, 2,
	};
	return 0;
}
