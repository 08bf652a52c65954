/* Named through two ".." by nested/inner, which gives it its flags. */
#include "../probe.h"

int probe_deep(int value)
{
	return value + (int)sizeof(PROBE_BRANCH PROBE_LEAF);
}
