// Reads PTX: text to ptx.h's Module.
#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operations.h"
#include "ptx.h"

enum { MOST_OPERANDS = 160 };

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

static int line_of(Reader *r, const char *at) {
  if (!r->counted || at < r->counted) r->counted = r->text, r->line = 0;
  for (; r->counted < at; r->counted++) r->line += *r->counted == '\n';
  return r->line + 1;
}

static void fail(Reader *r, const char *at, const char *format, ...) {
  if (r->failed) return;
  r->failed = true;
  char what[256];
  va_list list;
  va_start(list, format);
  vsnprintf(what, sizeof what, format, list);
  va_end(list);
  int line = line_of(r, at);
  snprintf(r->problem, r->size, "error: line %d of the PTX: %s: %.200s", line, what,
           line <= r->module->line_count ? r->module->lines[line - 1] : "");
}

static void *grown(void *list, int count, int *room, size_t each) {
  if (count < *room) return list;
  *room = *room ? 2 * *room : 64;
  return realloc(list, (size_t)*room * each);
}

static int type_of(const char *name, int length) {
  static const struct {
    const char *name;
    int type;
  } types[] = {{"pred", T_PRED}, {"b8", T_B8}, {"s8", T_S8}, {"u8", T_U8}, {"b16", T_B16}, {"s16", T_S16}, {"u16", T_U16},
               {"f16", T_F16}, {"b32", T_B32}, {"s32", T_S32}, {"u32", T_U32}, {"f32", T_F32}, {"b64", T_B64}, {"s64", T_S64},
               {"u64", T_U64}, {"f64", T_F64}, {"f32x2", T_F32X2}};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if ((int)strlen(types[i].name) == length && !strncmp(types[i].name, name, (size_t)length)) return types[i].type;
  return T_NONE;
}

static void declare(Reader *r, const char *name, int kind) {
  r->registers = grown(r->registers, r->register_count, &r->register_room, sizeof(Register));
  Register *made = &r->registers[r->register_count++];
  snprintf(made->name, sizeof made->name, "%s", name);
  made->kind = kind;
  if (kind == 1) {
    made->at = r->kernel->predicates++;
  } else {
    made->at = r->kernel->words;
    r->kernel->words += kind / 4;
  }
}

// ".reg .b32 %r<12>" or ".reg .pred p, q".
static void declare_registers(Reader *r, char *statement) {
  char type[16], *rest = statement;
  int used = 0;
  if (sscanf(rest, ".reg .%15s %n", type, &used) != 1) return fail(r, statement, "a declaration that is not known");
  int found = type_of(type, (int)strlen(type));
  if (found == T_NONE) return fail(r, statement, "registers of type %s", type);
  int kind = found == T_PRED ? 1 : type_bytes(found) == 8 ? 8 : 4;
  for (char *name = strtok(rest + used, ", \t\n"); name; name = strtok(NULL, ", \t\n")) {
    char *range = strchr(name, '<');
    if (!range) {
      declare(r, name, kind);
      continue;
    }
    int count = atoi(range + 1);
    *range = 0;
    for (int i = 0; i < count; i++) {
      char each[64];
      snprintf(each, sizeof each, "%s%d", name, i);
      declare(r, each, kind);
    }
  }
}

// Numbered names lie in a row, so the search begins where the last of them was found.
static Register *find_register(Reader *r, const char *name) {
  static _Thread_local int last;
  if (last < r->register_count && !strcmp(r->registers[last].name, name)) return &r->registers[last];
  // A numbered register: guess from another of its kind.
  const char *digits = name + strlen(name);
  while (digits > name && isdigit((unsigned char)digits[-1])) digits--;
  if (*digits && strlen(digits) < 7) {
    char first[64];
    snprintf(first, sizeof first, "%.*s0", (int)(digits - name), name);
    static _Thread_local int starts[8];
    for (int k = 0; k < 8; k++) {
      int guess = starts[k] + atoi(digits);
      if (guess < r->register_count && !strcmp(r->registers[guess].name, name)) return last = guess, &r->registers[guess];
    }
    static _Thread_local int turn;
    for (int i = r->register_count - 1; i >= 0; i--)
      if (!strcmp(r->registers[i].name, first)) {
        starts[turn++ % 8] = i;
        int guess = i + atoi(digits);
        if (guess < r->register_count && !strcmp(r->registers[guess].name, name)) return last = guess, &r->registers[guess];
      }
  }
  for (int i = r->register_count - 1; i >= 0; i--)
    if (!strcmp(r->registers[i].name, name)) return last = i, &r->registers[i];
  return NULL;
}

