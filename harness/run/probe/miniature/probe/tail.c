/* Bitcode whose path ends in that of the assembled probe/tail.o. */

int probe_inner_tail(int value);

int probe_inner_tail(int value)
{
	return value - 1;
}
