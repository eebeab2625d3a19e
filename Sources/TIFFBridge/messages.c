// libtiff's errors: kept with the handle, never printed.
#include "shared.h"

#include <tiffvers.h>

bool tb_fail(char *message, size_t message_size, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  if (message_size > 0) vsnprintf(message, message_size, format, arguments);
  va_end(arguments);
  return false;
}

static void keep(tb_note *note, const char *format, va_list arguments) {
  if (note->text[0] == 0) vsnprintf(note->text, sizeof note->text, format, arguments);
}

#if TIFFLIB_VERSION >= 20221213  // 4.5.0: handlers of a handle's own
static int on_error(TIFF *tiff, void *note, const char *module, const char *format, va_list arguments) {
  (void)tiff, (void)module;
  keep(note, format, arguments);
  return 1;
}

static int on_warning(TIFF *tiff, void *note, const char *module, const char *format, va_list arguments) {
  (void)tiff, (void)note, (void)module, (void)format, (void)arguments;
  return 1;
}

TIFF *tb_open_tiff(const char *path, const char *mode, tb_note *note) {
  TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
  if (!options) return NULL;
  // What a lying directory may make libtiff allocate at once: the offsets of 30 million tiles fit.
  TIFFOpenOptionsSetMaxSingleMemAlloc(options, (tmsize_t)512 << 20);
  TIFFOpenOptionsSetErrorHandlerExtR(options, on_error, note);
  TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, NULL);
  TIFF *tiff = TIFFOpenExt(path, mode, options);
  TIFFOpenOptionsFree(options);
  return tiff;
}
#else  // the process's handlers; what they say is dropped, and the caller's own words stand alone
TIFF *tb_open_tiff(const char *path, const char *mode, tb_note *note) {
  (void)note, (void)keep;
  TIFFSetErrorHandler(NULL);
  TIFFSetWarningHandler(NULL);
  return TIFFOpen(path, mode);
}
#endif
