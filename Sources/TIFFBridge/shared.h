// Inside the target: messages, and the JPEG decoder of tiles.
#ifndef TB_SHARED_H
#define TB_SHARED_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <tiffio.h>

#include "TIFFBridge.h"

// Where libtiff's handlers put the first error of a call; the later ones only repeat it from further away.
typedef struct tb_note {
  char text[256];
} tb_note;

bool tb_fail(char *message, size_t message_size, const char *format, ...) __attribute__((format(printf, 3, 4)));
TIFF *tb_open_tiff(const char *path, const char *mode, tb_note *note);

// One JPEG stream; `tables` may be NULL. `declared_ycbcr` is the file's word, which Aperio's files break.
typedef struct tb_jpeg_source {
  const uint8_t *bytes, *tables;
  size_t count, table_count;
  bool declared_ycbcr;
  int32_t samples;                  // of a pixel of the result: 1 or 3
  uint32_t width, height;           // of the block
  uint32_t need_width, need_height;  // of its part inside the image
} tb_jpeg_source;

bool tb_decode_jpeg(const tb_jpeg_source *source, uint8_t *into, char *message, size_t message_size);
#endif
