// A driver's library asked by itself: the loader drops one that cannot be loaded or has no platform, and says nothing.
#define _GNU_SOURCE // dladdr
#include "CLBridge.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

typedef void *(CL_API_CALL *find_function)(const char *name);
typedef cl_int (CL_API_CALL *list_platforms)(cl_uint capacity, cl_platform_id *platforms, cl_uint *count);

cl_int clb_driver_platforms(const char *library, cl_uint capacity, cl_platform_id *platforms, cl_uint *count, char **why) {
  *count = 0;
  *why = NULL;
  // Never closed: the loader holds it too, and a platform's handle lives in it.
  void *handle = dlopen(library, RTLD_LAZY | RTLD_LOCAL);
  if (handle == NULL) {
    const char *text = dlerror();
    *why = strdup(text == NULL ? library : text);
    return CL_INVALID_VALUE;
  }
  find_function find = (find_function)dlsym(handle, "clGetExtensionFunctionAddress");
  list_platforms list = (list_platforms)dlsym(handle, "clIcdGetPlatformIDsKHR");
  if (list == NULL && find != NULL) list = (list_platforms)find("clIcdGetPlatformIDsKHR");
  if (list == NULL) return CL_INVALID_PLATFORM;
  cl_uint found = 0;
  cl_int status = list(capacity, platforms, &found);
  if (status == CL_SUCCESS) *count = found < capacity ? found : capacity;
  return status;
}

char *clb_library_path(const char *library, const char *function) {
  void *handle = dlopen(library, RTLD_LAZY | RTLD_LOCAL);
  if (handle == NULL) return NULL;
  Dl_info info = {0};
  void *symbol = dlsym(handle, function);
  char *path = symbol != NULL && dladdr(symbol, &info) != 0 && info.dli_fname != NULL ? strdup(info.dli_fname) : NULL;
  dlclose(handle);
  return path;
}
