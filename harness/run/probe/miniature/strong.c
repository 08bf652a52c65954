/* The definition that wins against the weak one of weak.c. */

int probe_choice(int value);

int probe_choice(int value)
{
	return value * 2;
}
