/* Named through "..", with a flag of its own, an export and an import. */
#include <linux/export.h>
#include "../probe.h"

int probe_virt(int value)
{
	return probe_scale(value) + PROBE_HOST;
}
EXPORT_SYMBOL_GPL(probe_virt);