static int constant(Reader *r, uint64_t value, int wide) {
  Kernel *k = r->kernel;
  for (int i = 0; i < k->constant_count; i++)
    if (k->constants[i].value == value && k->constants[i].wide == wide) return k->constants[i].at;
  k->constants = realloc(k->constants, sizeof *k->constants * (size_t)(k->constant_count + 1));
  int at = k->words;
  k->words += wide ? 2 : 1;
  k->constants[k->constant_count++] = (struct Constant){at, wide, value};
  return at;
}

static const char *special_names[] = {"%tid.x", "%tid.y", "%tid.z", "%ntid.x", "%ntid.y", "%ntid.z", "%ctaid.x", "%ctaid.y", "%ctaid.z",
                                      "%nctaid.x", "%nctaid.y", "%nctaid.z", "%laneid"};

// The words of an operand: a register, an immediate number, a special or a symbol's address.
static int operand(Reader *r, const char *at, const char *name, int bytes) {
  int wide = bytes == 8;
  if (name[0] == '%') {
    for (int i = 0; i < 13; i++)
      if (!strcmp(special_names[i], name)) {
        if (r->kernel->special[i] < 0) r->kernel->special[i] = r->kernel->words++;
        return r->kernel->special[i];
      }
    // OpenCL's offset of the grid, which layer.c takes none but zero of.
    if (!strncmp(name, "%envreg", 7)) return constant(r, 0, 0);
  }
  // Nobody wants it.
  if (!strcmp(name, "_")) {
    r->kernel->words += bytes == 8 ? 2 : 1;
    return r->kernel->words - (bytes == 8 ? 2 : 1);
  }
  Register *found = find_register(r, name);
  if (found) {
    if (found->kind != (wide ? 8 : 4)) fail(r, at, "%s is not of %d bytes", name, bytes);
    return found->at;
  }
  if (name[0] == '0' && (name[1] == 'f' || name[1] == 'd')) return constant(r, strtoull(name + 2, NULL, 16), wide);
  if (isdigit((unsigned char)name[0]) || name[0] == '-') {
    uint64_t value = name[0] == '-' ? (uint64_t)-strtoll(name + 1, NULL, 0) : strtoull(name, NULL, 0);
    return constant(r, wide ? value : bytes == 2 ? (uint16_t)value : (uint32_t)value, wide);
  }
  // The last first: each kernel has a __local_depot of its own.
  for (int i = r->module->symbol_count - 1; i >= 0; i--)
    if (!strcmp(r->module->symbols[i].name, name)) return constant(r, r->module->symbols[i].value, wide);
  fail(r, at, "%s is not known", name);
  return 0;
}

// A predicate's number; -1 and -2 where a text has "-1" and "0", always and never, and `literal` allows it.
static int predicate(Reader *r, const char *at, const char *name, bool literal) {
  if (literal && (isdigit((unsigned char)name[0]) || name[0] == '-')) return atoi(name) ? -1 : -2;
  Register *found = find_register(r, name);
  if (!found || found->kind != 1) {
    fail(r, at, "%s is no predicate", name);
    return 0;
  }
  return found->at;
}

// "%rd1+4", "%r2", a symbol or a parameter with an offset: the base's name stays in `text`.
static int64_t split_offset(char *text) {
  char *plus = strpbrk(text + 1, "+");
  if (!plus) return 0;
  *plus = 0;
  return strtoll(plus + 1, NULL, 0);
}

static const struct {
  const char *name;
  int operation;
} names[] = {
    {"mov", O_MOV}, {"add", O_ADD}, {"sub", O_SUB}, {"mul", O_MUL}, {"mad", O_MAD}, {"fma", O_FMA}, {"div", O_DIV}, {"rem", O_REM},
    {"min", O_MIN}, {"max", O_MAX}, {"abs", O_ABS}, {"neg", O_NEG}, {"and", O_AND}, {"or", O_OR}, {"xor", O_XOR}, {"not", O_NOT},
    {"shl", O_SHL}, {"shr", O_SHR}, {"bfe", O_BFE}, {"selp", O_SELP}, {"setp", O_SETP}, {"cvt", O_CVT}, {"cvta", O_MOV}, {"ld", O_LD},
    {"st", O_ST}, {"bra", O_BRA}, {"ret", O_RET}, {"exit", O_RET}, {"bar", O_BAR}, {"barrier", O_BAR}, {"ex2", O_EX2}, {"lg2", O_LG2},
    {"rcp", O_RCP}, {"sqrt", O_SQRT}, {"rsqrt", O_RSQRT}, {"shfl", O_SHFL}, {"red", O_RED}, {"setmaxnreg", O_NOTHING}, {"copysign", O_COPYSIGN},
    {"ldmatrix", O_LDMATRIX}, {"membar", O_NOTHING},
};

