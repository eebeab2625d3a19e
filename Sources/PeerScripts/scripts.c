#include "PeerScripts.h"
#include <stddef.h>

static const char alternate[] = {
#embed "../../benchmarks/peers/alternate.py"
    , 0};
static const char torch_step[] = {
#embed "../../benchmarks/peers/torch_step.py"
    , 0};
static const char variable_unet[] = {
#embed "../../benchmarks/peers/variable_unet.py"
    , 0};

static const struct {
  const char *name, *text;
} files[] = {{"alternate.py", alternate}, {"torch_step.py", torch_step}, {"variable_unet.py", variable_unet}};

int peer_scripts_count(void) { return sizeof files / sizeof files[0]; }
const char *peer_scripts_name(int i) { return i >= 0 && i < peer_scripts_count() ? files[i].name : NULL; }
const char *peer_scripts_text(int i) { return i >= 0 && i < peer_scripts_count() ? files[i].text : NULL; }
