// PNG by libpng 1.6.
#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "shared.h"

static void on_error(png_structp png, png_const_charp text) {
  ic_failure *failure = png_get_error_ptr(png);
  if (failure->status == IC_OK)  // otherwise the callback that failed has said why
    failure->status = ic_say(failure->message, failure->message_size, IC_CORRUPT, "damaged PNG: %s", text);
  longjmp(failure->jump, 1);
}

static void on_warning(png_structp png, png_const_charp text) { (void)png, (void)text; }

static void on_read(png_structp png, png_bytep into, size_t count) {
  if (ic_reader_take(png_get_io_ptr(png), into, count) == count) return;
  ic_failure *failure = png_get_error_ptr(png);
  failure->status = ic_say(failure->message, failure->message_size, IC_TRUNCATED, "the PNG data ends early");
  png_error(png, "end of data");
}

typedef struct {
  ic_failure failure;
  png_structp png;
  png_infop info;
  png_bytep *rows;
  uint8_t *colour;  // whole image in RGB when grey is asked of a colour file
} png_reading;

// The first 24 bytes of a PNG hold the size. libpng's words for a bad one name no numbers, so it is looked at first.
static ic_status check_header(ic_reader *reader, char *message, size_t message_size) {
  uint8_t head[24];
  if (ic_reader_take(reader, head, sizeof head) != sizeof head)
    return ic_say(message, message_size, IC_TRUNCATED, "the PNG data ends early");
  if (reader->file) rewind(reader->file);
  reader->position = 0;
  if (memcmp(head + 12, "IHDR", 4) != 0)
    return ic_say(message, message_size, IC_CORRUPT, "damaged PNG: it does not begin with a header");
  int64_t width = png_get_uint_32(head + 16), height = png_get_uint_32(head + 20);
  return ic_check_size(width, height, message, message_size);
}

// A row of 16 bits a sample to one of 8, rounded as png_set_scale_16 does, but for the least: only 0 becomes 0, so that the first labels of a
// mask are still foreground.
static void to_eight_bits(png_structp png, png_row_infop row, png_bytep samples) {
  (void)png;
  size_t count = (size_t)row->width * row->channels;
  for (size_t i = 0; i < count; i++) {
    uint32_t value = (uint32_t)samples[2 * i] << 8 | samples[2 * i + 1], scaled = (value * 255 + 32895) >> 16;
    samples[i] = (uint8_t)(scaled == 0 && value > 0 ? 1 : scaled);
  }
}

static void read_pixels(png_reading *r, ic_reader *reader, int32_t channels, uint8_t *pixels, size_t capacity,
                        ic_info *info) {
  ic_failure *failure = &r->failure;
  if (setjmp(failure->jump)) return;

  png_set_read_fn(r->png, reader, on_read);
  png_set_user_limits(r->png, IC_MAX_SIDE, IC_MAX_SIDE);
  png_set_chunk_malloc_max(r->png, 16 << 20);
  png_read_info(r->png, r->info);

  size_t width = png_get_image_width(r->png, r->info), height = png_get_image_height(r->png, r->info);
  int kind = png_get_color_type(r->png, r->info);
  *info = (ic_info){.width = (int32_t)width,
                    .height = (int32_t)height,
                    .channels = kind == PNG_COLOR_TYPE_PALETTE ? 3 : png_get_channels(r->png, r->info),
                    .bit_depth = png_get_bit_depth(r->png, r->info),
                    .format = IC_PNG};
  if (!pixels) return;
  if (capacity < width * height * (size_t)channels) {
    failure->status = ic_say(failure->message, failure->message_size, IC_ARGUMENT,
                             "the image changed its size between two reads");
    return;
  }

  bool colour = (kind & PNG_COLOR_MASK_COLOR) != 0, to_grey = colour && channels == 1;
  png_set_expand(r->png);
  png_set_strip_alpha(r->png);
  if (!colour && channels == 3) png_set_gray_to_rgb(r->png);
  if (info->bit_depth == 16) {
    png_set_read_user_transform_fn(r->png, to_eight_bits);
    png_set_user_transform_info(r->png, NULL, 8, colour || channels == 3 ? 3 : 1);
  }
  png_set_interlace_handling(r->png);
  png_read_update_info(r->png, r->info);

  size_t row_bytes = width * (to_grey ? 3 : (size_t)channels);
  if (png_get_rowbytes(r->png, r->info) != row_bytes) png_error(r->png, "unexpected row size");
  r->rows = malloc(height * sizeof *r->rows);
  if (to_grey) r->colour = malloc(height * row_bytes);
  if (!r->rows || (to_grey && !r->colour)) {
    failure->status = ic_say(failure->message, failure->message_size, IC_MEMORY, "there is not enough memory for it");
    return;
  }
  uint8_t *base = to_grey ? r->colour : pixels;
  for (size_t y = 0; y < height; y++) r->rows[y] = base + y * row_bytes;
  png_read_image(r->png, r->rows);
  png_read_end(r->png, NULL);  // a file cut after its last row is still a cut file

  // ITU-R BT.601 luma in 16-bit fixed point: what libjpeg does for JPEG. libpng's own conversion weighs differently
  // and looks at the file's gamma.
  if (to_grey)
    for (size_t i = 0; i < width * height; i++) {
      const uint8_t *p = r->colour + 3 * i;
      pixels[i] = (uint8_t)((19595u * p[0] + 38470u * p[1] + 7471u * p[2] + 32768u) >> 16);
    }
}