// The whole names of instructions that are made in one way alone.
static const struct {
  const char *name;
  int operation, type;
} whole[] = {
    {"mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", O_MMA, T_F32},
    {"mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", O_MMA, T_B16},
    {"wgmma.mma_async.sync.aligned.m64n64k8.f32.tf32.tf32", O_WGMMA, T_F32},
    {"wgmma.mma_async.sync.aligned.m64n128k8.f32.tf32.tf32", O_WGMMA, T_F32},
    {"wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16", O_WGMMA, T_B16},
    {"wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16", O_WGMMA, T_B16},
    {"wgmma.fence.sync.aligned", O_WGMMA_FENCE, 0},
    {"wgmma.commit_group.sync.aligned", O_WGMMA_COMMIT, 0},
    {"wgmma.wait_group.sync.aligned", O_WGMMA_WAIT, 0},
    {"fence.proxy.async.shared::cta", O_FENCE_ASYNC, 0},
    {"cp.async.ca.shared.global", O_CP_ASYNC, 0},
    {"cp.async.wait_all", O_CP_WAIT, 0},
    {"ldmatrix.sync.aligned.m8n8.x4.shared.b16", O_LDMATRIX, 0},
    {"mbarrier.init.shared::cta.b64", O_MBARRIER_INIT, 0},
    {"mbarrier.arrive.expect_tx.shared::cta.b64", O_MBARRIER_EXPECT, 0},
    {"mbarrier.try_wait.parity.shared::cta.b64", O_MBARRIER_TRY, 0},
    {"cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes", O_BULK, 0},
    {"shfl.sync.bfly.b32", O_SHFL, T_B32},
    {"red.global.add.f32", O_RED, T_F32},
};

typedef struct {
  char *part[MOST_OPERANDS];
  int count;
} Parts;

// Splits at commas; braces and brackets are of their own, and what they hold too.
static Parts split(Reader *r, char *text) {
  Parts parts = {0};
  char *c = text;
  for (;;) {
    while (*c && (isspace((unsigned char)*c) || strchr(",{}[]", *c))) c++;
    if (!*c) return parts;
    if (parts.count == MOST_OPERANDS) return fail(r, text, "more operands than are known"), parts;
    char *begin = c;
    while (*c && !isspace((unsigned char)*c) && !strchr(",{}[]", *c)) c++;
    // "%rd1 + 4" does not occur; a sign belongs to the number.
    if (*c) *c++ = 0;
    parts.part[parts.count++] = begin;
  }
}

static void parse_modifiers(Reader *r, const char *at, const char *opcode, Instruction *i) {
  i->rounding = R_NONE;
  int types = 0;
  const char *c = strchr(opcode, '.');
  while (c) {
    c++;
    const char *next = strchr(c, '.');
    int n = next ? (int)(next - c) : (int)strlen(c);
#define IS(text) (n == (int)strlen(text) && !strncmp(c, text, (size_t)n))
    int type = type_of(c, n);
    static const char *compares[] = {"eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan",
                                     "lo", "ls", "hi", "hs"};
    int compare = -1;
    for (int k = 0; k < 18; k++)
      if (IS(compares[k])) compare = k;
    if (type != T_NONE) {
      if (types++ == 0) i->type = (uint8_t)type;
      else i->from = (uint8_t)type;
    } else if (i->operation == O_SETP && compare >= 0) {
      i->compare = (uint8_t)compare;
    } else if (IS("hi")) {
      if (i->operation != O_MUL) fail(r, at, "%s is not known", opcode);
      i->operation = O_MUL_HI;
    } else if (IS("wide")) {
      i->operation = i->operation == O_MAD ? O_MAD_WIDE : O_MUL_WIDE;
    } else if (IS("v2") || IS("v4")) {
      i->vector = (uint8_t)(c[1] - '0');
    } else if (IS("global")) i->space = S_GLOBAL;
    else if (IS("shared")) i->space = S_SHARED;
    else if (IS("local")) i->space = S_LOCAL;
    else if (IS("const")) i->space = S_CONST;
    else if (IS("param")) i->space = S_PARAM;
    else if (IS("rn")) i->rounding = R_NEAREST;
    else if (IS("rz")) i->rounding = R_ZERO;
    else if (IS("rm")) i->rounding = R_DOWN;
    else if (IS("rp")) i->rounding = R_UP;
    else if (IS("rna")) i->rounding = R_AWAY;
    else if (IS("rni")) i->rounding = R_I_NEAREST;
    else if (IS("rzi")) i->rounding = R_I_ZERO;
    else if (IS("rmi")) i->rounding = R_I_DOWN;
    else if (IS("rpi")) i->rounding = R_I_UP;
    else if (IS("tf32")) i->compare = 1;
    else if (IS("bf16x2")) i->compare = 2;
    else if (!(IS("lo") || IS("uni") || IS("nc") || IS("sync") || IS("approx") || IS("to") || IS("volatile") || IS("full") || IS("cta") ||
               IS("gl") || IS("dec") || IS("aligned")))
      // A wrong answer is worse than none: ftz, sat, relu and whatever else is not made here.
      fail(r, at, "%.*s is not known", n, c);
#undef IS
    c = next;
  }
}

