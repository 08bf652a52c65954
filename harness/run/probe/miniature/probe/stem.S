/* An assembled object whose path ends in that of bitcode's probe/stem.o. */
#include "../assembly.h"

PROBE_FUNCTION(probe_inner_stem)
