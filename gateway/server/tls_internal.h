/* What the files about TLS share; the only ones of this room that know OpenSSL. */
#ifndef SERVER_TLS_INTERNAL_H
#define SERVER_TLS_INTERNAL_H

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "server/server_internal.h"

enum {
    TLS_TICKET_NAME = 16,
    TLS_TICKET_SECRET = 32,
    TLS_TICKET_MS = 3600 * 1000, /* a key encrypts that long, and decrypts that long again */
};

struct tls_ticket_key {
    uint64_t born_ms; /* 0: none yet */
    unsigned char name[TLS_TICKET_NAME];
    unsigned char cipher[TLS_TICKET_SECRET], mac[TLS_TICKET_SECRET];
};

/* The keys that seal session tickets (RFC 5077, RFC 8446 4.6.1): in memory only, and replaced every hour, so
 * that a stolen memory image opens few TLS 1.2 recordings. */
struct tls_tickets {
    pthread_mutex_t lock;
    struct tls_ticket_key now, before;
};

struct server_tls {
    atomic_uint refs;
    SSL_CTX *context;
    BIO_METHOD *transport;
    struct tls_tickets tickets;
    bool asks_client; /* for a certificate */
};

/* One connection's. */
struct tls {
    SSL *ssl;
    struct server_tls *of; /* retained */
    size_t budget;         /* bytes that may come from the socket before SSL_read has to return */
    unsigned idle_steps;   /* handshake messages since the last byte for us */
    struct slice name;     /* owned; see x->peer_name */
    bool eof;              /* of the socket */
    bool met;              /* the handshake is over */
    bool admitted;         /* … and who it is was looked at */
    bool failed;           /* nothing can be read or written any more */
};

/* tls.c */
/* A transport for SSL objects whose BIO_get_data is their struct server_connection. */
BIO_METHOD *tls_transport_create(void);
/* SSL_CTX_set_info_callback's. */
void tls_on_state(const SSL *ssl, int where, int value);

/* tls_ticket.c */
void tls_tickets_init(struct tls_tickets *tickets);
void tls_tickets_deinit(struct tls_tickets *tickets);
/* SSL_CTX_set_tlsext_ticket_key_evp_cb's; the context's app data is its server_tls. */
int tls_on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                  int sealing);

/* tls_peer.c */
/* Has the certificate run out by our clock? One without a readable date has. */
bool tls_has_expired(const X509 *certificate);
/* "uri:…", "dns:…" or "cn:…", in memory of its own; empty when there is no name that can be believed.
 * ERR_NOMEM.
 */
int tls_peer_name(X509 *certificate, struct slice *out) MUST_CHECK;

#endif
