// JPEG by libjpeg-turbo.
#include <stdlib.h>
#include <string.h>

#include "shared.h"
// jpeglib.h needs stdio.h and size_t before it.
#include <jpeglib.h>

#include <jerror.h>

// A progressive file of a few kilobytes may hold thousands of scans over a large image ("Two Issues with the JPEG
// Standard", libjpeg-turbo project); no encoder writes more than a few dozen.
enum { MAX_SCANS = 200 };

typedef struct {
  struct jpeg_error_mgr manager;  // first: libjpeg hands out its address
  ic_failure failure;
} jpeg_errors;

static void fail(jpeg_errors *errors, ic_status status, const char *text) {
  ic_failure *failure = &errors->failure;
  if (status == IC_TRUNCATED)
    failure->status = ic_say(failure->message, failure->message_size, status, "the JPEG data ends early");
  else if (status == IC_MEMORY)
    failure->status = ic_say(failure->message, failure->message_size, status, "there is not enough memory for it");
  else
    failure->status = ic_say(failure->message, failure->message_size, status, "damaged JPEG: %s", text);
  longjmp(failure->jump, 1);
}

static void on_error(j_common_ptr common) {
  jpeg_errors *errors = (jpeg_errors *)common->err;
  char text[JMSG_LENGTH_MAX];
  common->err->format_message(common, text);
  int code = common->err->msg_code;
  fail(errors, code == JERR_OUT_OF_MEMORY ? IC_MEMORY : code == JERR_INPUT_EOF ? IC_TRUNCATED : IC_CORRUPT, text);
}

// libjpeg goes on after damage and fills the rest with grey; such a patch must not be trained on. Only the notes that
// leave the pixels alone pass.
static void on_message(j_common_ptr common, int level) {
  if (level >= 0) return;
  switch (common->err->msg_code) {
    case JWRN_ADOBE_XFORM:
    case JWRN_JFIF_MAJOR:
    case JWRN_EXTRANEOUS_DATA:
      return;
    default:
      break;
  }
  char text[JMSG_LENGTH_MAX];
  common->err->format_message(common, text);
  int code = common->err->msg_code;
  fail((jpeg_errors *)common->err, code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER ? IC_TRUNCATED : IC_CORRUPT, text);
}

static void on_output(j_common_ptr common) { (void)common; }

static struct jpeg_error_mgr *start_errors(jpeg_errors *errors, char *message, size_t message_size) {
  *errors = (jpeg_errors){.failure = {.message = message, .message_size = message_size}};
  jpeg_std_error(&errors->manager);
  errors->manager.error_exit = on_error;
  errors->manager.emit_message = on_message;
  errors->manager.output_message = on_output;
  return &errors->manager;
}

static void on_progress(j_common_ptr common) {
  if (common->is_decompressor && ((j_decompress_ptr)common)->input_scan_number > MAX_SCANS)
    fail((jpeg_errors *)common->err, IC_CORRUPT, "too many scans");
}

typedef struct {
  jpeg_errors errors;
  struct jpeg_decompress_struct jpeg;
  struct jpeg_progress_mgr progress;
} jpeg_reading;

static void read_pixels(jpeg_reading *r, ic_reader *reader, int32_t channels, uint8_t *pixels, size_t capacity,
                        ic_info *info) {
  ic_failure *failure = &r->errors.failure;
  struct jpeg_decompress_struct *jpeg = &r->jpeg;
  if (setjmp(failure->jump)) return;

  jpeg_create_decompress(jpeg);
  r->progress.progress_monitor = on_progress;
  jpeg->progress = &r->progress;
  if (reader->file)
    jpeg_stdio_src(jpeg, reader->file);
  else
    jpeg_mem_src(jpeg, reader->bytes, reader->count);
  jpeg_read_header(jpeg, TRUE);

  *info = (ic_info){.width = (int32_t)jpeg->image_width,
                    .height = (int32_t)jpeg->image_height,
                    .channels = jpeg->num_components,
                    .bit_depth = jpeg->data_precision,
                    .format = IC_JPEG};
  failure->status = ic_check_size(jpeg->image_width, jpeg->image_height, failure->message, failure->message_size);
  if (failure->status != IC_OK || !pixels) return;
  size_t width = jpeg->image_width, height = jpeg->image_height;
  if (capacity < width * height * (size_t)channels) {
    failure->status = ic_say(failure->message, failure->message_size, IC_ARGUMENT,
                             "the image changed its size between two reads");
    return;
  }
  if (jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK) {
    failure->status = ic_say(failure->message, failure->message_size, IC_UNSUPPORTED, "CMYK JPEG is not supported");
    return;
  }

  jpeg->out_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_start_decompress(jpeg);
  while (jpeg->output_scanline < height) {
    JSAMPROW row = pixels + (size_t)jpeg->output_scanline * width * (size_t)channels;
    jpeg_read_scanlines(jpeg, &row, 1);
  }
  jpeg_finish_decompress(jpeg);
}

