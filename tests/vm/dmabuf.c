// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Passes pictures from a camera to an encoder without copying them, in every way that buffers can
 * be shared, and says which work:
 *
 *   dmabuf CAMERA ENCODER [WIDTHxHEIGHT [DIRECTORY]]
 *
 * With DIRECTORY, the first raw picture and the coded ones of each way are put there. Then it tries
 * what V4L2 makes of the length and bytesused that an imported buffer is queued with. Exits 1 if a
 * way of sharing failed. The kernel says why on its log once
 * /sys/module/videobuf2_{common,v4l2}/parameters/debug are set to 3.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PICTURES 10
#define BUFFERS 4
#define PATIENCE_MS 10000

enum origin { CAMERA_EXPORTS, ENCODER_EXPORTS, HEAP };
static const char *const origins[] = {
	"camera exports, encoder imports",
	"encoder exports, camera imports",
	"DMA heap, both import",
};

/* What QBUF is given for an imported raw buffer. */
struct claim {
	const char *name;
	bool length;
	bool bytesused;
};
static const struct claim full_claim = { "length and bytesused", true, true };

struct queue {
	int device;
	enum v4l2_buf_type type;
	enum v4l2_memory memory;
	/* Bytes of a picture, and of the memory it is in. */
	unsigned int size;
	unsigned int length;
	unsigned int stride;
	int fds[BUFFERS];
	void *maps[BUFFERS];
};

static unsigned int width = 640, height = 480;
static char failure[200];

/* Returns false, once, all the way up; what failed is in @failure. */
static bool fail(const char *what)
{
	snprintf(failure, sizeof(failure), "%s: %s", what, strerror(errno));
	return false;
}

static bool control(int device, unsigned long request, void *argument, const char *what)
{
	int result;

	do
		result = ioctl(device, request, argument);
	while (result < 0 && errno == EINTR);
	return result < 0 ? fail(what) : true;
}

static bool multiplanar(enum v4l2_buf_type type)
{
	return V4L2_TYPE_IS_MULTIPLANAR(type);
}

static bool set_format(struct queue *queue, unsigned int fourcc)
{
	struct v4l2_format format = { .type = queue->type };

	if (multiplanar(queue->type)) {
		format.fmt.pix_mp.width = width;
		format.fmt.pix_mp.height = height;
		format.fmt.pix_mp.pixelformat = fourcc;
		format.fmt.pix_mp.num_planes = 1;
	} else {
		format.fmt.pix.width = width;
		format.fmt.pix.height = height;
		format.fmt.pix.pixelformat = fourcc;
	}
	if (!control(queue->device, VIDIOC_S_FMT, &format, "S_FMT"))
		return false;
	if (multiplanar(queue->type)) {
		queue->size = format.fmt.pix_mp.plane_fmt[0].sizeimage;
		queue->stride = format.fmt.pix_mp.plane_fmt[0].bytesperline;
		return true;
	}
	queue->size = format.fmt.pix.sizeimage;
	queue->stride = format.fmt.pix.bytesperline;
	return true;
}

/* @plane has to live as long as the buffer. */
static struct v4l2_buffer buffer_of(const struct queue *queue, unsigned int index,
				    struct v4l2_plane *plane)
{
	struct v4l2_buffer buffer = {
		.type = queue->type, .memory = queue->memory, .index = index
	};

	memset(plane, 0, sizeof(*plane));
	if (multiplanar(queue->type)) {
		buffer.m.planes = plane;
		buffer.length = 1;
	}
	return buffer;
}

static bool request(struct queue *queue)
{
	struct v4l2_requestbuffers buffers = {
		.count = BUFFERS, .type = queue->type, .memory = queue->memory
	};

	return control(queue->device, VIDIOC_REQBUFS, &buffers, "REQBUFS");
}

static bool export(struct queue *queue)
{
	for (unsigned int i = 0; i < BUFFERS; i++) {
		struct v4l2_exportbuffer export = {
			.type = queue->type, .index = i, .flags = O_CLOEXEC | O_RDWR
		};

		if (!control(queue->device, VIDIOC_EXPBUF, &export, "EXPBUF"))
			return false;
		queue->fds[i] = export.fd;
	}
	return true;
}

