/* A plain object. Nothing but this object depends on this file. */

int probe_plain(int value);

int probe_plain(int value)
{
	return value + 1;
}
