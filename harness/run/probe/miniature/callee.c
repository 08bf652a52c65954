/*
 * Functions small enough to be imported (the kernel's import-instr-limit is
 * 5), over locals that then have to be promoted. twin.c has locals of the
 * same names, so the promoted ones must be renamed in every mode.
 */
#include "probe.h"

static int local_factor = PROBE_LEVEL;

static noinline int local_step(int value)
{
	for (int i = 0; i < local_factor; i++)
		value ^= value << i;
	return value;
}

int probe_scale(int value)
{
	return value * local_factor;
}

int probe_step(int value)
{
	return local_step(value);
}

void probe_set_factor(int factor)
{
	local_factor = factor;
}
