/* Session tickets: which key seals them, which keys open them. */
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include "base/clock.h"
#include "server/tls_internal.h"

void tls_tickets_init(struct tls_tickets *tickets)
{
    pthread_mutex_init(&tickets->lock, NULL);
}

void tls_tickets_deinit(struct tls_tickets *tickets)
{
    pthread_mutex_destroy(&tickets->lock);
    OPENSSL_cleanse(&tickets->now, sizeof tickets->now);
    OPENSSL_cleanse(&tickets->before, sizeof tickets->before);
}

static bool make_key(struct tls_ticket_key *key, uint64_t now)
{
    key->born_ms = now;
    return RAND_bytes(key->name, sizeof key->name) == 1 && RAND_bytes(key->cipher, sizeof key->cipher) == 1 &&
           RAND_bytes(key->mac, sizeof key->mac) == 1;
}

/* The key to seal with: a copy. */
static bool sealing_key(struct tls_tickets *tickets, struct tls_ticket_key *out)
{
    uint64_t now = clock_mono_ms();
    bool made = true;
    pthread_mutex_lock(&tickets->lock);
    if (tickets->now.born_ms == 0 || now - tickets->now.born_ms >= TLS_TICKET_MS) {
        struct tls_ticket_key next;
        made = make_key(&next, now);
        if (made) {
            tickets->before = tickets->now;
            tickets->now = next;
        }
        OPENSSL_cleanse(&next, sizeof next);
    }
    *out = tickets->now;
    pthread_mutex_unlock(&tickets->lock);
    return made;
}

static bool opens(const struct tls_ticket_key *key, const unsigned char *name, uint64_t now)
{
    return key->born_ms != 0 && now - key->born_ms < 2 * TLS_TICKET_MS &&
           memcmp(key->name, name, sizeof key->name) == 0;
}

static bool opening_key(struct tls_tickets *tickets, const unsigned char *name, struct tls_ticket_key *out)
{
    uint64_t now = clock_mono_ms();
    pthread_mutex_lock(&tickets->lock);
    const struct tls_ticket_key *key = opens(&tickets->now, name, now)      ? &tickets->now
                                       : opens(&tickets->before, name, now) ? &tickets->before
                                                                            : NULL;
    if (key)
        *out = *key;
    pthread_mutex_unlock(&tickets->lock);
    return key != NULL;
}

static bool set_mac(EVP_MAC_CTX *mac, struct tls_ticket_key *key)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof key->mac),
                           OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

static int seal(struct tls_tickets *tickets, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                EVP_MAC_CTX *mac)
{
    struct tls_ticket_key key;
    const EVP_CIPHER *how = EVP_aes_256_cbc();
    bool done = sealing_key(tickets, &key) && RAND_bytes(iv, EVP_CIPHER_get_iv_length(how)) == 1 &&
                EVP_EncryptInit_ex(cipher, how, NULL, key.cipher, iv) == 1 && set_mac(mac, &key);
    memcpy(name, key.name, sizeof key.name);
    OPENSSL_cleanse(&key, sizeof key);
    return done ? 1 : -1;
}

/* 0: a full handshake; 2: this ticket is good, and a new one should take its place. */
static int unseal(struct tls_tickets *tickets, const unsigned char *name, const unsigned char *iv,
                  EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    struct tls_ticket_key key;
    if (!opening_key(tickets, name, &key))
        return 0;
    bool old = clock_mono_ms() - key.born_ms >= TLS_TICKET_MS;
    bool done =
        EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher, iv) == 1 && set_mac(mac, &key);
    OPENSSL_cleanse(&key, sizeof key);
    return !done ? -1 : old ? 2 : 1;
}

int tls_on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                  int sealing)
{
    struct server_tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    return sealing ? seal(&tls->tickets, name, iv, cipher, mac)
                   : unseal(&tls->tickets, name, iv, cipher, mac);
}
