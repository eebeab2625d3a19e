// Directories and blocks.
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "shared.h"

struct tb_reader {
  TIFF *tiff;
  uint64_t offset;  // of the current directory
  uint64_t file_size;
  tb_note note;
};

static bool fail_with_note(tb_reader *reader, char *message, size_t message_size, const char *what) {
  if (reader->note.text[0])
    tb_fail(message, message_size, "%s (%s)", what, reader->note.text);
  else
    tb_fail(message, message_size, "%s", what);
  reader->note.text[0] = 0;
  return false;
}

tb_reader *tb_open(const char *path, char *message, size_t message_size) {
  // stat comes first: opening a pipe would wait for a writer.
  struct stat about;
  if (stat(path, &about) != 0) {
    tb_fail(message, message_size, "%s", errno == ENOENT ? "there is no such file" : strerror(errno));
    return NULL;
  }
  if (!S_ISREG(about.st_mode)) {
    tb_fail(message, message_size, "it is not a regular file");
    return NULL;
  }
  tb_reader *reader = calloc(1, sizeof *reader);
  if (!reader) {
    tb_fail(message, message_size, "there is not enough memory to open it");
    return NULL;
  }
  reader->file_size = (uint64_t)about.st_size;
  // m: read, don't map (a mapped file that shrinks kills the process); D, O: a tile's place is read when it is wanted.
  reader->tiff = tb_open_tiff(path, "rmDO", &reader->note);
  if (!reader->tiff) {
    fail_with_note(reader, message, message_size, "it cannot be opened as TIFF");
    free(reader);
    return NULL;
  }
  reader->offset = TIFFCurrentDirOffset(reader->tiff);
  return reader;
}

void tb_close(tb_reader *reader) {
  if (!reader) return;
  TIFFClose(reader->tiff);
  free(reader);
}

bool tb_next(tb_reader *reader, bool *found, char *message, size_t message_size) {
  reader->note.text[0] = 0;
  *found = !TIFFLastDirectory(reader->tiff);
  if (!*found) return true;
  if (!TIFFReadDirectory(reader->tiff))
    return fail_with_note(reader, message, message_size, "the list of its images is damaged");
  reader->offset = TIFFCurrentDirOffset(reader->tiff);
  return true;
}

bool tb_seek(tb_reader *reader, uint64_t offset, char *message, size_t message_size) {
  if (reader->offset == offset) return true;
  reader->note.text[0] = 0;
  reader->offset = 0;
  if (offset >= reader->file_size || !TIFFSetSubDirectory(reader->tiff, offset))
    return fail_with_note(reader, message, message_size, "one of its images cannot be found");
  reader->offset = offset;
  return true;
}

const char *tb_description(tb_reader *reader) {
  char *text = NULL;
  return TIFFGetField(reader->tiff, TIFFTAG_IMAGEDESCRIPTION, &text) ? text : NULL;
}

bool tb_palette(tb_reader *reader, uint8_t *colours, char *message, size_t message_size) {
  uint16_t *red, *green, *blue;
  if (!TIFFGetField(reader->tiff, TIFFTAG_COLORMAP, &red, &green, &blue))
    return tb_fail(message, message_size, "it has palette pixels and no palette");
  // Some writers put 8-bit values into the 16-bit table.
  bool wide = false;
  for (int i = 0; i < 256; i++) wide = wide || red[i] > 255 || green[i] > 255 || blue[i] > 255;
  int shift = wide ? 8 : 0;
  for (int i = 0; i < 256; i++) {
    colours[3 * i] = (uint8_t)(red[i] >> shift);
    colours[3 * i + 1] = (uint8_t)(green[i] >> shift);
    colours[3 * i + 2] = (uint8_t)(blue[i] >> shift);
  }
  return true;
}

static const char *compression_name(int code) {
  switch (code) {
    case COMPRESSION_OJPEG: return "old-style JPEG";
    case 33003: case 33005: case 34712: return "JPEG 2000";
    case 22610: case 22609: case 50002: return "JPEG XL or XR";
    case COMPRESSION_WEBP: return "WebP";
    case COMPRESSION_LZMA: return "LZMA";
    case COMPRESSION_LERC: return "LERC";
    case 2: case 3: case 4: return "a fax code";
    default: return "an unknown compression";
  }
}

static uint32_t number(TIFF *tiff, uint32_t tag, uint32_t missing) {
  uint32_t value = missing;
  return TIFFGetField(tiff, tag, &value) ? value : missing;
}

static uint16_t small(TIFF *tiff, uint32_t tag, uint16_t missing) {
  uint16_t value = missing;
  return TIFFGetFieldDefaulted(tiff, tag, &value) ? value : missing;
}

