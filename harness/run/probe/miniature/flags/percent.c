/* A flag that holds what printf and make's patterns take for their own. */

extern const char probe_flag_percent[];

const char probe_flag_percent[] = PROBE_FLAG;
_Static_assert(__builtin_strcmp(PROBE_FLAG, "100%s %d%%") == 0,
	       "PROBE_FLAG did not arrive as the Makefile says");
