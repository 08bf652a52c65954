/* A member of lib.a that nothing uses: it is linked all the same. */

int probe_lib_unused(int value);

int probe_lib_unused(int value)
{
	return value + 11;
}
