/* The other object of the module. */
#include "several.h"

int several_part(int value)
{
	return value * 3;
}
