// Reads a PTX module: kernels with their parameters, variables, bodies.
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reader.h"

int line_of(Reader *r, const char *at) {
  if (!r->counted || at < r->counted) r->counted = r->text, r->line = 0;
  for (; r->counted < at; r->counted++) r->line += *r->counted == '\n';
  return r->line + 1;
}

void fail(Reader *r, const char *at, const char *format, ...) {
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

void *grown(void *list, int count, int *room, size_t each) {
  if (count < *room) return list;
  *room = *room ? 2 * *room : 64;
  return realloc(list, (size_t)*room * each);
}

static void new_symbol(Module *m, const char *name, uint64_t value, int bytes) {
  m->symbols = realloc(m->symbols, sizeof(Symbol) * (size_t)(m->symbol_count + 1));
  m->symbols[m->symbol_count++] = (Symbol){strdup(name), value, bytes};
}

int ptx_place(int used, int align) {
  int begin = (used + align - 1) / align * align;
  return begin % (2 * align) ? begin : begin + align;
}

static void skip_space(Reader *r) {
  while (isspace((unsigned char)*r->cursor)) r->cursor++;
}

// What NVIDIA's compilers say about kernels' arguments: braces within braces.
static void skip_braces(Reader *r) {
  int depth = 0;
  do {
    r->cursor += strcspn(r->cursor, "{}");
    if (!*r->cursor) return fail(r, r->cursor, "the text ends");
    depth += *r->cursor++ == '{' ? 1 : -1;
  } while (depth);
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
      int begin = ptx_place(r->kernel->shared_bytes, align);
      new_symbol(r->module, name, (uint64_t)(SHARED_BASE + begin), 0);
      r->kernel->shared_bytes = begin + bytes;
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
  k->shared_bytes = r->module->shared_bytes;
  r->register_count = r->label_count = r->jump_count = r->code_room = 0;
  while (isspace((unsigned char)*at)) at++;
  k->name = strndup(at, strcspn(at, "( \t\n"));
  *close = 0;
  char *rest;
  for (char *part = strtok_r(open + 1, ",", &rest); part; part = strtok_r(NULL, ",", &rest)) {
    char *type = strstr(part, ".param"), *name = strrchr(part, ' ');
    if (!type || !name) return fail(r, part, "a parameter that is not known");
    while (*type && *type != ' ') type++;
    type += 2;
    int bytes = type_bytes(type_of(type, (int)strcspn(type, " \t")));
    k->parameters = realloc(k->parameters, sizeof *k->parameters * (size_t)(k->parameter_count + 1));
    int offset = (k->parameter_bytes + bytes - 1) / bytes * bytes;
    char *trimmed = strndup(name + 1, strcspn(name + 1, " \t\n"));
    // Beside what it points to stands how that is aligned; nothing but its own size where it does not.
    const char *align = strstr(part, ".align");
    k->parameters[k->parameter_count++] = (struct Parameter){
        trimmed, offset, bytes, strstr(part, ".global") ? 1 : strstr(part, ".shared") ? 2 : 0, align ? atoi(align + 6) : 1};
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
  if (!r->failed) add_instruction(r, (Instruction){.operation = O_RET, .guard = -1}, NULL, 0);
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
    int begin = ptx_place(m->shared_bytes, align);
    new_symbol(m, name, (uint64_t)(SHARED_BASE + begin), -bytes);
    m->shared_bytes = begin + bytes;
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
    if (!strncmp(at, ".target", 7)) r.is_for_hopper = !strncmp(at + 7 + strspn(at + 7, " \t"), "sm_90a", 6);
    if (!strncmp(at, ".version", 8) || !strncmp(at, ".target", 7) || !strncmp(at, ".address_size", 13)) {
      r.cursor += strcspn(at, "\n");
    } else if (!strncmp(at, ".entry", 6) || !strncmp(at, ".visible .entry", 15)) {
      r.cursor = strstr(at, ".entry") + 6;
      entry(&r);
    } else if (!strncmp(at, ".metadata_section", 17)) {
      skip_braces(&r);
    } else if (!strncmp(at, ".func", 5)) {
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
