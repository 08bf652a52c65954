/* A module of one object: uses exports of the built-in part, exports one. */
#include <linux/export.h>
#include "../probe.h"

int probe_single_exported(int value)
{
	return probe_exported_gpl(value) + probe_exported_count;
}
EXPORT_SYMBOL_GPL(probe_single_exported);

/* genksyms needs none of this, and takes long for these headers. */
#ifndef __GENKSYMS__
#include <linux/module.h>

MODULE_DESCRIPTION("klto's module of one object");
MODULE_LICENSE("Dual MIT/GPL");
#endif
