/* One line a call on standard error: time, level, text; as plain text or as JSON. No prompt contents unless a
 * person asked for them. Any thread. */
#ifndef VARGPT_BASE_LOG_H
#define VARGPT_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR, LOG_OFF };
enum log_format { LOG_TEXT, LOG_JSON };

void log_set_level(enum log_level);   /* default LOG_INFO; at any time */
void log_set_format(enum log_format); /* default LOG_TEXT; at any time */
bool log_wants(enum log_level);       /* would a line of that level be written? */
void log_line(enum log_level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What a line holds beside its text: "name=value" in text, a member of the object in JSON. */
struct log_field {
    const char *name; /* letters, digits and underscores */
    const char *text; /* any bytes; NULL: the number */
    int64_t number;
};
void log_fields(enum log_level, const char *message, const struct log_field *field, size_t n);

#define log_debug(...)   log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)    log_line(LOG_INFO, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_error(...)   log_line(LOG_ERROR, __VA_ARGS__)

#endif
