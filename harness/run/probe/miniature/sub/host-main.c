/* The part of the composite object that lies in its own directory. */
#include "../probe.h"

int probe_host(int value);

int probe_host(int value)
{
	return probe_virt(value) + probe_deep(value);
}
