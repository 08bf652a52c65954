/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Assembled, and its path is the end of another object's: arch/x86/lib/copy.o. */
	.section .rodata, "a"
	.balign 8
	.globl copy_table
copy_table:
	.quad copy_words
	.section .note.GNU-stack, ""
