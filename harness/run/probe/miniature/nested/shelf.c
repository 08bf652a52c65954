/* Takes the flag of its own directory (subdir-ccflags-y). */

extern const char probe_shelf[];

const char probe_shelf[] = PROBE_BRANCH;
