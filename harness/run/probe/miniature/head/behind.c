/* Stands before the head objects until they are moved. */

int probe_behind(int value);

int probe_behind(int value)
{
	return value + 9;
}
