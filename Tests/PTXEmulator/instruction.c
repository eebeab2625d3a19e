// One instruction: its name, modifiers and operands.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reader.h"

enum { MOST_OPERANDS = 160 };

// What there is. A name with a point is the whole instruction's; another is its first word, and modifiers follow.
// Operands, in their order: t of the type's size (of predicates the first one is written, and others may be "-1" or "0"), h half that, w twice
// that, 4 and 8 so many bytes, p a predicate, n a number that is no register's, T and F registers that may be wider than the type and the type
// converted from, - one that nobody reads, =text that text; *12 twelve such.
static const struct {
  const char *name;
  int operation, type;
  const char *operands;
} forms[] = {
    {"mov", O_MOV, 0, "t t"},
    {"cvta", O_MOV, 0, "t t"},
    {"add", O_ADD, 0, "t t t"},
    {"sub", O_SUB, 0, "t t t"},
    {"mul", O_MUL, 0, "t t t"},
    {"mad", O_MAD, 0, "t t t t"},
    {"fma", O_FMA, 0, "t t t t"},
    {"div", O_DIV, 0, "t t t"},
    {"rem", O_REM, 0, "t t t"},
    {"min", O_MIN, 0, "t t t"},
    {"max", O_MAX, 0, "t t t"},
    {"abs", O_ABS, 0, "t t"},
    {"neg", O_NEG, 0, "t t"},
    {"copysign", O_COPYSIGN, 0, "t t t"},
    {"and", O_AND, 0, "t t t"},
    {"or", O_OR, 0, "t t t"},
    {"xor", O_XOR, 0, "t t t"},
    {"not", O_NOT, 0, "t t"},
    {"shl", O_SHL, 0, "t t 4"},
    {"shr", O_SHR, 0, "t t 4"},
    {"bfe", O_BFE, 0, "t t 4 4"},
    {"bfi", O_BFI, 0, "t t t 4 4"},
    {"prmt.b32", O_PRMT, T_B32, "t t t t"},
    {"selp", O_SELP, 0, "t t t p"},
    {"setp", O_SETP, 0, "p t t"},
    {"cvt", O_CVT, 0, "T F"},
    {"cvt.rna.tf32.f32", O_TO_TF32, T_F32, "t t"},
    {"cvt.rn.bf16x2.f32", O_TO_BF16, T_F32, "t t t"},
    {"ex2", O_EX2, 0, "t t"},
    {"lg2", O_LG2, 0, "t t"},
    {"rcp", O_RCP, 0, "t t"},
    {"sqrt", O_SQRT, 0, "t t"},
    {"rsqrt", O_RSQRT, 0, "t t"},
    {"ld", O_LD, 0, ""},
    {"st", O_ST, 0, ""},
    {"bra", O_BRA, 0, ""},
    {"ret", O_RET, 0, ""},
    {"exit", O_RET, 0, ""},
    {"bar", O_BAR, 0, "=0"},
    {"barrier", O_BAR, 0, "=0"},
    {"membar", O_NOTHING, 0, ""},
    {"setmaxnreg", O_NOTHING, 0, "n"},
    {"shfl.sync.bfly.b32", O_SHFL, T_B32, "t t t =31 =0xffffffff"},
    {"red.global.add.f32", O_RED, T_F32, "8 4"},
    {"ldmatrix.sync.aligned.m8n8.x4.shared.b16", O_LDMATRIX, 0, "4*5"},
    {"mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", O_MMA, T_F32, "4*14"},
    {"mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", O_MMA, T_B16, "4*14"},
    // Sums, A, the descriptor of B, whether sums are added to; scales of A and B, and that B is not transposed.
    {"wgmma.mma_async.sync.aligned.m64n64k8.f32.tf32.tf32", O_WGMMA, T_F32, "4*36 8 p =1 =1"},
    {"wgmma.mma_async.sync.aligned.m64n128k8.f32.tf32.tf32", O_WGMMA, T_F32, "4*68 8 p =1 =1"},
    {"wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16", O_WGMMA, T_B16, "4*36 8 p =1 =1 =0"},
    {"wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16", O_WGMMA, T_B16, "4*68 8 p =1 =1 =0"},
    {"wgmma.fence.sync.aligned", O_WGMMA_FENCE, 0, ""},
    {"wgmma.commit_group.sync.aligned", O_WGMMA_COMMIT, 0, ""},
    {"wgmma.wait_group.sync.aligned", O_WGMMA_WAIT, 0, "=0"},
    {"fence.proxy.async.shared::cta", O_FENCE_ASYNC, 0, ""},
    {"cp.async.ca.shared.global", O_CP_ASYNC, 0, "4 8 n"},
    {"cp.async.wait_all", O_CP_WAIT, 0, ""},
    {"cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes", O_BULK, 0, "4 8 n 4"},
    {"mbarrier.init.shared::cta.b64", O_MBARRIER_INIT, 0, "4 n"},
    {"mbarrier.arrive.expect_tx.shared::cta.b64", O_MBARRIER_EXPECT, 0, "- 4 n"},
    {"mbarrier.try_wait.parity.shared::cta.b64", O_MBARRIER_TRY, 0, "p 4 =0"},
};