static void add(Reader *r, Instruction i, const int32_t *operands, int count) {
  Kernel *k = r->kernel;
  k->code = grown(k->code, k->length, &r->code_room, sizeof *k->code);
  i.count = count;
  i.operands = malloc(sizeof(int32_t) * (size_t)(count + 1));
  memcpy(i.operands, operands, sizeof(int32_t) * (size_t)count);
  k->code[k->length++] = i;
}

static void instruction(Reader *r, char *at) {
  Instruction i = {.guard = -1, .line = line_of(r, at)};
  char *c = at;
  if (*c == '@') {
    c++;
    if (*c == '!') i.negated = 1, c++;
    char *end = c;
    while (*end && !isspace((unsigned char)*end)) end++;
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)(end - c), c);
    i.guard = (int16_t)predicate(r, at, name, false);
    c = end;
    while (isspace((unsigned char)*c)) c++;
  }
  char opcode[128];
  int n = 0;
  while (c[n] && !isspace((unsigned char)c[n])) n++;
  snprintf(opcode, sizeof opcode, "%.*s", n, c);
  c += n;
  int32_t o[MOST_OPERANDS];
  int count = 0;
  bool has_braces = strchr(c, '{') != NULL;
  bool brace_first = false;
  for (char *b = c; *b; b++)
    if (!isspace((unsigned char)*b)) {
      brace_first = *b == '{';
      break;
    }
  Parts p = split(r, c);
  i.operation = 0xffff;
  for (size_t k = 0; k < sizeof whole / sizeof *whole; k++)
    if (!strcmp(whole[k].name, opcode)) i.operation = (uint16_t)whole[k].operation, i.type = (uint8_t)whole[k].type;
  bool is_whole = i.operation != 0xffff;
  if (!is_whole) {
    char first[32];
    snprintf(first, sizeof first, "%.*s", (int)strcspn(opcode, "."), opcode);
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
      if (!strcmp(names[k].name, first)) i.operation = (uint16_t)names[k].operation;
    if (i.operation == 0xffff || i.operation == O_SHFL || i.operation == O_RED || i.operation == O_LDMATRIX)
      return fail(r, at, "the instruction %s is not known", opcode);
    parse_modifiers(r, at, opcode, &i);
    // Two types are a conversion, or a sum of fp32 and fp16.
    bool is_mixed = i.type == T_F32 && i.from == T_F16 && (i.operation == O_ADD || i.operation == O_SUB || i.operation == O_FMA);
    if (i.from != T_NONE && i.operation != O_CVT && !is_mixed) return fail(r, at, "%s is not known", opcode);
  }
  int bytes = type_bytes(i.type);
