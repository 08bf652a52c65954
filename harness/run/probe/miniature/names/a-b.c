/* Bitcode whose name is found by names/a.b.o as a pattern. */

int probe_a_dash_b(int value);

int probe_a_dash_b(int value)
{
	return value + 3;
}
