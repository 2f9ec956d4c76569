#include "msl_entry.h"

// Why the last launch of this thread failed.
extern "C" const char* msl_last_error() { return gpurt::last_error(); }
