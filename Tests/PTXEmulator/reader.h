// What reads PTX: the reader's place in the text, names of registers and what operands are. For parse.c, names.c and instruction.c.
#pragma once

#include <stdbool.h>

#include "operations.h"
#include "ptx.h"

typedef struct Register {
  char name[64];
  int at;  // a word, or a predicate's number
  int kind;  // 4, 8, or 1 for a predicate
} Register;

typedef struct {
  Module *module;
  Kernel *kernel;
  char *text, *cursor;
  char *problem;
  size_t size;
  bool failed;
  // Whether the module is for sm_90a.
  bool is_for_hopper;
  // How many lines end before `counted`.
  const char *counted;
  int line;
  // Registers in scope, the innermost last; where each scope begins.
  Register *registers;
  int register_count, register_room, scopes[16], scope_count;
  struct {
    char name[96];
    int at;
  } *labels, *jumps;
  int label_count, jump_count, code_room;
} Reader;

int line_of(Reader *r, const char *at);
/// Notes the text's first problem, at a place in it.
void fail(Reader *r, const char *at, const char *format, ...);
/// `list`, with room for one more.
void *grown(void *list, int count, int *room, size_t each);

// names.c
int type_of(const char *name, int length);
/// ".reg .b32 %r<12>" or ".reg .pred p, q".
void declare_registers(Reader *r, char *statement);
/// NULL where none in scope has that name.
Register *find_register(Reader *r, const char *name);
/// The words of an operand of so many bytes: a register, an immediate number, a special or a symbol's address.
int operand(Reader *r, const char *at, const char *name, int bytes);
/// A predicate's number; -1 and -2 where a text has "-1" and "0", always and never, and `literal` allows it.
int predicate(Reader *r, const char *at, const char *name, bool literal);

// instruction.c
/// One instruction, guard and all, without its semicolon.
void instruction(Reader *r, char *at);
void add_instruction(Reader *r, Instruction i, const int32_t *operands, int count);
