// Tiles and strips of TIFF files by libtiff, with its errors as text instead of noise on standard error.
//
// A handle belongs to one thread at a time; two handles may be open on one file. Functions that can fail return false
// (or NULL) and put one sentence, without the file's name, into `message`. Sizes that a file claims are bounded before
// anything is allocated. Strings from the file stay valid until the directory changes.
#ifndef TIFF_BRIDGE_H
#define TIFF_BRIDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __clang__
#pragma clang assume_nonnull begin
#endif

// A decoded tile or strip is at most this large.
#define TB_MAX_BLOCK_BYTES ((uint64_t)256 << 20)
#define TB_MAX_SIDE 16777216
#define TB_MAX_SUBS 32

enum { TB_GREY, TB_GREY_INVERTED, TB_RGB, TB_PALETTE };

typedef struct tb_reader tb_reader;

// One image of the file. A block is a tile, or a strip of `block_height` rows.
typedef struct tb_directory {
  uint64_t offset;  // where the directory lies: for tb_seek
  uint32_t width, height, block_width, block_height;
  uint32_t subfile_type;  // bit 0: a reduced version of another image
  int32_t colour;         // TB_GREY …
  int32_t samples;        // stored in a pixel
  int32_t compression;
  bool tiled, planar, lossy;
  float x_resolution, y_resolution;  // 0: not said
  int32_t resolution_unit;           // 1 none, 2 inch, 3 cm
  int32_t sub_count;
  uint64_t sub_offsets[TB_MAX_SUBS];
} tb_directory;

// Opens a file at its first directory.
tb_reader *_Nullable tb_open(const char *path, char *message, size_t message_size);
void tb_close(tb_reader *_Nullable reader);

// Goes to the next directory. `*found` is false at the end.
bool tb_next(tb_reader *reader, bool *found, char *message, size_t message_size);
// Goes to the directory at an offset that tb_describe gave.
bool tb_seek(tb_reader *reader, uint64_t offset, char *message, size_t message_size);

// Reads and checks the current directory; false also where its kind is not read here.
bool tb_describe(tb_reader *reader, tb_directory *directory, char *message, size_t message_size);
// The ImageDescription; NULL where there is none.
const char *_Nullable tb_description(tb_reader *reader);
// Fills 256 × 3 bytes, red, green, blue.
bool tb_palette(tb_reader *reader, uint8_t *colours, char *message, size_t message_size);

// Decodes a block of the current directory.
//
// `plane` is 0 for contiguous samples. `into` holds block_width × block_height × samples bytes (one sample a pixel when
// planar), rows of block_width pixels; of a strip at the bottom only its rows are written. `*is_missing` tells of a
// sparse file's block that is not stored; then nothing is written.
bool tb_read_block(tb_reader *reader, const tb_directory *directory, uint32_t column, uint32_t row, int32_t plane,
                   uint8_t *into, size_t capacity, bool *is_missing, char *message, size_t message_size);

typedef struct tb_writer tb_writer;

// What a directory to be written is like. Tiles only; 8 bits a sample.
typedef struct tb_layout {
  uint32_t width, height, tile_side;
  int32_t samples;  // 1 or 3
  bool jpeg;        // tiles are JPEG streams (4:2:0 where RGB), else zlib streams
  bool reduced;     // a smaller version of the first
  float pixels_per_cm;  // 0: not known
  const char *_Nullable description;
} tb_layout;

// Creates a file. `big` for BigTIFF.
tb_writer *_Nullable tb_create(const char *path, bool big, char *message, size_t message_size);
bool tb_begin(tb_writer *writer, const tb_layout *layout, char *message, size_t message_size);
// Writes the compressed bytes of a tile.
bool tb_write_tile(tb_writer *writer, uint32_t column, uint32_t row, const uint8_t *bytes, size_t count, char *message,
                   size_t message_size);
bool tb_end(tb_writer *writer, char *message, size_t message_size);
// Closes the file and frees the writer, whatever was written; false where it is kept and not all of it is on disk.
bool tb_finish(tb_writer *writer, bool keep, char *message, size_t message_size);

// A zlib stream of `count` bytes in `into`, which holds tb_deflate_bound(count). Returns its length; 0: out of memory.
size_t tb_deflate(const uint8_t *bytes, size_t count, int32_t level, uint8_t *into, size_t capacity);
size_t tb_deflate_bound(size_t count);

#ifdef __clang__
#pragma clang assume_nonnull end
#endif
#endif
