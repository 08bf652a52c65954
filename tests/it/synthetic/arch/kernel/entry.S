/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* An assembled object that exports a symbol. */
	.section .rodata, "a"
	.balign 8
	.globl entry_table
entry_table:
	.quad wake_up_one
	.quad vcpu_name
	.section .note.GNU-stack, ""
