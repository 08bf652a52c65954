/* Part of a composite object; takes a flag of its own directory (ccflags-y). */

extern const char probe_bundle_b[];

const char probe_bundle_b[] = PROBE_LEAF;
