/* twin.c has the same base name, and a local of the same name, promoted too. */

int probe_nested_twin(int value);
void probe_nested_twin_set(int value);

static int local_factor = 7;

int probe_nested_twin(int value)
{
	return value - local_factor;
}

void probe_nested_twin_set(int value)
{
	local_factor = value;
}
