#include "server/tls.h"

#include "base/buffer.h"
#include "base/memory.h"

#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PEM_BYTES = 1 << 20 };

struct tls_credentials {
    atomic_int owners;
    gnutls_certificate_credentials_t gnutls;
};

struct tls {
    pthread_mutex_t lock;
    struct tls_credentials *newest;
};

void tls_leave(struct tls_credentials *c)
{
    if (!c || atomic_fetch_sub(&c->owners, 1) > 1)
        return;
    gnutls_certificate_free_credentials(c->gnutls);
    free(c);
}

/* ---- reading ---- */

static enum status read_pem(const char *path, struct buffer *text, struct error *err)
{
    size_t n = 1;
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set(err, STATUS_BAD_REQUEST, "%.100s: %s", path, strerror(errno));
    setvbuf(file, NULL, _IONBF, 0); /* keys are not left lying about */
    for (char *room; n > 0 && (room = buffer_reserve(text, 4096)) != NULL; text->length += n)
        n = fread(room, 1, 4096, file);
    bool whole = !ferror(file) && feof(file) && text->length > 0;
    fclose(file);
    return whole ? STATUS_OK
                 : error_set(err, STATUS_BAD_REQUEST, "%.100s: not a PEM file of up to 1 MiB", path);
}

static enum status read_credentials(gnutls_certificate_credentials_t c, const char *cert_path,
                                    const char *key_path, struct error *err)
{
    struct buffer cert, key;
    buffer_init(&cert, MAX_PEM_BYTES);
    buffer_init(&key, MAX_PEM_BYTES);
    enum status status = read_pem(cert_path, &cert, err);
    if (status == STATUS_OK)
        status = read_pem(key_path, &key, err);
    if (status == STATUS_OK) {
        gnutls_datum_t cert_text = {(unsigned char *)cert.data, (unsigned)cert.length},
                       key_text = {(unsigned char *)key.data, (unsigned)key.length};
        int result = gnutls_certificate_set_x509_key_mem(c, &cert_text, &key_text, GNUTLS_X509_FMT_PEM);
        if (result < 0)
            status = error_set(err, STATUS_BAD_REQUEST, "are the TLS certificate and its key right? %s",
                               gnutls_strerror(result));
    }
    if (key.data)
        explicit_bzero(key.data, key.length);
    buffer_release(&cert);
    buffer_release(&key);
    return status;
}

static enum status open_credentials(struct tls_credentials **out, const char *cert_path, const char *key_path,
                                    struct error *err)
{
    struct tls_credentials *c = xcalloc(1, sizeof *c);
    atomic_init(&c->owners, 1);
    if (gnutls_certificate_allocate_credentials(&c->gnutls) < 0) {
        free(c);
        return error_set(err, STATUS_NO_MEMORY, "no memory for a TLS certificate");
    }
    if (read_credentials(c->gnutls, cert_path, key_path, err)) {
        tls_leave(c);
        return err->status;
    }
    *out = c;
    return STATUS_OK;
}

enum status tls_open(struct tls **out, const char *cert_path, const char *key_path, struct error *err)
{
    struct tls_credentials *first;
    bool cert = cert_path && *cert_path, key = key_path && *key_path;
    *out = NULL;
    if (!cert && !key)
        return STATUS_OK;
    if (cert != key)
        return error_set(err, STATUS_BAD_REQUEST, "TLS needs both a certificate and its key");
    if (MHD_is_feature_supported(MHD_FEATURE_HTTPS_CERT_CALLBACK) != MHD_YES)
        return error_set(err, STATUS_BAD_REQUEST, "this machine's libmicrohttpd was built without TLS");
    if (open_credentials(&first, cert_path, key_path, err))
        return err->status;
    struct tls *t = xcalloc(1, sizeof *t);
    pthread_mutex_init(&t->lock, NULL);
    t->newest = first;
    *out = t;
    return STATUS_OK;
}

enum status tls_reload(struct tls *t, const char *cert_path, const char *key_path, struct error *err)
{
    struct tls_credentials *c, *old;
    if (!cert_path || !*cert_path || !key_path || !*key_path)
        return error_set(err, STATUS_BAD_REQUEST, "TLS needs both a certificate and its key");
    if (open_credentials(&c, cert_path, key_path, err))
        return err->status;
    pthread_mutex_lock(&t->lock);
    old = t->newest;
    t->newest = c;
    pthread_mutex_unlock(&t->lock);
    tls_leave(old);
    return STATUS_OK;
}

void tls_close(struct tls *t)
{
    if (!t)
        return;
    tls_leave(t->newest);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* ---- connections ---- */

struct tls_credentials *tls_enter(struct tls *t, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (!info || !info->tls_session)
        return NULL;
    pthread_mutex_lock(&t->lock);
    struct tls_credentials *c = t->newest;
    atomic_fetch_add(&c->owners, 1);
    pthread_mutex_unlock(&t->lock);
    gnutls_credentials_set(info->tls_session, GNUTLS_CRD_CERTIFICATE, c->gnutls);
    return c;
}

static int no_certificate(gnutls_session_t session, const gnutls_datum_t *authorities, int n_authorities,
                          const gnutls_pk_algorithm_t *algorithms, int n_algorithms, gnutls_pcert_st **cert,
                          unsigned *cert_length, gnutls_privkey_t *key)
{
    (void)session, (void)authorities, (void)n_authorities, (void)algorithms, (void)n_algorithms;
    (void)cert, (void)cert_length, (void)key;
    return -1;
}

void *const tls_no_certificate = (void *)no_certificate;
