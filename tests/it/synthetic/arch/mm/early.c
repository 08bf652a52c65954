// SPDX-License-Identifier: MIT OR Apache-2.0
/* Runs before the kernel is mapped, so its makefile takes LTO away (CFLAGS_REMOVE). */
#include <linux/synthetic.h>

static unsigned long mapped;

void early_map(unsigned long start)
{
	mapped = start;
}
EXPORT(early_map);
INITCALL(early_map, 6, kmod_early__1_2_early_map);
