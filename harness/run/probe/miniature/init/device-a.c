/* One of two initcalls at one level; device-b.c has a function of that name. */
#include <linux/init.h>

static int calls;

static int __init probe_init(void)
{
	return ++calls;
}
device_initcall(probe_init);