bool tb_describe(tb_reader *reader, tb_directory *d, char *message, size_t message_size) {
  TIFF *tiff = reader->tiff;
  reader->note.text[0] = 0;
  *d = (tb_directory){.offset = reader->offset};
  d->width = number(tiff, TIFFTAG_IMAGEWIDTH, 0);
  d->height = number(tiff, TIFFTAG_IMAGELENGTH, 0);
  d->subfile_type = number(tiff, TIFFTAG_SUBFILETYPE, 0);
  d->compression = small(tiff, TIFFTAG_COMPRESSION, COMPRESSION_NONE);
  d->samples = small(tiff, TIFFTAG_SAMPLESPERPIXEL, 1);
  d->planar = small(tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG) == PLANARCONFIG_SEPARATE && d->samples > 1;
  d->tiled = TIFFIsTiled(tiff);
  d->lossy = d->compression == COMPRESSION_JPEG;
  TIFFGetField(tiff, TIFFTAG_XRESOLUTION, &d->x_resolution);
  TIFFGetField(tiff, TIFFTAG_YRESOLUTION, &d->y_resolution);
  d->resolution_unit = small(tiff, TIFFTAG_RESOLUTIONUNIT, RESUNIT_INCH);
  uint16_t subs = 0;
  uint64_t *offsets = NULL;
  if (TIFFGetField(tiff, TIFFTAG_SUBIFD, &subs, &offsets) && offsets) {
    d->sub_count = subs < TB_MAX_SUBS ? subs : TB_MAX_SUBS;
    for (int i = 0; i < d->sub_count; i++) d->sub_offsets[i] = offsets[i];
  }

  if (d->width < 1 || d->height < 1 || d->width > TB_MAX_SIDE || d->height > TB_MAX_SIDE)
    return tb_fail(message, message_size, "it claims %u x %u pixels", d->width, d->height);
  switch (d->compression) {
    case COMPRESSION_NONE: case COMPRESSION_PACKBITS: case COMPRESSION_LZW: case COMPRESSION_ADOBE_DEFLATE:
    case COMPRESSION_DEFLATE: case COMPRESSION_ZSTD:
      if (!TIFFIsCODECConfigured((uint16_t)d->compression))
        return tb_fail(message, message_size, "this libtiff was built without its compression (code %d)", d->compression);
      break;
    case COMPRESSION_JPEG: break;
    default:
      return tb_fail(message, message_size, "its pixels are compressed with %s (code %d), which is not read here",
                     compression_name(d->compression), d->compression);
  }
  uint16_t bits = small(tiff, TIFFTAG_BITSPERSAMPLE, 1), format = small(tiff, TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_UINT);
  if (bits != 8 || format != SAMPLEFORMAT_UINT)
    return tb_fail(message, message_size, "it has %u-bit samples; only 8-bit ones are read here", bits);
  uint16_t photometric = PHOTOMETRIC_MINISBLACK;
  TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &photometric);
  switch (photometric) {
    case PHOTOMETRIC_MINISBLACK: d->colour = TB_GREY; break;
    case PHOTOMETRIC_MINISWHITE: d->colour = TB_GREY_INVERTED; break;
    case PHOTOMETRIC_PALETTE: d->colour = TB_PALETTE; break;
    case PHOTOMETRIC_RGB: d->colour = TB_RGB; break;
    case PHOTOMETRIC_YCBCR:
      d->colour = TB_RGB;
      if (d->compression == COMPRESSION_JPEG) break;
      return tb_fail(message, message_size, "it holds YCbCr pixels without JPEG, which are not read here");
    default:
      return tb_fail(message, message_size, "its colours (photometric %u) are not read here: RGB, grey and palette are",
                     photometric);
  }
  int32_t least = d->colour == TB_RGB ? 3 : 1;
  if (d->samples < least || d->samples > 8 || (d->compression == COMPRESSION_JPEG && d->samples != least))
    return tb_fail(message, message_size, "it has %d samples in a pixel", d->samples);

  if (d->tiled) {
    d->block_width = number(tiff, TIFFTAG_TILEWIDTH, 0);
    d->block_height = number(tiff, TIFFTAG_TILELENGTH, 0);
  } else {
    d->block_width = d->width;
    uint32_t rows = d->height;
    TIFFGetFieldDefaulted(tiff, TIFFTAG_ROWSPERSTRIP, &rows);
    d->block_height = rows < d->height ? rows : d->height;
  }
  uint64_t bytes = (uint64_t)d->block_width * d->block_height * (uint64_t)d->samples;
  if (d->block_width < 1 || d->block_height < 1)
    return tb_fail(message, message_size, "its %s have no pixels", d->tiled ? "tiles" : "strips");
  if (bytes > TB_MAX_BLOCK_BYTES)
    return tb_fail(message, message_size, "its %s are %u x %u pixels, too large to hold; save it with small tiles",
                   d->tiled ? "tiles" : "strips", d->block_width, d->block_height);
  // libtiff decodes into what it believes a block to be; ours must be the same.
  uint64_t expected = d->planar ? bytes / (uint64_t)d->samples : bytes;
  if (d->compression != COMPRESSION_JPEG &&
      (d->tiled ? TIFFTileSize64(tiff) : TIFFStripSize64(tiff)) != expected)
    return tb_fail(message, message_size, "its %s have another size than its header says", d->tiled ? "tiles" : "strips");
  return true;
}

