/* Exports of every licence, with and without a namespace: CRCs from C. */
#include <linux/export.h>
#include "probe.h"

int probe_exported_count;
EXPORT_SYMBOL_GPL(probe_exported_count);

int probe_exported(const struct probe_point *point)
{
	return point->x + point->y;
}
EXPORT_SYMBOL(probe_exported);

int probe_exported_gpl(int value)
{
	probe_exported_count += value;
	return probe_scale(value);
}
EXPORT_SYMBOL_GPL(probe_exported_gpl);

int probe_exported_in_namespace(struct probe_point *point, int value)
{
	point->x = value;
	return point->y;
}
EXPORT_SYMBOL_NS_GPL(probe_exported_in_namespace, "KLTO_PROBE");
