/* Pictures in requests that are given as http or https URLs. Off unless hosts are allowed by a setting; only
 * addresses that are open to everyone are connected to, whatever a name resolves to. */
#ifndef VARGPT_SERVER_PICTURE_FETCH_H
#define VARGPT_SERVER_PICTURE_FETCH_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>

struct server;

/* True for an http or https URL. */
bool picture_fetch_is_url(const char *url, size_t length);

/* Fetches url[0..length) into out, at most out's maximum of bytes, in the seconds that the setting gives.
 * Blocks. STATUS_BAD_REQUEST (not allowed, not public, no such picture there), STATUS_TOO_LARGE, STATUS_BUSY;
 * the message is for the client and tells nothing of the network here. */
enum status picture_fetch(struct server *, const char *url, size_t length, struct buffer *out,
                          struct error *err);

#endif
