// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Imports ring_next() and with it a reference to lib/ring.c's static function. Its own
 * static counter is promoted in turn: schedule_hint() is small enough to be imported.
 */
#include <linux/synthetic.h>

static int hints;

int schedule_hint(void)
{
	return hints++;
}
EXPORT(schedule_hint);
INITCALL(schedule_hint, 6, kmod_core__1_2_schedule_hint);

void wake_up_one(struct ring *queue)
{
	if (ring_next(queue) > queue->size)
		hints = 0;
}
EXPORT(wake_up_one);
