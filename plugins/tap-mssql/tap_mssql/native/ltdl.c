/* The six functions of libltdl that Microsoft's ODBC installer library calls, over dlopen.

   Distributions leave libltdl out of a minimal installation, and installing it needs root. The installer library
   only uses it to load setup dialogs, which no server program opens. */

#include <dlfcn.h>

int lt_dlinit(void) { return 0; }
int lt_dlsetsearchpath(const char *path) { (void)path; return 0; }
void *lt_dlopen(const char *file) { return dlopen(file, RTLD_LAZY | RTLD_LOCAL); }
void *lt_dlsym(void *handle, const char *name) { return dlsym(handle, name); }
int lt_dlclose(void *handle) { return dlclose(handle); }
const char *lt_dlerror(void) { return dlerror(); }
