/* Opts out of LTO (CFLAGS_REMOVE): native code that vmlinux.a takes as it is. */
#include <linux/export.h>
#include "probe.h"

int probe_without_lto(int value)
{
	return value + PROBE_LEVEL;
}
EXPORT_SYMBOL_GPL(probe_without_lto);
