// SPDX-License-Identifier: MIT OR Apache-2.0
/* Built from the makefile of another directory: arch/…/kvm/../../../virt/kvm/vcpu.o. */
#include <linux/synthetic.h>

int vcpu_run(struct ring *exits)
{
	return ring_next(exits) + schedule_hint();
}

/* Nothing refers to it. */
void vcpu_stop(struct ring *exits)
{
	exits->size = 0;
}

const char *vcpu_name(void)
{
	return VCPU_NAME;
}
