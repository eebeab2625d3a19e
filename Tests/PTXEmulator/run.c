// Runs a kernel of a PTX module: each warp's items together, each group's warps from barrier to barrier. What a CPU would let pass and a GPU
// does not is an error here: addresses that are not aligned to what is loaded, global memory beyond a buffer, barriers and products that
// a part of a warp reaches, memory that one item writes and another touches between two barriers (or another group at all), shared memory
// that nobody wrote, or that is touched while a copy into it or a product from it is on its way.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "machine.h"

// Buffers larger than this are watched for their ends alone: the notes take eight times as much.
enum { MOST_TOUCHED = 64 << 20 };

bool broken(Group *g, const Warp *w, int lane, const Instruction *i, const char *format, ...) {
  pthread_mutex_lock(&g->work->lock);
  if (!g->work->failed) {
    g->work->failed = true;
    char what[256];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    const Module *m = g->launch->module;
    snprintf(g->work->problem, g->work->size, "%s, group (%u, %u, %u), item %d: %s, line %d of its PTX: %.160s", g->launch->kernel->name,
             g->group[0], g->group[1], g->group[2], w->first + lane, what, i->line,
             i->line > 0 && i->line <= m->line_count ? m->lines[i->line - 1] : "its end");
  }
  pthread_mutex_unlock(&g->work->lock);
  return false;
}

bool unknown(Group *g, const Warp *w, const Instruction *i) { return broken(g, w, 0, i, "the emulator does not make it"); }

// Anything but what changes the course of items.
static bool make(Group *g, Warp *w, uint32_t m, const Instruction *i) {
  if (g->counts) {
    Count *count = &g->counts[i - g->launch->kernel->code];
    count->warps++, count->items += (unsigned)__builtin_popcount(m);
  }
  switch (i->operation) {
  case O_NOTHING: return true;
  case O_MMA: case O_LDMATRIX: case O_WGMMA: case O_WGMMA_FENCE: case O_WGMMA_COMMIT: case O_WGMMA_WAIT: case O_SHFL:
    return matrix(g, w, m, i);
  case O_LD: case O_ST: case O_CP_ASYNC: case O_CP_WAIT: case O_FENCE_ASYNC: case O_RED: case O_MBARRIER_INIT: case O_MBARRIER_EXPECT:
  case O_MBARRIER_TRY: case O_BULK:
    return memory(g, w, m, i);
  default: return arithmetic(g, w, m, i);
  }
}

// What a warp makes with all of its items.
static bool is_of_all(int operation) {
  switch (operation) {
  case O_BAR: case O_MMA: case O_LDMATRIX: case O_WGMMA: case O_WGMMA_FENCE: case O_WGMMA_COMMIT: case O_WGMMA_WAIT: case O_SHFL: return true;
  default: return false;
  }
}

// Until its items wait at a barrier or for a copy, or have returned.
static bool run_warp(Group *g, Warp *w) {
  const Kernel *k = g->launch->kernel;
  // Items that wait for the others of their warp.
  uint32_t parked = 0;
  while (w->alive) {
    if (parked == w->alive) parked = 0;
    // The items that are furthest behind.
    int pc = k->length, next = k->length;
    uint32_t m = 0;
    for (int l = 0; l < LANES; l++) {
      if (!((w->alive & ~parked) >> l & 1)) continue;
      if (w->pc[l] < pc) next = pc, pc = w->pc[l], m = 0;
      else if (w->pc[l] > pc && w->pc[l] < next) next = w->pc[l];
      if (w->pc[l] == pc) m |= 1u << l;
    }
    bool apart = m != w->alive;
    if (apart && !parked) {
      bool all = true;
      for (int l = 0; l < LANES; l++) all = all && (!(w->alive >> l & 1) || is_of_all(k->code[w->pc[l]].operation));
      int other = __builtin_ctz(w->alive & ~m);
      if (all) return broken(g, w, __builtin_ctz(m), &k->code[pc], "a part of a warp is here, and the others at line %d", k->code[w->pc[other]].line);
    }
    for (;;) {
      const Instruction *i = &k->code[pc];
      uint32_t taken = m;
      if (apart && is_of_all(i->operation)) {
        for (int l = 0; l < LANES; l++)
          if (m >> l & 1) w->pc[l] = pc;
        parked |= m;
        break;
      }
      if (i->guard >= 0) taken &= i->negated ? ~w->predicates[i->guard] : w->predicates[i->guard];
      if (i->operation == O_BRA) {
        if (!apart && (taken == m || !taken)) {
          pc = taken ? i->operands[0] : pc + 1;
          continue;
        }
        for (int l = 0; l < LANES; l++)
          if (m >> l & 1) w->pc[l] = taken >> l & 1 ? i->operands[0] : pc + 1;
        break;
      }
      if (i->operation == O_RET) {
        for (int l = 0; l < LANES; l++)
          if (m >> l & 1) w->pc[l] = pc + 1;
        w->alive &= ~taken;
        break;
      }
      if (i->operation == O_BAR) {
        if (taken != w->all) return broken(g, w, 0, i, "a part of a warp's items is at the barrier (%#x of %#x)", taken, w->all);
        for (int l = 0; l < LANES; l++) w->pc[l] = pc + 1;
        w->waits = true;
        return true;
      }
      if (taken && !make(g, w, taken, i)) return false;
      pc++;
      // Who asks whether a copy has arrived lets the others go on, one of whom may have to begin it.
      if (i->operation == O_MBARRIER_TRY) {
        for (int l = 0; l < LANES; l++)
          if (m >> l & 1) w->pc[l] = pc;
        return true;
      }
      // Apart, items meet again where the others stand.
      if (apart && pc >= next) {
        for (int l = 0; l < LANES; l++)
          if (m >> l & 1) w->pc[l] = pc;
        break;
      }
    }
  }
  return true;
}

