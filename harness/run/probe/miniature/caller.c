/* Imports from callee.c, twin.c and nested/twin.c; calls what is not LTO. */
#include "probe.h"

int probe_twin(int value);
int probe_nested_twin(int value);

int probe_call(int value)
{
	value = probe_scale(value) + probe_step(value);
	value += probe_twin(value) + probe_nested_twin(value);
	return probe_without_lto(value);
}
