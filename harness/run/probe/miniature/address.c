/*
 * Addresses of data, strings and functions, and a switch: what relocations
 * these get depends on the code model, so on flags that the back end needs.
 */
#include "probe.h"

int probe_shared_data[16];
extern int __weak probe_undefined_here(int value);

int *probe_address_of_data(int index);
const char *probe_address_of_string(int index);
int (*probe_address_of_function(int which))(int value);

static int local_function(int value)
{
	return value + probe_shared_data[value & 15];
}

int *probe_address_of_data(int index)
{
	return &probe_shared_data[index & 15];
}

const char *probe_address_of_string(int index)
{
	switch (index) {
	case 0: return "zero";
	case 1: return "one";
	case 2: return "two";
	case 3: return "three";
	case 4: return "four";
	default: return "many";
	}
}

int (*probe_address_of_function(int which))(int value)
{
	if (which == 1)
		return probe_scale;
	if (which == 2)
		return probe_undefined_here;
	return local_function;
}
