// Counts what a launch makes of its instructions, for whoever wants to know what a GPU's memories would have to do.
#include <stdio.h>

#include "machine.h"

// Sectors of 32 bytes; the fewest are those of as many different bytes side by side.
void count_global(Group *g, uint32_t m, const Instruction *i, const uint64_t *addresses, int bytes) {
  uint64_t sectors[LANES], different[LANES];
  unsigned sector_count = 0, different_count = 0;
  for (int l = 0; l < LANES; l++) {
    if (!(m >> l & 1)) continue;
    unsigned k = 0;
    while (k < sector_count && sectors[k] != addresses[l] >> 5) k++;
    if (k == sector_count) sectors[sector_count++] = addresses[l] >> 5;
    k = 0;
    while (k < different_count && different[k] != addresses[l]) k++;
    if (k == different_count) different[different_count++] = addresses[l];
  }
  Count *count = &g->counts[i - g->launch->kernel->code];
  count->sectors += sector_count;
  count->least_sectors += (different_count * (unsigned)bytes + 31) / 32;
}

// 32 banks of four bytes: each answers with one word a turn, to all who want that. Accesses of 8 and 16 bytes are made by halves and quarters of
// a warp.
void count_shared(Group *g, uint32_t m, const Instruction *i, const uint64_t *addresses, int bytes) {
  int words = bytes < 4 ? 1 : bytes / 4, lanes = LANES / words;
  unsigned turns = 0, least = 0;
  for (int first = 0; first < LANES; first += lanes) {
    uint64_t wanted[32][32];
    unsigned counts[32] = {0}, most = 0, all = 0;
    for (int l = first; l < first + lanes; l++) {
      if (!(m >> l & 1)) continue;
      for (int n = 0; n < words; n++) {
        uint64_t word = addresses[l] / 4 + (unsigned)n;
        unsigned bank = word % 32, k = 0;
        while (k < counts[bank] && wanted[bank][k] != word) k++;
        if (k < counts[bank]) continue;
        wanted[bank][counts[bank]++] = word;
        all++;
        if (counts[bank] > most) most = counts[bank];
      }
    }
    turns += most;
    least += (all + 31) / 32;
  }
  Count *count = &g->counts[i - g->launch->kernel->code];
  count->turns += turns;
  count->least_turns += least;
}

// A line for each instruction that was made: the kernel, the line of its PTX, Count's numbers, the text.
void count_launch(const Launch *launch, const Count *counts) {
  FILE *file = fopen(launch->counts_to, "a");
  if (!file) return;
  const Kernel *k = launch->kernel;
  for (int n = 0; n < k->length; n++) {
    const Count *c = &counts[n];
    if (!c->warps) continue;
    const char *text = k->code[n].line > 0 ? launch->module->lines[k->code[n].line - 1] : "";
    while (*text == ' ' || *text == '\t') text++;
    fprintf(file, "%s\t%d\t%lu\t%lu\t%lu\t%lu\t%lu\t%lu\t%.80s\n", k->name, k->code[n].line, (long)c->warps,
            (long)c->items, (long)c->sectors, (long)c->least_sectors, (long)c->turns, (long)c->least_turns, text);
  }
  fclose(file);
}
