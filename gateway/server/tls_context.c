/* From files to what every TLS connection of a listener shares. All that can be wrong is found here. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "server/tls_internal.h"

enum { CERTIFICATES_MAX = 64 * 1024, CLIENT_CHAIN_MAX = 8, CLIENT_CAS_MAX = 1000 };

/* What OpenSSL found wrong first, for a person. */
static const char *reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_error());
    return text ? text : "malformed";
}

static BIO *open_file(const char *kind, const char *path, struct fault *fault)
{
    FILE *file = fopen(path, "re");
    BIO *bio = file ? BIO_new_fp(file, BIO_CLOSE) : NULL;
    if (bio)
        return bio;
    int why = errno;
    if (file)
        fclose(file);
    fault_set(fault,
              why == ENOENT   ? ERR_NOTFOUND
              : why == EACCES ? ERR_DENIED
                              : ERR_IO,
              "%s: %s: %s", kind, path, strerror(why));
    return NULL;
}

/* --- the certificate and its key ----------------------------------------------------------------- */

static int check_dates(X509 *certificate, const char *path, struct fault *fault)
{
    time_t now = (time_t)(clock_wall_ms() / 1000);
    if (tls_has_expired(certificate))
        return fault_set(fault, ERR_INVALID, "cert: %s: the certificate has expired", path);
    if (X509_cmp_time(X509_get0_notBefore(certificate), &now) > 0)
        return fault_set(fault, ERR_INVALID, "cert: %s: the certificate is not valid yet", path);
    return 0;
}

static int use_chain(SSL_CTX *context, BIO *bio, const char *path, struct fault *fault)
{
    X509 *own = PEM_read_bio_X509(bio, NULL, NULL, NULL), *next;
    if (!own)
        return fault_set(fault, ERR_INVALID, "cert: %s: holds no PEM certificate", path);
    int error = check_dates(own, path, fault);
    if (!error && SSL_CTX_use_certificate(context, own) != 1)
        error = fault_set(fault, ERR_INVALID, "cert: %s: %s", path, reason());
    X509_free(own);
    while (!error && (next = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        if (SSL_CTX_add0_chain_cert(context, next) == 1)
            continue;
        X509_free(next);
        error = fault_set(fault, ERR_INVALID, "cert: %s: a certificate of the chain: %s", path, reason());
    }
    if (!error && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        error = fault_set(fault, ERR_INVALID, "cert: %s: a certificate of the chain is damaged", path);
    return error;
}

static int load_chain(SSL_CTX *context, const char *path, struct fault *fault)
{
    BIO *bio = open_file("cert", path, fault);
    if (!bio)
        return ERR_IO;
    int error = use_chain(context, bio, path, fault);
    BIO_free(bio);
    return error;
}

/* Nobody is there to type one. */
static int on_passphrase(char *into, int size, int writing, void *asked)
{
    (void)into;
    (void)size;
    (void)writing;
    *(bool *)asked = true;
    return -1;
}

static int load_key(SSL_CTX *context, const char *path, struct fault *fault)
{
    bool asked = false;
    BIO *bio = open_file("key", path, fault);
    if (!bio)
        return ERR_IO;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, on_passphrase, &asked);
    BIO_free(bio);
    int error = 0;
    if (asked)
        error = fault_set(fault, ERR_INVALID, "key: %s: is protected by a passphrase, expected one without",
                          path);
    else if (!key)
        error = fault_set(fault, ERR_INVALID, "key: %s: holds no PEM private key", path);
    else if (X509_check_private_key(SSL_CTX_get0_certificate(context), key) != 1)
        error = fault_set(fault, ERR_INVALID, "key: %s: does not belong to the certificate", path);
    else if (SSL_CTX_use_PrivateKey(context, key) != 1)
        error = fault_set(fault, ERR_INVALID, "key: %s: %s", path, reason());
    EVP_PKEY_free(key);
    return error;
}

/* --- client certificates ------------------------------------------------------------------------- */

static int add_ca(SSL_CTX *context, X509 *ca, const char *path, struct fault *fault)
{
    if (X509_check_ca(ca) == 0)
        return fault_set(fault, ERR_INVALID, "client_ca: %s: holds a certificate that is not a CA's", path);
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), ca) != 1 ||
        SSL_CTX_add_client_CA(context, ca) != 1)
        return fault_set(fault, ERR_INVALID, "client_ca: %s: %s", path, reason());
    return 0;
}

