/* Its name makes every line of its .cmd file look like the saved flags. */

int probe_saved_c_flags_x(int value);

int probe_saved_c_flags_x(int value)
{
	return value + 7;
}
