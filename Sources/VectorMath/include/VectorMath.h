#ifndef VECTORMATH_H
#define VECTORMATH_H
#endif
