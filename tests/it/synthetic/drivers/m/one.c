// SPDX-License-Identifier: MIT OR Apache-2.0
/* One of the two objects of the module m. */
#include <linux/synthetic.h>

int m_register(struct ring *ring);

int m_register(struct ring *ring)
{
	return (int)ring_next(ring);
}
EXPORT(m_register);
