/* A flag that holds a space. */

extern const char probe_flag_space[];

const char probe_flag_space[] = PROBE_FLAG;
_Static_assert(__builtin_strcmp(PROBE_FLAG, "a b") == 0,
	       "PROBE_FLAG did not arrive as the Makefile says");