static bool allocate(struct queue *queue)
{
	int heap = open("/dev/dma_heap/system", O_RDWR | O_CLOEXEC);

	if (heap < 0)
		return fail("/dev/dma_heap/system");
	for (unsigned int i = 0; i < BUFFERS; i++) {
		struct dma_heap_allocation_data data = {
			.len = queue->length, .fd_flags = O_CLOEXEC | O_RDWR
		};

		if (!control(heap, DMA_HEAP_IOCTL_ALLOC, &data, "DMA_HEAP_IOCTL_ALLOC"))
			return false;
		queue->fds[i] = data.fd;
	}
	close(heap);
	return true;
}

static bool map(struct queue *queue)
{
	for (unsigned int i = 0; i < BUFFERS; i++) {
		queue->maps[i] = mmap(NULL, queue->size, PROT_READ | PROT_WRITE, MAP_SHARED,
				      queue->fds[i], 0);
		if (queue->maps[i] == MAP_FAILED)
			return fail("mmap of a DMA buffer");
	}
	return true;
}

static bool enqueue(const struct queue *queue, unsigned int index, const struct claim *claim,
		    unsigned int stamp, const char *what)
{
	struct v4l2_plane plane;
	struct v4l2_buffer buffer = buffer_of(queue, index, &plane);
	unsigned int length = claim->length ? queue->length : 0;
	unsigned int used = queue->size < queue->length ? queue->size : queue->length;

	if (!claim->bytesused || V4L2_TYPE_IS_CAPTURE(queue->type))
		used = 0;
	buffer.timestamp.tv_sec = stamp;
	if (multiplanar(queue->type)) {
		plane.length = length;
		plane.bytesused = used;
		if (queue->memory == V4L2_MEMORY_DMABUF)
			plane.m.fd = queue->fds[index];
	} else {
		buffer.length = length;
		buffer.bytesused = used;
		if (queue->memory == V4L2_MEMORY_DMABUF)
			buffer.m.fd = queue->fds[index];
	}
	return control(queue->device, VIDIOC_QBUF, &buffer, what);
}

/* Waits for a buffer, and says which, how many bytes, and when it is from. */
static bool dequeue(const struct queue *queue, unsigned int *index, unsigned int *used,
		    unsigned int *stamp, const char *what)
{
	short wanted = V4L2_TYPE_IS_OUTPUT(queue->type) ? POLLOUT : POLLIN;
	struct pollfd poll_fd = { .fd = queue->device, .events = wanted };
	struct v4l2_plane plane;
	struct v4l2_buffer buffer = buffer_of(queue, 0, &plane);

	if (poll(&poll_fd, 1, PATIENCE_MS) != 1 || !(poll_fd.revents & wanted)) {
		errno = ETIMEDOUT;
		return fail(what);
	}
	if (!control(queue->device, VIDIOC_DQBUF, &buffer, what))
		return false;
	if (buffer.flags & V4L2_BUF_FLAG_ERROR) {
		errno = EIO;
		return fail(what);
	}
	*index = buffer.index;
	*used = multiplanar(queue->type) ? plane.bytesused : buffer.bytesused;
	*stamp = buffer.timestamp.tv_sec;
	return true;
}

static bool stream(const struct queue *queue, bool on)
{
	int type = queue->type;

	return control(queue->device, on ? VIDIOC_STREAMON : VIDIOC_STREAMOFF, &type, "STREAMON");
}

struct path {
	struct queue camera;
	struct queue raw;
	struct queue coded;
};

