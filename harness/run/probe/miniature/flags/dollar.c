/* A flag that holds what make and the shell take for variables. */

extern const char probe_flag_dollar[];

const char probe_flag_dollar[] = PROBE_FLAG;
_Static_assert(__builtin_strcmp(PROBE_FLAG, "a$b$$") == 0,
	       "PROBE_FLAG did not arrive as the Makefile says");
