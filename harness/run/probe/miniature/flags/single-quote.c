/* A flag that holds a single quote, escaped for the shell. */

extern const char probe_flag_single_quote[];

const char probe_flag_single_quote[] = PROBE_FLAG;
_Static_assert(__builtin_strcmp(PROBE_FLAG, "it's") == 0,
	       "PROBE_FLAG did not arrive as the Makefile says");