static const char *const compares[] = {"eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan", "lo", "ls", "hi", "hs"};

// In the order of Space and of Rounding, from the first that has a word.
static const char *const spaces[] = {"", "global", "shared", "local", "const", "param"};
static const char *const roundings[] = {"", "rn", "rz", "rm", "rp", "rni", "rzi", "rmi", "rpi"};
// What makes no difference here.
static const char *const indifferent[] = {"lo", "uni", "nc", "sync", "aligned", "approx", "full", "to", "volatile", "cta", "gl", "dec"};

#define FIND(list, word) find(list, (int)(sizeof(list) / sizeof *(list)), word)

// Where a word stands in a list; -1 where it doesn't.
static int find(const char *const *list, int count, const char *word) {
  for (int k = 0; k < count; k++)
    if (*list[k] && !strcmp(list[k], word)) return k;
  return -1;
}

static void modifiers(Reader *r, const char *at, char *opcode, Instruction *i) {
  int types = 0;
  char *rest;
  strtok_r(opcode, ".", &rest);
  for (char *word = strtok_r(NULL, ".", &rest); word; word = strtok_r(NULL, ".", &rest)) {
    int type = type_of(word, (int)strlen(word)), found;
    if (type != T_NONE) {
      if (types++ == 0) i->type = (uint8_t)type;
      else i->from = (uint8_t)type;
    } else if (i->operation == O_SETP && (found = FIND(compares, word)) >= 0) {
      i->compare = (uint8_t)found;
    } else if ((found = FIND(spaces, word)) >= 0) {
      i->space = (uint8_t)found;
    } else if ((found = FIND(roundings, word)) >= 0) {
      i->rounding = (uint8_t)found;
    } else if (!strcmp(word, "hi") && i->operation == O_MUL) {
      i->operation = O_MUL_HI;
    } else if (!strcmp(word, "wide") && (i->operation == O_MUL || i->operation == O_MAD)) {
      i->operation = i->operation == O_MAD ? O_MAD_WIDE : O_MUL_WIDE;
    } else if (!strcmp(word, "v2") || !strcmp(word, "v4")) {
      i->vector = (uint8_t)(word[1] - '0');
    } else if (!strcmp(word, "ftz") && i->operation == O_EX2) {
      i->flushes = 1;
    } else if (!strcmp(word, "sat") && i->operation == O_CVT) {
      i->saturates = 1;
    } else if (FIND(indifferent, word) < 0) {
      // A wrong answer is worse than none: relu and whatever else is not made here.
      return fail(r, at, "%s is not known", word);
    }
  }
  // Two types are a conversion, or a sum of fp32 and fp16.
  bool is_mixed = i->type == T_F32 && i->from == T_F16 && (i->operation == O_ADD || i->operation == O_SUB || i->operation == O_FMA);
  bool saturates_other = i->saturates && (i->type != T_F32 || i->from != T_F32);
  if (((i->from != T_NONE) != (i->operation == O_CVT) && !is_mixed) || saturates_other) fail(r, at, "its types are not known");
}

