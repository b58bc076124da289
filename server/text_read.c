#include "server/text_read.h"

#include "base/memory.h"
#include "base/sha256.h"

#include <stdlib.h>
#include <string.h>

static void read_filter(const struct params *f, const struct model_config *config, struct text_options *text)
{
    text->filter.temperature = config->temperature;
    text->filter.top_p = config->top_p;
    text->filter.top_k = config->top_k;
    param_number(f, "temperature", 0, 2, &text->filter.temperature);
    param_number(f, "top_p", 0, 1, &text->filter.top_p);
    param_int(f, "top_k", -1, INT32_MAX, &text->filter.top_k);
    if (text->filter.top_k < 0) /* as vLLM's clients say that it is off */
        text->filter.top_k = 0;
    if (text->filter.top_p <= 0) /* only the likeliest is left */
        text->filter = (struct choice_filter){.temperature = 0, .top_p = 1};
    param_number(f, "min_p", 0, 1, &text->filter.min_p);
    param_positive(f, "repetition_penalty", 10, &text->repetition_penalty);
    param_number(f, "frequency_penalty", -2, 2, &text->frequency_penalty);
    param_number(f, "presence_penalty", -2, 2, &text->presence_penalty);
}

/* A token id in decimal, and nothing else; -1 otherwise. */
static int32_t read_id(const char *name, int vocab)
{
    size_t n = strspn(name, "0123456789");
    if (n < 1 || n > 9 || name[n])
        return -1;
    long id = strtol(name, NULL, 10);
    return id < vocab ? (int32_t)id : -1;
}

static void read_bias(const struct params *f, const struct model_config *config, struct text_options *text)
{
    json_t *map = param_object(f, "logit_bias"), *value;
    const char *name;
    size_t n = json_object_size(map);
    if (n == 0)
        return;
    text->bias = try_calloc(n, sizeof text->bias[0]);
    if (!text->bias) {
        http_error_set(f->error, PROBLEM_MEMORY, NULL, "no memory for 'logit_bias'");
        return;
    }
    json_object_foreach(map, name, value)
    {
        int32_t id = read_id(name, config->llm.vocab);
        double bias = json_number_value(value);
        if (id < 0)
            param_fail(f, PROBLEM_INVALID, "logit_bias", "has '%.40s', which is not a token id below %d",
                       name, config->llm.vocab);
        else if (!json_is_number(value) || bias < -100 || bias > 100)
            param_fail(f, PROBLEM_INVALID, "logit_bias", "must map token ids to numbers from -100 to 100");
        text->bias[text->n_bias++] = (struct token_bias){id, (float)bias};
    }
}

static void add_stop(const struct params *f, struct stop_list *stops, json_t *value)
{
    size_t n = json_string_length(value);
    if (!json_is_string(value) || n == 0 || n > MAX_STOP_BYTES) {
        param_fail(f, PROBLEM_INVALID, "stop", "must hold strings of 1 to %d bytes", MAX_STOP_BYTES);
        return;
    }
    stop_list_add(stops, json_string_value(value), n);
}

void text_read_choosing(const struct params *f, const struct model_config *config, struct text_options *text)
{
    read_filter(f, config, text);
    read_bias(f, config, text);
}

void text_read_stop(const struct params *f, struct stop_list *stops)
{
    json_t *value = param_find(f, "stop");
    if (!value)
        return;
    if (json_is_string(value)) {
        add_stop(f, stops, value);
        return;
    }
    if (!json_is_array(value) || json_array_size(value) > MAX_STOPS) {
        param_fail(f, PROBLEM_INVALID, "stop", "must be a string or an array of at most %d strings",
                   MAX_STOPS);
        return;
    }
    for (size_t i = 0; i < json_array_size(value); i++)
        add_stop(f, stops, json_array_get(value, i));
}

void text_read_least(const struct params *f, struct text_options *text)
{
    param_int(f, "min_tokens", 0, INT32_MAX, &text->min_tokens);
    if (text->max_tokens >= 0 && text->min_tokens > text->max_tokens)
        param_fail(f, PROBLEM_INVALID, "min_tokens", "must not be over the limit of %d tokens",
                   text->max_tokens);
    param_bool(f, "ignore_eos", &text->ignore_end);
}

void text_read_scheduling(const struct params *f, struct request *request)
{
    const char *salt = NULL;
    size_t length = 0;
    param_int(f, "priority", INT32_MIN, INT32_MAX, &request->priority);
    param_string(f, "cache_salt", &salt, &length);
    if (!salt)
        return;
    struct sha256 hash;
    uint8_t digest[SHA256_BYTES];
    sha256_init(&hash);
    sha256_add(&hash, salt, length);
    sha256_finish(&hash, digest);
    memcpy(request->cache_salt, digest, sizeof request->cache_salt);
}
