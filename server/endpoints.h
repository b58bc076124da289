/* The handlers that the table of route.c names. Each leaves an answer in the exchange. rest: what follows the
 * route's path (an id in /v1/models/{id}), or "". */
#ifndef VARGPT_SERVER_ENDPOINTS_H
#define VARGPT_SERVER_ENDPOINTS_H

#include "server/exchange.h"

/* The page for people and its files answer always, and need no key: they hold nothing of the model. */
void endpoint_page(struct exchange *, const char *rest);
void endpoint_page_file(struct exchange *, const char *name);
void endpoint_health(struct exchange *, const char *rest); /* also while loading and draining */
void endpoint_live(struct exchange *, const char *rest);
void endpoint_metrics(struct exchange *, const char *rest); /* likewise; server/metrics_text.c */
void endpoint_models(struct exchange *, const char *rest);
void endpoint_model(struct exchange *, const char *rest);
void endpoint_chat(struct exchange *, const char *rest);
void endpoint_completions(struct exchange *, const char *rest);
void endpoint_images(struct exchange *, const char *rest);
void endpoint_picture(struct exchange *, const char *rest);
void endpoint_file(struct exchange *, const char *rest);
void endpoint_not_offered(struct exchange *, const char *rest); /* OpenAI's, not ours yet */
void endpoint_openapi(struct exchange *, const char *rest);
void endpoint_tokenize(struct exchange *, const char *rest);
void endpoint_detokenize(struct exchange *, const char *rest);

/* The answer to everything but /health while the server cannot work: false when it can. */
bool refuse_unready(struct exchange *);

#endif
