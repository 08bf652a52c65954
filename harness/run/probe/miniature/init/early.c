/* The first levels of initcalls, in the object that is linked last. */
#include <linux/init.h>

static int __init probe_early(void)
{
	return 0;
}
early_initcall(probe_early);

static int __init probe_core(void)
{
	return 0;
}
core_initcall(probe_core);
