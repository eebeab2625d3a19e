// Kernels: the OpenCL C sources, embedded at build time, by file name.
#ifndef KERNELS_H
#define KERNELS_H

/// The number of embedded files.
int kernels_count(void);
/// The i-th file's name, "conv2d.cl"; NULL out of range.
const char *_Nullable kernels_name(int i);
/// A file's NUL-terminated text; NULL where there is no such file.
const char *_Nullable kernels_source(const char *_Nonnull name);

#endif