ic_status ic_jpeg_read(ic_reader *reader, int32_t channels, uint8_t *pixels, size_t capacity, ic_info *info,
                       char *message, size_t message_size) {
  jpeg_reading r = {0};
  r.jpeg.err = start_errors(&r.errors, message, message_size);
  read_pixels(&r, reader, channels, pixels, capacity, info);
  jpeg_destroy_decompress(&r.jpeg);
  return r.errors.failure.status;
}

// jpeg_mem_dest leaves the caller with a freed pointer when an error comes after its buffer grew; so bytes go through
// a block of our own.
typedef struct {
  struct jpeg_destination_mgr manager;  // first: libjpeg hands out its address
  ic_sink sink;
  uint8_t block[16384];
} jpeg_destination;

typedef struct {
  jpeg_errors errors;
  struct jpeg_compress_struct jpeg;
  jpeg_destination destination;
} jpeg_writing;

static void start_block(j_compress_ptr jpeg) {
  jpeg_destination *destination = (jpeg_destination *)jpeg->dest;
  destination->manager.next_output_byte = destination->block;
  destination->manager.free_in_buffer = sizeof destination->block;
}

static void append_block(j_compress_ptr jpeg, size_t count) {
  jpeg_destination *destination = (jpeg_destination *)jpeg->dest;
  if (!ic_sink_append(&destination->sink, destination->block, count))
    fail((jpeg_errors *)jpeg->err, IC_MEMORY, "");
}

static boolean flush_block(j_compress_ptr jpeg) {
  append_block(jpeg, sizeof((jpeg_destination *)jpeg->dest)->block);
  start_block(jpeg);
  return TRUE;
}

static void finish_block(j_compress_ptr jpeg) {
  jpeg_destination *destination = (jpeg_destination *)jpeg->dest;
  append_block(jpeg, sizeof destination->block - destination->manager.free_in_buffer);
}

static void write_pixels(jpeg_writing *w, const uint8_t *pixels, int32_t width, int32_t height, int32_t channels,
                         int32_t quality) {
  struct jpeg_compress_struct *jpeg = &w->jpeg;
  if (setjmp(w->errors.failure.jump)) return;
  jpeg_create_compress(jpeg);
  w->destination.manager = (struct jpeg_destination_mgr){
      .init_destination = start_block, .empty_output_buffer = flush_block, .term_destination = finish_block};
  jpeg->dest = &w->destination.manager;
  jpeg->image_width = (JDIMENSION)width;
  jpeg->image_height = (JDIMENSION)height;
  jpeg->input_components = channels;
  jpeg->in_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(jpeg);
  jpeg_set_quality(jpeg, quality, TRUE);
  jpeg_start_compress(jpeg, TRUE);
  while (jpeg->next_scanline < jpeg->image_height) {
    // libjpeg only reads the row; its type lacks the const.
    JSAMPROW row = (JSAMPROW)(pixels + (size_t)jpeg->next_scanline * (size_t)width * (size_t)channels);
    jpeg_write_scanlines(jpeg, &row, 1);
  }
  jpeg_finish_compress(jpeg);
}

ic_status ic_encode_jpeg(const uint8_t *pixels, int32_t width, int32_t height, int32_t channels, int32_t quality,
                         uint8_t **bytes, size_t *count, char *message, size_t message_size) {
  *bytes = NULL;
  *count = 0;
  if (channels != 1 && channels != 3)
    return ic_say(message, message_size, IC_ARGUMENT, "images are encoded from 1 or 3 channels, not %d", channels);
  if (quality < 1 || quality > 100)
    return ic_say(message, message_size, IC_ARGUMENT, "JPEG quality is 1 to 100, not %d", quality);
  ic_status status = ic_check_size(width, height, message, message_size);
  if (status != IC_OK) return status;
  jpeg_writing *w = calloc(1, sizeof *w);
  if (!w) return ic_say(message, message_size, IC_MEMORY, "there is not enough memory to encode it");
  w->jpeg.err = start_errors(&w->errors, message, message_size);
  write_pixels(w, pixels, width, height, channels, quality);
  jpeg_destroy_compress(&w->jpeg);
  status = w->errors.failure.status;
  if (status == IC_OK) {
    *bytes = w->destination.sink.bytes;
    *count = w->destination.sink.count;
  } else {
    free(w->destination.sink.bytes);
  }
  free(w);
  return status;
}
