/* libFuzzer target: any bytes as a chat template, rendered for a small conversation. A seed corpus:
 * tests/golden/templates. */
#include "engine/text/chat_template.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check_ranges(const struct chat_rendering *r)
{
    size_t after = 0;
    for (size_t i = 0; i < r->n_plain; i++) {
        assert(r->plain[i].begin >= after && r->plain[i].end > r->plain[i].begin);
        after = r->plain[i].end;
    }
    assert(after <= r->length && strlen(r->text) <= r->length);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    const struct chat_part parts[] = {
        {.kind = CHAT_IMAGE}, {CHAT_TEXT, "a \xC3\xA9\n{{ x }}", 13}, {CHAT_MARKER, "<gen>", 5}};
    const struct chat_message messages[] = {
        {"system", parts + 1, 1}, {"user", parts, 2}, {"assistant", parts + 1, 2}, {"user", NULL, 0}};
    const struct chat_options options = {.add_generation_prompt = true,
                                         .bos_token = "<s>",
                                         .eos_token = "",
                                         .image_token = "<image>",
                                         .now = 1700000000};
    struct chat_template *t;
    struct chat_rendering r;
    struct error err;
    if (chat_template_open(&t, (const char *)bytes, length, &err))
        return 0;
    if (chat_template_render(t, messages, 4, &options, &r, &err) == STATUS_OK)
        check_ranges(&r);
    chat_rendering_release(&r);
    chat_template_close(t);
    return 0;
}
