// A layer of OpenCL's loader (OPENCL_LAYERS) that makes a CPU's driver an NVIDIA GPU: memory, queues and events are the driver's, programs are
// compiled to PTX by clang (compile.c) and run by run.c. A launch that does what a GPU would not allow fails with CL_OUT_OF_RESOURCES, as it does
// there, and standard error has one line that says what it was.
//
// PTX_EMULATOR_COUNTS    a file that gets a line for each instruction of each launch (count.c)
// PTX_EMULATOR_WITHOUT   the instructions that begin so are taken out, to see that their absence is noticed
#define _GNU_SOURCE
#define CL_TARGET_OPENCL_VERSION 120
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#include <CL/cl_layer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ptx.h"

static const cl_icd_dispatch *driver;
static cl_icd_dispatch layer;

typedef struct {
  int references;
  char *source, *options, *log, *ptx;
  cl_build_status status;
  Module *module;
} Program;

enum { MOST_PARAMETERS = 64 };

typedef struct {
  int references;
  Program *program;
  const Kernel *kernel;
  struct {
    cl_mem buffer;
    size_t local;
    uint64_t value;
    int set;
  } arguments[MOST_PARAMETERS];
} KernelObject;

static cl_int answer(const void *value, size_t length, size_t size, void *to, size_t *returned) {
  if (returned) *returned = length;
  if (!to) return CL_SUCCESS;
  if (size < length) return CL_INVALID_VALUE;
  memcpy(to, value, length);
  return CL_SUCCESS;
}

static cl_int answer_text(const char *text, size_t size, void *to, size_t *returned) {
  return answer(text, strlen(text) + 1, size, to, returned);
}

// --- What the device says of itself ---

static cl_int CL_API_CALL get_platform_info(cl_platform_id p, cl_platform_info what, size_t size, void *to, size_t *returned) {
  switch (what) {
  case CL_PLATFORM_NAME: return answer_text("PTX emulator", size, to, returned);
  case CL_PLATFORM_VENDOR: return answer_text("NVIDIA (emulated)", size, to, returned);
  default: return driver->clGetPlatformInfo(p, what, size, to, returned);
  }
}

static cl_int CL_API_CALL get_device_info(cl_device_id d, cl_device_info what, size_t size, void *to, size_t *returned) {
#define NUMBER(type, number) \
  { type value = (number); return answer(&value, sizeof value, size, to, returned); }
  switch (what) {
  case CL_DEVICE_TYPE: NUMBER(cl_device_type, CL_DEVICE_TYPE_GPU)
  case CL_DEVICE_NAME: return answer_text("NVIDIA sm_90a, emulated", size, to, returned);
  case CL_DEVICE_VENDOR: return answer_text("NVIDIA (emulated)", size, to, returned);
  case CL_DRIVER_VERSION: return answer_text("emulator " PTX_EMULATOR_VERSION, size, to, returned);
  // As NVIDIA's driver says of an H100.
  case CL_DEVICE_EXTENSIONS:
    return answer_text("cl_khr_global_int32_base_atomics cl_khr_fp64 cl_nv_device_attribute_query", size, to, returned);
  case CL_DEVICE_LOCAL_MEM_SIZE: NUMBER(cl_ulong, 48 << 10)
  case CL_DEVICE_MAX_WORK_GROUP_SIZE: NUMBER(size_t, 1024)
  case CL_DEVICE_MEM_BASE_ADDR_ALIGN: NUMBER(cl_uint, 4096)
  case CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT: NUMBER(cl_uint, 1)
  case CL_DEVICE_MAX_COMPUTE_UNITS: NUMBER(cl_uint, 132)
  case 0x4000: NUMBER(cl_uint, 9)   // CL_DEVICE_COMPUTE_CAPABILITY_MAJOR_NV
  case 0x4001: NUMBER(cl_uint, 0)   // and MINOR
  case 0x4003: NUMBER(cl_uint, 32)  // CL_DEVICE_WARP_SIZE_NV
  default: return driver->clGetDeviceInfo(d, what, size, to, returned);
  }
}

// --- Programs ---

static cl_program CL_API_CALL create_with_source(cl_context c, cl_uint count, const char **strings, const size_t *lengths, cl_int *status) {
  (void)c;
  Program *p = calloc(1, sizeof *p);
  p->references = 1, p->status = CL_BUILD_NONE, p->log = strdup("");
  FILE *text;
  size_t size;
  text = open_memstream(&p->source, &size);
  for (cl_uint i = 0; i < count; i++) fwrite(strings[i], 1, lengths && lengths[i] ? lengths[i] : strlen(strings[i]), text);
  fclose(text);
  if (status) *status = CL_SUCCESS;
  return (cl_program)p;
}

