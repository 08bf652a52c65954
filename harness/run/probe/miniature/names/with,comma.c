/* A comma in the name: a separator for make's functions. */

int probe_with_comma(int value);

int probe_with_comma(int value)
{
	return value + 5;
}
