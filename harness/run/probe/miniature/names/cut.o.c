/* Bitcode whose name begins with that of the assembled names/cut.o. */
#include <linux/export.h>

int probe_cut_again(int value);

int probe_cut_again(int value)
{
	return value + 4;
}
EXPORT_SYMBOL_GPL(probe_cut_again);
