/* A flag that holds characters of more than one byte. */

extern const char probe_flag_non_ascii[];

const char probe_flag_non_ascii[] = PROBE_FLAG;
_Static_assert(__builtin_strcmp(PROBE_FLAG, "é→") == 0,
	       "PROBE_FLAG did not arrive as the Makefile says");
