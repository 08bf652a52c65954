// SPDX-License-Identifier: MIT OR Apache-2.0
/* Data without code, and no reference to another object. */
#include <linux/synthetic.h>

const char synthetic_banner[] = "klto's synthetic tree";
