/* A member that the link leaves in the library. */

int probe_stub_unused(int value);

int probe_stub_unused(int value)
{
	return value + 13;
}
