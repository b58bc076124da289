/* Broken checkpoints: each is refused with a message that names the file and the tensor or key. They are made
 * of tests/golden/tiny-c by changing one thing. */
#include "cpu/cpu_backend.h"
#include "engine/model/model.h"

#include <dirent.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char source[] = "tests/golden/tiny-c/checkpoint";
static char folder[64]; /* the broken one */
static struct backend *backend;

static char *path_in(const char *in, const char *name, char out[600])
{
    snprintf(out, 600, "%s/%s", in, name);
    return out;
}

static void empty_folder(void)
{
    char path[600];
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] != '.')
            unlink(path_in(folder, e->d_name, path));
    }
    closedir(d);
}

/* All files of the source, as links, but for one that the test writes itself. */
static void link_all_but(const char *name)
{
    char from[600], to[600], root[300];
    assert_non_null(getcwd(root, sizeof root));
    empty_folder();
    DIR *d = opendir(source);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.' || strcmp(e->d_name, name) == 0)
            continue;
        snprintf(from, sizeof from, "%s/%s/%.200s", root, source, e->d_name);
        assert_int_equal(symlink(from, path_in(folder, e->d_name, to)), 0);
    }
    closedir(d);
}

static void write_file(const char *name, const void *bytes, size_t n)
{
    char path[600];
    FILE *f = fopen(path_in(folder, name, path), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static unsigned char *read_source(const char *name, size_t *n)
{
    char path[600];
    FILE *f = fopen(path_in(source, name, path), "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    unsigned char *bytes = malloc(*n + 1);
    assert_int_equal(fread(bytes, 1, *n, f), *n);
    bytes[*n] = 0;
    fclose(f);
    return bytes;
}

/* message NULL: it must open. */
static void expect(const char *what, const char *message)
{
    struct model *m = NULL;
    struct error err = {0};
    enum status status = model_open(&m, backend, folder, DTYPE_F32, NULL, NULL, &err);
    if (!message && status)
        fail_msg("%s: %s", what, err.message);
    if (message && !status)
        fail_msg("%s: opened, but should say \"%s\"", what, message);
    if (message && !strstr(err.message, message))
        fail_msg("%s: says \"%s\", but should say \"%s\"", what, err.message, message);
    if (message)
        assert_int_equal(status, STATUS_BAD_FILE);
    model_close(m);
}

/* --- keys --- */

struct key_change {
    const char *file, *path; /* "outer.inner" */
    const char *value;       /* JSON; NULL: taken away */
    const char *message;
};

static void change_key(json_t *object, const char *path, const char *value)
{
    const char *dot = strchr(path, '.');
    if (dot) {
        char outer[64];
        snprintf(outer, sizeof outer, "%.*s", (int)(dot - path), path);
        change_key(json_object_get(object, outer), dot + 1, value);
    } else if (value) {
        json_t *new = json_loads(value, JSON_DECODE_ANY, NULL);
        assert_non_null(new);
        assert_int_equal(json_object_set_new(object, path, new), 0);
    } else {
        assert_int_equal(json_object_del(object, path), 0);
    }
}

static void try_key(const struct key_change *c)
{
    size_t n;
    char what[200];
    char *text = (char *)read_source(c->file, &n);
    json_t *json = json_loads(text, 0, NULL);
    free(text);
    change_key(json, c->path, c->value);
    text = json_dumps(json, 0);
    json_decref(json);
    link_all_but(c->file);
    write_file(c->file, text, strlen(text));
    free(text);
    snprintf(what, sizeof what, "%s = %s", c->path, c->value ? c->value : "(none)");
    expect(what, c->message);
}

static const char config[] = "config.json", preprocessor[] = "preprocessor_config.json";

static void test_keys(void **state)
{
    static const struct key_change changes[] = {
        {config, "model_type", "\"gpt2\"", "config.json: model_type \"gpt2\" is not supported"},
        {config, "model_type", "7", "config.json: model_type must be a string"},
        {config, "text_config", "[]", "config.json: text_config must be an object"},
        {config, "text_config.hidden_size", "-1",
         "config.json: text_config: hidden_size is -1, must be 1 to"},
        {config, "text_config.hidden_size", "\"x\"",
         "config.json: text_config: hidden_size must be an integer"},
        {config, "text_config.hidden_size", "1e300", "hidden_size must be an integer"},
        {config, "text_config.hidden_size", "9223372036854775807",
         "hidden_size is 9223372036854775807, must be"},
        {config, "text_config.hidden_size", "28", "config.json: hidden_size is not that of text_config"},
        {config, "text_config.num_attention_heads", "0", "num_attention_heads is 0, must be"},
        {config, "text_config.num_key_value_heads", "4",
         "num_key_value_heads is 4, which does not divide 6 heads"},
        {config, "text_config.num_hidden_layers", "2000000000", "num_hidden_layers is 2000000000, must be"},
        {config, "text_config.num_hidden_layers", "1",
         "layers.1.input_layernorm.weight is not one that this model has"},
        {config, "text_config.num_hidden_layers", "3", "layers.2.input_layernorm.weight is missing"},
        {config, "text_config.head_dim", "7", "config.json: text_config: head_dim is 7, must be even"},
        {config, "text_config.vocab_size", "999", "embed_tokens.weight is [883, 27], must be [999, 27]"},
        {config, "text_config.attention_bias", "false",
         "self_attn.k_proj.bias is not one that this model has"},
        {config, "text_config.mlp_bias", "0", "config.json: text_config: mlp_bias must be true or false"},
        {config, "text_config.hidden_act", "\"gelu\"",
         "config.json: text_config: hidden_act \"gelu\" is not supported"},
        {config, "text_config.rms_norm_eps", "-1", "rms_norm_eps is -1, must be 0 to 1"},
        {config, "text_config.sliding_window", "64",
         "config.json: text_config: sliding_window is not supported"},
        {config, "text_config.partial_rotary_factor", "0.5",
         "partial_rotary_factor has a value that is not supported"},
        {config, "text_config.rope_parameters.partial_rotary_factor", "0.5",
         "config.json: rope_parameters: partial_rotary_factor has a value that is not supported"},
        {config, "text_config.rope_parameters.rope_type", "\"yarn\"", "rope_type \"yarn\" is not supported"},
        {config, "text_config.rope_parameters.factor", "0",
         "config.json: rope_parameters: factor is 0, must be"},
        {config, "text_config.rope_parameters.high_freq_factor", "1",
         "high_freq_factor must be above low_freq_factor"},
        {config, "quantization_config", "{}", "config.json: quantization_config is not supported"},
        {config, "vision_config.patch_size", "0", "config.json: vision_config: patch_size is 0, must be"},
        {config, "vision_config.patch_size", "31", "patch_size is larger than image_size"},
        {config, "vision_config.patch_size", "6",
         "patch_embedding.weight is [21, 3, 7, 7], must be [21, 108]"},
        {config, "vision_config.num_attention_heads", "2", "is 2, which does not divide a width of 21"},
        {config, "vision_config.hidden_act", "\"relu\"", "config.json: vision_config: hidden_act \"relu\""},
        {config, "vision_feature_layer", "4", "vision_feature_layer is 4, but the vision tower has 3 layers"},
        {config, "vision_feature_layer", "-5",
         "vision_feature_layer is -5, but the vision tower has 3 layers"},
        {config, "vision_feature_layer", "[-1, -2]",
         "vision_feature_layer as a list of several is not supported"},
        {config, "vision_feature_select_strategy", "\"cls\"", "vision_feature_select_strategy \"cls\""},
        {config, "multimodal_projector_bias", "false",
         "multi_modal_projector.linear_1.bias is not one that this model has"},
        {config, "image_token_index", NULL,
         "config.json: image_token_id is missing, and 32000 is not one of the 883"},
        {config, "image_token_index", "883", "config.json: image_token_index is 883, must be 0 to 882"},
        {config, "special_tokens.image_gen_start_token_id", NULL, "image_gen_start_token_id is missing"},
        {config, "special_tokens.image_gen_start_token_id", "882",
         "vargpt_gen.class_emb.weight is [882, 33], must be"},
        {config, "var_patch_nums", "[]", "var_patch_nums must be a list of 1 to 16 sizes"},
        {config, "var_patch_nums", "[2, 3, 4, 5, 8]",
         "config.json: var_patch_nums must be rising sizes from 1"},
        {config, "var_patch_nums", "[1, 2, 2, 5, 8]", "var_patch_nums must be rising"},
        {config, "var_patch_nums", "[1, 2, 3, 5, 65]", "var_patch_nums must be rising"},
        {config, "var_patch_nums", "[1, 2, 3, 5, 9]", "var_patch_nums in config.json must list them"},
        {config, "var_patch_nums", NULL, "var_patch_nums in config.json must list them"},
        {config, "vae_norm_groups", "2", "9 channels do not divide into 2 groups (vae_norm_groups)"},
        {preprocessor, "crop_size.height", "31", "preprocessor_config.json: crop_size is 30 x 31, but"},
        {preprocessor, "crop_size", "1000000000",
         "preprocessor_config.json: crop_size is 1000000000, must be"},
        {preprocessor, "image_std", "[1, 0, 1]",
         "preprocessor_config.json: image_std must be three numbers other than 0"},
        {preprocessor, "resample", "9", "preprocessor_config.json: resample is 9, must be"},
        {preprocessor, "size", "{\"longest_edge\": 30}", "longest_edge is not supported"},
        {"generation_config.json", "bos_token_id", "\"<s>\"",
         "generation_config.json: bos_token_id must be an integer"},
        {"generation_config.json", "image_generation", "{\"top_p\": 2}",
         "generation_config.json: image_generation: top_p is 2, must be"},
        {"generation_config.json", "image_generation", "3",
         "generation_config.json: image_generation must be an object"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        try_key(&changes[i]);
}

static void test_harmless_keys(void **state)
{
    static const struct key_change changes[] = {
        {config, "text_config.tie_word_embeddings", NULL, "language_model.lm_head.weight is missing"},
        {config, "vision_feature_layer", "[-1]", NULL},
        {config, "vision_feature_layer", "3", NULL},
        {config, "vision_config.hidden_act", "\"gelu_fast\"", NULL},
        {config, "text_config.hidden_act", "null", NULL},
        {config, "text_config.rope_scaling", "null", NULL},
        {config, "text_config.max_position_embeddings", "1", NULL},
        {config, "some_later_key", "{\"a\": [1, 2]}", NULL},
        {preprocessor, "crop_size", "30", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        try_key(&changes[i]);
}

/* --- tensors --- */

struct tensor_change {
    const char *name;  /* as in the file */
    const char *type;  /* NULL: taken away */
    const char *shape; /* JSON */
    size_t bytes;      /* of zeros */
};

static const char weights[] = "model.safetensors";

/* The header's entry for a tensor whose data will begin at `at`. */
static json_t *entry_at(const char *type, json_t *shape, size_t at, size_t bytes)
{
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", type, "shape", shape, "data_offsets", (json_int_t)at,
                     (json_int_t)(at + bytes));
}

static void write_weights(const struct tensor_change *change, size_t n_changes)
{
    size_t n, at = 0;
    unsigned char *file = read_source(weights, &n), *data = calloc(1, n + (1 << 20));
    uint64_t length;
    memcpy(&length, file, sizeof length);
    json_t *old = json_loadb((char *)file + 8, (size_t)length, 0, NULL), *new = json_object(), *value;
    const char *name;
    json_object_del(old, "__metadata__");
    for (size_t i = 0; i < n_changes; i++) {
        json_object_del(old, change[i].name);
        if (!change[i].type)
            continue;
        json_object_set_new(
            new, change[i].name,
            entry_at(change[i].type, json_loads(change[i].shape, 0, NULL), at, change[i].bytes));
        at += change[i].bytes;
    }
    json_object_foreach(old, name, value)
    {
        const json_t *span = json_object_get(value, "data_offsets");
        size_t begin = (size_t)json_integer_value(json_array_get(span, 0));
        size_t bytes = (size_t)json_integer_value(json_array_get(span, 1)) - begin;
        memcpy(data + at, file + 8 + length + begin, bytes);
        json_object_set_new(new, name,
                            entry_at(json_string_value(json_object_get(value, "dtype")),
                                     json_incref(json_object_get(value, "shape")), at, bytes));
        at += bytes;
    }
    char *header = json_dumps(new, JSON_COMPACT);
    length = strlen(header);
    unsigned char *out = malloc(8 + (size_t)length + at);
    memcpy(out, &length, 8);
    memcpy(out + 8, header, (size_t)length);
    memcpy(out + 8 + length, data, at);
    link_all_but(weights);
    write_file(weights, out, 8 + (size_t)length + at);
    free(out);
    free(header);
    json_decref(new);
    json_decref(old);
    free(data);
    free(file);
}

static void test_tensors(void **state)
{
    static const struct {
        struct tensor_change change;
        const char *message;
    } cases[] = {
        {{"model.language_model.norm.weight", NULL, NULL, 0},
         "tensor language_model.model.norm.weight is missing"},
        {{"model.language_model.norm.weight", "F32", "[28]", 112}, "norm.weight is [28], must be 27 values"},
        {{"model.language_model.norm.weight", "F32", "[0]", 0}, "norm.weight is [0], must be 27 values"},
        {{"model.language_model.norm.weight", "F64", "[27]", 216},
         "norm.weight has type F64, which is not read"},
        {{"model.language_model.norm.weight", "F99", "[27]", 108}, "unknown dtype F99"},
        {{"model.language_model.norm.weight", "F32", "[-27]", 108}, "dimension 0 is not a size"},
        {{"model.language_model.norm.weight", "F32", "[4294967296, 4294967296, 27]", 108}, "overflows"},
        {{"model.language_model.norm.weight", "F32", "[27]", 104}, "hold 104 bytes, shape and type need 108"},
        {{"model.language_model.embed_tokens.weight", "F16", "[27, 883]", 47682},
         "embed_tokens.weight is [27, 883], must be [883, 27]"},
        {{"model.vision_tower.vision_model.encoder.layers.2.mlp.fc1.bias", NULL, NULL, 0},
         "layers.2.mlp.fc1.bias is missing"},
        {{"model.vargpt_gen.word_embed.weight", "F32", "[0, 5]", 0},
         "vargpt_gen.word_embed.weight is [0, 5]"},
        {{"model.vargpt_gen.blocks.0.attn.scale_mul_1H11", "F32", "[1, 4, 1, 1]", 16},
         "a width of 33 does not divide into 4 heads"},
        {{"model.vargpt_gen.blocks.1.attn.mat_qkv.weight", NULL, NULL, 0}, "vargpt_gen.blocks."},
        {{"model.vargpt_gen.pos_1LC", "F32", "[1, 103, 0]", 0}, "vargpt_gen.pos_1LC is [1, 103, 0], must be"},
        {{"model.vargpt_gen.head.bias", "I64", "[37]", 296},
         "vargpt_gen.head.bias has type I64, which is not read"},
        {{"model.vae_local.quantize.embedding.weight", "F32", "[38, 5]", 760},
         "vargpt_gen.head.weight is [37, 33], must be [38, 33]"},
        {{"model.vae_local.post_quant_conv.weight", "F32", "[5, 5, 5, 5]", 2500},
         "3 x 3 convolution of 5 channels"},
        {{"model.vae_local.decoder.conv_out.weight", "F32", "[4, 9, 3, 3]", 1296},
         "vae_local.decoder.conv_out.weight"},
        {{"model.vae_local.encoder.down.0.downsample.conv.weight", NULL, NULL, 0}, "vae_local.encoder"},
        {{"model.vae_local.decoder.up.1.attn.1.qkv.weight", NULL, NULL, 0},
         "up.1.attn.1.qkv.weight is missing"},
        {{"model.vargpt_gen.of_another_model", "F32", "[1]", 4},
         "vargpt_gen.of_another_model is not one that this model has"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_weights(&cases[i].change, 1);
        expect(cases[i].change.name, cases[i].message);
    }
    write_weights(NULL, 0);
    expect("unchanged", NULL);
}

/* Every tensor is right in itself, but the norm behind the block would read beyond its weights. */
static void test_growing_middle(void **state)
{
#define BLOCK "model.vae_local.decoder.mid.block_2."
    static const struct tensor_change changes[] = {
        {BLOCK "conv1.weight", "F16", "[36, 18, 3, 3]", 11664},
        {BLOCK "conv1.bias", "F16", "[36]", 72},
        {BLOCK "norm2.weight", "F16", "[36]", 72},
        {BLOCK "norm2.bias", "F16", "[36]", 72},
        {BLOCK "conv2.weight", "F16", "[36, 36, 3, 3]", 23328},
        {BLOCK "conv2.bias", "F16", "[36]", 72},
        {BLOCK "nin_shortcut.weight", "F16", "[36, 18, 1, 1]", 1296},
        {BLOCK "nin_shortcut.bias", "F16", "[36]", 72},
    };
#undef BLOCK
    (void)state;
    write_weights(changes, sizeof changes / sizeof *changes);
    expect("mid.block_2", "vae_local.decoder.mid.block_2.conv1.weight: changes the number of channels");
}

/* --- files --- */

static void test_cut_weights(void **state)
{
    (void)state;
    size_t n;
    unsigned char *file = read_source(weights, &n);
    const size_t keep[] = {0, 1, 8, 9, 100, 10000, n / 2, n - 1};
    for (size_t i = 0; i < sizeof keep / sizeof *keep; i++) {
        link_all_but(weights);
        write_file(weights, file, keep[i]);
        expect("cut weights", "model.safetensors");
    }
    link_all_but(weights);
    write_file(weights, file, n + 1); /* a NUL more */
    expect("longer weights", "model.safetensors: ");
    for (int i = 0; i < 8; i++)
        file[i] = 0xff;
    link_all_but(weights);
    write_file(weights, file, n);
    expect("length of the header", "model.safetensors: not a safetensors file");
    free(file);
    link_all_but(weights);
    expect("no weights", "holds neither model.safetensors nor model.safetensors.index.json");
}

static void test_bad_json(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "config.json"},
        {"[]", "config.json: its JSON is not an object"},
        {"{\"model_type\": \"llama\"", "config.json: JSON, line 1"},
        {"{\"model_type\": \"llama\", \"model_type\": \"llava\"}", "config.json: JSON"},
        {"{\"model_type\": \"\xff\"}", "config.json: JSON"},
        {"{}", "config.json: model_type \"\" is not supported"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        link_all_but(config);
        write_file(config, cases[i].text, strlen(cases[i].text));
        expect(cases[i].text, cases[i].message);
    }
    link_all_but(config);
    expect("no config", "holds no config.json");
}

/* transformers 5 saves the image processor's settings inside processor_config.json. */
static void test_processor_config(void **state)
{
    static const char good[] = "{\"image_processor\": {\"crop_size\": {\"height\": 30, \"width\": 30}, "
                               "\"image_mean\": [0, 0, 0.25]}}";
    static const char bad[] = "{\"image_processor\": {\"crop_size\": {\"height\": 31, \"width\": 30}}}";
    struct model *m;
    struct error err = {0};
    (void)state;
    link_all_but(preprocessor);
    write_file("processor_config.json", good, sizeof good - 1);
    if (model_open(&m, backend, folder, DTYPE_F32, NULL, NULL, &err))
        fail_msg("%s", err.message);
    assert_true(m->config.vision.preprocess.mean[2] == 0.25f);
    model_close(m);
    write_file("processor_config.json", bad, sizeof bad - 1);
    expect("processor_config.json", "processor_config.json: image_processor: crop_size is 30 x 31, but");
}

static int open_all(void **state)
{
    struct error err = {0};
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/vargpt-test-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    return cpu_backend_open(&backend, 1, CPU_AVX512, &err) ? -1 : 0;
}

static int close_all(void **state)
{
    (void)state;
    cpu_backend_close(backend);
    empty_folder();
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_harmless_keys),
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_growing_middle),
        cmocka_unit_test(test_cut_weights),
        cmocka_unit_test(test_bad_json),
        cmocka_unit_test(test_processor_config),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
