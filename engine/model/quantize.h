/* Matrices as blocks of 32 small integers and a scale, made while loading: less memory and less to read a
 * step, for a little accuracy. */
#ifndef VARGPT_ENGINE_MODEL_QUANTIZE_H
#define VARGPT_ENGINE_MODEL_QUANTIZE_H

#include "engine/block.h"

/* 32 weights as one block of type DTYPE_Q8_0 or DTYPE_Q4_0. Its scale is 1/127 or 1/8 of the largest magnitude (as F16), and
 * a weight is off by half of that, or in DTYPE_Q4_0 by a whole one at the end of its range that the largest is not at.
 * False, and out is of no use, when a weight is no number or too large for such a block. */
bool block_encode(void *out, const float weight[BLOCK_WEIGHTS], enum dtype type);

#endif
