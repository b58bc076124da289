/* Characters as Python's str sees them: UTF-8 to code points and back, white space, line ends, letter case.
 * A byte that is not valid UTF-8 counts as one character of its own, UNICODE_BYTE + byte, and is written back
 * as it was. */
#ifndef VARGPT_ENGINE_TEXT_JINJA_UNICODE_H
#define VARGPT_ENGINE_TEXT_JINJA_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNICODE_BYTE 0x110000u

/* The character at bytes[0..n), n > 0; returns its length in bytes (1 to 4). Surrogates are read like other
 * characters: a template may spell them. */
size_t unicode_read(const char *bytes, size_t n, uint32_t *c);
/* Writes a character; returns its length in bytes. */
size_t unicode_write(char out[4], uint32_t c);
/* Characters in bytes[0..n). */
size_t unicode_count(const char *bytes, size_t n);
/* Bytes that the first `chars` characters of bytes[0..n) take. */
size_t unicode_offset(const char *bytes, size_t n, size_t chars);
/* Where the last character of bytes[0..n), n > 0, begins. */
size_t unicode_last(const char *bytes, size_t n);

bool unicode_is_space(uint32_t c);    /* str.isspace, and \s in a regular expression */
bool unicode_is_line_end(uint32_t c); /* what str.splitlines splits at */
bool unicode_is_printable(uint32_t c);
bool unicode_is_alpha(uint32_t c);
bool unicode_is_digit(uint32_t c); /* str.isdecimal */
bool unicode_is_word(uint32_t c);  /* \w in a regular expression */
bool unicode_is_upper(uint32_t c);
bool unicode_is_lower(uint32_t c);
bool unicode_is_title(uint32_t c);
bool unicode_is_cased(uint32_t c);
bool unicode_is_case_ignorable(uint32_t c);

/* The upper, lower, title or folded case of a character: up to three; returns how many. */
enum unicode_case { UNICODE_UPPER, UNICODE_LOWER, UNICODE_TITLE, UNICODE_FOLD };
int unicode_map(uint32_t c, enum unicode_case, uint32_t out[3]);

#endif
