/*
 * nested/twin.c has the same base name. Its locals have the names of those
 * of callee.c, and all of them are promoted.
 */

int probe_twin(int value);
void probe_twin_set(int value);

static int local_factor = 5;

static noinline int local_step(int value)
{
	for (int i = 0; i < local_factor; i++)
		value += value << i;
	return value;
}

int probe_twin(int value)
{
	return local_step(value) - local_factor;
}

void probe_twin_set(int value)
{
	local_factor = value;
}
