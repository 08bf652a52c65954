/*
 * Included by some of the objects only: a change of it rebuilds those.
 * They are the ones that say #include "probe.h".
 */
#ifndef KLTO_PROBE_H
#define KLTO_PROBE_H

#define PROBE_LEVEL 3

struct probe_point {
	int x;
	int y;
};

/* callee.c */
int probe_scale(int value);
int probe_step(int value);
void probe_set_factor(int factor);

/* caller.c */
int probe_call(int value);

/* export.c */
extern int probe_exported_count;
int probe_exported(const struct probe_point *point);
int probe_exported_gpl(int value);
int probe_exported_in_namespace(struct probe_point *point, int value);

/* elsewhere/ */
int probe_virt(int value);
int probe_deep(int value);

/* nolto.c */
int probe_without_lto(int value);

/* modules/ */
int probe_single_exported(int value);
int probe_several_exported(int value);

#endif