#define NEED(n) \
  if (p.count != (n)) return fail(r, at, "%s with %d operands", opcode, p.count)
  switch (i.operation) {
  case O_BRA:
    NEED(1);
    r->jumps = realloc(r->jumps, sizeof *r->jumps * (size_t)(r->jump_count + 1));
    snprintf(r->jumps[r->jump_count].name, sizeof r->jumps->name, "%s", p.part[0]);
    r->jumps[r->jump_count++].at = r->kernel->length;
    o[count++] = 0;
    break;
  case O_RET:
  case O_NOTHING:
  case O_WGMMA_FENCE:
  case O_WGMMA_COMMIT:
  case O_FENCE_ASYNC:
  case O_CP_WAIT:
    break;
  case O_WGMMA_WAIT:
    NEED(1);
    if (strcmp(p.part[0], "0")) return fail(r, at, "a wait for some of the groups");
    break;
  case O_BAR:
    NEED(1);
    if (strcmp(p.part[0], "0")) return fail(r, at, "another barrier than 0");
    break;
  case O_LD:
  case O_ST: {
    int width = i.vector ? i.vector : 1;
    NEED(width + 1);
    char *address = p.part[i.operation == O_LD ? width : 0];
    i.offset = split_offset(address);
    if (i.space == S_GENERIC) return fail(r, at, "%s of no named memory", opcode);
    if (i.space == S_PARAM) {
      int found = -1;
      for (int k = 0; k < r->kernel->parameter_count; k++)
        if (!strcmp(r->kernel->parameters[k].name, address)) found = r->kernel->parameters[k].offset;
      if (found < 0 || i.operation == O_ST) return fail(r, at, "%s is no parameter", address);
      o[count++] = (int32_t)(found + i.offset);
    } else {
      Register *base = find_register(r, address);
      // 32 bits for shared memory where a text of ours says so; a symbol has 64.
      if (base && base->kind == 4) o[count++] = base->at, i.rounding = 1;
      else o[count++] = operand(r, at, address, 8);
    }
    for (int k = 0; k < width; k++) {
      const char *name = p.part[k + (i.operation == O_ST)];
      // A register may be wider than what is loaded into it or stored from it.
      Register *to = find_register(r, name);
      bool is_wider = to && to->kind == 8 && bytes < 8;
      if (is_wider) i.from = T_B64;
      o[count++] = operand(r, at, name, is_wider ? 8 : bytes);
    }
    break;
  }
  case O_MOV:
    if (i.type == T_PRED) {
      NEED(2);
      for (int k = 0; k < 2; k++) o[count++] = predicate(r, at, p.part[k], k > 0);
    } else if (has_braces) {
      NEED(3);
      // {low, high} of half the size on one side.
      i.operation = brace_first ? O_UNPACK : O_PACK;
      for (int k = 0; k < 3; k++) o[count++] = operand(r, at, p.part[k], k == (brace_first ? 2 : 0) ? bytes : bytes / 2);
    } else {
      NEED(2);
      for (int k = 0; k < 2; k++) o[count++] = operand(r, at, p.part[k], bytes);
    }
    break;
  case O_SETP:
    NEED(3);
    o[count++] = predicate(r, at, p.part[0], false);
    for (int k = 1; k < 3; k++) o[count++] = operand(r, at, p.part[k], bytes);
    break;
  case O_SELP:
    NEED(4);
    for (int k = 0; k < 3; k++) o[count++] = operand(r, at, p.part[k], bytes);
    o[count++] = predicate(r, at, p.part[3], false);
    break;
  case O_AND:
  case O_OR:
  case O_XOR:
  case O_NOT:
    NEED(i.operation == O_NOT ? 2 : 3);
    for (int k = 0; k < p.count; k++) {
      if (i.type != T_PRED) {
        o[count++] = operand(r, at, p.part[k], bytes);
      } else {
        o[count++] = predicate(r, at, p.part[k], k > 0);
      }
    }
    break;
  case O_CVT:
    if (i.compare == 1 || i.compare == 2) {
      // To TF32, and to two bf16, the first operand in the upper half.
      if (i.rounding != (i.compare == 1 ? R_AWAY : R_NEAREST) || i.type != T_F32) return fail(r, at, "%s is not known", opcode);
      NEED(i.compare == 1 ? 2 : 3);
      for (int k = 0; k < p.count; k++) o[count++] = operand(r, at, p.part[k], 4);
    } else {
      NEED(2);
      if (i.from == T_NONE) return fail(r, at, "%s is not known", opcode);
      // Registers may be wider than what is in them.
      for (int k = 0; k < 2; k++) {
        Register *found = find_register(r, p.part[k]);
        int each = found ? found->kind : type_bytes(k ? i.from : i.type);
        if (each == 8) i.vector |= (uint8_t)(1 << k);
        o[count++] = operand(r, at, p.part[k], each);
      }
    }
    break;
  case O_SHL:
  case O_SHR:
    NEED(3);
    o[count++] = operand(r, at, p.part[0], bytes);
    o[count++] = operand(r, at, p.part[1], bytes);
    o[count++] = operand(r, at, p.part[2], 4);
    break;
  case O_BFE:
    NEED(4);
    o[count++] = operand(r, at, p.part[0], bytes);
    o[count++] = operand(r, at, p.part[1], bytes);
    o[count++] = operand(r, at, p.part[2], 4);
    o[count++] = operand(r, at, p.part[3], 4);
    break;
  case O_MUL_WIDE:
  case O_MAD_WIDE:
    NEED(i.operation == O_MUL_WIDE ? 3 : 4);
    if (bytes != 4 && bytes != 2) return fail(r, at, "%s is not known", opcode);
    for (int k = 0; k < p.count; k++) o[count++] = operand(r, at, p.part[k], k == 0 || k == 3 ? 2 * bytes : bytes);
    break;
  case O_MMA:
    NEED(14);
    for (int k = 0; k < 14; k++) o[count++] = operand(r, at, p.part[k], 4);
    break;
  case O_WGMMA: {
    int sums = strstr(opcode, "n64k") ? 32 : 64;
    NEED(sums + 4 + 1 + (i.type == T_F32 ? 3 : 4));
    for (int k = 0; k < sums + 4; k++) o[count++] = operand(r, at, p.part[k], 4);
    o[count++] = operand(r, at, p.part[sums + 4], 8);
    o[count++] = predicate(r, at, p.part[sums + 5], false);
    // Scales of A and B, and for bf16 that B is not transposed.
    if (strcmp(p.part[sums + 6], "1") || strcmp(p.part[sums + 7], "1") || (i.type != T_F32 && strcmp(p.part[sums + 8], "0")))
      return fail(r, at, "scales or a transposition of wgmma");
    break;
  }
  case O_LDMATRIX:
    NEED(5);
    for (int k = 0; k < 5; k++) o[count++] = operand(r, at, p.part[k], 4);
    break;
  case O_CP_ASYNC:
    NEED(3);
    o[count++] = operand(r, at, p.part[0], 4);
    o[count++] = operand(r, at, p.part[1], 8);
    o[count++] = atoi(p.part[2]);
    break;
  case O_SHFL:
    NEED(5);
    if (strcmp(p.part[3], "31") || strcmp(p.part[4], "0xffffffff")) return fail(r, at, "a part of a warp");
    for (int k = 0; k < 3; k++) o[count++] = operand(r, at, p.part[k], 4);
    break;
  case O_RED:
    NEED(2);
    o[count++] = operand(r, at, p.part[0], 8);
    o[count++] = operand(r, at, p.part[1], 4);
    break;
  case O_MBARRIER_INIT:
    NEED(2);
    o[count++] = operand(r, at, p.part[0], 4);
    o[count++] = atoi(p.part[1]);
    break;
  case O_MBARRIER_EXPECT:
    NEED(3);
    o[count++] = operand(r, at, p.part[1], 4);
    o[count++] = atoi(p.part[2]);
    break;
  case O_MBARRIER_TRY:
    NEED(3);
    o[count++] = predicate(r, at, p.part[0], false);
    o[count++] = operand(r, at, p.part[1], 4);
    o[count++] = atoi(p.part[2]);
    break;
  case O_BULK:
    NEED(4);
    o[count++] = operand(r, at, p.part[0], 4);
    o[count++] = operand(r, at, p.part[1], 8);
    o[count++] = atoi(p.part[2]);
    o[count++] = operand(r, at, p.part[3], 4);
    break;
  default: {
    int expected = i.operation == O_FMA || i.operation == O_MAD ? 4
                   : i.operation == O_ABS || i.operation == O_NEG || (i.operation >= O_EX2 && i.operation <= O_RSQRT) ? 2 : 3;
    NEED(expected);
    for (int k = 0; k < p.count; k++) o[count++] = operand(r, at, p.part[k], bytes);
  }
  }
