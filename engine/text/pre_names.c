#include "engine/text/pre_names.h"

#include <string.h>

enum { MOST_EXPRESSIONS = 5 };

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define SPACES       "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define SYMBOLS      " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
#define WORD         "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define CAPITALS     "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define SMALLS       "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define NOT_WORD     "[^\\r\\n\\p{L}\\p{N}]?"

#define DIGITS "\\p{N}" /* one by one: a step of its own kind */
#define GPT2   "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define LLAMA3 CONTRACTIONS "|" WORD "|\\p{N}{1,3}|" SYMBOLS "|" SPACES
#define QWEN2  CONTRACTIONS "|" WORD "|\\p{N}|" SYMBOLS "|" SPACES
#define QWEN35 CONTRACTIONS "|" NOT_WORD "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" SPACES
#define TEKKEN                                                                                               \
    NOT_WORD CAPITALS "*" SMALLS "+|" NOT_WORD CAPITALS "+" SMALLS                                           \
                      "*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES
#define GPT4O                                                                                                \
    NOT_WORD CAPITALS "*" SMALLS "+" CONTRACTIONS "?|" NOT_WORD CAPITALS "+" SMALLS "*" CONTRACTIONS         \
                      "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES
#define DEEPSEEK3                                                                                            \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"      \
    "| ?[\\p{P}\\p{S}]+[\\r\\n]*|" SPACES
#define BLOOM " ?[^(\\s|.,!?\xE2\x80\xA6\xE3\x80\x82\xEF\xBC\x8C\xE3\x80\x81\xE0\xA5\xA4\xDB\x94\xD8\x8C)]+"

/* Each expression splits what the one before has left. */
static const struct rule {
    const char *names; /* separated by spaces */
    bool ignore_merges;
    const char *expression[MOST_EXPRESSIONS];
} rules[] = {
    {"default", false, {"[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    {"smollm starcoder refact command-r codeshell exaone minerva-7b mellum2", false, {DIGITS, GPT2}},
    {"gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert jina-v1-en "
     "jina-v2-code "
     "roberta-bpe mpt olmo jais exaone4 trillion granite-docling",
     false,
     {GPT2}},
    {"llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano glm4 glm5",
     true,
     {LLAMA3}},
    {"dbrx smaug-bpe chatglm-bpe", false, {LLAMA3}},
    {"qwen2 deepseek-r1-qwen kormo f2llmv2 stablelm2 hunyuan megrez solar-open grok-2", false, {QWEN2}},
    {"qwen35", false, {QWEN35}},
    {"tekken", true, {TEKKEN}},
    {"gpt-4o llama4 kanana2 talkie minimax-m2", false, {GPT4O}},
    {"deepseek-v3 hunyuan-dense joyai-llm hy_v4",
     false,
     {"\\p{N}{1,3}", "[\xE4\xB8\x80-\xE9\xBE\xA5\xE3\x81\x80-\xE3\x82\x9F\xE3\x82\xA0-\xE3\x83\xBF]+",
      DEEPSEEK3}},
    {"falcon", false, {"[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]"}},
    {"deepseek-coder",
     false,
     {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+",
      "[\xE4\xB8\x80-\xE9\xBE\xA5\xE0\xA0\x80-\xE4\xB8\x80\xEA\xB0\x80-\xED\x9F\xBF]+", DIGITS}},
    {"poro-chat bloom gpt3-finnish", false, {BLOOM}},
    {"viking", false, {BLOOM, DIGITS}},
    {"bailingmoe bailingmoe2 llada-moe",
     false,
     {"'(?i:[sdmt]|ll|ve|re)|" WORD "|\\p{N}|" SYMBOLS "|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"}},
    {"seed-coder", false, {CONTRACTIONS "|" WORD "|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" SPACES}},
};

static bool has_name(const char *names, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = names; length > 0 && (at = strstr(at, name)); at += length)
        if ((at == names || at[-1] == ' ') && (at[length] == ' ' || at[length] == 0))
            return true;
    return false;
}

enum status pre_tokenizer_named(struct pre_tokenizer *pre, const char *name, bool *ignore_merges,
                                struct error *err)
{
    const size_t n = sizeof rules / sizeof rules[0];
    size_t i = 0;
    if (!name)
        name = "default";
    while (i < n && (strchr(name, ' ') || !has_name(rules[i].names, name)))
        i++;
    if (i == n)
        return error_set(err, STATUS_BAD_FILE, "tokenizer.ggml.pre \"%.60s\" is not supported", name);
    *ignore_merges = rules[i].ignore_merges;
    enum status status = STATUS_OK;
    for (size_t k = 0; k < MOST_EXPRESSIONS && rules[i].expression[k] && !status; k++) {
        if (strcmp(rules[i].expression[k], DIGITS) == 0)
            pre_tokenizer_add_digits(pre);
        else
            status = pre_tokenizer_add_regex(pre, rules[i].expression[k], err);
    }
    return status;
}
