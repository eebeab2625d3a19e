// What 'Scripts/bundle' links into the program in place of symbols that glibc 2.34 does not have or that must not be
// distributed with it. Hidden, so that a driver in the same process still takes glibc's.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#pragma GCC visibility push(hidden)

// --- glibc 2.35: hypot and hypotf got a version that leaves errno alone; the first one is in every glibc. ---

#pragma GCC visibility push(default)
double first_hypot(double x, double y);
float first_hypotf(float x, float y);
#pragma GCC visibility pop
__asm__(".symver first_hypot, hypot@GLIBC_2.2.5");
__asm__(".symver first_hypotf, hypotf@GLIBC_2.2.5");

double hypot(double x, double y) { return first_hypot(x, y); }
float hypotf(float x, float y) { return first_hypotf(x, y); }

// --- glibc 2.35: the unwinder of GCC 12 and later asks _dl_find_object for the tables of the object that holds an
// address. dl_iterate_phdr knows the same. ---

struct search {
  uintptr_t address;
  struct dl_find_object *found;
};

static int examine(struct dl_phdr_info *info, size_t size, void *argument) {
  (void)size;
  struct search *search = argument;
  uintptr_t start = UINTPTR_MAX, end = 0;
  void *tables = NULL;
  int holds = 0;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    uintptr_t segment = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
    if (info->dlpi_phdr[i].p_type == PT_GNU_EH_FRAME) tables = (void *)segment;
    if (info->dlpi_phdr[i].p_type != PT_LOAD) continue;
    uintptr_t after = segment + info->dlpi_phdr[i].p_memsz;
    if (search->address >= segment && search->address < after) holds = 1;
    if (segment < start) start = segment;
    if (after > end) end = after;
  }
  if (!holds) return 0;
  *search->found = (struct dl_find_object){
    .dlfo_map_start = (void *)start, .dlfo_map_end = (void *)end, .dlfo_eh_frame = tables};
  return tables == NULL ? -1 : 1;
}

int _dl_find_object(void *address, struct dl_find_object *found) {
  struct search search = {(uintptr_t)address, found};
  return dl_iterate_phdr(examine, &search) == 1 ? 0 : -1;
}

// --- glibc 2.36: arc4random, which libstdc++'s random_device asks. ---

uint32_t arc4random(void) {
  uint32_t number;
  if (getentropy(&number, sizeof number) != 0) abort();
  return number;
}

// --- JBIG, which libtiff can hold: its library is under the GPL, and no slide is a fax. libtiff says what
// jbg_strerror says. ---

void jbg_enc_init(void *s) { (void)s; }
void jbg_enc_out(void *s) { (void)s; }
void jbg_enc_free(void *s) { (void)s; }
void jbg_dec_init(void *s) { (void)s; }
void jbg_dec_free(void *s) { (void)s; }
int jbg_newlen(unsigned char *data, size_t size) { (void)data, (void)size; return 0; }
int jbg_dec_in(void *s, unsigned char *data, size_t size, size_t *count) {
  (void)s, (void)data, (void)size, (void)count;
  return 0x70; // libjbig's JBG_EIMPL: a feature that is not there
}
unsigned long jbg_dec_getsize(const void *s) { (void)s; return 0; }
unsigned char *jbg_dec_getimage(const void *s, int plane) { (void)s, (void)plane; return NULL; }
const char *jbg_strerror(int code) { (void)code; return "this program was built without JBIG"; }
