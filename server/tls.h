/* The certificate and key that HTTPS is served with. They can be read again while the server runs: connections that are
 * there keep what they began with, new ones get the newest. The only file with GnuTLS. */
#ifndef VARGPT_SERVER_TLS_H
#define VARGPT_SERVER_TLS_H

#include "base/error.h"

#include <microhttpd.h>

struct tls;
struct tls_credentials; /* counted */

/* From PEM files; *out is NULL where neither is given (NULL or ""). Failure: one is missing, cannot be read or does not fit
 * the other, or libmicrohttpd was built without TLS. */
enum status tls_open(struct tls **out, const char *cert_path, const char *key_path, struct error *);
/* The same again for connections to come; on failure the old ones stay. Any thread. */
enum status tls_reload(struct tls *, const char *cert_path, const char *key_path, struct error *);
void tls_close(struct tls *); /* accepts NULL; after the last tls_leave */

/* A connection has begun, nothing was said on it yet: it gets the newest certificate, and is to leave with what is returned
 * when it has ended. */
struct tls_credentials *tls_enter(struct tls *, struct MHD_Connection *);
void tls_leave(struct tls_credentials *); /* accepts NULL */

/* What libmicrohttpd asks where a connection has no certificate, so that it needs none of its own: says that there is none.
 * A gnutls_certificate_retrieve_function2. */
extern void *const tls_no_certificate;

#endif
