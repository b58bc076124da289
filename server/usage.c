#include "server/usage.h"

struct prompt_usage prompt_usage_count(const struct engine *engine, const struct request *request)
{
    struct prompt_usage u = {.tokens = (int)request->n_ids};
    int32_t image_id = engine_config(engine)->image_id;
    for (size_t i = 0; i < request->n_ids; i++)
        u.picture_tokens += image_id >= 0 && request->ids[i] == image_id;
    for (size_t i = 0; i < request->n_pictures; i++)
        if (request->picture[i].kind == PICTURE_DRAWN)
            u.picture_tokens += engine_picture_tokens(engine);
    if (u.picture_tokens > u.tokens)
        u.picture_tokens = u.tokens;
    return u;
}

/* Every member that some client insists on is there. */
json_t *usage_chat_json(const struct prompt_usage *p, const struct reply_usage *r)
{
    int completion = r->text_tokens + r->picture_tokens;
    return json_pack("{s:i, s:i, s:i, s:{s:i, s:i, s:i, s:i}, s:{s:i, s:i, s:i, s:i, s:i, s:i}}",
                     "prompt_tokens", p->tokens, "completion_tokens", completion, "total_tokens",
                     p->tokens + completion, "prompt_tokens_details", "cached_tokens", p->cached_tokens,
                     "audio_tokens", 0, "image_tokens", p->picture_tokens, "text_tokens",
                     p->tokens - p->picture_tokens, "completion_tokens_details", "reasoning_tokens", 0,
                     "audio_tokens", 0, "accepted_prediction_tokens", 0, "rejected_prediction_tokens", 0,
                     "image_tokens", r->picture_tokens, "text_tokens", r->text_tokens);
}

json_t *usage_images_json(const struct prompt_usage *p, const struct reply_usage *r)
{
    int output = r->text_tokens + r->picture_tokens;
    return json_pack("{s:i, s:i, s:i, s:{s:i, s:i, s:i}, s:{s:i, s:i}}", "input_tokens", p->tokens,
                     "output_tokens", output, "total_tokens", p->tokens + output, "input_tokens_details",
                     "text_tokens", p->tokens - p->picture_tokens, "image_tokens", p->picture_tokens,
                     "cached_tokens", p->cached_tokens, "output_tokens_details", "image_tokens",
                     r->picture_tokens, "text_tokens", r->text_tokens);
}
