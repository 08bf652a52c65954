/* The other half of a composite object, with a local to promote. */

int probe_multi_b(int value);
void probe_multi_b_set(int value);

static int half;

int probe_multi_b(int value)
{
	return value + half;
}

void probe_multi_b_set(int value)
{
	half = value;
}