#undef NEED
  add(r, i, o, count);
}

static void new_symbol(Module *m, const char *name, uint64_t value, int bytes) {
  m->symbols = realloc(m->symbols, sizeof(Symbol) * (size_t)(m->symbol_count + 1));
  m->symbols[m->symbol_count++] = (Symbol){strdup(name), value, bytes};
}

static void skip_space(Reader *r) {
  while (isspace((unsigned char)*r->cursor)) r->cursor++;
}

// A body, from behind its brace to behind the brace that ends it.
static void body(Reader *r) {
  int depth = 1;
  r->scope_count = 0;
  while (depth && !r->failed) {
    skip_space(r);
    char *at = r->cursor;
    if (!*at) return fail(r, at, "the text ends");
    if (*at == '{') {
      if (r->scope_count == 16) return fail(r, at, "too many braces");
      r->scopes[r->scope_count++] = r->register_count;
      r->cursor++, depth++;
      continue;
    }
    if (*at == '}') {
      r->cursor++, depth--;
      if (r->scope_count) r->register_count = r->scopes[--r->scope_count];
      continue;
    }
    // A label.
    char *c = at;
    while (isalnum((unsigned char)*c) || *c == '_' || *c == '$') c++;
    if (c > at && *c == ':' && c[1] != ':') {
      r->labels = realloc(r->labels, sizeof *r->labels * (size_t)(r->label_count + 1));
      snprintf(r->labels[r->label_count].name, sizeof r->labels->name, "%.*s", (int)(c - at), at);
      r->labels[r->label_count++].at = r->kernel->length;
      r->cursor = c + 1;
      continue;
    }
    char *end = strchr(at, ';');
    if (!end) return fail(r, at, "no semicolon");
    *end = 0;
    r->cursor = end + 1;
    if (!strncmp(at, ".reg", 4)) {
      declare_registers(r, at);
    } else if (!strncmp(at, ".shared", 7)) {
      int align, bytes;
      char name[96];
      if (sscanf(at, ".shared .align %d .b8 %95[^[][%d]", &align, name, &bytes) != 3) return fail(r, at, "shared memory that is not known");
      r->kernel->shared_bytes = (r->kernel->shared_bytes + 15) / 16 * 16;
      new_symbol(r->module, name, (uint64_t)(SHARED_BASE + r->kernel->shared_bytes), 0);
      r->kernel->shared_bytes += bytes;
    } else if (!strncmp(at, ".local", 6)) {
      int align, bytes;
      char name[64];
      if (sscanf(at, ".local .align %d .b8 %63[^[][%d]", &align, name, &bytes) != 3) return fail(r, at, "local memory that is not known");
      int begin = (r->kernel->local_bytes + align - 1) / align * align;
      new_symbol(r->module, name, (uint64_t)begin, 0);
      r->kernel->local_bytes = begin + bytes;
    } else if (*at != '.' && *at) {
      instruction(r, at);
    } else if (strncmp(at, ".pragma", 7) && *at) {
      fail(r, at, "a directive that is not known");
    }
  }
}

