// PeerScripts: the Python files of benchmarks/peers that a node's report runs beside glomseg, embedded at build time.
#ifndef PEER_SCRIPTS_H
#define PEER_SCRIPTS_H

/// The number of embedded files.
int peer_scripts_count(void);
/// The i-th file's name, "torch_step.py"; NULL out of range.
const char *_Nullable peer_scripts_name(int i);
/// The i-th file's NUL-terminated text; NULL out of range.
const char *_Nullable peer_scripts_text(int i);

#endif
