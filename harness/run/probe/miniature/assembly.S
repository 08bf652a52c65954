/* An assembled object among bitcode ones, with a flag of its own. */
#include "assembly.h"

PROBE_FUNCTION(probe_assembly)

	.section .rodata
	.balign 4
SYM_DATA_START(probe_assembly_data)
	.long PROBE_ASSEMBLY_FLAG
SYM_DATA_END(probe_assembly_data)
