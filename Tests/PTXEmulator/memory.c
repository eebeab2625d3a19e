// Shared and global memory: what may be touched, loads and stores, copies that go on while their items do.
#include <stdio.h>
#include <stdlib.h>

#include "machine.h"

bool in_shared(Group *g, const Warp *w, int lane, const Instruction *i, uint64_t address, int bytes) {
  if (address % (unsigned)bytes) return broken(g, w, lane, i, "shared address %#lx is not aligned to %d bytes", (long)address, bytes);
  if (address < SHARED_BASE || address + (unsigned)bytes > SHARED_BASE + (unsigned)g->shared_bytes)
    return broken(g, w, lane, i, "shared address %#lx, %ld bytes from the group's %d", (long)address, (long)address - SHARED_BASE, g->shared_bytes);
  return true;
}

static bool note_write(Group *g, const Warp *w, int lane, const Instruction *i, uint64_t address, int bytes, bool is_copy) {
  int item = w->first + lane;
  for (int b = 0; b < bytes; b += 2) {
    Shadow *s = &g->shadow[(address - SHARED_BASE + (unsigned)b) / 2];
    if (s->copying) return broken(g, w, lane, i, "it writes shared memory that a copy is on its way to");
    if (s->multiplying) return broken(g, w, lane, i, "it writes shared memory that a product is reading");
    if (s->wrote == g->epoch && s->written && s->writer != item)
      return broken(g, w, lane, i, "items %d and %d write one place in shared memory without a barrier between", s->writer, item);
    if (s->read == g->epoch && s->reader == MANY)
      return broken(g, w, lane, i, "it writes shared memory that several items read without a barrier between");
    if (s->read == g->epoch && s->reader != NOBODY && s->reader != item)
      return broken(g, w, lane, i, "it writes shared memory that item %d reads without a barrier between", s->reader);
    s->wrote = g->epoch, s->writer = (uint16_t)item, s->written = true, s->copying = is_copy, s->unfenced = true;
  }
  return true;
}

bool note_read(Group *g, const Warp *w, int lane, const Instruction *i, uint64_t address, int bytes) {
  int item = w->first + lane;
  for (int b = 0; b < bytes; b += 2) {
    Shadow *s = &g->shadow[(address - SHARED_BASE + (unsigned)b) / 2];
    if (!s->written)
      return broken(g, w, lane, i, "it reads shared memory that nobody wrote, %ld bytes from its beginning", (long)address - SHARED_BASE);
    if (s->copying) return broken(g, w, lane, i, "it reads shared memory that a copy is on its way to");
    if (s->wrote == g->epoch && s->writer != item)
      return broken(g, w, lane, i, "it reads shared memory that item %d writes without a barrier between", s->writer);
    if (s->read != g->epoch || s->reader == NOBODY) s->read = g->epoch, s->reader = (uint16_t)item;
    else if (s->reader != item) s->reader = MANY;
  }
  return true;
}

uint8_t *shared_at(Group *g, uint64_t address) { return g->shared + (address - SHARED_BASE); }

bool touch_global(Group *g, const Warp *w, int lane, const Instruction *i, uintptr_t address, int bytes, bool writes) {
  if (address % (unsigned)bytes)
    return broken(g, w, lane, i, "an address that is not aligned to %d bytes: %d beyond", bytes, (int)(address % (unsigned)bytes));
  const Launch *l = g->launch;
  const Range *range = &l->ranges[g->hint];
  if (!l->range_count || address < range->begin || address + (unsigned)bytes > range->end) {
    // How far from the nearest buffer.
    long best = 1L << 62;
    range = NULL;
    for (int k = 0; k < l->range_count && !range; k++) {
      long beyond = (long)(address + (unsigned)bytes - l->ranges[k].end), before = (long)(address - l->ranges[k].begin);
      if (beyond <= 0 && before >= 0) g->hint = k, range = &l->ranges[k];
      if (beyond > 0 && beyond < labs(best)) best = beyond;
      if (before < 0 && -before < labs(best)) best = before;
    }
    if (!range) return broken(g, w, lane, i, "it touches memory of none of its buffers, %ld bytes from one", best);
  }
  if (!range->touched) return true;
  enum { ITEM = 0xffff };
  uint64_t epoch = g->number | (uint64_t)(g->epoch & 0xffff) << 16, me = epoch | (unsigned)(w->first + lane);
  Touched *touched = range->touched + (address - range->begin) / 2;
  for (int b = 0; b < bytes; b += 2, touched++) {
    uint64_t wrote = touched->wrote, read = touched->read;
    if (wrote && wrote != me) {
      if (wrote >> 32 != me >> 32) return broken(g, w, lane, i, "it touches global memory that group %ld writes", (long)(wrote >> 32) - 1);
      if ((wrote ^ me) >> 16 == 0)
        return broken(g, w, lane, i, "it touches global memory that item %d writes without a barrier between", (int)(wrote & ITEM));
    }
    if (!writes) {
      if (!read || (read >> 32 == me >> 32 && (read ^ me) >> 16 != 0)) touched->read = me;
      else if (read >> 32 != me >> 32) touched->read = ~0ull;
      else if (read != me) touched->read = epoch | ITEM;
      continue;
    }
    if (read && read != me) {
      if (read == ~0ull) return broken(g, w, lane, i, "it writes global memory that several groups read");
      if (read >> 32 != me >> 32) return broken(g, w, lane, i, "it writes global memory that group %ld reads", (long)(read >> 32) - 1);
      if ((read ^ me) >> 16 == 0) return broken(g, w, lane, i, "it writes global memory that another item reads without a barrier between");
    }
    touched->wrote = me;
  }
  return true;
}