static void entry(Reader *r) {
  char *at = r->cursor, *open = strchr(at, '('), *close = open ? strchr(open, ')') : NULL;
  if (!close) return fail(r, at, "a kernel without parameters");
  r->module->kernels = realloc(r->module->kernels, sizeof(Kernel) * (size_t)(r->module->kernel_count + 1));
  Kernel *k = r->kernel = &r->module->kernels[r->module->kernel_count++];
  *k = (Kernel){0};
  for (int i = 0; i < 16; i++) k->special[i] = -1;
  for (int i = 0; i < r->module->symbol_count; i++)
    if (r->module->symbols[i].bytes < 0) k->shared_bytes += (-r->module->symbols[i].bytes + 15) / 16 * 16;
  r->register_count = r->label_count = r->jump_count = r->code_room = 0;
  while (isspace((unsigned char)*at)) at++;
  k->name = strndup(at, strcspn(at, "( \t\n"));
  *close = 0;
  for (char *part = strtok(open + 1, ","); part; part = strtok(NULL, ",")) {
    char *type = strstr(part, ".param"), *name = strrchr(part, ' ');
    if (!type || !name) return fail(r, part, "a parameter that is not known");
    while (*type && *type != ' ') type++;
    type += 2;
    int bytes = type_bytes(type_of(type, (int)strcspn(type, " \t")));
    k->parameters = realloc(k->parameters, sizeof *k->parameters * (size_t)(k->parameter_count + 1));
    int offset = (k->parameter_bytes + bytes - 1) / bytes * bytes;
    char *trimmed = strndup(name + 1, strcspn(name + 1, " \t\n"));
    k->parameters[k->parameter_count++] =
        (struct Parameter){trimmed, offset, bytes, strstr(part, ".global") ? 1 : strstr(part, ".shared") ? 2 : 0};
    k->parameter_bytes = offset + bytes;
  }
  char *brace = strchr(close + 1, '{');
  if (!brace) return fail(r, at, "a kernel without a body");
  r->cursor = brace + 1;
  body(r);
  for (int i = 0; i < r->jump_count && !r->failed; i++) {
    int found = -1;
    for (int j = 0; j < r->label_count; j++)
      if (!strcmp(r->labels[j].name, r->jumps[i].name)) found = r->labels[j].at;
    if (found < 0) fail(r, at, "no label %s", r->jumps[i].name);
    k->code[r->jumps[i].at].operands[0] = found;
  }
  // Whoever runs off the end returns.
  if (!r->failed) add(r, (Instruction){.operation = O_RET, .guard = -1}, NULL, 0);
}

