/* vargpt tokenize: text to ids and back, with the checkpoint's own tokenizer. Reads no weights. */
#include "cli/cli.h"
#include "cli/terminal.h"
#include "engine/model/model_text.h"
#include "engine/text/utf8.h"

#include "base/memory.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Appends bytes in quotes, on one line: what is not printable UTF-8 is written as \xNN. */
static void append_quoted(struct buffer *out, const char *bytes, size_t length)
{
    size_t n;
    buffer_append_char(out, '"');
    for (size_t i = 0; i < length; i += n) {
        enum utf8_kind kind = utf8_look(bytes + i, length - i, &n);
        unsigned char c = (unsigned char)bytes[i];
        if (c == '\n')
            buffer_append_text(out, "\\n");
        else if (c == '"' || c == '\\')
            buffer_printf(out, "\\%c", c);
        else if (kind == UTF8_WHOLE && c >= 0x20 && c != 0x7F &&
                 !(c == 0xC2 && (unsigned char)bytes[i + 1] < 0xA0))
            buffer_append(out, bytes + i, n);
        else
            for (size_t j = 0; j < n; j++)
                buffer_printf(out, "\\x%02X", (unsigned char)bytes[i + j]);
    }
    buffer_append_char(out, '"');
}

static void print_pieces(const struct tokenizer *t, const struct token_list *list)
{
    struct buffer piece, line;
    buffer_init(&piece, BUFFER_NO_LIMIT);
    buffer_init(&line, BUFFER_NO_LIMIT);
    for (size_t i = 0; i < list->count; i++) {
        buffer_clear(&piece);
        tokenizer_token_bytes(t, list->ids[i], &piece);
        buffer_printf(&line, "%7d  ", list->ids[i]);
        append_quoted(&line, piece.data ? piece.data : "", piece.length);
        buffer_append_text(&line, tokenizer_is_special(t, list->ids[i]) ? "  special\n" : "\n");
    }
    if (line.length)
        fwrite(line.data, 1, line.length, stdout);
    buffer_release(&piece);
    buffer_release(&line);
}

static enum status encode(const struct config *c, const struct tokenizer *t, const char *text, size_t length,
                          struct error *err)
{
    struct token_list list = {0};
    unsigned flags = TOKENIZER_ADD_SPECIAL | (c->plain ? TOKENIZER_PLAIN : 0);
    enum status status = tokenizer_encode(t, text, length, NULL, 0, flags, &list, err);
    if (status == STATUS_OK && !c->ids)
        print_pieces(t, &list);
    for (size_t i = 0; status == STATUS_OK && c->ids && i < list.count; i++)
        printf("%d%c", list.ids[i], i + 1 < list.count ? ' ' : '\n');
    token_list_release(&list);
    return status;
}

/* Numbers with anything of " ,[]\n\t" between them. */
static enum status parse_ids(const char *text, struct token_list *out, struct error *err)
{
    static const char between[] = " \t\r\n,[]";
    for (text += strspn(text, between); *text; text += strspn(text, between)) {
        char *end;
        errno = 0;
        long id = strtol(text, &end, 10);
        if (end == text || errno || id < 0 || id > INT_MAX || !strchr(" \t\r\n,[]", *end))
            return error_set(err, STATUS_BAD_REQUEST,
                             "'%.20s' is not a token id: give numbers, as in \"1 15043\"", text);
        token_list_append(out, (int32_t)id);
        text = end;
    }
    return STATUS_OK;
}

static enum status decode(const struct config *c, const struct tokenizer *t, const char *text,
                          struct error *err)
{
    struct token_list list = {0};
    struct buffer out, safe;
    buffer_init(&out, BUFFER_NO_LIMIT);
    buffer_init(&safe, BUFFER_NO_LIMIT);
    enum status status = parse_ids(text, &list, err);
    if (status == STATUS_OK)
        tokenizer_decode(t, list.ids, list.count, c->skip_special, &out);
    bool terminal = isatty(STDOUT_FILENO);
    if (terminal && out.length)
        terminal_make_safe(out.data, out.length, &safe);
    const struct buffer *shown = terminal ? &safe : &out;
    if (shown->length)
        fwrite(shown->data, 1, shown->length, stdout); /* it may hold NUL bytes */
    if (status == STATUS_OK)
        putchar('\n');
    token_list_release(&list);
    buffer_release(&out);
    buffer_release(&safe);
    return status;
}

static enum status run(const struct config *c, struct error *err)
{
    struct checkpoint *checkpoint = NULL;
    struct model_config model;
    struct model_text text;
    size_t length = 0;
    bool opened = false, piped = c->args.count == 0 || strcmp(c->args.item[0], "-") == 0;
    char *input = NULL;
    enum status status = checkpoint_open(&checkpoint, c->model, err);
    if (status == STATUS_OK)
        status = model_config_read(&model, checkpoint, err);
    if (status == STATUS_OK)
        status = model_text_open(&text, checkpoint, &model, err);
    if (status != STATUS_OK)
        goto out;
    opened = true;
    input = piped ? cli_read_input(&length, err) : xstrdup(c->args.item[0]);
    if (!input) {
        status = err->status;
        goto out;
    }
    length = piped ? length : strlen(input);
    status =
        c->decode ? decode(c, text.tokenizer, input, err) : encode(c, text.tokenizer, input, length, err);
out:
    free(input);
    if (opened)
        model_text_release(&text);
    checkpoint_close(checkpoint);
    return status;
}

int tokenize_main(int argc, char **argv)
{
    struct config config;
    struct error err = {0};
    int code;
    if (!cli_begin(&config, COMMAND_TOKENIZE, argc, argv, &code))
        return code;
    code = run(&config, &err) == STATUS_OK ? EXIT_DONE : cli_fail(&err);
    config_release(&config);
    return code;
}
