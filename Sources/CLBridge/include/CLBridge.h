// CLBridge: the only C surface of OpenCL in glomseg.
//
// Rules
// - The OpenCL version is pinned here, before <CL/cl.h>: a define in the package manifest would reach this
//   target's C files but not the Swift importer.
// - Thread-safety is OpenCL's own: every call may be made from any thread, except clSetKernelArg on one kernel.
// - Functions prefixed clb_ return an OpenCL status and give results by out-parameter. Memory that they
//   allocate is released with clb_free. They hold no state, print nothing and decide nothing.
#ifndef CLBRIDGE_H
#define CLBRIDGE_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <stddef.h>

/// The name of an OpenCL status code, "CL_OUT_OF_RESOURCES" for -5; "CL_UNKNOWN_STATUS" for one not in OpenCL 1.2.
const char *_Nonnull clb_status_name(cl_int status);

/// Information as a NUL-terminated string, asked for by size first. Release with clb_free.
cl_int clb_platform_string(cl_platform_id _Nonnull platform, cl_platform_info what, char *_Nullable *_Nonnull out);
cl_int clb_device_string(cl_device_id _Nonnull device, cl_device_info what, char *_Nullable *_Nonnull out);

/// The compiler's log for one device; empty where the driver keeps none. Release with clb_free.
cl_int clb_build_log(cl_program _Nonnull program, cl_device_id _Nonnull device, char *_Nullable *_Nonnull out);

/// A built program's binary for its one device. `*size` is 0 where the driver gives none. Release with clb_free.
cl_int clb_program_binary(cl_program _Nonnull program, char *_Nullable *_Nonnull out, size_t *_Nonnull size);

/// The name of a kernel's argument, where the driver tells (CL_KERNEL_ARG_INFO_NOT_AVAILABLE where not). Release
/// with clb_free.
cl_int clb_kernel_argument_name(cl_kernel _Nonnull kernel, cl_uint index, char *_Nullable *_Nonnull out);

/// The file of a library that the dynamic loader knows by name, found by a function of it; NULL where it knows none. Release with clb_free.
char *_Nullable clb_library_path(const char *_Nonnull library, const char *_Nonnull function);

/// The platforms that a driver's library has, by the entry that loaders use (cl_khr_icd); `count` of them, at most `capacity`. Where the
/// library cannot be loaded, `*why` is what the dynamic loader says (release with clb_free), and the status CL_INVALID_VALUE; where it is
/// no driver, CL_INVALID_PLATFORM; where it has none, mostly CL_PLATFORM_NOT_FOUND_KHR (-1001).
cl_int clb_driver_platforms(
    const char *_Nonnull library, cl_uint capacity, cl_platform_id _Nullable *_Nonnull platforms, cl_uint *_Nonnull count,
    char *_Nullable *_Nonnull why);

/// Ends this process when the thread that started it ends: a driver's compiler may hang, and asks nobody whether to stop.
void clb_end_with_parent(void);

void clb_free(char *_Nullable string);

#endif
