/* Links to kept pictures: made for replies, and read where they come back. */
#ifndef VARGPT_SERVER_PICTURE_LINK_H
#define VARGPT_SERVER_PICTURE_LINK_H

#include "server/exchange.h"

/* Keeps a file and appends its absolute URL: below the setting public-url, or else below the address that the
 * client used. */
enum status picture_link_append(struct exchange *, const char *type, const struct buffer *file,
                                struct buffer *url, struct error *err);

/* Appends the file that such a link of this server means, whatever host it names: who knows the name may see
 * the picture. False when it is no such link, or the picture is kept no longer. */
bool picture_link_read(struct server *, const char *url, size_t length, struct buffer *file);

/* True for a value of a Host header that can stand in a URL. */
bool picture_link_host(const char *host);

#endif
