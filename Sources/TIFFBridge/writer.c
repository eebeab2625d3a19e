// Tiled files whose tiles come compressed already, so that several threads can compress.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "shared.h"

struct tb_writer {
  TIFF *tiff;
  tb_note note;
};

static bool fail_with_note(tb_writer *writer, char *message, size_t message_size) {
  // libtiff says where it was, not that the disk is full.
  if (errno == ENOSPC || errno == EDQUOT) snprintf(writer->note.text, sizeof writer->note.text, "%s", strerror(errno));
  tb_fail(message, message_size, "it cannot be written%s%s", writer->note.text[0] ? ": " : "", writer->note.text);
  writer->note.text[0] = 0;
  return false;
}

tb_writer *tb_create(const char *path, bool big, char *message, size_t message_size) {
  errno = 0;
  tb_writer *writer = calloc(1, sizeof *writer);
  if (!writer) {
    tb_fail(message, message_size, "there is not enough memory to write it");
    return NULL;
  }
  writer->tiff = tb_open_tiff(path, big ? "w8" : "w", &writer->note);
  if (!writer->tiff) {
    fail_with_note(writer, message, message_size);
    free(writer);
    return NULL;
  }
  return writer;
}

bool tb_begin(tb_writer *writer, const tb_layout *layout, char *message, size_t message_size) {
  errno = 0;
  TIFF *tiff = writer->tiff;
  bool colour = layout->samples == 3;
  int fine = TIFFSetField(tiff, TIFFTAG_SUBFILETYPE, layout->reduced ? FILETYPE_REDUCEDIMAGE : 0) &&
             TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, layout->width) &&
             TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, layout->height) &&
             TIFFSetField(tiff, TIFFTAG_TILEWIDTH, layout->tile_side) &&
             TIFFSetField(tiff, TIFFTAG_TILELENGTH, layout->tile_side) &&
             TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, 8) &&
             TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, layout->samples) &&
             TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG) &&
             TIFFSetField(tiff, TIFFTAG_COMPRESSION, layout->jpeg ? COMPRESSION_JPEG : COMPRESSION_ADOBE_DEFLATE) &&
             TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC,
                          !colour        ? PHOTOMETRIC_MINISBLACK
                          : layout->jpeg ? PHOTOMETRIC_YCBCR
                                         : PHOTOMETRIC_RGB);
  if (fine && colour && layout->jpeg) fine = TIFFSetField(tiff, TIFFTAG_YCBCRSUBSAMPLING, 2, 2);
  // Every stream carries its tables; without this libtiff would write 2000 zeros for them.
  static const uint8_t no_tables[4] = {0xff, 0xd8, 0xff, 0xd9};
  if (fine && layout->jpeg) fine = TIFFSetField(tiff, TIFFTAG_JPEGTABLES, (uint32_t)sizeof no_tables, no_tables);
  if (fine && layout->pixels_per_cm > 0)
    fine = TIFFSetField(tiff, TIFFTAG_XRESOLUTION, layout->pixels_per_cm) &&
           TIFFSetField(tiff, TIFFTAG_YRESOLUTION, layout->pixels_per_cm) &&
           TIFFSetField(tiff, TIFFTAG_RESOLUTIONUNIT, RESUNIT_CENTIMETER);
  if (fine && layout->description) fine = TIFFSetField(tiff, TIFFTAG_IMAGEDESCRIPTION, layout->description);
  return fine ? true : fail_with_note(writer, message, message_size);
}

bool tb_write_tile(tb_writer *writer, uint32_t column, uint32_t row, const uint8_t *bytes, size_t count, char *message,
                   size_t message_size) {
  errno = 0;
  uint32_t side = 0;
  TIFFGetField(writer->tiff, TIFFTAG_TILEWIDTH, &side);
  uint32_t tile = TIFFComputeTile(writer->tiff, column * side, row * side, 0, 0);
  // libtiff only reads the bytes; its type lacks the const.
  if (TIFFWriteRawTile(writer->tiff, tile, (void *)bytes, (tmsize_t)count) != (tmsize_t)count)
    return fail_with_note(writer, message, message_size);
  return true;
}

bool tb_end(tb_writer *writer, char *message, size_t message_size) {
  errno = 0;
  return TIFFWriteDirectory(writer->tiff) ? true : fail_with_note(writer, message, message_size);
}

bool tb_finish(tb_writer *writer, bool keep, char *message, size_t message_size) {
  errno = 0;
  bool fine = !keep || TIFFFlush(writer->tiff);
  if (!fine) fail_with_note(writer, message, message_size);
  // A network's file system may say only now that there is no room.
  if (keep && fine && fsync(TIFFFileno(writer->tiff)) != 0 && errno != EINVAL && errno != EROFS) {
    tb_fail(message, message_size, "it cannot be written: %s", strerror(errno));
    fine = false;
  }
  TIFFClose(writer->tiff);
  free(writer);
  return fine;
}

size_t tb_deflate_bound(size_t count) { return compressBound(count); }

size_t tb_deflate(const uint8_t *bytes, size_t count, int32_t level, uint8_t *into, size_t capacity) {
  uLongf length = capacity;
  return compress2(into, &length, bytes, count, level) == Z_OK ? length : 0;
}
