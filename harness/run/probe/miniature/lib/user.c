/* Uses a member of lib.a and one of stub/lib.a. */

int probe_lib_user(int value);
int probe_lib_used(int value);
int probe_stub_used(int value);

int probe_lib_user(int value)
{
	return probe_lib_used(value) + probe_stub_used(value);
}
