// Ask for the size, allocate, ask again: the one OpenCL idiom that is clearer in C than in Swift.
#include "CLBridge.h"
#include <stdlib.h>

#define ASK_TWICE(call)                                                  \
  do {                                                                   \
    size_t size = 0;                                                     \
    *out = NULL;                                                         \
    cl_int status = call(0, NULL, &size);                                \
    if (status != CL_SUCCESS) return status;                             \
    char *text = calloc(size + 1, 1);                                    \
    if (text == NULL) return CL_OUT_OF_HOST_MEMORY;                      \
    if (size > 0) status = call(size, text, NULL);                       \
    if (status != CL_SUCCESS) { free(text); return status; }             \
    *out = text;                                                         \
    return CL_SUCCESS;                                                   \
  } while (0)

cl_int clb_platform_string(cl_platform_id platform, cl_platform_info what, char **out) {
#define CALL(size, text, got) clGetPlatformInfo(platform, what, size, text, got)
  ASK_TWICE(CALL);
#undef CALL
}

cl_int clb_device_string(cl_device_id device, cl_device_info what, char **out) {
#define CALL(size, text, got) clGetDeviceInfo(device, what, size, text, got)
  ASK_TWICE(CALL);
#undef CALL
}

cl_int clb_build_log(cl_program program, cl_device_id device, char **out) {
#define CALL(size, text, got) clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_LOG, size, text, got)
  ASK_TWICE(CALL);
#undef CALL
}

cl_int clb_kernel_argument_name(cl_kernel kernel, cl_uint index, char **out) {
#define CALL(size, text, got) clGetKernelArgInfo(kernel, index, CL_KERNEL_ARG_NAME, size, text, got)
  ASK_TWICE(CALL);
#undef CALL
}

cl_int clb_program_binary(cl_program program, char **out, size_t *size) {
  *out = NULL;
  *size = 0;
  size_t count = 0;
  cl_int status = clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof count, &count, NULL);
  if (status != CL_SUCCESS || count == 0) return status;
  char *binary = malloc(count);
  if (binary == NULL) return CL_OUT_OF_HOST_MEMORY;
  status = clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL);
  if (status != CL_SUCCESS) { free(binary); return status; }
  *out = binary;
  *size = count;
  return CL_SUCCESS;
}

void clb_free(char *string) { free(string); }
