/* Without the back end's suffix, modpost looks for the CRC in .y.o.cmd. */
#include <linux/export.h>

int probe_almost_native(int value);

int probe_almost_native(int value)
{
	return value + 6;
}
EXPORT_SYMBOL_GPL(probe_almost_native);
