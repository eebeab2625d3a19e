#include "Kernels.h"
#include <stddef.h>
#include <string.h>

// Editing an embedded file rebuilds this one: the compiler's dependency file names it.


static const char prelude[] = {
#embed "prelude.clh"
    , 0};
static const char storage[] = {
#embed "storage.clh"
    , 0};
static const char lanes[] = {
#embed "lanes.clh"
    , 0};
static const char conv2d_stage[] = {
#embed "conv2d_stage.clh"
    , 0};
static const char conv2d[] = {
#embed "conv2d.cl"
    , 0};
static const char conv2d_weight_gradient[] = {
#embed "conv2d_weight_gradient.cl"
    , 0};
static const char conv2d_pack[] = {
#embed "conv2d_pack.cl"
    , 0};
static const char conv2d_gpu_shared[] = {
#embed "conv2d_gpu.clh"
    , 0};
static const char conv2d_ahead[] = {
#embed "conv2d_ahead.clh"
    , 0};
static const char conv2d_gpu[] = {
#embed "conv2d_gpu.cl"
    , 0};
static const char conv2d_gpu_weight_gradient[] = {
#embed "conv2d_gpu_weight_gradient.cl"
    , 0};
static const char conv2d_winograd_reduce[] = {
#embed "conv2d_winograd_reduce.cl"
    , 0};
static const char matrix[] = {
#embed "matrix.clh"
    , 0};
static const char matrix_nvidia[] = {
#embed "matrix_nvidia.clh"
    , 0};
static const char matrix_warpgroup[] = {
#embed "matrix_warpgroup.clh"
    , 0};
static const char matrix_amd[] = {
#embed "matrix_amd.clh"
    , 0};
static const char matrix_wmma[] = {
#embed "matrix_wmma.clh"
    , 0};
static const char matrix_intel[] = {
#embed "matrix_intel.clh"
    , 0};
static const char conv2d_matrix[] = {
#embed "conv2d_matrix.cl"
    , 0};
static const char conv2d_matrix_pack[] = {
#embed "conv2d_matrix_pack.cl"
    , 0};
static const char conv2d_matrix_weight_gradient[] = {
#embed "conv2d_matrix_weight_gradient.cl"
    , 0};
static const char conv2d_reduce[] = {
#embed "conv2d_reduce.cl"
    , 0};
static const char channel_sum[] = {
#embed "channel_sum.cl"
    , 0};
static const char channel_copy[] = {
#embed "channel_copy.cl"
    , 0};
static const char batch_norm[] = {
#embed "batch_norm.cl"
    , 0};
static const char group_norm[] = {
#embed "group_norm.cl"
    , 0};
static const char materialize[] = {
#embed "materialize.cl"
    , 0};
static const char relu[] = {
#embed "relu.cl"
    , 0};
static const char max_pool[] = {
#embed "max_pool.cl"
    , 0};
static const char bce_dice[] = {
#embed "bce_dice.cl"
    , 0};
static const char adam[] = {
#embed "adam.cl"
    , 0};
static const char moving_average[] = {
#embed "moving_average.cl"
    , 0};
static const char sum_of_squares[] = {
#embed "sum_of_squares.cl"
    , 0};
static const char conv2d_winograd_stage[] = {
#embed "conv2d_winograd.clh"
    , 0};
static const char conv2d_winograd[] = {
#embed "conv2d_winograd.cl"
    , 0};
static const char conv2d_winograd_pack[] = {
#embed "conv2d_winograd_pack.cl"
    , 0};
static const char conv2d_winograd_weight_gradient[] = {
#embed "conv2d_winograd_weight_gradient.cl"
    , 0};
static const char matrix_product[] = {
#embed "matrix_product.cl"
    , 0};
static const char instructions[] = {
#embed "instructions.clh"
    , 0};
static const char module_sm_90a[] = {
#embed "module_sm_90a.ptx"
    , 0};
static const char roof[] = {
#embed "roof.cl"
    , 0};

static const struct {
  const char *name, *source;
} files[] = {
    {"prelude.clh", prelude},
    {"storage.clh", storage},
    {"lanes.clh", lanes},
    {"conv2d_stage.clh", conv2d_stage},
    {"conv2d.cl", conv2d},
    {"conv2d_weight_gradient.cl", conv2d_weight_gradient},
    {"conv2d_pack.cl", conv2d_pack},
    {"conv2d_winograd.clh", conv2d_winograd_stage},
    {"conv2d_winograd.cl", conv2d_winograd},
    {"conv2d_winograd_pack.cl", conv2d_winograd_pack},
    {"conv2d_winograd_weight_gradient.cl", conv2d_winograd_weight_gradient},
    {"conv2d_gpu.clh", conv2d_gpu_shared},
    {"conv2d_ahead.clh", conv2d_ahead},
    {"conv2d_gpu.cl", conv2d_gpu},
    {"conv2d_gpu_weight_gradient.cl", conv2d_gpu_weight_gradient},
    {"conv2d_winograd_reduce.cl", conv2d_winograd_reduce},
    {"matrix.clh", matrix},
    {"matrix_nvidia.clh", matrix_nvidia},
    {"matrix_warpgroup.clh", matrix_warpgroup},
    {"matrix_amd.clh", matrix_amd},
    {"matrix_wmma.clh", matrix_wmma},
    {"matrix_intel.clh", matrix_intel},
    {"conv2d_matrix.cl", conv2d_matrix},
    {"conv2d_matrix_pack.cl", conv2d_matrix_pack},
    {"conv2d_matrix_weight_gradient.cl", conv2d_matrix_weight_gradient},
    {"conv2d_reduce.cl", conv2d_reduce},
    {"channel_sum.cl", channel_sum},
    {"channel_copy.cl", channel_copy},
    {"batch_norm.cl", batch_norm},
    {"group_norm.cl", group_norm},
    {"materialize.cl", materialize},
    {"relu.cl", relu},
    {"max_pool.cl", max_pool},
    {"bce_dice.cl", bce_dice},
    {"adam.cl", adam},
    {"moving_average.cl", moving_average},
    {"sum_of_squares.cl", sum_of_squares},
    {"matrix_product.cl", matrix_product},
    {"roof.cl", roof},
    {"instructions.clh", instructions},
    {"module_sm_90a.ptx", module_sm_90a},
};

int kernels_count(void) { return sizeof files / sizeof files[0]; }

const char *kernels_name(int i) { return i >= 0 && i < kernels_count() ? files[i].name : NULL; }

const char *kernels_source(const char *name) {
  for (int i = 0; i < kernels_count(); i++)
    if (strcmp(files[i].name, name) == 0) return files[i].source;
  return NULL;
}