static bool load_store(Group *g, Warp *w, uint32_t m, const Instruction *i) {
  int each = type_bytes(i->type), width = i->vector ? i->vector : 1, bytes = each * width;
  bool is_load = i->operation == O_LD;
  if (i->space == S_PARAM) {
    uint64_t value = 0;
    memcpy(&value, g->launch->parameters + i->operands[0], (size_t)each);
    if (i->wide) EACH(U64(1)[l] = (uint64_t)integer_of(value, i->type));
    else if (each == 8) EACH(U64(1)[l] = value);
    else EACH(U32(1)[l] = (uint32_t)value);
    return true;
  }
  uint64_t addresses[LANES];
  EACH(addresses[l] = (i->is_short ? U32(0)[l] : U64(0)[l]) + (uint64_t)i->offset);
  if (g->counts && i->space == S_SHARED) count_shared(g, m, i, addresses, bytes);
  if (g->counts && (i->space == S_GLOBAL || i->space == S_CONST)) count_global(g, m, i, addresses, bytes);
  for (int l = 0; l < LANES; l++) {
    if (!(m >> l & 1)) continue;
    uint64_t address = addresses[l];
    uint8_t *at;
    switch (i->space) {
    case S_SHARED:
      if (!in_shared(g, w, l, i, address, bytes)) return false;
      if (!(is_load ? note_read(g, w, l, i, address, bytes) : note_write(g, w, l, i, address, bytes, false))) return false;
      at = shared_at(g, address);
      break;
    case S_LOCAL:
      if (address % (unsigned)bytes || address + (unsigned)bytes > (unsigned)g->launch->kernel->local_bytes)
        return broken(g, w, l, i, "address %ld of an item's own memory", (long)address);
      at = w->local + (size_t)l * (size_t)g->launch->kernel->local_bytes + address;
      break;
    default:
      if (!touch_global(g, w, l, i, address, bytes, !is_load)) return false;
      at = (uint8_t *)address;
    }
    for (int k = 0; k < width; k++, at += each) {
      uint32_t *word = U32(1 + k) + l;
      uint64_t *wide = U64(1 + k) + l;
      if (!is_load) {
        memcpy(at, each == 8 || i->wide ? (void *)wide : word, (size_t)each);
      } else if (each == 8) {
        memcpy(wide, at, 8);
      } else {
        uint32_t value = 0;
        memcpy(&value, at, (size_t)each);
        int64_t extended = integer_of(value, i->type == T_F32 || i->type == T_F16 ? T_B32 : i->type);
        if (i->wide) *wide = (uint64_t)extended;
        else *word = (uint32_t)extended;
      }
    }
  }
  return true;
}

static bool copy_in(Group *g, Warp *w, int lane, const Instruction *i, Copy copy) {
  if (!in_shared(g, w, lane, i, copy.to, copy.bytes) || !touch_global(g, w, lane, i, copy.from, copy.bytes, false)) return false;
  // The place is taken from now on, and what comes there comes as late as it may.
  if (!note_write(g, w, lane, i, copy.to, copy.bytes, true)) return false;
  if (w->copy_count == w->copy_room) {
    w->copy_room = w->copy_room ? 2 * w->copy_room : 1024;
    w->copies = realloc(w->copies, sizeof(Copy) * (size_t)w->copy_room);
  }
  w->copies[w->copy_count++] = copy;
  return true;
}

