/* The answer of /v1/images/generations: pictures to JSON, in one piece or as a stream of events. */
#ifndef VARGPT_SERVER_IMAGE_REPLY_H
#define VARGPT_SERVER_IMAGE_REPLY_H

#include "server/exchange.h"
#include "server/image_request.h"

/* Submits one engine request a picture and answers, now or as a stream. Takes the request's contents over in
 * any case. */
void image_reply_run(struct exchange *, struct image_request *);

#endif
