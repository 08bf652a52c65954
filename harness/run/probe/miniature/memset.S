/*
 * An export from assembly: its CRC comes from the prototype that the kernel
 * has in asm/asm-prototypes.h, hence the borrowed names.
 */
#include <linux/export.h>
#include "assembly.h"

PROBE_FUNCTION(memset)
EXPORT_SYMBOL(memset)

PROBE_FUNCTION(memcpy)
EXPORT_SYMBOL(memcpy)

PROBE_FUNCTION(memmove)
EXPORT_SYMBOL(memmove)
