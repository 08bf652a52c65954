/*
 * The only program of the booted kernel: says on the console which kernel runs it, and
 * ends the machine. Freestanding; what a system call looks like comes from the file of
 * the architecture, as macros.
 */

/* From the kernel's include/uapi/linux/reboot.h. */
#define MAGIC1 0xfee1deadL
#define MAGIC2 672274793L

/* struct new_utsname of the kernel's include/uapi/linux/utsname.h. */
static struct {
	char sysname[65], nodename[65], release[65], version[65], machine[65], domainname[65];
} name;

static long system_call(long n, long a, long b, long c)
{
	register long number __asm__(KLTO_NUMBER) = n;
	register long first __asm__(KLTO_FIRST) = a;
	register long second __asm__(KLTO_SECOND) = b;
	register long third __asm__(KLTO_THIRD) = c;

	__asm__ volatile(KLTO_INSTRUCTION
			 : "+r"(number), "+r"(first)
			 : "r"(second), "r"(third)
			 : KLTO_CLOBBERS, "memory");
	return KLTO_RESULT;
}

static void say(const char *text)
{
	long left = 0;

	while (text[left])
		left++;
	while (left > 0) {
		long written = system_call(KLTO_WRITE, 1, (long)text, left);

		if (written <= 0)
			return;
		text += written;
		left -= written;
	}
}

void _start(void)
{
	system_call(KLTO_UNAME, (long)&name, 0, 0);
	say("\n" KLTO_LINE);
	say(name.release);
	say("\n");
	system_call(KLTO_REBOOT, MAGIC1, MAGIC2, KLTO_END);
	for (;;)
		;
}
