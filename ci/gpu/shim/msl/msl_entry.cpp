#include "msl_entry.h"

// Returns the message of this thread's last failed launch.
extern "C" const char* msl_last_error() { return gpurt::last_error(); }
