/* Certificates made on the spot, and clients that speak TLS with OpenSSL, turning the loop themselves. */
#ifndef TESTS_UNIT_SERVER_TLS_RIG_H
#define TESTS_UNIT_SERVER_TLS_RIG_H

#include "unit/server/fixture.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>

enum { DAY_S = 24 * 3600, PATH_SIZE = 128 };

struct identity {
    EVP_PKEY *key;
    X509 *certificate;
};

struct wanted {
    const char *common_name, *alternative; /* as openssl.cnf spells it, or NULL */
    bool ca;
    long from_s, to_s; /* from now; both 0: a day around now */
    const struct identity *issuer;
};

static inline void add_extension(X509 *certificate, int kind, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, kind, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static inline struct identity identity_make(const struct wanted *wanted)
{
    static long serial = 1;
    struct identity made = {EVP_EC_gen("P-256"), X509_new()};
    X509 *certificate = made.certificate;
    bool dated = wanted->from_s != 0 || wanted->to_s != 0;
    assert_non_null(made.key);
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
    X509_gmtime_adj(X509_getm_notBefore(certificate), dated ? wanted->from_s : -DAY_S);
    X509_gmtime_adj(X509_getm_notAfter(certificate), dated ? wanted->to_s : DAY_S);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                               (const unsigned char *)wanted->common_name, -1, -1, 0);
    const struct identity *issuer = wanted->issuer ? wanted->issuer : &made;
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer->certificate));
    X509_set_pubkey(certificate, made.key);
    add_extension(certificate, NID_basic_constraints, wanted->ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (wanted->alternative)
        add_extension(certificate, NID_subject_alt_name, wanted->alternative);
    assert_true(X509_sign(certificate, issuer->key, EVP_sha256()) > 0);
    return made;
}

static inline void identity_free(struct identity *identity)
{
    EVP_PKEY_free(identity->key);
    X509_free(identity->certificate);
}

/* --- files --------------------------------------------------------------------------------------- */

static inline FILE *open_for(const char *path, const char *mode)
{
    FILE *file = fopen(path, mode);
    assert_non_null(file);
    return file;
}

static inline void write_certificate(const char *path, const struct identity *identity, bool append)
{
    FILE *file = open_for(path, append ? "a" : "w");
    assert_int_equal(PEM_write_X509(file, identity->certificate), 1);
    fclose(file);
}

static inline void write_key(const char *path, const struct identity *identity, const char *passphrase)
{
    FILE *file = open_for(path, "w");
    int len = passphrase ? (int)strlen(passphrase) : 0;
    assert_int_equal(PEM_write_PrivateKey(file, identity->key, passphrase ? EVP_aes_128_cbc() : NULL,
                                          (const unsigned char *)passphrase, len, NULL, NULL),
                     1);
    fclose(file);
}

static inline void write_text(const char *path, const char *text)
{
    FILE *file = open_for(path, "w");
    fputs(text, file);
    fclose(file);
}

/* --- a server with certificates ------------------------------------------------------------------ */

struct rig {
    char dir[32];
    char cert[PATH_SIZE], key[PATH_SIZE], client_ca[PATH_SIZE];
    struct identity ca, server;
    struct fixture *f;
    bool asks;
};

static inline struct server_tls *rig_load(struct rig *rig)
{
    struct server_tls_files files = {rig->cert, rig->key, rig->asks ? rig->client_ca : NULL};
    struct server_tls *tls;
    struct fault fault = {""};
    if (server_tls_create(&files, &tls, &fault) != 0)
        fail_msg("%s", fault.text);
    return tls;
}

/* As a reload does: reads the files again. */
static inline void rig_configure(struct rig *rig)
{
    struct server_tls *tls = rig_load(rig);
    rig->f->options.tls = tls;
    server_configure(rig->f->server, &rig->f->options);
    server_tls_release(tls);
}

