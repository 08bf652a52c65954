/* Flags that only the back end obeys: a section for every function. */

int probe_given_a(int value);
int probe_given_b(int value);

int probe_given_a(int value)
{
	return value + 1;
}

int probe_given_b(int value)
{
	return value + 2;
}
