/* Answers made smaller for clients that ask (RFC 9110, Accept-Encoding). */
#ifndef VARGPT_SERVER_GZIP_H
#define VARGPT_SERVER_GZIP_H

#include <stdbool.h>
#include <stddef.h>

/* Does that header's value (may be NULL) take gzip? */
bool gzip_wanted(const char *accept_encoding);
/* Is it text that gets smaller: not tiny, not huge, no pictures in it? */
bool gzip_worth(const char *content_type, const char *body, size_t length);
/* malloc'ed, with *length set; NULL when it fails or would not be smaller. */
char *gzip_make(const char *body, size_t *length);

#endif
