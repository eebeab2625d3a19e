// A tile's or strip's JPEG stream by libjpeg-turbo. libtiff's own JPEG codec believes the photometric tag; Aperio's files
// say RGB and hold YCbCr, and their streams are abbreviated: the tables lie once in the directory.
#include <setjmp.h>
#include <stdlib.h>

#include "shared.h"
// jpeglib.h needs stdio.h and size_t before it.
#include <jpeglib.h>

#include <jerror.h>

enum { MAX_SCANS = 200 };

typedef struct {
  struct jpeg_error_mgr manager;  // first: libjpeg hands out its address
  jmp_buf jump;
  char *message;
  size_t message_size;
} jpeg_errors;

static void on_error(j_common_ptr common) {
  jpeg_errors *errors = (jpeg_errors *)common->err;
  char text[JMSG_LENGTH_MAX];
  common->err->format_message(common, text);
  tb_fail(errors->message, errors->message_size, "damaged JPEG: %s", text);
  longjmp(errors->jump, 1);
}

// libjpeg goes on after damage and fills the rest with grey; only notes that leave the pixels alone pass.
static void on_message(j_common_ptr common, int level) {
  if (level >= 0) return;
  switch (common->err->msg_code) {
    case JWRN_ADOBE_XFORM:
    case JWRN_JFIF_MAJOR:
    case JWRN_EXTRANEOUS_DATA:
      return;
    default:
      on_error(common);
  }
}

static void on_output(j_common_ptr common) { (void)common; }

static void on_progress(j_common_ptr common) {
  if (((j_decompress_ptr)common)->input_scan_number > MAX_SCANS) {
    jpeg_errors *errors = (jpeg_errors *)common->err;
    tb_fail(errors->message, errors->message_size, "damaged JPEG: too many scans");
    longjmp(errors->jump, 1);
  }
}

typedef struct {
  jpeg_errors errors;
  struct jpeg_decompress_struct jpeg;
  struct jpeg_progress_mgr progress;
  uint8_t *row;  // one row of the stream, where it is wider than the block
} reading;

// Three components are YCbCr where the file says so, where an Adobe marker says so, or where one is subsampled: RGB
// never is.
static J_COLOR_SPACE colour_space(const struct jpeg_decompress_struct *jpeg, bool declared_ycbcr) {
  if (declared_ycbcr) return JCS_YCbCr;
  if (jpeg->saw_Adobe_marker) return jpeg->Adobe_transform == 0 ? JCS_RGB : JCS_YCbCr;
  for (int i = 0; i < jpeg->num_components; i++)
    if (jpeg->comp_info[i].h_samp_factor != jpeg->max_h_samp_factor ||
        jpeg->comp_info[i].v_samp_factor != jpeg->max_v_samp_factor)
      return JCS_YCbCr;
  return JCS_RGB;
}

static bool read_block(reading *r, const tb_jpeg_source *source, uint8_t *into) {
  jpeg_errors *errors = &r->errors;
  struct jpeg_decompress_struct *jpeg = &r->jpeg;
  if (setjmp(errors->jump)) return false;
  jpeg_create_decompress(jpeg);
  r->progress.progress_monitor = on_progress;
  jpeg->progress = &r->progress;
  if (source->tables) {
    jpeg_mem_src(jpeg, source->tables, source->table_count);
    jpeg_read_header(jpeg, FALSE);
  }
  jpeg_mem_src(jpeg, source->bytes, source->count);
  jpeg_read_header(jpeg, TRUE);
  if (jpeg->num_components != source->samples)
    return tb_fail(errors->message, errors->message_size, "its JPEG has %d components, the file says %d",
                   jpeg->num_components, source->samples);
  if (jpeg->image_width < source->need_width || jpeg->image_height < source->need_height ||
      jpeg->image_width > source->width + 64 || jpeg->image_height > source->height + 64)
    return tb_fail(errors->message, errors->message_size, "its JPEG is %u x %u pixels, the file says %u x %u",
                   jpeg->image_width, jpeg->image_height, source->width, source->height);
  if (source->samples == 3) {
    jpeg->jpeg_color_space = colour_space(jpeg, source->declared_ycbcr);
    jpeg->out_color_space = JCS_RGB;
  } else {
    jpeg->jpeg_color_space = JCS_GRAYSCALE;
    jpeg->out_color_space = JCS_GRAYSCALE;
  }
  jpeg_start_decompress(jpeg);
  size_t samples = (size_t)source->samples, row_bytes = (size_t)source->width * samples;
  r->row = malloc((size_t)jpeg->output_width * samples);
  if (!r->row) return tb_fail(errors->message, errors->message_size, "there is not enough memory for it");
  uint32_t columns = jpeg->output_width < source->width ? jpeg->output_width : source->width;
  while (jpeg->output_scanline < jpeg->output_height && jpeg->output_scanline < source->height) {
    uint8_t *target = into + (size_t)jpeg->output_scanline * row_bytes;
    JSAMPROW row = r->row;
    jpeg_read_scanlines(jpeg, &row, 1);
    memcpy(target, r->row, (size_t)columns * samples);
  }
  return true;
}

bool tb_decode_jpeg(const tb_jpeg_source *source, uint8_t *into, char *message, size_t message_size) {
  reading r = {.errors = {.message = message, .message_size = message_size}};
  r.jpeg.err = jpeg_std_error(&r.errors.manager);
  r.errors.manager.error_exit = on_error;
  r.errors.manager.emit_message = on_message;
  r.errors.manager.output_message = on_output;
  bool done = read_block(&r, source, into);
  jpeg_destroy_decompress(&r.jpeg);
  free(r.row);
  return done;
}
