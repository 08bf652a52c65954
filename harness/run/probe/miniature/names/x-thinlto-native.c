/* Ends like a native object, but for one character. */
#include <linux/export.h>

int probe_not_native(int value);

int probe_not_native(int value)
{
	return value + 6;
}
EXPORT_SYMBOL_GPL(probe_not_native);
