// SPDX-License-Identifier: MIT OR Apache-2.0
/* Others import ring_next(), so ring_step() must be promoted to a global symbol. */
#include <linux/synthetic.h>

static noinline unsigned int ring_step(struct ring *ring)
{
	ring->head = ring->head + 1 < ring->size ? ring->head + 1 : 0;
	return ring->head;
}

unsigned int ring_next(struct ring *ring)
{
	return ring_step(ring);
}
EXPORT(ring_next);
INITCALL(ring_next, 6, kmod_ring__1_2_ring_next);
