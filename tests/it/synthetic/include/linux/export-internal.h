/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the generated .vmlinux.export.c is made of. */
#define KSYMTAB_FUNC(symbol, namespace)
#define KSYMTAB_DATA(symbol, namespace)
#define SYMBOL_FLAGS(symbol, flags)
#define SYMBOL_CRC(symbol, crc)                          \
	asm("	.section __kcrctab, \"a\"\n"             \
	    "	.balign 4\n"                             \
	    "__crc_" #symbol ":\n"                       \
	    "	.long " #crc "\n"                        \
	    "	.previous\n")