void add_instruction(Reader *r, Instruction i, const int32_t *operands, int count) {
  Kernel *k = r->kernel;
  k->code = grown(k->code, k->length, &r->code_room, sizeof *k->code);
  i.count = count;
  i.operands = malloc(sizeof(int32_t) * (size_t)(count + 1));
  if (count) memcpy(i.operands, operands, sizeof(int32_t) * (size_t)count);
  k->code[k->length++] = i;
}

// The words between commas, braces and brackets. "%rd1 + 4" does not occur: a sign belongs to the number.
static int split(char *text, char *parts[]) {
  static const char between[] = " \t\n,{}[]";
  char *rest;
  int count = 0;
  for (char *word = strtok_r(text, between, &rest); word && count < MOST_OPERANDS; word = strtok_r(NULL, between, &rest)) parts[count++] = word;
  return count;
}

// What a form says its operands are; how many there are of them.
static int by_form(Reader *r, const char *at, const char *form, Instruction *i, char *parts[], int part_count, int32_t *operands) {
  int bytes = type_bytes(i->type), part = 0, count = 0;
  for (const char *word = form; *word; word += strcspn(word, " "), word += *word == ' ') {
    const char *times = strchr(word, '*');
    int length = (int)strcspn(word, " "), repeats = times && times < word + length ? atoi(times + 1) : 1;
    for (int n = 0; n < repeats; n++, part++) {
      if (part == part_count) return fail(r, at, "it has more operands"), 0;
      const char *name = parts[part];
      switch (*word) {
      case 't':
        operands[count++] = i->type == T_PRED ? predicate(r, at, name, part > 0) : operand(r, at, name, bytes);
        break;
      case 'h': operands[count++] = operand(r, at, name, bytes / 2); break;
      case 'w': operands[count++] = operand(r, at, name, 2 * bytes); break;
      case '4': operands[count++] = operand(r, at, name, 4); break;
      case '8': operands[count++] = operand(r, at, name, 8); break;
      case 'p': operands[count++] = predicate(r, at, name, false); break;
      case 'n': operands[count++] = atoi(name); break;
      case 'T':
      case 'F': {
        Register *found = find_register(r, name);
        int each = found ? found->kind : type_bytes(*word == 'T' ? i->type : i->from);
        if (each == 8) i->wide |= (uint8_t)(1 << part);
        operands[count++] = operand(r, at, name, each);
        break;
      }
      case '=':
        if ((int)strlen(name) != length - 1 || strncmp(name, word + 1, (size_t)length - 1)) return fail(r, at, "%s where it has another", name), 0;
        break;
      default: break;  // '-'
      }
    }
  }
  if (part < part_count) return fail(r, at, "it has fewer operands"), 0;
  return count;
}