static inline void rig_files(struct rig *rig)
{
    memcpy(rig->dir, "/tmp/server-tls-XXXXXX", sizeof "/tmp/server-tls-XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    snprintf(rig->cert, sizeof rig->cert, "%s/cert.pem", rig->dir);
    snprintf(rig->key, sizeof rig->key, "%s/key.pem", rig->dir);
    snprintf(rig->client_ca, sizeof rig->client_ca, "%s/ca.pem", rig->dir);
    rig->ca = identity_make(&(struct wanted){.common_name = "test CA", .ca = true});
    rig->server =
        identity_make(&(struct wanted){"localhost", "DNS:localhost,IP:127.0.0.1", .issuer = &rig->ca});
    write_certificate(rig->cert, &rig->server, false);
    write_key(rig->key, &rig->server, NULL);
    write_certificate(rig->client_ca, &rig->ca, false);
}

static inline void rig_open(struct rig *rig, bool asks)
{
    memset(rig, 0, sizeof *rig);
    clock_open(); /* certificates are dated by it */
    rig_files(rig);
    rig->asks = asks;
    rig->f = fixture_open();
    rig_configure(rig);
}

static inline void rig_remove_files(struct rig *rig)
{
    unlink(rig->cert);
    unlink(rig->key);
    unlink(rig->client_ca);
    rmdir(rig->dir);
    identity_free(&rig->ca);
    identity_free(&rig->server);
}

static inline void rig_close(struct rig *rig)
{
    fixture_close(rig->f);
    rig_remove_files(rig);
}

/* --- clients ------------------------------------------------------------------------------------- */

struct tls_client {
    struct client plain;
    SSL_CTX *context;
    SSL *ssl;
    int ended; /* SSL_ERROR_… of the first call that gave no more, 0 before */
    unsigned long why;
};

struct hello {
    int version;           /* 0: any */
    const char *protocols; /* on the wire, or NULL */
    const struct identity *identity;
    SSL_SESSION **session; /* offered when there is one */
    const char *ciphers;   /* of 1.2, or NULL */
    int receive_buffer;
};

static inline void tls_open(struct rig *rig, struct tls_client *c, const struct hello *hello)
{
    *c = (struct tls_client){.context = SSL_CTX_new(TLS_client_method())};
    assert_non_null(c->context);
    SSL_CTX_set_min_proto_version(c->context, hello->version ? hello->version : TLS1_VERSION);
    SSL_CTX_set_max_proto_version(c->context, hello->version);
    SSL_CTX_set_security_level(c->context, 0);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(c->context), rig->ca.certificate);
    SSL_CTX_set_verify(c->context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(c->context, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_ENABLE_PARTIAL_WRITE);
    if (hello->identity) {
        assert_int_equal(SSL_CTX_use_certificate(c->context, hello->identity->certificate), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(c->context, hello->identity->key), 1);
    }
    if (hello->ciphers)
        assert_int_equal(SSL_CTX_set_cipher_list(c->context, hello->ciphers), 1);
    client_open_small(rig->f, &c->plain, hello->receive_buffer);
    c->ssl = SSL_new(c->context);
    assert_int_equal(SSL_set1_host(c->ssl, "localhost"), 1);
    SSL_set_fd(c->ssl, c->plain.fd);
    if (hello->protocols)
        SSL_set_alpn_protos(c->ssl, (const unsigned char *)hello->protocols,
                            (unsigned)strlen(hello->protocols));
    if (hello->session && *hello->session)
        SSL_set_session(c->ssl, *hello->session);
    SSL_set_connect_state(c->ssl);
}

static inline void tls_close(struct tls_client *c)
{
    SSL_free(c->ssl);
    SSL_CTX_free(c->context);
    ERR_clear_error();
    client_close(&c->plain);
}

/* Says whether it would have to wait; keeps the first end. */
static inline bool tls_waits(struct tls_client *c, int result)
{
    int error = SSL_get_error(c->ssl, result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE || errno == EAGAIN)
        return true;
    if (c->ended == 0) {
        c->ended = error;
        c->why = ERR_peek_error();
    }
    return false;
}

static inline bool tls_shaken(struct tls_client *c)
{
    ERR_clear_error();
    errno = 0;
    int result = SSL_do_handshake(c->ssl);
    return result == 1 || !tls_waits(c, result);
}

/* False when it failed: c->why. In 1.3 a refusal of the client's certificate comes only later. */
static inline bool tls_shake(struct tls_client *c)
{
    wait_for(c->plain.f, tls_shaken(c));
    return c->ended == 0;
}

static inline void tls_send(struct tls_client *c, const char *bytes, size_t len)
{
    for (uint64_t end = wait_end(); len > 0 && clock_mono_ms() < end; turn(c->plain.f)) {
        ERR_clear_error();
        errno = 0;
        int n = SSL_write(c->ssl, bytes, len > 16000 ? 16000 : (int)len);
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        } else if (!tls_waits(c, n))
            break;
    }
    assert_int_equal(len, 0);
}

static inline void tls_say(struct tls_client *c, const char *text)
{
    tls_send(c, text, strlen(text));
}

/* Takes what is there. */
static inline bool tls_take(struct tls_client *c)
{
    struct client *p = &c->plain;
    size_t room = BIG + 65535 - p->len;
    ERR_clear_error();
    errno = 0;
    int n = room > 0 ? SSL_read(c->ssl, p->text + p->len, room > 65536 ? 65536 : (int)room) : 0;
    if (n > 0) {
        p->len += (size_t)n;
        p->text[p->len] = '\0';
        return true;
    }
    if (room > 0)
        tls_waits(c, n);
    return false;
}

static inline bool tls_has(struct tls_client *c, const char *needle)
{
    while (tls_take(c))
        continue;
    return strstr(c->plain.text, needle) != NULL;
}

static inline bool tls_ended(struct tls_client *c)
{
    while (tls_take(c))
        continue;
    return c->ended != 0;
}

static inline void tls_expect(struct tls_client *c, const char *needle)
{
    for (uint64_t end = wait_end(); !tls_has(c, needle) && c->ended == 0 && clock_mono_ms() < end;)
        turn(c->plain.f);
    if (!strstr(c->plain.text, needle))
        fail_msg("no '%s' in '%s' (%d, %s)", needle, c->plain.text, c->ended,
                 ERR_reason_error_string(c->why));
}

static inline void tls_forget(struct tls_client *c)
{
    client_forget(&c->plain);
}

#endif
