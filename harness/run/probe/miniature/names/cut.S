/* names/cut.o is assembly, and the beginning of bitcode's names/cut.o.o. */
#include "../assembly.h"

PROBE_FUNCTION(probe_cut)
