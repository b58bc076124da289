/* A backend whose memory the cases may address although its device's they may not: every operation's operands
 * are copied into device memory of exactly their size, the operation runs, and they are copied back, gaps
 * between rows and all. So the cases of check_ops serve any device. */
#ifndef VARGPT_TESTS_OPS_ON_DEVICE_H
#define VARGPT_TESTS_OPS_ON_DEVICE_H

#include "engine/backend.h"

/* before: called ahead of each operation with `context`; may be NULL. Takes the device over. */
struct backend *on_device_open(struct backend *device, void (*before)(int context), int context);
/* The device, for its owner to close. */
struct backend *on_device_close(struct backend *);

#endif
