/* Keys and values in fewer bits; part of kernels_body.h. Plain loops where the compiler finds the vectors. */

static void to_bf16(uint16_t *restrict out, const float *restrict x, int n)
{
    for (int i = 0; i < n; i++)
        out[i] = float_to_bf16(x[i]);
}

/* Magnitudes compare as integers do, NaN above all. */
static float largest_magnitude(const float *x, int n)
{
    uint32_t most = 0;
    for (int i = 0; i < n; i++) {
        uint32_t magnitude = float_to_bits(x[i]) & 0x7fffffff;
        most = magnitude > most ? magnitude : most;
    }
    return bits_to_float(most);
}

static float to_i8(int8_t *restrict out, const float *restrict x, int n)
{
    const float to_integer = 0x1.8p23f; /* added, it leaves the nearest integer in the low bits */
    float most = largest_magnitude(x, n);
    float by = most >= 1e-30f ? 127 / most : 0; /* NaN: the scale makes all of them NaN again */
    for (int i = 0; i < n; i++)
        out[i] = (int8_t)(uint8_t)(float_to_bits(x[i] * by + to_integer) & 0xff);
    return most < 1e-30f ? 0 : most / 127;
}

static void from_i8(float *restrict out, const int8_t *restrict in, float scale, int n)
{
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        vf_store(out + i, vf_load_i8(in + i) * scale);
    for (; i < n; i++)
        out[i] = (float)in[i] * scale;
}
