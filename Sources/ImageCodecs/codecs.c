// Opens a source, tells its format by the first bytes, and hands it to the codec.
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shared.h"

ic_status ic_say(char *message, size_t message_size, ic_status status, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  if (message_size > 0) vsnprintf(message, message_size, format, arguments);
  va_end(arguments);
  return status;
}

size_t ic_reader_take(ic_reader *reader, uint8_t *into, size_t count) {
  if (reader->file) return fread(into, 1, count, reader->file);
  size_t left = reader->count - reader->position;
  if (count > left) count = left;
  if (count > 0) memcpy(into, reader->bytes + reader->position, count);
  reader->position += count;
  return count;
}

bool ic_sink_append(ic_sink *sink, const uint8_t *bytes, size_t count) {
  if (count == 0) return true;
  if (sink->capacity - sink->count < count) {
    size_t capacity = sink->capacity ? sink->capacity : 65536;
    while (capacity - sink->count < count) capacity *= 2;
    uint8_t *grown = realloc(sink->bytes, capacity);
    if (!grown) return false;
    sink->bytes = grown;
    sink->capacity = capacity;
  }
  memcpy(sink->bytes + sink->count, bytes, count);
  sink->count += count;
  return true;
}

ic_status ic_check_size(int64_t width, int64_t height, char *message, size_t message_size) {
  if (width < 1 || height < 1)
    return ic_say(message, message_size, IC_TOO_LARGE, "its header claims %lld x %lld pixels", (long long)width,
                  (long long)height);
  if (width > IC_MAX_SIDE || height > IC_MAX_SIDE || width * height > IC_MAX_PIXELS)
    return ic_say(message, message_size, IC_TOO_LARGE,
                  "its header claims %lld x %lld pixels; at most %d a side and %lld in all are read", (long long)width,
                  (long long)height, IC_MAX_SIDE, (long long)IC_MAX_PIXELS);
  return IC_OK;
}

static ic_status open_reader(ic_source source, ic_reader *reader, char *message, size_t message_size) {
  *reader = (ic_reader){0};
  if (!source.path) {
    reader->bytes = source.bytes;
    reader->count = source.bytes ? source.count : 0;
    return IC_OK;
  }
  // stat comes first: opening a pipe would wait for a writer.
  struct stat about;
  if (stat(source.path, &about) != 0) {
    bool missing = errno == ENOENT || errno == ENOTDIR;
    return ic_say(message, message_size, missing ? IC_MISSING : IC_IO, "%s",
                  missing ? "there is no such file" : strerror(errno));
  }
  if (!S_ISREG(about.st_mode)) return ic_say(message, message_size, IC_IO, "it is not a regular file");
  reader->file = fopen(source.path, "rbe");
  if (!reader->file) return ic_say(message, message_size, IC_IO, "it cannot be opened: %s", strerror(errno));
  return IC_OK;
}

static ic_status read_any(ic_source source, int32_t channels, uint8_t *pixels, size_t capacity, ic_info *info,
                          char *message, size_t message_size) {
  static const uint8_t png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  *info = (ic_info){0};
  if (message_size > 0) message[0] = 0;
  ic_reader reader;
  ic_status status = open_reader(source, &reader, message, message_size);
  if (status != IC_OK) return status;

  uint8_t head[8];
  size_t got = ic_reader_take(&reader, head, sizeof head);
  if (reader.file) rewind(reader.file);
  reader.position = 0;
  if (got == 0)
    status = ic_say(message, message_size, IC_TRUNCATED, "it is empty");
  else if (got >= 3 && head[0] == 0xff && head[1] == 0xd8 && head[2] == 0xff)
    status = ic_jpeg_read(&reader, channels, pixels, capacity, info, message, message_size);
  else if (got == sizeof head && memcmp(head, png, sizeof png) == 0)
    status = ic_png_read(&reader, channels, pixels, capacity, info, message, message_size);
  else
    status = ic_say(message, message_size, IC_NOT_IMAGE, "it is neither a PNG nor a JPEG file (by its first bytes)");
  if (reader.file) fclose(reader.file);
  return status;
}

ic_status ic_read_info(ic_source source, ic_info *info, char *message, size_t message_size) {
  return read_any(source, 1, NULL, 0, info, message, message_size);
}

ic_status ic_decode(ic_source source, int32_t channels, uint8_t *pixels, size_t capacity, ic_info *info, char *message,
                    size_t message_size) {
  if (channels != 1 && channels != 3)
    return ic_say(message, message_size, IC_ARGUMENT, "images are decoded to 1 or 3 channels, not %d", channels);
  return read_any(source, channels, pixels, capacity, info, message, message_size);
}

void ic_free(void *memory) { free(memory); }
