/* A library that answers for devices as NVIDIA's does, as far as waiting goes: its descriptors say
 * nothing to poll(2); a control waits for events, and another ends that until it is taken back.
 * STREAMON makes a device readable, STREAMOFF takes that away. Of an output, STREAMON holds whoever
 * ends a wait, of any device, until STREAMOFF; ENCODER_CMD is refused until somebody is held.
 * EXPBUF and opening NO_DEVICE succeed, and give no descriptor. */

#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define DEVICE_POLL ((V4L2_CTRL_CLASS_MPEG | 0x900) + 550)
#define SET_POLL_INTERRUPT ((V4L2_CTRL_CLASS_MPEG | 0x900) + 551)
#define NO_DEVICE "/dev/none"
#define MOST 1024

struct device_poll {
    uint16_t requested;
    uint16_t there;
};

static struct {
    uint16_t there;
    int is_interrupted;
} devices[MOST];
static int is_holding, held;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

int v4l2_open(const char *path, int flags, ...)
{
    int device = strcmp(path, NO_DEVICE) ? open(path, flags) : -2;

    if (device >= MOST) {
        close(device);
        errno = EMFILE;
        return -1;
    }
    if (device >= 0) {
        pthread_mutex_lock(&lock);
        devices[device].there = 0;
        devices[device].is_interrupted = 0;
        pthread_mutex_unlock(&lock);
    }
    return device;
}

int v4l2_close(int device)
{
    return close(device);
}

static int set_control(int device, struct v4l2_ext_controls *controls)
{
    struct v4l2_ext_control *control = controls->controls;
    struct device_poll *asked;

    if (controls->which != V4L2_CTRL_CLASS_MPEG || controls->count != 1)
        return EINVAL;
    switch (control->id) {
    case SET_POLL_INTERRUPT:
        held++;
        while (is_holding && control->value)
            pthread_cond_wait(&changed, &lock);
        held--;
        devices[device].is_interrupted = control->value;
        pthread_cond_broadcast(&changed);
        return 0;
    case DEVICE_POLL:
        asked = (struct device_poll *)control->string;
        while (!devices[device].is_interrupted && !(devices[device].there & asked->requested))
            pthread_cond_wait(&changed, &lock);
        asked->there = devices[device].there & asked->requested;
        return 0;
    default:
        return EINVAL;
    }
}

int v4l2_ioctl(int device, unsigned long request, ...)
{
    va_list arguments;
    void *value;
    int error = 0;

    va_start(arguments, request);
    value = va_arg(arguments, void *);
    va_end(arguments);
    pthread_mutex_lock(&lock);
    switch (request) {
    case VIDIOC_STREAMON:
    case VIDIOC_STREAMOFF:
        if (*(int *)value == V4L2_BUF_TYPE_VIDEO_OUTPUT)
            is_holding = request == VIDIOC_STREAMON;
        else
            devices[device].there = request == VIDIOC_STREAMON ? POLLIN : 0;
        pthread_cond_broadcast(&changed);
        break;
    case VIDIOC_ENCODER_CMD:
        error = held ? 0 : EAGAIN;
        break;
    case VIDIOC_EXPBUF:
        break;
    case VIDIOC_S_EXT_CTRLS:
        error = set_control(device, value);
        break;
    default:
        error = ENOTTY;
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return error ? -1 : 0;
}

void *v4l2_mmap(void *start, size_t length, int protection, int flags, int device, int64_t offset)
{
    return mmap(start, length, protection, flags, device, offset);
}

int v4l2_munmap(void *start, size_t length)
{
    return munmap(start, length);
}
