/* /v1/models. */
#include "server/endpoints.h"

#include "server/state.h"

#include <math.h>
#include <string.h>

/* 0.96f as 0.96 */
static double rounded(float x)
{
    return round(x * 1e6) / 1e6;
}

static json_t *modalities(bool image)
{
    json_t *list = json_array();
    json_array_append_new(list, json_string("text"));
    if (image)
        json_array_append_new(list, json_string("image"));
    return list;
}

/* What a request's image_config is where it is silent. */
static json_t *drawing_json(const struct drawing_config *d)
{
    return json_pack("{s:f, s:f, s:f, s:i}", "guidance_scale", rounded(d->guidance), "temperature",
                     rounded(d->filter.temperature), "top_p", rounded(d->filter.top_p), "top_k",
                     d->filter.top_k);
}

static json_t *model_json(const struct server *server)
{
    const struct engine *engine = server_engine(server);
    bool sees = engine_config(engine)->kind >= MODEL_LLAVA, draws = engine_picture_tokens(engine) > 0;
    json_t *json =
        json_pack("{s:s, s:s, s:I, s:s, s:i, s:b, s:{s:o, s:o}}", "id", server->model_name, "object", "model",
                  "created", (json_int_t)server->created, "owned_by", "vargpt", "max_model_len",
                  engine_context(engine), "batch_invariant", engine_batch_invariant(engine), "architecture",
                  "input_modalities", modalities(sees), "output_modalities", modalities(draws));
    if (draws) {
        json_object_set_new(json, "picture_side", json_integer(engine_picture_side(engine)));
        json_object_set_new(json, "image_config", drawing_json(&engine_config(engine)->drawing));
    }
    return json;
}

void endpoint_models(struct exchange *x, const char *rest)
{
    (void)rest;
    exchange_reply_json(x, 200, json_pack("{s:s, s:[o]}", "object", "list", "data", model_json(x->server)));
}

void endpoint_model(struct exchange *x, const char *rest)
{
    struct http_error e = {0};
    if (x->server->options.model_name[0] == 0 || strcmp(rest, x->server->model_name) == 0) {
        exchange_reply_json(x, 200, model_json(x->server));
        return;
    }
    http_error_set(&e, PROBLEM_MODEL, "model",
                   "the model '%.100s' does not exist; this server's model is '%.100s'", rest,
                   x->server->model_name);
    exchange_fail(x, &e);
}
