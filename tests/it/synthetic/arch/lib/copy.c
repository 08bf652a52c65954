// SPDX-License-Identifier: MIT OR Apache-2.0
#include <linux/synthetic.h>

void *copy_words(void *to, const void *from, unsigned long count)
{
	volatile unsigned long *out = to;
	const unsigned long *in = from;

	while (count--)
		*out++ = *in++;
	return to;
}
EXPORT(copy_words);
