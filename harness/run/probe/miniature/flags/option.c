/* The object whose own flag, and whose directory's, a scenario changes. */

extern const int probe_option;
extern const char probe_directory[];

const int probe_option = PROBE_OPTION;
const char probe_directory[] = PROBE_DIRECTORY;
