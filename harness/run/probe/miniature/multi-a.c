/* One half of a composite object; imports from the other. */

int probe_multi_a(int value);
int probe_multi_b(int value);

int probe_multi_a(int value)
{
	return probe_multi_b(value) + 1;
}
