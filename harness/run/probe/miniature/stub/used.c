/* A member that the link takes from the library. */

int probe_stub_used(int value);

int probe_stub_used(int value)
{
	return value + 12;
}
