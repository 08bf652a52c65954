/* Part of a composite object; takes a flag from the directory above. */
#ifdef PROBE_UNWANTED
#error "ccflags-remove-y has no effect"
#endif

extern const char probe_bundle_a[];

const char probe_bundle_a[] = PROBE_BRANCH;
