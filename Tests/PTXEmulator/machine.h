// What runs a kernel: a group of warps of 32 items, their registers and what is noted of shared memory. For run.c, memory.c, arithmetic.c, integers.c
// and matrix.c.
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "operations.h"
#include "ptx.h"

enum { MANY = 0xffff, NOBODY = 0xfffe };

// Of two bytes of shared memory.
typedef struct {
  // The barrier behind which it was written and read last, and by which item.
  uint32_t wrote, read;
  uint16_t writer, reader;
  // Written at all; a copy into it is on its way; written but not yet fenced for products; products read it that are not waited for.
  bool written, copying, unfenced;
  uint8_t multiplying;
} Shadow;

// Of an instruction: how often warps made it, with how many items; of global memory the sectors of 32 bytes that it touched, and as few as
// they could be; of shared memory how many times its banks had to answer, and as few as they could.
typedef struct {
  uint64_t warps, items, sectors, least_sectors, turns, least_turns;
} Count;

typedef struct {
  uint32_t to;
  uintptr_t from;
  int bytes, item;
} Copy;

typedef struct {
  uint32_t *file;
  uint32_t *predicates;
  uint8_t *local;
  int pc[LANES];
  // Items that are there and have not returned, and all that were.
  uint32_t alive, all;
  bool waits;
  int first;
  Copy *copies;
  int copy_count, copy_room;
  // Shared memory that its products read and that nobody waited for.
  int *reading;
  int reading_count, reading_room;
  bool fenced, committed;
} Warp;

// Of two bytes of global memory: who wrote and read them last. The group, counted from 1, in the upper half, then the barrier, then the item.
// Workers of several groups look at it at a time: what one misses another run may find.
typedef struct Touched {
  volatile uint64_t wrote, read;
} Touched;

typedef struct {
  const Launch *launch;
  unsigned group[3];
  // The group in a Touched.
  uint64_t number;
  Warp *warps;
  int warp_count;
  uint8_t *shared;
  int shared_bytes;
  Shadow *shadow;
  uint32_t epoch;
  // Of the one mbarrier that instructions.clh has: its address, arrivals that are due, bytes that are due.
  uint32_t mbarrier;
  int due, due_bytes;
  struct Work *work;
  // The range that was touched last.
  int hint;
  // By instruction, where somebody counts.
  Count *counts;
} Group;

typedef struct Work {
  const Launch *launch;
  pthread_mutex_t lock;
  long next, count;
  char *problem;
  size_t size;
  bool failed;
  Count *counts;
} Work;

/// Notes the launch's first fault, and is false.
bool broken(Group *g, const Warp *w, int lane, const Instruction *i, const char *format, ...);
bool unknown(Group *g, const Warp *w, const Instruction *i);

// count.c: of what the items in `m` touch, each `bytes` from its address on.
void count_global(Group *g, uint32_t m, const Instruction *i, const uint64_t *addresses, int bytes);
void count_shared(Group *g, uint32_t m, const Instruction *i, const uint64_t *addresses, int bytes);
void count_launch(const Launch *launch, const Count *counts);

// memory.c. Each is false where the access isn't allowed.
bool in_shared(Group *g, const Warp *w, int lane, const Instruction *i, uint64_t address, int bytes);
bool note_read(Group *g, const Warp *w, int lane, const Instruction *i, uint64_t address, int bytes);
uint8_t *shared_at(Group *g, uint64_t address);
bool memory(Group *g, Warp *w, uint32_t m, const Instruction *i);

// arithmetic.c
bool arithmetic(Group *g, Warp *w, uint32_t m, const Instruction *i);
int64_t integer_of(uint64_t bits, int type);

// integers.c, for arithmetic
bool integer(Group *g, Warp *w, uint32_t m, const Instruction *i);
bool shift(Group *g, Warp *w, uint32_t m, const Instruction *i);

// matrix.c
bool matrix(Group *g, Warp *w, uint32_t m, const Instruction *i);

// Of an instruction `i` of warp `w`: an operand's registers, one of each item.
#define W(k) (w->file + (size_t)i->operands[k] * LANES)
#define U32(k) ((uint32_t *)W(k))
#define S32(k) ((int32_t *)W(k))
#define F32(k) ((float *)W(k))
#define U64(k) ((uint64_t *)W(k))
#define S64(k) ((int64_t *)W(k))
#define F64(k) ((double *)W(k))

// For each of the items in `m`.
#define EACH(...)                               \
  do {                                          \
    if (m == ~0u) {                             \
      for (int l = 0; l < LANES; l++) {         \
        __VA_ARGS__;                            \
      }                                         \
    } else {                                    \
      for (int l = 0; l < LANES; l++)           \
        if (m >> l & 1) {                       \
          __VA_ARGS__;                          \
        }                                       \
    }                                           \
  } while (0)

// The same of two or three operands.
#define TWO(expression, T) \
  { T *d = (T *)W(0); const T *a = (const T *)W(1), *b = (const T *)W(2); (void)a, (void)b; EACH(d[l] = (T)(expression)); }
#define THREE(expression, T) \
  { T *d = (T *)W(0); const T *a = (const T *)W(1), *b = (const T *)W(2), *c = (const T *)W(3); EACH(d[l] = (T)(expression)); }

// The same for integers of each size; 16 bits lie in 32.
#define INTEGERS(S, U, S6, U6, S1)                                 \
  switch (i->type) {                                               \
  case T_S32: TWO(S, int32_t) break;                             \
  case T_B32: case T_U32: TWO(U, uint32_t) break;                \
  case T_S64: TWO(S6, int64_t) break;                            \
  case T_B64: case T_U64: TWO(U6, uint64_t) break;               \
  case T_B16: case T_U16: case T_S16: TWO(S1, uint32_t) break;   \
  default: return unknown(g, w, i);                                \
  }

static inline float as_f(uint32_t bits) {
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

static inline uint32_t as_u(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  return bits;
}
