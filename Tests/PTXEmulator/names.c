// Registers, constants and symbols by their names.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reader.h"

int type_of(const char *name, int length) {
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

void declare_registers(Reader *r, char *statement) {
  char type[16];
  int used = 0;
  if (sscanf(statement, ".reg .%15s %n", type, &used) != 1) return fail(r, statement, "a declaration that is not known");
  int found = type_of(type, (int)strlen(type));
  if (found == T_NONE) return fail(r, statement, "registers of type %s", type);
  int kind = found == T_PRED ? 1 : type_bytes(found) == 8 ? 8 : 4;
  char *rest;
  for (char *name = strtok_r(statement + used, ", \t\n", &rest); name; name = strtok_r(NULL, ", \t\n", &rest)) {
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
Register *find_register(Reader *r, const char *name) {
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

int operand(Reader *r, const char *at, const char *name, int bytes) {
  int wide = bytes == 8;
  if (name[0] == '%') {
    // NVIDIA's OpenCL launches a grid in parts: the first three say in which group a part begins, the next three in which item, the next three
    // how many groups the whole grid has. Here there is one part, and layer.c takes no offset but zero.
    int environment;
    if (sscanf(name, "%%envreg%d", &environment) == 1) {
      if (environment > 8) fail(r, at, "%s is not known", name);
      if (environment < 6) return constant(r, 0, 0);
      name = special_names[NCTAID + environment - 6];
    }
    for (int i = 0; i < 13; i++)
      if (!strcmp(special_names[i], name)) {
        if (r->kernel->special[i] < 0) r->kernel->special[i] = r->kernel->words++;
        return r->kernel->special[i];
      }
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

int predicate(Reader *r, const char *at, const char *name, bool literal) {
  if (literal && (isdigit((unsigned char)name[0]) || name[0] == '-')) return atoi(name) ? -1 : -2;
  Register *found = find_register(r, name);
  if (!found || found->kind != 1) {
    fail(r, at, "%s is no predicate", name);
    return 0;
  }
  return found->at;
}
