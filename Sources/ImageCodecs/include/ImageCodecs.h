// PNG and JPEG to and from 8-bit pixels in memory.
//
// Threads: no state is shared; every function may run on any number of threads at once.
// Errors: each function returns an `ic_status`. When it is not IC_OK a sentence fragment without the file's name
// ("the data ends early", …), NUL-terminated, lies in `message`, which the caller owns: 200 bytes or more.
// Memory: pixels go to the caller's memory; encoded bytes are given to the caller, who frees them with ic_free.
// The setjmp/longjmp that libpng and libjpeg ask for stays inside this target.
#ifndef IMAGECODECS_H
#define IMAGECODECS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __clang__
#pragma clang assume_nonnull begin
#endif

// Images with a longer side or more pixels are refused before anything of their size is allocated.
#define IC_MAX_SIDE 65535
#define IC_MAX_PIXELS (1LL << 28)

typedef enum ic_status {
  IC_OK = 0,
  IC_MISSING,      // no such file
  IC_IO,           // cannot be opened or read, or is not a regular file
  IC_NOT_IMAGE,    // the first bytes are neither PNG nor JPEG
  IC_TRUNCATED,    // the data ends early
  IC_CORRUPT,      // the decoder found a fault in the data
  IC_TOO_LARGE,    // over the limits above, or a side of 0
  IC_UNSUPPORTED,  // valid, but not a kind decoded here (CMYK JPEG)
  IC_MEMORY,       // out of memory
  IC_ARGUMENT,     // the caller asked for something impossible
} ic_status;

typedef enum ic_format { IC_PNG = 1, IC_JPEG = 2 } ic_format;

typedef struct ic_info {
  int32_t width, height;
  int32_t channels;  // as stored, alpha and palette counted: 1 grey, 2 grey + alpha, 3 RGB or palette, 4 RGB + alpha
  int32_t bit_depth;
  ic_format format;  // by the first bytes
} ic_info;

// Where encoded bytes come from: a path, or memory when `path` is NULL.
typedef struct ic_source {
  const char *_Nullable path;
  const uint8_t *_Nullable bytes;
  size_t count;
} ic_source;

// Reads the header alone.
ic_status ic_read_info(ic_source source, ic_info *info, char *message, size_t message_size);

// Decodes to `channels` (1 or 3) bytes a pixel, rows top to bottom without padding. `capacity` must be at least
// width * height * channels of the image's own header; IC_ARGUMENT otherwise. Alpha is dropped, a palette looked up,
// 16 bits scaled to 8 (only 0 becomes 0), colour made grey with 0.299 R + 0.587 G + 0.114 B.
ic_status ic_decode(ic_source source, int32_t channels, uint8_t *pixels, size_t capacity, ic_info *info, char *message,
                    size_t message_size);

// Encode grey (1) or RGB (3) pixels. On IC_OK *bytes holds *count bytes; otherwise it is NULL.
ic_status ic_encode_png(const uint8_t *pixels, int32_t width, int32_t height, int32_t channels,
                        uint8_t *_Nullable *_Nonnull bytes, size_t *count, char *message, size_t message_size);
// `quality` 1 to 100; colour is stored 4:2:0, libjpeg's default.
ic_status ic_encode_jpeg(const uint8_t *pixels, int32_t width, int32_t height, int32_t channels, int32_t quality,
                         uint8_t *_Nullable *_Nonnull bytes, size_t *count, char *message, size_t message_size);

void ic_free(void *_Nullable memory);

#ifdef __clang__
#pragma clang assume_nonnull end
#endif
#endif
