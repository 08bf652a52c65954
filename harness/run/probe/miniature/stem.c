/* probe/stem.o is bitcode, and the end of the assembled probe/probe/stem.o. */

int probe_stem(int value);

int probe_stem(int value)
{
	return value - 2;
}
