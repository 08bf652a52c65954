// SPDX-License-Identifier: MIT OR Apache-2.0
/* Where the assembled head jumps to; refers to every other object. */
#include <linux/synthetic.h>

int system_state;
EXPORT(system_state);

static struct ring run_queue = { .size = 8 };
static unsigned long words[2][4];

void start_kernel(void)
{
	early_map((unsigned long)words);
	copy_words(words[0], words[1], 4);
	wake_up_one(&run_queue);
	system_state = schedule_hint() + vcpu_run(&run_queue) + linux_banner[0];
}
