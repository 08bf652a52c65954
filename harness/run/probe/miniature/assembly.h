/* What the architectures spell differently in our assembly files. */
#ifndef KLTO_PROBE_ASSEMBLY_H
#define KLTO_PROBE_ASSEMBLY_H

#include <linux/linkage.h>

#ifdef CONFIG_X86
#define PROBE_RETURN RET
#else
#define PROBE_RETURN ret
#endif

/* A function that does nothing: the miniature is linked, but never run. */
#define PROBE_FUNCTION(name)	\
	.text;			\
	SYM_FUNC_START(name)	\
	PROBE_RETURN;		\
	SYM_FUNC_END(name)

#endif
