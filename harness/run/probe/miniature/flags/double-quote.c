/* A flag that holds double quotes, within single ones. */

extern const char probe_flag_double_quote[];

const char probe_flag_double_quote[] = PROBE_FLAG;
_Static_assert(__builtin_strcmp(PROBE_FLAG, "say \"yes\"") == 0,
	       "PROBE_FLAG did not arrive as the Makefile says");
