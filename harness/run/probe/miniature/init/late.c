/* The last level of initcalls, in the object that is linked first. */
#include <linux/init.h>

static int __init probe_late(void)
{
	return 0;
}
late_initcall(probe_late);

static int __init probe_subsys(void)
{
	return 0;
}
subsys_initcall(probe_subsys);