static cl_program CL_API_CALL create_with_binary(
    cl_context c, cl_uint count, const cl_device_id *devices, const size_t *lengths, const unsigned char **binaries, cl_int *each, cl_int *status) {
  (void)c, (void)devices;
  if (count != 1) {
    if (status) *status = CL_INVALID_VALUE;
    return NULL;
  }
  Program *p = calloc(1, sizeof *p);
  p->references = 1, p->status = CL_BUILD_NONE, p->log = strdup("");
  p->ptx = strndup((const char *)binaries[0], lengths[0]);
  if (each) each[0] = CL_SUCCESS;
  if (status) *status = CL_SUCCESS;
  return (cl_program)p;
}

static cl_int CL_API_CALL build_program(
    cl_program program, cl_uint count, const cl_device_id *devices, const char *options, void(CL_CALLBACK *notify)(cl_program, void *), void *data) {
  (void)count, (void)devices;
  Program *p = (Program *)program;
  free(p->options);
  p->options = strdup(options ? options : "");
  p->status = CL_BUILD_ERROR;
  if (!p->ptx) {
    char *log;
    p->ptx = ptx_compile(p->source, p->options, &log);
    if (log) {
      free(p->log);
      p->log = log;
    }
  }
  if (p->ptx) {
    char problem[1024], *text = strdup(p->ptx);
    const char *without = getenv("PTX_EMULATOR_WITHOUT");
    if (without && *without)
      for (char *c = text; (c = strstr(c, without));)
        while (*c && *c != ';') *c++ = ' ';
    if (p->module) ptx_free(p->module);
    p->module = ptx_read(text, problem, sizeof problem);
    free(text);
    if (p->module) {
      p->status = CL_BUILD_SUCCESS;
    } else {
      free(p->log);
      p->log = strdup(problem);
    }
  }
  if (notify) notify(program, data);
  return p->status == CL_BUILD_SUCCESS ? CL_SUCCESS : CL_BUILD_PROGRAM_FAILURE;
}

static cl_int CL_API_CALL get_build_info(cl_program program, cl_device_id d, cl_program_build_info what, size_t size, void *to, size_t *returned) {
  (void)d;
  const Program *p = (const Program *)program;
  switch (what) {
  case CL_PROGRAM_BUILD_STATUS: return answer(&p->status, sizeof p->status, size, to, returned);
  case CL_PROGRAM_BUILD_OPTIONS: return answer_text(p->options ? p->options : "", size, to, returned);
  case CL_PROGRAM_BUILD_LOG: return answer_text(p->log ? p->log : "", size, to, returned);
  default: return CL_INVALID_VALUE;
  }
}

static cl_int CL_API_CALL get_program_info(cl_program program, cl_program_info what, size_t size, void *to, size_t *returned) {
  const Program *p = (const Program *)program;
  size_t length = p->ptx ? strlen(p->ptx) : 0;
  cl_uint one = 1;
  switch (what) {
  case CL_PROGRAM_NUM_DEVICES: return answer(&one, sizeof one, size, to, returned);
  case CL_PROGRAM_BINARY_SIZES: return answer(&length, sizeof length, size, to, returned);
  case CL_PROGRAM_BINARIES:
    if (returned) *returned = sizeof(char *);
    if (to && ((char **)to)[0]) memcpy(((char **)to)[0], p->ptx ? p->ptx : "", length);
    return CL_SUCCESS;
  default: return CL_INVALID_VALUE;
  }
}

static cl_int CL_API_CALL retain_program(cl_program program) {
  __atomic_add_fetch(&((Program *)program)->references, 1, __ATOMIC_SEQ_CST);
  return CL_SUCCESS;
}

static cl_int CL_API_CALL release_program(cl_program program) {
  Program *p = (Program *)program;
  if (__atomic_sub_fetch(&p->references, 1, __ATOMIC_SEQ_CST)) return CL_SUCCESS;
  if (p->module) ptx_free(p->module);
  free(p->source);
  free(p->options);
  free(p->log);
  free(p->ptx);
  free(p);
  return CL_SUCCESS;
}

// --- Kernels ---

static cl_kernel CL_API_CALL create_kernel(cl_program program, const char *name, cl_int *status) {
  Program *p = (Program *)program;
  cl_int outcome = p->module ? CL_INVALID_KERNEL_NAME : CL_INVALID_PROGRAM_EXECUTABLE;
  KernelObject *made = NULL;
  for (int k = 0; p->module && k < p->module->kernel_count; k++)
    if (!strcmp(p->module->kernels[k].name, name)) {
      made = calloc(1, sizeof *made);
      made->references = 1, made->program = p, made->kernel = &p->module->kernels[k];
      outcome = made->kernel->parameter_count > MOST_PARAMETERS ? CL_OUT_OF_RESOURCES : CL_SUCCESS;
      retain_program(program);
    }
  if (status) *status = outcome;
  return (cl_kernel)made;
}

