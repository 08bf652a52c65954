// SPDX-License-Identifier: MIT OR Apache-2.0
/* The other object of the module m. */
#include <linux/synthetic.h>

int m_hint(void);

int m_hint(void)
{
	return schedule_hint() + 1;
}
