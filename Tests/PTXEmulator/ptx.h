// A PTX module as text becomes kernels, and a kernel runs over a grid of items on the CPU, 32 items of a warp at a time. Covers what clang
// and NVIDIA's compilers write for this project's kernels and what they say in inline PTX; anything else is refused when the module is read.
// Source: PTX ISA 8.0.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Another where a kept program would no longer be what is compiled.
#define PTX_EMULATOR_VERSION "1"

enum { LANES = 32, SHARED_BASE = 1024, SHARED_LIMIT = 227 << 10 };

typedef struct {
  // Of operations.h: what it makes, of which type, and of which it converts; how it compares, loads and rounds.
  uint16_t operation;
  uint8_t type, from, compare, vector, space, rounding;
  // Of loads and stores 1, of conversions a bit for each operand: where registers of 64 bits hold a shorter type. Whether an address has 32 bits.
  uint8_t wide, is_short;
  // A predicate's register or -1; whether it is negated.
  int16_t guard;
  uint8_t negated;
  // Whether subnormal numbers are zero; whether a result is at least 0 and at most 1.
  uint8_t flushes, saturates;
  // Of registers: where they begin in a warp's file of 32-bit words, or of a predicate its number; of addresses: the base.
  int count;
  int32_t *operands;
  int64_t offset;
  // In the module's text, for messages.
  int line;
} Instruction;

// What stands for an address: of global or constant memory with its bytes, of the module's shared memory with as many below zero, of a
// kernel's own with none.
typedef struct {
  char *name;
  uint64_t value;
  int bytes;
} Symbol;

typedef struct {
  char *name;
  int parameter_count;
  struct Parameter {
    char *name;
    // In the parameters' bytes.
    int offset, bytes;
    // 0 a number, 1 a pointer to global memory, 2 to shared memory.
    int pointer;
    // What a pointer promises of its address, bytes.
    int align;
  } *parameters;
  int parameter_bytes;
  Instruction *code;
  int length;
  // 32-bit words of all registers of a warp, and predicates.
  int words, predicates;
  // What registers hold at first: immediate numbers and specials.
  struct Constant {
    int32_t at;
    int wide;
    uint64_t value;
  } *constants;
  int constant_count;
  int32_t special[16];
  // Bytes of static shared memory, and of an item's own.
  int shared_bytes, local_bytes;
} Kernel;

typedef struct {
  Kernel *kernels;
  int kernel_count;
  Symbol *symbols;
  int symbol_count;
  char **lines;
  int line_count;
  // Of its own shared memory, which every kernel behind it has.
  int shared_bytes;
} Module;

// What specials are, as they stand in Kernel.special: -1 where a kernel reads none.
enum { TID, NTID = 3, CTAID = 6, NCTAID = 9, LANE = 12 };

/// Reads a module; NULL where something in it isn't known, with `problem` saying what.
Module *ptx_read(const char *text, char *problem, size_t size);
void ptx_free(Module *module);

// Of global memory, not to overlap: where it begins and ends, and what memory.c notes of it.
typedef struct {
  uintptr_t begin, end;
  struct Touched *touched;
} Range;

typedef struct {
  const Kernel *kernel;
  const Module *module;
  const uint8_t *parameters;
  // Bytes of shared memory that arguments take, behind SHARED_BASE.
  int shared_bytes;
  // Global memory that it may touch.
  Range *ranges;
  int range_count;
  unsigned groups[3], items[3];
  // The file that counts of its instructions are added to; NULL: nobody counts.
  const char *counts_to;
} Launch;

/// The PTX of a program's text, as it was kept or as the compiler makes it; NULL where that refuses it. `said`: what the compiler says, NULL where
/// nobody asked it. The caller frees both.
char *ptx_compile(const char *source, const char *options, char **said);

/// Where in shared memory something begins behind `used` bytes: aligned as it was declared, and to no more than that.
int ptx_place(int used, int align);

/// Makes one range of each that overlap; how many are left.
int ptx_merge(Range *ranges, int count);

/// Runs a kernel to its end; nonzero where it did what a GPU would not allow, with `problem` saying what and where.
int ptx_run(const Launch *launch, char *problem, size_t size);
