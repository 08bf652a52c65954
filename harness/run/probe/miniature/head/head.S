/* A head object that is assembled, as most of them are. */
#include "../assembly.h"

PROBE_FUNCTION(probe_head)
