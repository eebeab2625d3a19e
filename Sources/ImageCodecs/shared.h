// Inside the target: the byte reader, the byte sink and the error carrier that both codecs use.
#ifndef IC_SHARED_H
#define IC_SHARED_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>

#include "ImageCodecs.h"

// Where a codec's error callback lands. Everything a codec function must free lives in a struct of the *calling*
// function, so no local of the function that called setjmp changes between setjmp and longjmp.
typedef struct ic_failure {
  jmp_buf jump;
  ic_status status;
  char *message;
  size_t message_size;
} ic_failure;

// Encoded bytes from a file or from memory; `file` is NULL for memory.
typedef struct ic_reader {
  FILE *file;
  const uint8_t *bytes;
  size_t count, position;
} ic_reader;

// Encoded bytes being written; grows by doubling.
typedef struct ic_sink {
  uint8_t *bytes;
  size_t count, capacity;
} ic_sink;

ic_status ic_say(char *message, size_t message_size, ic_status status, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
size_t ic_reader_take(ic_reader *reader, uint8_t *into, size_t count);  // bytes got; fewer only at the end
bool ic_sink_append(ic_sink *sink, const uint8_t *bytes, size_t count);  // false: out of memory
ic_status ic_check_size(int64_t width, int64_t height, char *message, size_t message_size);

// With `pixels` NULL only the header is read.
ic_status ic_png_read(ic_reader *reader, int32_t channels, uint8_t *pixels, size_t capacity, ic_info *info,
                      char *message, size_t message_size);
ic_status ic_jpeg_read(ic_reader *reader, int32_t channels, uint8_t *pixels, size_t capacity, ic_info *info,
                       char *message, size_t message_size);
#endif