static bool run_group(Group *g) {
  const Launch *l = g->launch;
  const Kernel *k = l->kernel;
  int items = (int)(l->items[0] * l->items[1] * l->items[2]);
  memset(g->shadow, 0, sizeof(Shadow) * (size_t)(g->shared_bytes / 2 + 1));
  for (int b = 0; b <= g->shared_bytes / 2; b++) g->shadow[b].writer = g->shadow[b].reader = NOBODY;
  // What shared memory holds at first is nothing to rely on.
  memset(g->shared, 0x7f, (size_t)g->shared_bytes);
  g->epoch = 2;
  unsigned number = g->group[0] + l->groups[0] * (g->group[1] + l->groups[1] * g->group[2]);
  g->number = (uint64_t)(number + 1) << 32;
  for (int n = 0; n < g->warp_count; n++) {
    Warp *w = &g->warps[n];
    int here = items - w->first < LANES ? items - w->first : LANES;
    w->all = w->alive = here == LANES ? ~0u : (1u << here) - 1;
    w->waits = w->fenced = false;
    w->copy_count = w->reading_count = 0;
    memset(w->pc, 0, sizeof w->pc);
    for (int lane = 0; lane < LANES; lane++) {
      unsigned item = (unsigned)(w->first + lane);
      unsigned place[3] = {item % l->items[0], item / l->items[0] % l->items[1], item / l->items[0] / l->items[1]};
      for (int d = 0; d < 3; d++) {
        if (k->special[TID + d] >= 0) w->file[k->special[TID + d] * LANES + lane] = place[d];
        if (k->special[NTID + d] >= 0) w->file[k->special[NTID + d] * LANES + lane] = l->items[d];
        if (k->special[CTAID + d] >= 0) w->file[k->special[CTAID + d] * LANES + lane] = g->group[d];
        if (k->special[NCTAID + d] >= 0) w->file[k->special[NCTAID + d] * LANES + lane] = l->groups[d];
      }
      if (k->special[LANE] >= 0) w->file[k->special[LANE] * LANES + lane] = (unsigned)lane;
    }
  }
  for (;;) {
    int alive = 0, waiting = 0, returned = 0;
    // Backwards every second time: no order of warps is one to rely on.
    for (int n = 0; n < g->warp_count; n++) {
      Warp *w = &g->warps[g->epoch & 1 ? g->warp_count - 1 - n : n];
      if (w->alive && !w->waits && !run_warp(g, w)) return false;
      alive += w->alive != 0;
      waiting += w->waits;
      returned += w->alive != w->all;
    }
    if (!alive) break;
    if (waiting < alive) continue;
    if (returned) return broken(g, &g->warps[0], 0, &k->code[k->length - 1], "items have returned and others wait for them at a barrier");
    for (int n = 0; n < g->warp_count; n++) g->warps[n].waits = false;
    g->epoch++;
  }
  for (int n = 0; n < g->warp_count; n++)
    if (g->warps[n].copy_count || g->warps[n].reading_count)
      return broken(g, &g->warps[n], 0, &k->code[k->length - 1], "it ends while copies or products are on their way");
  return true;
}

