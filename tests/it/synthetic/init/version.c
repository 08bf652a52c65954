// SPDX-License-Identifier: MIT OR Apache-2.0
/* Data without code, and no reference to another object. */
#include <linux/synthetic.h>

const char linux_banner[] = "Linux version 7.2.0 (klto's synthetic tree)";
