/* Functions of one number, and what is made of them; part of kernels_body.h. */

/* e^x within 2 ulp: x = n ln 2 + r, a polynomial in r, and 2^n in two factors so that subnormal results come
 * out right. */
INLINE vf vf_exp(vf x)
{
    const float log2e = 1.44269504088896341f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer, left in the low bits */
    x = vf_max(vf_all(-104.0f), vf_min(vf_all(89.0f), x));
    vf shifted = vf_fma(x, vf_all(log2e), vf_all(magic));
    vf n = shifted - magic;
    vf r = vf_fma(n, vf_all(-ln2_high), x);
    r = vf_fma(n, vf_all(-ln2_low), r);
    vf p = vf_all(1.9875691500e-4f);
    p = vf_fma(p, r, vf_all(1.3981999507e-3f));
    p = vf_fma(p, r, vf_all(8.3334519073e-3f));
    p = vf_fma(p, r, vf_all(4.1665795894e-2f));
    p = vf_fma(p, r, vf_all(1.6666665459e-1f));
    p = vf_fma(p, r, vf_all(5.0000001201e-1f));
    p = vf_fma(p, r * r, r) + 1.0f;
    vu whole = (vu)shifted - 0x4b400000u + 1024;
    vu half = whole >> 1, rest = whole - half;
    return p * (vf)((half - 512 + 127) << 23) * (vf)((rest - 512 + 127) << 23);
}

INLINE vf vf_sigmoid(vf x)
{
    return 1.0f / (1.0f + vf_exp(-x));
}

INLINE vf vf_gelu(vf x)
{
    for (int i = 0; i < LANES; i++)
        x[i] = 0.5f * x[i] * (1.0f + erff(x[i] * 0.70710678118654752f));
    return x;
}

INLINE vf vf_act(vf x, enum activation activation)
{
    switch (activation) {
    case ACT_NONE: break;
    case ACT_GELU: return vf_gelu(x);
    case ACT_GELU_TANH: {
        /* (1 + tanh u) / 2 is the sigmoid of 2u */
        vf u = x * vf_fma(x * x, vf_all(0.044715f), vf_all(1.0f));
        return x * vf_sigmoid(u * 1.59576912160573071f);
    }
    case ACT_QUICK_GELU: return x * vf_sigmoid(x * 1.702f);
    case ACT_SILU: return x * vf_sigmoid(x);
    }
    return x;
}

INLINE void bias_act_as(float *x, int n, const float *bias, enum activation activation)
{
    int i = 0;
    for (; i + LANES <= n; i += LANES) {
        vf v = vf_load(x + i);
        vf_store(x + i, vf_act(bias ? v + vf_load(bias + i) : v, activation));
    }
    if (i < n) {
        vf v = vf_load_part(x + i, n - i);
        vf_store_part(x + i, vf_act(bias ? v + vf_load_part(bias + i, n - i) : v, activation), n - i);
    }
}

static void bias_act(float *x, int n, const float *bias, enum activation activation)
{
    switch (activation) {
    case ACT_NONE: bias_act_as(x, n, bias, ACT_NONE); break;
    case ACT_GELU: bias_act_as(x, n, bias, ACT_GELU); break;
    case ACT_GELU_TANH: bias_act_as(x, n, bias, ACT_GELU_TANH); break;
    case ACT_QUICK_GELU: bias_act_as(x, n, bias, ACT_QUICK_GELU); break;
    case ACT_SILU: bias_act_as(x, n, bias, ACT_SILU); break;
    }
}

INLINE void scale_bias_act_as(float *out, const float *x, int n, const float *scale, const float *bias,
                              enum activation activation)
{
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        vf_store(out + i, vf_act(vf_fma(vf_load(x + i), vf_load(scale + i), vf_load(bias + i)), activation));
    if (i < n) {
        vf v =
            vf_fma(vf_load_part(x + i, n - i), vf_load_part(scale + i, n - i), vf_load_part(bias + i, n - i));
        vf_store_part(out + i, vf_act(v, activation), n - i);
    }
}

static void scale_bias_act(float *out, const float *x, int n, const float *scale, const float *bias,
                           enum activation activation)
{
    switch (activation) {
    case ACT_NONE: scale_bias_act_as(out, x, n, scale, bias, ACT_NONE); break;
    case ACT_GELU: scale_bias_act_as(out, x, n, scale, bias, ACT_GELU); break;
    case ACT_GELU_TANH: scale_bias_act_as(out, x, n, scale, bias, ACT_GELU_TANH); break;
    case ACT_QUICK_GELU: scale_bias_act_as(out, x, n, scale, bias, ACT_QUICK_GELU); break;
    case ACT_SILU: scale_bias_act_as(out, x, n, scale, bias, ACT_SILU); break;
    }
}

static void silu_mul(float *out, const float *gate, const float *up, int n)
{
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        vf_store(out + i, vf_act(vf_load(gate + i), ACT_SILU) * vf_load(up + i));
    if (i < n) {
        vf v = vf_act(vf_load_part(gate + i, n - i), ACT_SILU) * vf_load_part(up + i, n - i);
        vf_store_part(out + i, v, n - i);
    }
}