static void *run_groups(void *from) {
  Work *work = from;
  const Launch *l = work->launch;
  const Kernel *k = l->kernel;
  int items = (int)(l->items[0] * l->items[1] * l->items[2]);
  Group g = {.launch = l, .work = work, .warp_count = (items + LANES - 1) / LANES, .shared_bytes = k->shared_bytes + l->shared_bytes};
  g.shared = calloc(1, (size_t)g.shared_bytes + 16);
  g.shadow = calloc((size_t)(g.shared_bytes / 2 + 1), sizeof(Shadow));
  g.warps = calloc((size_t)g.warp_count, sizeof(Warp));
  g.counts = work->counts ? calloc((size_t)k->length, sizeof(Count)) : NULL;
  for (int n = 0; n < g.warp_count; n++) {
    Warp *w = &g.warps[n];
    w->first = n * LANES;
    w->file = aligned_alloc(128, sizeof(uint32_t) * LANES * (size_t)(k->words + 2));
    memset(w->file, 0x7f, sizeof(uint32_t) * LANES * (size_t)(k->words + 2));
    w->predicates = calloc((size_t)k->predicates + 1, sizeof(uint32_t));
    w->local = malloc((size_t)k->local_bytes * LANES + 1);
    for (int c = 0; c < k->constant_count; c++)
      for (int lane = 0; lane < LANES; lane++) {
        if (k->constants[c].wide) ((uint64_t *)(w->file + (size_t)k->constants[c].at * LANES))[lane] = k->constants[c].value;
        else w->file[(size_t)k->constants[c].at * LANES + (size_t)lane] = (uint32_t)k->constants[c].value;
      }
  }
  for (;;) {
    pthread_mutex_lock(&work->lock);
    long n = work->failed ? work->count : work->next++;
    pthread_mutex_unlock(&work->lock);
    if (n >= work->count) break;
    g.group[0] = (unsigned)(n % l->groups[0]);
    g.group[1] = (unsigned)(n / l->groups[0] % l->groups[1]);
    g.group[2] = (unsigned)(n / l->groups[0] / l->groups[1]);
    if (!run_group(&g)) break;
  }
  for (int n = 0; n < g.warp_count; n++) {
    free(g.warps[n].file);
    free(g.warps[n].predicates);
    free(g.warps[n].local);
    free(g.warps[n].copies);
    free(g.warps[n].reading);
  }
  if (g.counts) {
    pthread_mutex_lock(&work->lock);
    for (int i = 0; i < k->length; i++)
      for (size_t n = 0; n < sizeof(Count) / sizeof(uint64_t); n++) ((uint64_t *)&work->counts[i])[n] += ((uint64_t *)&g.counts[i])[n];
    pthread_mutex_unlock(&work->lock);
    free(g.counts);
  }
  free(g.warps);
  free(g.shadow);
  free(g.shared);
  return NULL;
}

int ptx_merge(Range *ranges, int count) {
  for (int a = 0; a < count; a++)
    for (int b = a + 1; b < count; b++)
      if (ranges[a].begin < ranges[b].end && ranges[b].begin < ranges[a].end) {
        if (ranges[b].begin < ranges[a].begin) ranges[a].begin = ranges[b].begin;
        if (ranges[b].end > ranges[a].end) ranges[a].end = ranges[b].end;
        ranges[b] = ranges[--count];
        // What is larger now may overlap others.
        b = a;
      }
  return count;
}

int ptx_run(const Launch *launch, char *problem, size_t size) {
  Work work = {.launch = launch, .count = (long)launch->groups[0] * launch->groups[1] * launch->groups[2], .problem = problem, .size = size};
  pthread_mutex_init(&work.lock, NULL);
  if (launch->counts_to) work.counts = calloc((size_t)launch->kernel->length, sizeof(Count));
  for (int k = 0; k < launch->range_count; k++) {
    size_t bytes = launch->ranges[k].end - launch->ranges[k].begin;
    launch->ranges[k].touched = bytes <= MOST_TOUCHED ? calloc(bytes / 2 + 1, sizeof(Touched)) : NULL;
  }
  long processors = sysconf(_SC_NPROCESSORS_ONLN);
  int threads = (int)(processors < 1 ? 1 : processors > 16 ? 16 : processors);
  if (threads > work.count) threads = (int)work.count;
  pthread_t others[16];
  for (int n = 1; n < threads; n++) pthread_create(&others[n], NULL, run_groups, &work);
  run_groups(&work);
  for (int n = 1; n < threads; n++) pthread_join(others[n], NULL);
  pthread_mutex_destroy(&work.lock);
  for (int k = 0; k < launch->range_count; k++) free(launch->ranges[k].touched);
  if (work.counts) count_launch(launch, work.counts);
  free(work.counts);
  return work.failed;
}
