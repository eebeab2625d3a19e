// OpenBLAS' C interface; openblas_set_num_threads and openblas_get_config are OpenBLAS' own.
#ifndef CBLAS_SHIM_H
#define CBLAS_SHIM_H
#include <cblas.h>
#endif
