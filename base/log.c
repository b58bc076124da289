#include "base/log.h"

#include "base/buffer.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { MAX_LINE = 64 << 10 };

static const char *const names[] = {"debug", "info", "warning", "error"};
static atomic_int threshold = LOG_INFO;
static atomic_int chosen_format = LOG_TEXT;

void log_set_level(enum log_level level)
{
    atomic_store(&threshold, (int)level);
}

void log_set_format(enum log_format format)
{
    atomic_store(&chosen_format, (int)format);
}

bool log_wants(enum log_level level)
{
    return (int)level >= atomic_load(&threshold) && level < LOG_OFF;
}

/* "2026-01-31T12:00:00.123Z" */
static void append_time(struct buffer *out)
{
    char stamp[32];
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    buffer_printf(out, "%s.%03ldZ", stamp, now.tv_nsec / 1000000);
}

/* Length of the well-formed UTF-8 character at s, or 0. NUL is none. */
static size_t utf8_length(const unsigned char *s)
{
    size_t n = s[0] < 0x80                   ? 1
               : s[0] >= 0xC2 && s[0] < 0xE0 ? 2
               : s[0] >= 0xE0 && s[0] < 0xF0 ? 3
               : s[0] >= 0xF0 && s[0] < 0xF5 ? 4
                                             : 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    bool overlong = (s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xF0 && s[1] < 0x90);
    bool outside = (s[0] == 0xED && s[1] > 0x9F) || (s[0] == 0xF4 && s[1] > 0x8F);
    return s[0] == 0 || overlong || outside ? 0 : n;
}

/* A string of JSON; bytes that are not UTF-8 become U+FFFD. */
static void append_quoted(struct buffer *out, const char *text)
{
    buffer_append_char(out, '"');
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        size_t n = utf8_length(s);
        if (n == 0)
            buffer_append_text(out, "\\ufffd");
        else if (*s == '"' || *s == '\\')
            buffer_printf(out, "\\%c", *s);
        else if (*s < 0x20 || *s == 0x7F)
            buffer_printf(out, "\\u%04x", *s);
        else
            buffer_append(out, s, n);
        s += n ? n : 1;
    }
    buffer_append_char(out, '"');
}

/* A field's value in a line of text: in quotes where it would not read as one word. */
static void append_value(struct buffer *out, const char *text)
{
    bool word = *text != 0;
    for (const char *s = text; *s; s++)
        word &= *s > 0x20 && *s < 0x7F && *s != '"' && *s != '=' && *s != '\\';
    if (word)
        buffer_append_text(out, text);
    else
        append_quoted(out, text);
}

static void append_text_line(struct buffer *out, enum log_level level, const char *message,
                             const struct log_field *field, size_t n)
{
    append_time(out);
    buffer_printf(out, " %-7s ", names[level]);
    for (const char *s = message; *s; s++) /* a client's text must not look like another line */
        buffer_append_char(out, (unsigned char)*s < 0x20 || *s == 0x7F ? '?' : *s);
    for (size_t i = 0; i < n; i++) {
        buffer_printf(out, " %s=", field[i].name);
        if (field[i].text)
            append_value(out, field[i].text);
        else
            buffer_printf(out, "%lld", (long long)field[i].number);
    }
    buffer_append_char(out, '\n');
}

static void append_json_line(struct buffer *out, enum log_level level, const char *message,
                             const struct log_field *field, size_t n)
{
    buffer_append_text(out, "{\"time\":\"");
    append_time(out);
    buffer_printf(out, "\",\"level\":\"%s\",\"message\":", names[level]);
    append_quoted(out, message);
    for (size_t i = 0; i < n; i++) {
        buffer_printf(out, ",\"%s\":", field[i].name);
        if (field[i].text)
            append_quoted(out, field[i].text);
        else
            buffer_printf(out, "%lld", (long long)field[i].number);
    }
    buffer_append_text(out, "}\n");
}

/* One fwrite a line, so that lines of several threads do not mix. */
void log_fields(enum log_level level, const char *message, const struct log_field *field, size_t n)
{
    struct buffer line;
    if (!log_wants(level))
        return;
    buffer_init(&line, MAX_LINE);
    if (atomic_load(&chosen_format) == LOG_JSON)
        append_json_line(&line, level, message, field, n);
    else
        append_text_line(&line, level, message, field, n);
    if (!buffer_failed(&line))
        fwrite(line.data, 1, line.length, stderr);
    buffer_release(&line);
}

void log_line(enum log_level level, const char *format, ...)
{
    char text[1024];
    va_list args;
    if (!log_wants(level))
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_fields(level, text, NULL, 0);
}
