/* Flags taken away (CFLAGS_REMOVE), another level of optimisation given. */

int probe_taken(const int *values, int count);

int probe_taken(const int *values, int count)
{
	int sum = 0;

	for (int i = 0; i < count; i++)
		sum += values[i];
	return sum;
}
