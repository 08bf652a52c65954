/* What the two objects of one module share. */
int several_part(int value);