/* A bundle may keep a CA that has run out beside its successor, but not only such. */
static int read_cas(SSL_CTX *context, BIO *bio, const char *path, struct fault *fault)
{
    unsigned count = 0, valid = 0;
    int error = 0;
    X509 *ca;
    while (!error && (ca = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        error = add_ca(context, ca, path, fault);
        valid += !tls_has_expired(ca);
        X509_free(ca);
        if (!error && ++count > CLIENT_CAS_MAX)
            error =
                fault_set(fault, ERR_LIMIT, "client_ca: %s: more than %d certificates", path, CLIENT_CAS_MAX);
    }
    if (error)
        return error;
    if (count == 0)
        return fault_set(fault, ERR_INVALID, "client_ca: %s: holds no PEM certificate", path);
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return fault_set(fault, ERR_INVALID, "client_ca: %s: a certificate is damaged", path);
    return valid > 0 ? 0 : fault_set(fault, ERR_INVALID, "client_ca: %s: the certificate has expired", path);
}

/* Every certificate of the file is trusted as it stands: an intermediate CA needs no root beside it. */
static int load_client_ca(SSL_CTX *context, const char *path, struct fault *fault)
{
    BIO *bio = open_file("client_ca", path, fault);
    if (!bio)
        return ERR_IO;
    int error = read_cas(context, bio, path, fault);
    BIO_free(bio);
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_verify_depth(context, CLIENT_CHAIN_MAX);
    return error;
}

/* --- the context --------------------------------------------------------------------------------- */

/* RFC 7301: who names protocols, and not ours, is told so. */
static int on_protocols(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                        unsigned in_len, void *arg)
{
    (void)ssl;
    (void)arg;
    for (unsigned at = 0; at < in_len; at += 1u + in[at]) {
        unsigned len = in[at];
        if (len != sizeof "http/1.1" - 1 || at + 1 + len > in_len ||
            memcmp(in + at + 1, "http/1.1", len) != 0)
            continue;
        *out = in + at + 1;
        *out_len = (unsigned char)len;
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* Forward secrecy and authenticated encryption only. Without SSL_MODE_AUTO_RETRY, a peer that sends nothing
 * but handshake messages cannot keep SSL_read to itself. */
static bool set_up(SSL_CTX *context)
{
    static const unsigned char name[] = "rollout-gateway";
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                     SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(context, TLS_TICKET_MS / 1000);
    SSL_CTX_set_max_cert_list(context, CERTIFICATES_MAX);
    SSL_CTX_set_alpn_select_cb(context, on_protocols, NULL);
    SSL_CTX_set_info_callback(context, tls_on_state);
    return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL") == 1 &&
           SSL_CTX_set_session_id_context(context, name, sizeof name - 1) == 1 &&
           SSL_CTX_set_tlsext_ticket_key_evp_cb(context, tls_on_ticket) == 1;
}

static int load(struct server_tls *tls, const struct server_tls_files *files, struct fault *fault)
{
    tls->transport = tls_transport_create();
    tls->context = SSL_CTX_new(TLS_server_method());
    if (!tls->transport || !tls->context || !set_up(tls->context))
        return fault_set(fault, ERR_NOMEM, "cert: OpenSSL cannot be set up: %s", reason());
    SSL_CTX_set_app_data(tls->context, tls);
    tls->asks_client = files->client_ca != NULL;
    int error = load_chain(tls->context, files->cert, fault);
    if (!error)
        error = load_key(tls->context, files->key, fault);
    if (!error && files->client_ca)
        error = load_client_ca(tls->context, files->client_ca, fault);
    return error;
}

int server_tls_create(const struct server_tls_files *files, struct server_tls **out, struct fault *fault)
{
    struct server_tls *tls = calloc(1, sizeof *tls);
    *out = NULL;
    if (!tls)
        return fault_set(fault, ERR_NOMEM, "cert: out of memory");
    atomic_init(&tls->refs, 1);
    tls_tickets_init(&tls->tickets);
    ERR_clear_error();
    int error = load(tls, files, fault);
    ERR_clear_error();
    if (error)
        server_tls_release(tls);
    else
        *out = tls;
    return error;
}

struct server_tls *server_tls_retain(struct server_tls *tls)
{
    if (tls)
        atomic_fetch_add(&tls->refs, 1);
    return tls;
}

void server_tls_release(struct server_tls *tls)
{
    if (!tls || atomic_fetch_sub(&tls->refs, 1) != 1)
        return;
    SSL_CTX_free(tls->context);
    BIO_meth_free(tls->transport);
    tls_tickets_deinit(&tls->tickets);
    free(tls);
}
