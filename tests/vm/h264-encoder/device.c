// SPDX-License-Identifier: GPL-2.0
/*
 * A stateful V4L2 memory-to-memory H.264 encoder without hardware, for tests: bcm2835-codec's
 * controls and habits, and misbehaviour on request. The README says what each parameter does.
 */
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <media/v4l2-event.h>

#include "encoder.h"

bool multiplanar = true;
module_param(multiplanar, bool, 0444);
MODULE_PARM_DESC(multiplanar, "multi-planar API, as bcm2835-codec; else single-planar");

bool contiguous;
module_param(contiguous, bool, 0444);
MODULE_PARM_DESC(contiguous, "buffers must be contiguous memory, so that few can be imported");

bool gop_size;
module_param(gop_size, bool, 0444);
MODULE_PARM_DESC(gop_size, "the control GOP_SIZE instead of H264_I_PERIOD");

unsigned int align_height = 2;
module_param(align_height, uint, 0444);
MODULE_PARM_DESC(align_height, "raw pictures have a multiple of this many rows: 2, 4, 8, 16 or 32");

unsigned int poc_type = 2;
module_param(poc_type, uint, 0644);
MODULE_PARM_DESC(poc_type, "pic_order_cnt_type: 2, or 0, which lets decoders expect reordering");

bool restriction;
module_param(restriction, bool, 0644);
MODULE_PARM_DESC(restriction, "the SPS has bitstream_restriction, which says nothing is reordered");

bool timing;
module_param(timing, bool, 0644);
MODULE_PARM_DESC(timing, "the SPS has the frame rate");

unsigned int encode_us;
module_param(encode_us, uint, 0644);
MODULE_PARM_DESC(encode_us, "microseconds that each picture takes at least, up to a second");

unsigned int stall_after;
module_param(stall_after, uint, 0644);
MODULE_PARM_DESC(stall_after, "encode nothing more after so many pictures since STREAMON");

bool stall_low_level;
module_param(stall_low_level, bool, 0644);
MODULE_PARM_DESC(stall_low_level, "stall after one picture if the level is too low for the rate");

unsigned int drop_every;
module_param(drop_every, uint, 0644);
MODULE_PARM_DESC(drop_every, "give every Nth input back without any output");

unsigned int error_every;
module_param(error_every, uint, 0644);
MODULE_PARM_DESC(error_every, "flag every Nth coded buffer ERROR, with half of its bytes");

unsigned int keyframe_flags;
module_param(keyframe_flags, uint, 0644);
MODULE_PARM_DESC(keyframe_flags, "KEYFRAME: 0 right, 1 never, 2 always, 3 swapped with PFRAME");

unsigned int withhold_headers;
module_param(withhold_headers, uint, 0644);
MODULE_PARM_DESC(withhold_headers, "SPS/PPS: 0 as told, 1 once per STREAMON, 2 once per open");

unsigned int qbuf_fail_every;
module_param(qbuf_fail_every, uint, 0644);
MODULE_PARM_DESC(qbuf_fail_every, "every Nth QBUF, of both queues, fails");

unsigned int qbuf_errno = EIO;
module_param(qbuf_errno, uint, 0644);
MODULE_PARM_DESC(qbuf_errno, "with this error");

atomic_t faults;
module_param_named(faults, faults.counter, int, 0444);
MODULE_PARM_DESC(faults, "how often any of these has struck");

static int encoder_open(struct file *file)
{
	struct encoder *encoder = video_drvdata(file);
	struct context *context = kzalloc(sizeof(*context), GFP_KERNEL);
	int err;

	if (!context)
		return -ENOMEM;
	context->encoder = encoder;
	mutex_init(&context->drain_lock);
	INIT_WORK(&context->work, encode_work);
	init_formats(context);
	v4l2_fh_init(&context->fh, &encoder->video_dev);
	file->private_data = &context->fh;
	err = init_controls(context);
	if (err)
		goto no_controls;
	context->fh.ctrl_handler = &context->controls;
	context->fh.m2m_ctx = v4l2_m2m_ctx_init(encoder->m2m_dev, context, init_queues);
	if (IS_ERR(context->fh.m2m_ctx)) {
		err = PTR_ERR(context->fh.m2m_ctx);
		goto no_queues;
	}
	v4l2_fh_add(&context->fh);
	return 0;

no_queues:
	v4l2_ctrl_handler_free(&context->controls);
no_controls:
	v4l2_fh_exit(&context->fh);
	kfree(context);
	return err;
}

static int encoder_release(struct file *file)
{
	struct context *context = context_of(file);

	mutex_lock(&context->encoder->lock);
	v4l2_m2m_ctx_release(context->fh.m2m_ctx);
	mutex_unlock(&context->encoder->lock);
	v4l2_fh_del(&context->fh);
	v4l2_fh_exit(&context->fh);
	v4l2_ctrl_handler_free(&context->controls);
	kfree(context);
	return 0;
}

static const struct v4l2_file_operations encoder_files = {
	.owner = THIS_MODULE,
	.open = encoder_open,
	.release = encoder_release,
	.poll = v4l2_m2m_fop_poll,
	.unlocked_ioctl = video_ioctl2,
	.mmap = v4l2_m2m_fop_mmap,
};