ic_status ic_png_read(ic_reader *reader, int32_t channels, uint8_t *pixels, size_t capacity, ic_info *info,
                      char *message, size_t message_size) {
  ic_status status = check_header(reader, message, message_size);
  if (status != IC_OK) return status;
  png_reading r = {.failure = {.message = message, .message_size = message_size}};
  r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r.failure, on_error, on_warning);
  if (r.png) r.info = png_create_info_struct(r.png);
  if (r.info)
    read_pixels(&r, reader, channels, pixels, capacity, info);
  else
    r.failure.status = ic_say(message, message_size, IC_MEMORY, "libpng cannot start");
  png_destroy_read_struct(&r.png, &r.info, NULL);
  free(r.rows);
  free(r.colour);
  return r.failure.status;
}

typedef struct {
  ic_failure failure;
  png_structp png;
  png_infop info;
  ic_sink sink;
} png_writing;

static void on_write(png_structp png, png_bytep bytes, size_t count) {
  png_writing *w = png_get_io_ptr(png);
  if (ic_sink_append(&w->sink, bytes, count)) return;
  w->failure.status =
      ic_say(w->failure.message, w->failure.message_size, IC_MEMORY, "there is not enough memory to encode it");
  png_error(png, "memory");
}

static void on_flush(png_structp png) { (void)png; }

static void write_pixels(png_writing *w, const uint8_t *pixels, int32_t width, int32_t height, int32_t channels) {
  if (setjmp(w->failure.jump)) return;
  png_set_write_fn(w->png, w, on_write, on_flush);
  png_set_user_limits(w->png, IC_MAX_SIDE, IC_MAX_SIDE);
  png_set_IHDR(w->png, w->info, (png_uint_32)width, (png_uint_32)height, 8,
               channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(w->png, w->info);
  size_t row_bytes = (size_t)width * (size_t)channels;
  for (int32_t y = 0; y < height; y++) png_write_row(w->png, pixels + (size_t)y * row_bytes);
  png_write_end(w->png, NULL);
}

ic_status ic_encode_png(const uint8_t *pixels, int32_t width, int32_t height, int32_t channels, uint8_t **bytes,
                        size_t *count, char *message, size_t message_size) {
  *bytes = NULL;
  *count = 0;
  if (channels != 1 && channels != 3)
    return ic_say(message, message_size, IC_ARGUMENT, "images are encoded from 1 or 3 channels, not %d", channels);
  ic_status status = ic_check_size(width, height, message, message_size);
  if (status != IC_OK) return status;
  png_writing w = {.failure = {.message = message, .message_size = message_size}};
  w.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &w.failure, on_error, on_warning);
  if (w.png) w.info = png_create_info_struct(w.png);
  if (w.info)
    write_pixels(&w, pixels, width, height, channels);
  else
    w.failure.status = ic_say(message, message_size, IC_MEMORY, "libpng cannot start");
  png_destroy_write_struct(&w.png, &w.info);
  if (w.failure.status != IC_OK) {
    free(w.sink.bytes);
    return w.failure.status;
  }
  *bytes = w.sink.bytes;
  *count = w.sink.count;
  return IC_OK;
}
