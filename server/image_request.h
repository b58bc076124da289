/* A body of /v1/images/generations, checked and turned into what the engine is asked. */
#ifndef VARGPT_SERVER_IMAGE_REQUEST_H
#define VARGPT_SERVER_IMAGE_REQUEST_H

#include "server/draw_read.h"
#include "server/usage.h"

struct server;

struct image_request {
    struct request *request; /* with its prompt; the first picture's */
    struct prompt_usage prompt;
    int pictures, previews; /* `n`; previews of each */
    struct picture_output output;
    const char *quality; /* as the reply names it */
    bool stream;
    bool link; /* pictures are kept, and links to them sent */
};

/* Problems go to the http_error; release in any case. */
void image_request_read(struct image_request *, struct server *, const char *body, size_t length,
                        struct http_error *);
void image_request_release(struct image_request *);

#endif