// The address, then what is loaded or stored; of a parameter its offset.
static int of_memory(Reader *r, const char *at, Instruction *i, char *parts[], int part_count, int32_t *operands) {
  int width = i->vector ? i->vector : 1, bytes = type_bytes(i->type), count = 0;
  bool is_load = i->operation == O_LD;
  if (part_count != width + 1 || i->space == S_GENERIC) return fail(r, at, "a load or store of no named memory"), 0;
  char *address = parts[is_load ? width : 0], *plus = strchr(address, '+');
  if (plus) *plus = 0, i->offset = strtoll(plus + 1, NULL, 0);
  if (i->space == S_PARAM) {
    int found = -1;
    for (int k = 0; k < r->kernel->parameter_count; k++)
      if (!strcmp(r->kernel->parameters[k].name, address)) found = r->kernel->parameters[k].offset;
    if (found < 0 || !is_load || width > 1) return fail(r, at, "%s is no parameter", address), 0;
    operands[count++] = (int32_t)(found + i->offset);
  } else {
    Register *base = find_register(r, address);
    i->is_short = base && base->kind == 4;
    operands[count++] = operand(r, at, address, i->is_short ? 4 : 8);
  }
  for (int k = 0; k < width; k++) {
    const char *name = parts[k + !is_load];
    // A register may be wider than what is loaded into it or stored from it.
    Register *found = find_register(r, name);
    bool is_wide = found && found->kind == 8;
    if (is_wide) i->wide = 1;
    operands[count++] = operand(r, at, name, is_wide ? 8 : bytes);
  }
  return count;
}

// Where it goes is known when all labels are.
static int of_branch(Reader *r, const char *at, char *parts[], int part_count, int32_t *operands) {
  if (part_count != 1) return fail(r, at, "a branch to several places"), 0;
  r->jumps = realloc(r->jumps, sizeof *r->jumps * (size_t)(r->jump_count + 1));
  snprintf(r->jumps[r->jump_count].name, sizeof r->jumps->name, "%s", parts[0]);
  r->jumps[r->jump_count++].at = r->kernel->length;
  operands[0] = -1;
  return 1;
}

void instruction(Reader *r, char *at) {
  Instruction i = {.guard = -1, .line = line_of(r, at)};
  char *c = at, word[128];
  if (*c == '@') {
    c++;
    if (*c == '!') i.negated = 1, c++;
    int length = (int)strcspn(c, " \t\n");
    snprintf(word, sizeof word, "%.*s", length, c);
    i.guard = (int16_t)predicate(r, at, word, false);
    c += length;
    c += strspn(c, " \t\n");
  }
  int length = (int)strcspn(c, " \t\n");
  snprintf(word, sizeof word, "%.*s", length, c);
  c += length;
  c += strspn(c, " \t\n");
  bool has_braces = strchr(c, '{') != NULL, begins_with_them = *c == '{';
  char *parts[MOST_OPERANDS];
  int part_count = split(c, parts);

  const char *form = NULL;
  bool is_whole = false;
  int first = (int)strcspn(word, ".");
  for (size_t k = 0; k < sizeof forms / sizeof *forms && !is_whole; k++) {
    is_whole = !strcmp(forms[k].name, word) && strchr(word, '.');
    if (!is_whole && ((int)strlen(forms[k].name) != first || strncmp(forms[k].name, word, (size_t)first))) continue;
    i.operation = (uint16_t)forms[k].operation, i.type = (uint8_t)forms[k].type, form = forms[k].operands;
  }
  if (!form) return fail(r, at, "the instruction %s is not known", word);
  // As NVIDIA's assembler has it.
  bool is_hopper = !strncmp(word, "wgmma", 5) || !strncmp(word, "setmaxnreg", 10);
  if (is_hopper && !r->is_for_hopper) return fail(r, at, "%s is for sm_90a", word);
  if (!is_whole) modifiers(r, at, word, &i);
  if (r->failed) return;
  if (i.operation == O_MUL_WIDE) form = "w t t";
  if (i.operation == O_MAD_WIDE) form = "w t t w";
  // {low, high} of half the size on one side.
  if (i.operation == O_MOV && has_braces) {
    i.operation = begins_with_them ? O_UNPACK : O_PACK;
    form = begins_with_them ? "h h t" : "t h h";
  }
  int32_t operands[MOST_OPERANDS];
  int count = i.operation == O_LD || i.operation == O_ST ? of_memory(r, at, &i, parts, part_count, operands)
              : i.operation == O_BRA                     ? of_branch(r, at, parts, part_count, operands)
                                                         : by_form(r, at, form, &i, parts, part_count, operands);
  if (!r->failed) add_instruction(r, i, operands, count);
}
