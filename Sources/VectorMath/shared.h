// How the loops are compiled.
#ifndef VECTORMATH_SHARED_H
#define VECTORMATH_SHARED_H
#include "VectorMath.h"
#include <string.h>

// ThreadSanitizer instruments the functions that choose a clone, and those run before it is ready.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_THREAD_SANITIZER
#endif
#endif

#if defined(__x86_64__) && !defined(UNDER_THREAD_SANITIZER)
#define CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define CLONES
#endif
#define INLINE static inline __attribute__((always_inline))
// Sums may be taken in any order, so that they vectorise; the order is fixed for a given processor.
#define REASSOCIATE _Pragma("clang fp reassociate(on)")

#endif
