/* A module of two objects: uses exports of the built-in part and of a module. */
#include <linux/export.h>
#include "../probe.h"
#include "several.h"

int probe_several_exported(int value)
{
	struct probe_point point = { .x = value, .y = 2 };

	value = probe_exported_in_namespace(&point, several_part(value));
	return probe_single_exported(value) + probe_exported(&point);
}
EXPORT_SYMBOL(probe_several_exported);

/* genksyms needs none of this, and takes long for these headers. */
#ifndef __GENKSYMS__
#include <linux/module.h>

MODULE_IMPORT_NS("KLTO_PROBE");
MODULE_DESCRIPTION("klto's module of several objects");
MODULE_LICENSE("Dual MIT/GPL");
#endif
