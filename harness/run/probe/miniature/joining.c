/* Not in the build until the scenario shrink names it. */
#include <linux/export.h>

int probe_joining(int value);

int probe_joining(int value)
{
	return value + 3;
}
EXPORT_SYMBOL_GPL(probe_joining);
