/* A head object that is bitcode, as powerpc's prom_init.o would be. */

int probe_prom(int value);

int probe_prom(int value)
{
	return value + 8;
}