static void copies_arrive(Group *g, Warp *w, uint32_t m) {
  int kept = 0;
  for (int k = 0; k < w->copy_count; k++) {
    Copy c = w->copies[k];
    if (!(m >> c.item & 1)) {
      w->copies[kept++] = c;
      continue;
    }
    memcpy(shared_at(g, c.to), (void *)c.from, (size_t)c.bytes);
    for (int b = 0; b < c.bytes; b += 2) {
      Shadow *s = &g->shadow[(c.to - SHARED_BASE + (unsigned)b) / 2];
      s->copying = false;
      // Written now: who reads it needs a barrier behind this.
      s->wrote = g->epoch;
    }
  }
  w->copy_count = kept;
}

static bool reduce(Group *g, Warp *w, uint32_t m, const Instruction *i) {
  for (int l = 0; l < LANES; l++) {
    if (!(m >> l & 1)) continue;
    uintptr_t address = U64(0)[l];
    if (!touch_global(g, w, l, i, address, 4, false)) return false;
    pthread_mutex_lock(&g->work->lock);
    *(float *)address += F32(1)[l];
    pthread_mutex_unlock(&g->work->lock);
  }
  return true;
}

// Of one item, as instructions.clh has it.
static bool bulk(Group *g, Warp *w, uint32_t m, const Instruction *i) {
  if (m & (m - 1)) return unknown(g, w, i);
  int l = __builtin_ctz(m), bytes = i->operands[2];
  uint32_t to = U32(0)[l];
  if (U32(3)[l] != g->mbarrier || bytes % 16 || to % 16 || U64(1)[l] % 16)
    return broken(g, w, l, i, "not the mbarrier, or not aligned to 16 bytes");
  for (int k = 0; k < bytes; k += 4) {
    uint64_t at = to + (uint64_t)k, from = U64(1)[l] + (uint64_t)k;
    if (!in_shared(g, w, l, i, at, 4) || !touch_global(g, w, l, i, from, 4, false) || !note_write(g, w, l, i, at, 4, false)) return false;
    memcpy(shared_at(g, at), (void *)from, 4);
    // The mbarrier is what its readers wait at.
    for (int b = 0; b < 4; b += 2) g->shadow[(at - SHARED_BASE + (uint64_t)b) / 2].wrote = g->epoch - 1;
  }
  g->due_bytes -= bytes;
  return true;
}

bool memory(Group *g, Warp *w, uint32_t m, const Instruction *i) {
  switch (i->operation) {
  case O_LD:
  case O_ST: return load_store(g, w, m, i);
  case O_CP_ASYNC: {
    int bytes = i->operands[2];
    if (bytes != 4 && bytes != 8 && bytes != 16) return unknown(g, w, i);
    if (g->counts) {
      uint64_t to[LANES];
      EACH(to[l] = U32(0)[l]);
      count_shared(g, m, i, to, bytes);
      count_global(g, m, i, U64(1), bytes);
    }
    for (int l = 0; l < LANES; l++)
      if (m >> l & 1 && !copy_in(g, w, l, i, (Copy){U32(0)[l], U64(1)[l], bytes, l})) return false;
    return true;
  }
  case O_CP_WAIT: copies_arrive(g, w, m); return true;
  case O_FENCE_ASYNC:
    for (int k = 0; k < g->shared_bytes / 2; k++) {
      int lane = g->shadow[k].writer - w->first;
      if (lane >= 0 && lane < LANES && m >> lane & 1 && !g->shadow[k].copying) g->shadow[k].unfenced = false;
    }
    return true;
  case O_RED: return reduce(g, w, m, i);
  case O_MBARRIER_INIT:
    if (m & (m - 1)) return unknown(g, w, i);
    g->mbarrier = U32(0)[__builtin_ctz(m)], g->due = i->operands[1], g->due_bytes = 0;
    return in_shared(g, w, __builtin_ctz(m), i, g->mbarrier, 8);
  case O_MBARRIER_EXPECT:
    if (m & (m - 1) || U32(0)[__builtin_ctz(m)] != g->mbarrier) return unknown(g, w, i);
    g->due--, g->due_bytes += i->operands[1];
    return true;
  case O_BULK: return bulk(g, w, m, i);
  default: {  // O_MBARRIER_TRY
    uint32_t *p = &w->predicates[i->operands[0]];
    *p = g->due == 0 && g->due_bytes == 0 ? *p | m : *p & ~m;
    return true;
  }
  }
}