static bool open_path(struct path *path, const char *camera, const char *encoder)
{
	struct v4l2_capability capability;
	bool mplane;

	memset(path, 0, sizeof(*path));
	for (unsigned int i = 0; i < BUFFERS; i++)
		path->camera.fds[i] = path->raw.fds[i] = path->coded.fds[i] = -1;
	path->raw.device = path->coded.device = -1;
	path->camera.device = open(camera, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (path->camera.device < 0)
		return fail(camera);
	path->raw.device = open(encoder, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (path->raw.device < 0)
		return fail(encoder);
	path->coded.device = path->raw.device;
	if (!control(path->raw.device, VIDIOC_QUERYCAP, &capability, "QUERYCAP"))
		return false;
	mplane = capability.device_caps & V4L2_CAP_VIDEO_M2M_MPLANE;
	path->camera.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
	path->raw.type = mplane ? V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE : V4L2_BUF_TYPE_VIDEO_OUTPUT;
	path->coded.type = mplane ? V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE :
				    V4L2_BUF_TYPE_VIDEO_CAPTURE;
	return true;
}

static void close_path(struct path *path)
{
	struct queue *queues[] = { &path->camera, &path->raw, &path->coded };

	for (unsigned int q = 0; q < 3; q++)
		for (unsigned int i = 0; i < BUFFERS; i++) {
			/* Raw buffers are the camera's or the encoder's: closed once. */
			if (q == 1 && queues[1]->fds[i] == queues[0]->fds[i])
				continue;
			if (queues[q]->fds[i] >= 0)
				close(queues[q]->fds[i]);
			if (queues[q]->maps[i] && queues[q]->maps[i] != MAP_FAILED)
				munmap(queues[q]->maps[i], queues[q]->size);
		}
	close(path->camera.device);
	close(path->raw.device);
}

static bool set_up(struct path *path, enum origin origin, unsigned int fourcc, bool coded_heap)
{
	struct v4l2_streamparm parm = { .type = path->camera.type };

	if (!set_format(&path->camera, fourcc) || !set_format(&path->raw, fourcc) ||
	    !set_format(&path->coded, V4L2_PIX_FMT_H264))
		return false;
	if (path->camera.stride != path->raw.stride) {
		snprintf(failure, sizeof(failure), "strides differ: %u, %u", path->camera.stride,
			 path->raw.stride);
		return false;
	}
	parm.parm.capture.timeperframe = (struct v4l2_fract){ 1, 30 };
	if (!control(path->camera.device, VIDIOC_S_PARM, &parm, "S_PARM"))
		return false;
	path->coded.length = path->coded.size;
	path->camera.length = path->raw.length =
		origin == CAMERA_EXPORTS  ? path->camera.size :
		origin == ENCODER_EXPORTS ? path->raw.size :
		path->camera.size > path->raw.size ? path->camera.size : path->raw.size;
	path->camera.memory = origin == CAMERA_EXPORTS ? V4L2_MEMORY_MMAP : V4L2_MEMORY_DMABUF;
	path->raw.memory = origin == ENCODER_EXPORTS ? V4L2_MEMORY_MMAP : V4L2_MEMORY_DMABUF;
	path->coded.memory = coded_heap ? V4L2_MEMORY_DMABUF : V4L2_MEMORY_MMAP;
	if (!request(&path->camera) || !request(&path->raw) || !request(&path->coded))
		return false;
	if (origin == CAMERA_EXPORTS ? !export(&path->camera) :
	    origin == ENCODER_EXPORTS ? !export(&path->raw) :
					!allocate(&path->camera))
		return false;
	if (origin == ENCODER_EXPORTS)
		memcpy(path->camera.fds, path->raw.fds, sizeof(path->raw.fds));
	else
		memcpy(path->raw.fds, path->camera.fds, sizeof(path->raw.fds));
	if (coded_heap ? !allocate(&path->coded) : !export(&path->coded))
		return false;
	return map(&path->camera) && map(&path->coded);
}

/* What the processor reads is what was written. */
static bool sync_buffer(int fd, unsigned long edge)
{
	struct dma_buf_sync sync = { .flags = DMA_BUF_SYNC_READ | edge };

	return control(fd, DMA_BUF_IOCTL_SYNC, &sync, "DMA_BUF_IOCTL_SYNC");
}

/* By way of a copy: file systems that take pages as they are (9p) cannot take a DMA heap's. */
static bool save(FILE *file, const struct queue *queue, unsigned int index, unsigned int bytes)
{
	bool ok = true;
	void *copy;

	if (!file)
		return true;
	copy = malloc(bytes);
	if (!copy)
		return fail("memory");
	ok = sync_buffer(queue->fds[index], DMA_BUF_SYNC_START);
	if (ok)
		memcpy(copy, queue->maps[index], bytes);
	ok = ok && sync_buffer(queue->fds[index], DMA_BUF_SYNC_END);
	if (ok && fwrite(copy, 1, bytes, file) != bytes)
		ok = fail("writing");
	free(copy);
	return ok;
}

static bool pass(struct path *path, const struct claim *claim, FILE *raw, FILE *coded,
		 unsigned int pictures, unsigned long *bytes)
{
	unsigned int index, used, stamp;

	for (unsigned int i = 0; i < BUFFERS; i++)
		if (!enqueue(&path->camera, i, &full_claim, 0, "camera QBUF") ||
		    !enqueue(&path->coded, i, &full_claim, 0, "coded QBUF"))
			return false;
	if (!stream(&path->camera, true) || !stream(&path->raw, true) ||
	    !stream(&path->coded, true))
		return false;
	for (unsigned int picture = 0; picture < pictures; picture++) {
		if (!dequeue(&path->camera, &index, &used, &stamp, "camera DQBUF"))
			return false;
		if (!picture && !save(raw, &path->camera, index, path->camera.size))
			return false;
		if (!enqueue(&path->raw, index, claim, picture + 1, "encoder QBUF"))
			return false;
		if (!dequeue(&path->coded, &index, &used, &stamp, "coded DQBUF"))
			return false;
		if (stamp != picture + 1 || !used) {
			snprintf(failure, sizeof(failure), "picture %u came out with %u bytes as %u",
				 picture + 1, used, stamp);
			return false;
		}
		*bytes += used;
		if (!save(coded, &path->coded, index, used) ||
		    !enqueue(&path->coded, index, &full_claim, 0, "coded QBUF") ||
		    !dequeue(&path->raw, &index, &used, &stamp, "encoder DQBUF") ||
		    !enqueue(&path->camera, index, &full_claim, 0, "camera QBUF"))
			return false;
	}
	return stream(&path->camera, false) && stream(&path->raw, false) &&
	       stream(&path->coded, false);
}

static bool try_way(char **devices, enum origin origin, unsigned int fourcc, bool coded_heap,
		    const struct claim *claim, const char *directory)
{
	FILE *raw = NULL, *coded = NULL;
	char name[300];
	unsigned long bytes = 0;
	struct path path;
	bool ok;

	if (directory) {
		snprintf(name, sizeof(name), "%s/%d%d-%.4s.raw", directory, origin, coded_heap,
			 (char *)&fourcc);
		raw = fopen(name, "wb");
		strcpy(name + strlen(name) - 3, "h264");
		coded = fopen(name, "wb");
	}
	ok = open_path(&path, devices[0], devices[1]) &&
	     set_up(&path, origin, fourcc, coded_heap) &&
	     pass(&path, claim, raw, coded, PICTURES, &bytes);
	close_path(&path);
	if (raw)
		fclose(raw);
	if (coded)
		fclose(coded);
	if (ok)
		printf("works   %u pictures, %lu bytes", PICTURES, bytes);
	else
		printf("FAILS   %s", failure);
	return ok;
}

int main(int count, char **arguments)
{
	static const unsigned int fourccs[] = { V4L2_PIX_FMT_NV12, V4L2_PIX_FMT_YUYV,
						V4L2_PIX_FMT_YUV420 };
	static const struct claim claims[] = {
		{ "length and bytesused", true, true },
		{ "neither", false, false },
		{ "length alone", true, false },
		{ "bytesused alone", false, true },
	};
	bool all = true;

	if (count < 3 || (count > 3 && sscanf(arguments[3], "%ux%u", &width, &height) != 2)) {
		fprintf(stderr, "usage: dmabuf CAMERA ENCODER [WIDTHxHEIGHT [DIRECTORY]]\n");
		return 2;
	}
	for (int origin = CAMERA_EXPORTS; origin <= HEAP; origin++)
		for (unsigned int f = 0; f < 3; f++)
			for (int heap = 0; heap < 2; heap++) {
				printf("%-32s %.4s  coded %-9s ", origins[origin],
				       (const char *)&fourccs[f], heap ? "DMA heap" : "MMAP");
				all &= try_way(arguments + 1, origin, fourccs[f], heap, &full_claim,
					       count > 4 ? arguments[4] : NULL);
				printf("\n");
				fflush(stdout);
			}
	for (unsigned int c = 0; c < 4; c++) {
		printf("%-32s NV12  QBUF has %-21s ", origins[CAMERA_EXPORTS], claims[c].name);
		/* What comes of it is what is to be seen: no way is right here. */
		try_way(arguments + 1, CAMERA_EXPORTS, V4L2_PIX_FMT_NV12, false, &claims[c], NULL);
		printf("\n");
		fflush(stdout);
	}
	return all ? 0 : 1;
}
