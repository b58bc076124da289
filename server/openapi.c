/* GET /openapi.json: server/openapi.json, which the build makes a part of the program. */
#include "server/endpoints.h"

#include "base/memory.h"

extern const char openapi_json[];
extern const unsigned long openapi_json_length;

void endpoint_openapi(struct exchange *x, const char *rest)
{
    (void)rest;
    exchange_reply_text(x, 200, "application/json", xstrndup(openapi_json, openapi_json_length),
                        openapi_json_length);
}
