/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * EXPORT(symbol) leaves a mark in a section of its own, through inline assembly at file
 * scope: what a symbol table of bitcode has to cope with in a kernel.
 */
#define EXPORT(symbol)                                   \
	asm("	.section .export_symbol, \"a\"\n"        \
	    "__export_symbol_" #symbol ":\n"             \
	    "	.asciz \"\"\n"                           \
	    "	.balign 8\n"                             \
	    "	.quad " #symbol "\n"                     \
	    "	.previous\n")

/*
 * INITCALL(function, level, call) puts a call at start into a section of its own, which the
 * script for the link of vmlinux.o names.
 */
#define INITCALL(function, level, call)                  \
	asm("	.section .initcall" #level ".init.." #call ", \"a\"\n" \
	    "	.balign 8\n"                             \
	    "__initcall__" #call #level ":\n"            \
	    "	.quad " #function "\n"                   \
	    "	.previous\n")
