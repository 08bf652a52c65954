/* A flag that holds what make takes for the start of a comment. */

extern const char probe_flag_hash[];

const char probe_flag_hash[] = PROBE_FLAG;
_Static_assert(__builtin_strcmp(PROBE_FLAG, "a#b") == 0,
	       "PROBE_FLAG did not arrive as the Makefile says");
