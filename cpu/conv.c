#include "cpu/backend_state.h"

#include <assert.h>
#include <string.h>

/* A convolution is a product whose rows are the pixels' neighbourhoods. A task is a chunk of pixels: for each
 * block of the inner dimension it lays out their neighbourhoods in scratch and hands them to the product
 * kernel. */
enum { PIXELS = 96, PITCH = MATMUL_BLOCK + 16 };

struct conv_job {
    struct cpu_backend *c;
    struct tensor out, x;
    const struct conv *conv;
    const struct weight *w;
    const float *bias;
    int out_width, pixels;
};

/* Columns from .. from+n-1 of the neighbourhood of output pixel (oy, ox): kernel row, kernel column, channel.
 */
static void lay_out(float *to, const struct conv_job *j, int oy, int ox, int from, int n)
{
    const struct conv *v = j->conv;
    int channels = j->x.cols, before = v->kernel == 1 || v->pad_end_only ? 0 : 1;
    int height = v->height * v->upsample, width = v->width * v->upsample;
    while (n > 0) {
        int tap = from / channels, channel = from % channels;
        int run = channels - channel < n ? channels - channel : n;
        int y = oy * v->stride + tap / v->kernel - before, x = ox * v->stride + tap % v->kernel - before;
        if (y < 0 || y >= height || x < 0 || x >= width)
            memset(to, 0, (size_t)run * sizeof(float));
        else
            memcpy(to, tensor_row(j->x, y / v->upsample * v->width + x / v->upsample) + channel,
                   (size_t)run * sizeof(float));
        to += run;
        from += run;
        n -= run;
    }
}

static void conv_task(void *context, int task, int thread)
{
    const struct conv_job *j = context;
    const struct cpu_kernels *k = j->c->k;
    int first = task * j->pixels, inner = j->w->cols;
    int n = j->out.rows - first < j->pixels ? j->out.rows - first : j->pixels;
    float *x = (float *)((char *)j->c->scratch[thread] + MATMUL_SCRATCH);
    for (int from = 0; from < inner; from += MATMUL_BLOCK) {
        int length = inner - from < MATMUL_BLOCK ? inner - from : MATMUL_BLOCK;
        for (int i = 0; i < n; i++)
            lay_out(x + i * PITCH, j, (first + i) / j->out_width, (first + i) % j->out_width, from, length);
        k->matmul(&(struct matmul){
            .out = tensor_row(j->out, first),
            .x = x,
            .w = (const char *)j->w->data + dtype_bytes(j->w->type, (size_t)from),
            .out_stride = (size_t)j->out.stride,
            .x_stride = PITCH,
            .w_pitch = dtype_bytes(j->w->type, (size_t)inner),
            .type = j->w->type,
            .rows = n,
            .outputs = j->out.cols,
            .inner = length,
            .add = from > 0,
            .scratch = j->c->scratch[thread],
        });
    }
    if (!j->bias)
        return;
    for (int i = 0; i < n; i++)
        k->bias_act(tensor_row(j->out, first + i), j->out.cols, j->bias, ACT_NONE);
}

void cpu_conv2d(struct backend *be, struct tensor out, struct tensor x, const struct conv *conv,
                const struct weight *w, const float *bias)
{
    struct cpu_backend *c = cpu_state(be);
    assert(w->cols == conv->kernel * conv->kernel * x.cols && out.cols == w->rows);
    assert(out.rows == conv_out(conv, conv->height) * conv_out(conv, conv->width));
    if (conv->kernel == 1 && conv->stride == 1 && conv->upsample == 1) {
        cpu_linear(be, out, x, w, bias, ACT_NONE);
        return;
    }
    if (!cpu_scratch_reserve(c, MATMUL_SCRATCH + (size_t)PIXELS * PITCH * sizeof(float)))
        return;
    struct conv_job j = {c, out, x, conv, w, bias, conv_out(conv, conv->width), PIXELS};
    int share = (out.rows + 2 * c->threads - 1) /
                (2 * c->threads); /* small pictures: still some tasks for every thread */
    if (share < PIXELS)
        j.pixels = (share + 3) / 4 * 4;
    bool small = (double)out.rows * out.cols * w->cols < 200e3;
    cpu_for_tasks(c, (out.rows + j.pixels - 1) / j.pixels, small, conv_task, &j);
}
