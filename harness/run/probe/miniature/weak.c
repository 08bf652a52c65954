/* A weak definition that loses against strong.c, and one that stands. */

int probe_choice(int value);
int probe_default(int value);

__weak int probe_choice(int value)
{
	return value;
}

__weak int probe_default(int value)
{
	return probe_choice(value) + 1;
}
