/* A flag that holds whatever else the shell takes for its own. */

extern const char probe_flag_shell[];

const char probe_flag_shell[] = PROBE_FLAG;
_Static_assert(__builtin_strcmp(PROBE_FLAG, "a;b|c&d<e>f*g?h(i)j~k!l{m}n`o") == 0,
	       "PROBE_FLAG did not arrive as the Makefile says");
