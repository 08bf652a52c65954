/* A flag that holds make's signs of assignment. */

extern const char probe_flag_assign[];

const char probe_flag_assign[] = PROBE_FLAG;
_Static_assert(__builtin_strcmp(PROBE_FLAG, "a:=b=c") == 0,
	       "PROBE_FLAG did not arrive as the Makefile says");
