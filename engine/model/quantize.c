#include "engine/model/quantize.h"

static int nearest_within(float x, int low, int high)
{
    long q = lrintf(x);
    return (int)(q < low ? low : q > high ? high : q);
}

bool block_encode(void *out, const float weight[BLOCK_WEIGHTS], enum dtype type)
{
    uint8_t *bytes = out;
    float most = 0; /* of the largest magnitude, with its sign */
    for (int i = 0; i < BLOCK_WEIGHTS; i++) {
        if (!isfinite(weight[i]))
            return false;
        most = fabsf(weight[i]) > fabsf(most) ? weight[i] : most;
    }
    uint16_t d = float_to_f16(type == DTYPE_Q8_0 ? fabsf(most) / 127 : most / -8);
    float step = f16_to_float(d);
    if (!isfinite(step))
        return false;
    float by = step != 0 ? 1 / step : 0;
    *bytes++ = (uint8_t)(d & 0xff);
    *bytes++ = (uint8_t)(d >> 8);
    for (int i = 0; type == DTYPE_Q8_0 && i < BLOCK_WEIGHTS; i++)
        bytes[i] = (uint8_t)nearest_within(weight[i] * by, -127, 127);
    for (int i = 0; type == DTYPE_Q4_0 && i < BLOCK_WEIGHTS / 2; i++) {
        int low = nearest_within(weight[i] * by, -8, 7) + 8;
        int high = nearest_within(weight[i + BLOCK_WEIGHTS / 2] * by, -8, 7) + 8;
        bytes[i] = (uint8_t)(low | high << 4);
    }
    return true;
}
