/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the generated .vmlinux.export.c and .mod.c files are made of. The tables come in the
 * order of the lines, which modpost here sorts.
 */
#define TABLE_ENTRY(table, label, entry)                 \
	asm("	.section " table ", \"a\"\n"            \
	    label ":\n"                                  \
	    "	" entry "\n"                              \
	    "	.previous\n")

#define KSYMTAB_FUNC(symbol, namespace) KSYMTAB_DATA(symbol, namespace)
#define KSYMTAB_DATA(symbol, namespace)                  \
	TABLE_ENTRY("__ksymtab", "__ksymtab_" #symbol, ".zero 12")
#define SYMBOL_FLAGS(symbol, flags)                      \
	TABLE_ENTRY("__kflagstab", "__flags_" #symbol, ".byte " #flags)
#define SYMBOL_CRC(symbol, crc)                          \
	TABLE_ENTRY("__kcrctab", "__crc_" #symbol, ".long " #crc)
