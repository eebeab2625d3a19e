// OpenCL C to PTX by clang, kept between processes.
//
// PTX_EMULATOR_CLANG     the compiler, by default clang-19
// PTX_EMULATOR_LIBRARY   libclc's nvptx64--nvidiacl.bc
// PTX_EMULATOR_CACHE     a folder that keeps compiled programs
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ptx.h"

static char *read_file(const char *path) {
  FILE *file = fopen(path, "r");
  if (!file) return NULL;
  char *text;
  size_t size;
  FILE *to = open_memstream(&text, &size);
  char part[65536];
  for (size_t n; (n = fread(part, 1, sizeof part, file)) > 0;) fwrite(part, 1, n, to);
  fclose(to);
  fclose(file);
  return text;
}

static char *environment(const char *name, const char *otherwise) {
  char *value = getenv(name);
  return value && *value ? value : (char *)otherwise;
}

extern char **environ;

// Writes the PTX of a text into `path`; `said` is what the compiler says.
static int compile(const char *text, const char *options, char **said, const char *folder, const char *path) {
  char source[4096], log[4096], written[4096], *arguments[256];
  snprintf(source, sizeof source, "%s/program.cl", folder);
  snprintf(log, sizeof log, "%s/log", folder);
  snprintf(written, sizeof written, "%s.%d.%p", path, getpid(), (void *)said);
  FILE *file = fopen(source, "w");
  if (!file) return -1;
  fputs(text, file);
  fclose(file);
  int n = 0;
  char *library = environment("PTX_EMULATOR_LIBRARY", "nvptx64--nvidiacl.bc");
  char *fixed[] = {environment("PTX_EMULATOR_CLANG", "clang-19"), "-x", "cl", "-O3", "-Xclang", "-finclude-default-header", "-target",
                   "nvptx64-nvidia-nvcl", "-Xclang", "-target-cpu", "-Xclang", "sm_90a", "-Xclang", "-target-feature", "-Xclang",
                   "+ptx80", "-Xclang", "-mlink-builtin-bitcode", "-Xclang", library, "-D__NV_CL_C_VERSION=120", "-S", "-o", written, source};
  for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) arguments[n++] = fixed[i];
  char *words = strdup(options);
  for (char *word = strtok(words, " "); word && n < 250; word = strtok(NULL, " "))
    // NVIDIA's own, which clang does not know.
    if (strncmp(word, "-cl-nv-", 7)) arguments[n++] = word;
  arguments[n] = NULL;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 2, log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  pid_t child;
  int exit = -1, failed = posix_spawnp(&child, arguments[0], &actions, NULL, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (!failed)
    while (waitpid(child, &exit, 0) < 0 && errno == EINTR) {}
  free(words);
  *said = failed ? strdup("error: the compiler could not be started (PTX_EMULATOR_CLANG)") : read_file(log);
  unlink(source);
  unlink(log);
  if (failed || exit) {
    unlink(written);
    return -1;
  }
  return rename(written, path);
}

char *ptx_compile(const char *source, const char *options, char **said) {
  *said = NULL;
  // FNV-1a, twice.
  uint64_t hash[2] = {0xcbf29ce484222325, 0x84222325cbf29ce4};
  for (int part = 0; part < 2; part++)
    for (const char *c = part ? options : source; *c; c++)
      for (int k = 0; k < 2; k++) hash[k] = (hash[k] ^ (unsigned char)*c) * (0x100000001b3 + 2 * (uint64_t)k);
  char folder[] = "/tmp/ptx-emulator-XXXXXX", path[4096], *ptx = NULL;
  if (!mkdtemp(folder)) {
    *said = strdup("error: no folder could be made in /tmp");
    return NULL;
  }
  const char *cache = environment("PTX_EMULATOR_CACHE", folder);
  snprintf(path, sizeof path, "%s/" PTX_EMULATOR_VERSION "-%016lx%016lx.ptx", cache, (long)hash[0], (long)hash[1]);
  if (access(path, R_OK) == 0 || compile(source, options, said, folder, path) == 0) ptx = read_file(path);
  if (!getenv("PTX_EMULATOR_CACHE")) unlink(path);
  rmdir(folder);
  return ptx;
}
