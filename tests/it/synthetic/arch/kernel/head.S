/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The first object of the image. Only data, so that it assembles for every architecture. */
	.section .head.text, "ax"
	.balign 8
	.globl _start
_start:
	.quad start_kernel
	.quad entry_table
	.section .note.GNU-stack, ""
