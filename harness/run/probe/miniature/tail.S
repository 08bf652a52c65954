/* probe/tail.o is assembly, and the end of bitcode's probe/probe/tail.o. */
#include "assembly.h"

PROBE_FUNCTION(probe_tail)
