/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Everything that the objects of the synthetic tree use of each other. */
#include <linux/export.h>

#define NULL ((void *)0)
#define noinline __attribute__((__noinline__))

struct ring {
	unsigned int head, size;
};

extern int system_state;
extern const char linux_banner[];

unsigned int ring_next(struct ring *ring);
int schedule_hint(void);
void wake_up_one(struct ring *queue);
void *copy_words(void *to, const void *from, unsigned long count);
void early_map(unsigned long start);
int vcpu_run(struct ring *exits);
void vcpu_stop(struct ring *exits);
const char *vcpu_name(void);
void start_kernel(void);
