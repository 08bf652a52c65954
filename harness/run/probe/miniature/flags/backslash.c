/* A flag that holds backslashes, which printf and echo may swallow. */

extern const char probe_flag_backslash[];

const char probe_flag_backslash[] = PROBE_FLAG;
_Static_assert(__builtin_strcmp(PROBE_FLAG, "a\n\\b") == 0,
	       "PROBE_FLAG did not arrive as the Makefile says");