static cl_int CL_API_CALL retain_kernel(cl_kernel kernel) {
  __atomic_add_fetch(&((KernelObject *)kernel)->references, 1, __ATOMIC_SEQ_CST);
  return CL_SUCCESS;
}

static cl_int CL_API_CALL release_kernel(cl_kernel kernel) {
  KernelObject *k = (KernelObject *)kernel;
  if (__atomic_sub_fetch(&k->references, 1, __ATOMIC_SEQ_CST)) return CL_SUCCESS;
  release_program((cl_program)k->program);
  free(k);
  return CL_SUCCESS;
}

static cl_int CL_API_CALL set_argument(cl_kernel kernel, cl_uint index, size_t size, const void *value) {
  KernelObject *k = (KernelObject *)kernel;
  if ((int)index >= k->kernel->parameter_count) return CL_INVALID_ARG_INDEX;
  const struct Parameter *parameter = &k->kernel->parameters[index];
  switch (parameter->pointer) {
  case 1:
    if (size != sizeof(cl_mem)) return CL_INVALID_ARG_SIZE;
    k->arguments[index].buffer = value ? *(const cl_mem *)value : NULL;
    break;
  case 2:
    if (value) return CL_INVALID_ARG_VALUE;
    if (!size) return CL_INVALID_ARG_SIZE;
    k->arguments[index].local = size;
    break;
  default:
    if (!value) return CL_INVALID_ARG_VALUE;
    if ((int)size != parameter->bytes) return CL_INVALID_ARG_SIZE;
    memcpy(&k->arguments[index].value, value, size);
  }
  k->arguments[index].set = 1;
  return CL_SUCCESS;
}

static cl_int CL_API_CALL get_group_info(cl_kernel kernel, cl_device_id d, cl_kernel_work_group_info what, size_t size, void *to, size_t *returned) {
  (void)d;
  const Kernel *k = ((KernelObject *)kernel)->kernel;
  switch (what) {
  case CL_KERNEL_WORK_GROUP_SIZE: NUMBER(size_t, 1024)
  case CL_KERNEL_LOCAL_MEM_SIZE: NUMBER(cl_ulong, (cl_ulong)k->shared_bytes)
  case CL_KERNEL_PRIVATE_MEM_SIZE: NUMBER(cl_ulong, (cl_ulong)k->local_bytes)
  case CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE: NUMBER(size_t, 32)
  default: return CL_INVALID_VALUE;
  }
}

static cl_int CL_API_CALL get_argument_info(cl_kernel kernel, cl_uint index, cl_kernel_arg_info what, size_t size, void *to, size_t *returned) {
  (void)kernel, (void)index, (void)what, (void)size, (void)to, (void)returned;
  return CL_KERNEL_ARG_INFO_NOT_AVAILABLE;
}

// --- Launches ---

