// libtiff, found by pkg-config, for TIFFBridge.
#include <tiffio.h>
