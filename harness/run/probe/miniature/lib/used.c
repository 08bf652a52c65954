/* A member of lib.a that is used, and imported. */

int probe_lib_used(int value);

int probe_lib_used(int value)
{
	return value + 10;
}
