/* Cut at ":= ", its flags still parse, so they are lost silently. */

extern const char probe_flag_assign_word[];

const char probe_flag_assign_word[] = PROBE_FLAG;
_Static_assert(__builtin_strcmp(PROBE_FLAG, "c") == 0,
	       "PROBE_FLAG did not arrive as the Makefile says");