static int register_node(struct encoder *encoder)
{
	struct video_device *node = &encoder->video_dev;

	strscpy(node->name, "H.264 test encoder", sizeof(node->name));
	node->fops = &encoder_files;
	node->ioctl_ops = &encoder_ioctls;
	node->release = video_device_release_empty;
	node->v4l2_dev = &encoder->v4l2_dev;
	node->vfl_dir = VFL_DIR_M2M;
	node->lock = &encoder->lock;
	node->device_caps = V4L2_CAP_STREAMING |
			    (multiplanar ? V4L2_CAP_VIDEO_M2M_MPLANE : V4L2_CAP_VIDEO_M2M);
	video_set_drvdata(node, encoder);
	return video_register_device(node, VFL_TYPE_VIDEO, -1);
}

static int encoder_probe(struct platform_device *pdev)
{
	struct encoder *encoder = devm_kzalloc(&pdev->dev, sizeof(*encoder), GFP_KERNEL);
	int err;

	if (!encoder)
		return -ENOMEM;
	encoder->dev = &pdev->dev;
	platform_set_drvdata(pdev, encoder);
	mutex_init(&encoder->lock);
	err = dma_coerce_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(32));
	if (err)
		return err;
	/* As in vb2_dma_contig_set_max_seg_size(): one segment may be any size. */
	if (contiguous)
		dma_set_max_seg_size(&pdev->dev, UINT_MAX);
	encoder->unit = alloc_ordered_workqueue(DRIVER_NAME, 0);
	if (!encoder->unit)
		return -ENOMEM;

	encoder->media_dev.dev = &pdev->dev;
	strscpy(encoder->media_dev.model, DRIVER_NAME, sizeof(encoder->media_dev.model));
	strscpy(encoder->media_dev.bus_info, "platform:" DRIVER_NAME,
		sizeof(encoder->media_dev.bus_info));
	media_device_init(&encoder->media_dev);
	encoder->v4l2_dev.mdev = &encoder->media_dev;
	err = v4l2_device_register(&pdev->dev, &encoder->v4l2_dev);
	if (err)
		goto no_v4l2_dev;
	encoder->m2m_dev = v4l2_m2m_init(&encoder_m2m_ops);
	if (IS_ERR(encoder->m2m_dev)) {
		err = PTR_ERR(encoder->m2m_dev);
		goto no_m2m_dev;
	}
	err = register_node(encoder);
	if (err)
		goto no_node;
	err = v4l2_m2m_register_media_controller(encoder->m2m_dev, &encoder->video_dev,
						 MEDIA_ENT_F_PROC_VIDEO_ENCODER);
	if (err)
		goto no_controller;
	err = media_device_register(&encoder->media_dev);
	if (err)
		goto no_media_dev;
	return 0;

no_media_dev:
	v4l2_m2m_unregister_media_controller(encoder->m2m_dev);
no_controller:
	video_unregister_device(&encoder->video_dev);
no_node:
	v4l2_m2m_release(encoder->m2m_dev);
no_m2m_dev:
	v4l2_device_unregister(&encoder->v4l2_dev);
no_v4l2_dev:
	media_device_cleanup(&encoder->media_dev);
	destroy_workqueue(encoder->unit);
	return err;
}

/* Nobody has the node open: each open file holds the module. */
static void encoder_remove(struct platform_device *pdev)
{
	struct encoder *encoder = platform_get_drvdata(pdev);

	media_device_unregister(&encoder->media_dev);
	v4l2_m2m_unregister_media_controller(encoder->m2m_dev);
	video_unregister_device(&encoder->video_dev);
	v4l2_m2m_release(encoder->m2m_dev);
	v4l2_device_unregister(&encoder->v4l2_dev);
	media_device_cleanup(&encoder->media_dev);
	destroy_workqueue(encoder->unit);
}

static struct platform_driver encoder_driver = {
	.probe = encoder_probe,
	.remove_new = encoder_remove,
	.driver = { .name = DRIVER_NAME },
};
static struct platform_device *encoder_device;

static int __init encoder_init(void)
{
	int err;

	if (align_height < 2 || align_height > 32 || !is_power_of_2(align_height)) {
		pr_err(DRIVER_NAME ": align_height=%u is not 2, 4, 8, 16 or 32\n", align_height);
		return -EINVAL;
	}
	err = platform_driver_register(&encoder_driver);
	if (err)
		return err;
	encoder_device = platform_device_register_simple(DRIVER_NAME, -1, NULL, 0);
	if (IS_ERR(encoder_device)) {
		platform_driver_unregister(&encoder_driver);
		return PTR_ERR(encoder_device);
	}
	return 0;
}

static void __exit encoder_exit(void)
{
	platform_device_unregister(encoder_device);
	platform_driver_unregister(&encoder_driver);
}

module_init(encoder_init);
module_exit(encoder_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("H.264 memory-to-memory encoder for tests");
MODULE_IMPORT_NS(DMA_BUF);
