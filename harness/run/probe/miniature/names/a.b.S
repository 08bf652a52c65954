/* names/a.b.o is assembly, and as a pattern finds bitcode's names/a-b.o. */
#include "../assembly.h"

PROBE_FUNCTION(probe_a_dot_b)
