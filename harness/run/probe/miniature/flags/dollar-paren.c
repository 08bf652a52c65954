/* A flag that make cannot read back unless its "$" is doubled. */

extern const char probe_flag_dollar_paren[];

const char probe_flag_dollar_paren[] = PROBE_FLAG;
_Static_assert(__builtin_strcmp(PROBE_FLAG, "a$(b") == 0,
	       "PROBE_FLAG did not arrive as the Makefile says");
