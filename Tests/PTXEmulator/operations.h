// What who reads PTX and who runs it call the operations, types and so on of instructions.
#pragma once

typedef enum {
  O_MOV, O_PACK, O_UNPACK, O_ADD, O_SUB, O_MUL, O_MUL_HI, O_MUL_WIDE, O_MAD, O_MAD_WIDE, O_FMA, O_DIV, O_REM, O_MIN, O_MAX, O_ABS,
  O_NEG, O_AND, O_OR, O_XOR, O_NOT, O_SHL, O_SHR, O_BFE, O_SELP, O_SETP, O_CVT, O_LD, O_ST, O_BRA, O_RET, O_BAR, O_EX2, O_LG2, O_RCP,
  O_SQRT, O_RSQRT, O_MMA, O_LDMATRIX, O_WGMMA, O_WGMMA_FENCE, O_WGMMA_COMMIT, O_WGMMA_WAIT, O_FENCE_ASYNC, O_CP_ASYNC, O_CP_WAIT,
  O_SHFL, O_COPYSIGN, O_TO_TF32, O_TO_BF16, O_RED, O_MBARRIER_INIT, O_MBARRIER_EXPECT, O_MBARRIER_TRY, O_BULK, O_BFI, O_PRMT, O_NOTHING,
} Operation;

// F32X2: two fp32 numbers, the lower half first.
typedef enum {
  T_NONE, T_PRED, T_B8, T_S8, T_U8, T_B16, T_S16, T_U16, T_F16, T_B32, T_S32, T_U32, T_F32, T_B64, T_S64, T_U64, T_F64, T_F32X2,
} Type;

typedef enum { C_EQ, C_NE, C_LT, C_LE, C_GT, C_GE, C_EQU, C_NEU, C_LTU, C_LEU, C_GTU, C_GEU, C_NUM, C_NAN, C_LO, C_LS, C_HI, C_HS } Compare;

typedef enum { S_GENERIC, S_GLOBAL, S_SHARED, S_LOCAL, S_CONST, S_PARAM } Space;

// As rounding: to an integer where it begins with I.
typedef enum { R_NONE, R_NEAREST, R_ZERO, R_DOWN, R_UP, R_I_NEAREST, R_I_ZERO, R_I_DOWN, R_I_UP } Rounding;

static inline int type_bytes(int type) {
  return type >= T_B64 ? 8 : type >= T_B32 ? 4 : type >= T_B16 ? 2 : 1;
}