static cl_int CL_API_CALL enqueue(
    cl_command_queue queue, cl_kernel kernel, cl_uint dimensions, const size_t *offset, const size_t *global, const size_t *local, cl_uint count,
    const cl_event *list, cl_event *event) {
  const KernelObject *k = (const KernelObject *)kernel;
  const Kernel *function = k->kernel;
  Launch launch = {.kernel = function, .module = k->program->module, .groups = {1, 1, 1}, .items = {1, 1, 1}};
  size_t items = 1;
  for (cl_uint d = 0; d < dimensions; d++) {
    if (offset && offset[d]) return CL_INVALID_GLOBAL_OFFSET;
    size_t each = local ? local[d] : 1;
    if (!each || global[d] % each) return CL_INVALID_WORK_GROUP_SIZE;
    // A grid's limits: PTX ISA, "%nctaid".
    if (global[d] / each > (d ? 65535 : 0x7fffffff)) return CL_INVALID_GLOBAL_WORK_SIZE;
    launch.groups[d] = (unsigned)(global[d] / each);
    launch.items[d] = (unsigned)each;
    items *= each;
  }
  if (items > 1024) return CL_INVALID_WORK_GROUP_SIZE;
  for (int i = 0; i < function->parameter_count; i++)
    if (!k->arguments[i].set) return CL_INVALID_KERNEL_ARGS;
  if (count) driver->clWaitForEvents(count, list);
  driver->clFinish(queue);

  uint8_t parameters[8 * MOST_PARAMETERS] = {0};
  Range ranges[MOST_PARAMETERS + 64];
  void *mapped[MOST_PARAMETERS] = {0};
  int range_count = 0;
  cl_int status = CL_SUCCESS;
  for (int i = 0; i < function->parameter_count && status == CL_SUCCESS; i++) {
    const struct Parameter *parameter = &function->parameters[i];
    uint64_t value = k->arguments[i].value;
    if (parameter->pointer == 1) {
      cl_mem buffer = k->arguments[i].buffer;
      value = 0;
      if (buffer) {
        size_t bytes;
        status = driver->clGetMemObjectInfo(buffer, CL_MEM_SIZE, sizeof bytes, &bytes, NULL);
        if (status != CL_SUCCESS) break;
        mapped[i] = driver->clEnqueueMapBuffer(queue, buffer, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 0, bytes, 0, NULL, NULL, &status);
        value = (uintptr_t)mapped[i];
        ranges[range_count++] = (Range){.begin = value, .end = value + bytes};
      }
    } else if (parameter->pointer == 2) {
      int begin = ptx_place(function->shared_bytes + launch.shared_bytes, parameter->align);
      value = (uint64_t)(SHARED_BASE + begin);
      launch.shared_bytes = begin + (int)k->arguments[i].local - function->shared_bytes;
    }
    memcpy(parameters + parameter->offset, &value, (size_t)parameter->bytes);
  }
  for (int i = 0; i < launch.module->symbol_count && range_count < MOST_PARAMETERS + 64; i++)
    if (launch.module->symbols[i].bytes > 0) {
      uintptr_t begin = launch.module->symbols[i].value;
      ranges[range_count++] = (Range){.begin = begin, .end = begin + (uintptr_t)launch.module->symbols[i].bytes};
    }
  launch.counts_to = getenv("PTX_EMULATOR_COUNTS");
  launch.parameters = parameters, launch.ranges = ranges, launch.range_count = ptx_merge(ranges, range_count);
  if (status == CL_SUCCESS && function->shared_bytes + launch.shared_bytes > SHARED_LIMIT) status = CL_OUT_OF_RESOURCES;
  char problem[1024];
  if (status == CL_SUCCESS && ptx_run(&launch, problem, sizeof problem)) {
    fprintf(stderr, "ptx-emulator: %s\n", problem);
    status = CL_OUT_OF_RESOURCES;
  }
  for (int i = 0; i < function->parameter_count; i++)
    if (mapped[i]) driver->clEnqueueUnmapMemObject(queue, k->arguments[i].buffer, mapped[i], 0, NULL, NULL);
  driver->clFinish(queue);
  if (status == CL_SUCCESS && event) status = driver->clEnqueueMarkerWithWaitList(queue, 0, NULL, event);
  return status;
}

CL_API_ENTRY cl_int CL_API_CALL clGetLayerInfo(cl_layer_info what, size_t size, void *to, size_t *returned) {
  cl_layer_api_version version = CL_LAYER_API_VERSION_100;
  switch (what) {
  case CL_LAYER_API_VERSION: return answer(&version, sizeof version, size, to, returned);
  case CL_LAYER_NAME: return answer_text("PTX emulator", size, to, returned);
  default: return CL_INVALID_VALUE;
  }
}

CL_API_ENTRY cl_int CL_API_CALL clInitLayer(cl_uint count, const cl_icd_dispatch *target, cl_uint *returned, const cl_icd_dispatch **made) {
  if (!target || !returned || !made || count < sizeof layer / sizeof(void *)) return CL_INVALID_VALUE;
  driver = target;
  layer = *target;
  layer.clGetPlatformInfo = get_platform_info;
  layer.clGetDeviceInfo = get_device_info;
  layer.clCreateProgramWithSource = create_with_source;
  layer.clCreateProgramWithBinary = create_with_binary;
  layer.clBuildProgram = build_program;
  layer.clGetProgramBuildInfo = get_build_info;
  layer.clGetProgramInfo = get_program_info;
  layer.clRetainProgram = retain_program;
  layer.clReleaseProgram = release_program;
  layer.clCreateKernel = create_kernel;
  layer.clRetainKernel = retain_kernel;
  layer.clReleaseKernel = release_kernel;
  layer.clSetKernelArg = set_argument;
  layer.clGetKernelWorkGroupInfo = get_group_info;
  layer.clGetKernelArgInfo = get_argument_info;
  layer.clEnqueueNDRangeKernel = enqueue;
  // What would get to the driver with an object that is none of its own.
  layer.clCreateKernelsInProgram = NULL;
  layer.clCompileProgram = NULL;
  layer.clLinkProgram = NULL;
  layer.clGetKernelInfo = NULL;
  layer.clEnqueueTask = NULL;
  *returned = sizeof layer / sizeof(void *);
  *made = &layer;
  return CL_SUCCESS;
}