// ".const .align 4 .b8 name[16] = {1, 2};" and ".shared .align 4 .b8 name[16];".
static void variable(Reader *r) {
  char *at = r->cursor, *end = strchr(at, ';');
  if (!end) return fail(r, at, "no semicolon");
  r->cursor = end + 1;
  char space[16], name[96];
  int align, bytes, used = 0;
  while (!strncmp(at, ".visible", 8) || !strncmp(at, ".internal", 9)) at = strchr(at + 1, '.');
  if (sscanf(at, ".%15s .align %d .b8 %95[^[][%d]%n", space, &align, name, &bytes, &used) != 4)
    return fail(r, at, "a variable that is not known");
  Module *m = r->module;
  if (!strcmp(space, "shared")) {
    // Of every kernel behind it.
    int begin = 0;
    for (int i = 0; i < m->symbol_count; i++)
      if (m->symbols[i].bytes < 0) begin += (-m->symbols[i].bytes + 15) / 16 * 16;
    new_symbol(m, name, (uint64_t)(SHARED_BASE + begin), -bytes);
  } else {
    char *memory = aligned_alloc(128, (size_t)(bytes + 127) / 128 * 128);
    memset(memory, 0, (size_t)bytes);
    char *c = strchr(at + used, '{');
    for (int i = 0; c && c < end && i < bytes; i++) {
      c++;
      memory[i] = (char)strtol(c, &c, 0);
      while (c < end && *c != ',') c++;
      if (c >= end) break;
    }
    new_symbol(m, name, (uint64_t)(uintptr_t)memory, bytes);
  }
}

Module *ptx_read(const char *text, char *problem, size_t size) {
  Module *module = calloc(1, sizeof *module);
  Reader r = {.module = module, .text = strdup(text), .problem = problem, .size = size};
  for (const char *c = text; *c;) {
    size_t n = strcspn(c, "\n");
    module->lines = realloc(module->lines, sizeof(char *) * (size_t)(module->line_count + 1));
    module->lines[module->line_count++] = strndup(c, n);
    c += n + (c[n] == '\n');
  }
  // Comments to their ends.
  for (char *c = r.text; *c; c++) {
    if (c[0] == '/' && c[1] == '/')
      while (*c && *c != '\n') *c++ = ' ';
    if (c[0] == '/' && c[1] == '*') {
      while (*c && !(c[0] == '*' && c[1] == '/')) {
        if (*c != '\n') *c = ' ';
        c++;
      }
      if (*c) c[0] = c[1] = ' ';
    }
    if (!*c) break;
  }
  r.cursor = r.text;
  for (skip_space(&r); *r.cursor && !r.failed; skip_space(&r)) {
    char *at = r.cursor;
    if (!strncmp(at, ".version", 8) || !strncmp(at, ".target", 7) || !strncmp(at, ".address_size", 13)) {
      r.cursor += strcspn(at, "\n");
    } else if (!strncmp(at, ".entry", 6) || !strncmp(at, ".visible .entry", 15)) {
      r.cursor = strstr(at, ".entry") + 6;
      entry(&r);
    } else if (strspn(at, ".") && !strncmp(at, ".func", 5)) {
      fail(&r, at, "a function that is not a kernel");
    } else if (*at == '.') {
      variable(&r);
    } else {
      fail(&r, at, "what is not known");
    }
  }
  free(r.registers);
  free(r.labels);
  free(r.jumps);
  // The text has been cut up, and nothing points into it.
  free(r.text);
  if (!r.failed) return module;
  ptx_free(module);
  return NULL;
}

void ptx_free(Module *module) {
  for (int k = 0; k < module->kernel_count; k++) {
    Kernel *kernel = &module->kernels[k];
    for (int i = 0; i < kernel->length; i++) free(kernel->code[i].operands);
    for (int i = 0; i < kernel->parameter_count; i++) free(kernel->parameters[i].name);
    free(kernel->code);
    free(kernel->parameters);
    free(kernel->constants);
    free(kernel->name);
  }
  for (int i = 0; i < module->symbol_count; i++) {
    // Of global or constant memory; shared and local memory's are numbers.
    if (module->symbols[i].bytes > 0) free((void *)(uintptr_t)module->symbols[i].value);
    free(module->symbols[i].name);
  }
  for (int i = 0; i < module->line_count; i++) free(module->lines[i]);
  free(module->kernels);
  free(module->symbols);
  free(module->lines);
  free(module);
}