static bool read_jpeg(tb_reader *reader, const tb_directory *d, uint32_t block, uint64_t stored, uint32_t need_width,
                      uint32_t need_height, uint8_t *into, char *message, size_t message_size) {
  tb_jpeg_source source = {.count = (size_t)stored,
                           .samples = d->planar ? 1 : d->samples,
                           .width = d->block_width,
                           .height = d->block_height,
                           .need_width = need_width,
                           .need_height = need_height};
  uint16_t photometric = PHOTOMETRIC_MINISBLACK;
  TIFFGetField(reader->tiff, TIFFTAG_PHOTOMETRIC, &photometric);
  source.declared_ycbcr = photometric == PHOTOMETRIC_YCBCR;
  uint32_t table_count = 0;
  void *tables = NULL;
  if (TIFFGetField(reader->tiff, TIFFTAG_JPEGTABLES, &table_count, &tables) && tables && table_count > 4) {
    source.tables = tables;
    source.table_count = table_count;
  }
  uint8_t *bytes = malloc(source.count);
  if (!bytes) return tb_fail(message, message_size, "there is not enough memory for it");
  tmsize_t got = d->tiled ? TIFFReadRawTile(reader->tiff, block, bytes, (tmsize_t)source.count)
                          : TIFFReadRawStrip(reader->tiff, block, bytes, (tmsize_t)source.count);
  source.bytes = bytes;
  bool done = got == (tmsize_t)source.count
                  ? tb_decode_jpeg(&source, into, message, message_size)
                  : fail_with_note(reader, message, message_size, "the file ends before its pixels do");
  free(bytes);
  return done;
}

bool tb_read_block(tb_reader *reader, const tb_directory *d, uint32_t column, uint32_t row, int32_t plane, uint8_t *into,
                   size_t capacity, bool *is_missing, char *message, size_t message_size) {
  reader->note.text[0] = 0;
  *is_missing = false;
  if (!tb_seek(reader, d->offset, message, message_size)) return false;
  uint64_t left = (uint64_t)column * d->block_width, top = (uint64_t)row * d->block_height;
  uint64_t size = (uint64_t)d->block_width * d->block_height * (uint64_t)(d->planar ? 1 : d->samples);
  if (left >= d->width || top >= d->height || plane < 0 || plane >= d->samples || capacity < size)
    return tb_fail(message, message_size, "there is no block %u, %u", column, row);
  uint32_t block = d->tiled ? TIFFComputeTile(reader->tiff, (uint32_t)left, (uint32_t)top, 0, (uint16_t)plane)
                            : TIFFComputeStrip(reader->tiff, (uint32_t)top, (uint16_t)plane);
  uint32_t need_width = d->width - (uint32_t)left, need_height = d->height - (uint32_t)top;
  if (need_width > d->block_width) need_width = d->block_width;
  if (need_height > d->block_height) need_height = d->block_height;

  int problem = 0;
  uint64_t stored = TIFFGetStrileByteCountWithErr(reader->tiff, block, &problem);
  if (problem) return fail_with_note(reader, message, message_size, "the places of its pixels are damaged");
  if (stored == 0) {
    *is_missing = true;
    return true;
  }
  uint64_t start = TIFFGetStrileOffsetWithErr(reader->tiff, block, &problem);
  if (problem || start > reader->file_size || stored > reader->file_size - start)
    return fail_with_note(reader, message, message_size, "the file ends before its pixels do");
  if (d->compression == COMPRESSION_JPEG)
    return read_jpeg(reader, d, block, stored, need_width, need_height, into, message, message_size);

  // Of a strip at the bottom only its rows are stored.
  uint64_t expected = d->tiled ? size : size / d->block_height * need_height;
  tmsize_t got = d->tiled ? TIFFReadEncodedTile(reader->tiff, block, into, (tmsize_t)expected)
                          : TIFFReadEncodedStrip(reader->tiff, block, into, (tmsize_t)expected);
  if (got != (tmsize_t)expected) return fail_with_note(reader, message, message_size, "its pixels are damaged");
  return true;
}
