#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "base/digest.h"
#include "event/event.h"

/*
 * Rollout's texts disagree about what is signed and do not say how the digest is written (rollout-facts 8.2),
 * so there are four candidates. They are compared as text: a text has one digest, and nothing of the sender's
 * has to be decoded.
 */

enum { MAC_LEN = 32, HEX_LEN = 64, BASE64_LEN = 44 };

/* A multiple of 3, so that the pieces' base64 is the whole's. */
enum { PIECE = 3072 };

static const struct {
    struct slice name;
    enum event_signature form;
} forms[] = {
    {{"auto", 4}, EVENT_SIGNATURE_AUTO},
    {{"base64-body-hex", 15}, EVENT_SIGNATURE_BASE64_BODY_HEX},
    {{"base64-body-base64", 18}, EVENT_SIGNATURE_BASE64_BODY_BASE64},
    {{"body-hex", 8}, EVENT_SIGNATURE_BODY_HEX},
    {{"body-base64", 11}, EVENT_SIGNATURE_BODY_BASE64},
};

bool event_signature_from(struct slice name, enum event_signature *out)
{
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (slice_equal(forms[i].name, name)) {
            *out = forms[i].form;
            return true;
        }
    }
    return false;
}

static EVP_MAC_CTX *create_mac(struct slice secret)
{
    char name[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                           OSSL_PARAM_construct_end()};
    EVP_MAC *hmac = secret.len > 0 ? EVP_MAC_fetch(NULL, "HMAC", NULL) : NULL;
    EVP_MAC_CTX *mac = hmac ? EVP_MAC_CTX_new(hmac) : NULL;
    EVP_MAC_free(hmac);
    if (mac && !EVP_MAC_init(mac, (const unsigned char *)secret.ptr, secret.len, params)) {
        EVP_MAC_CTX_free(mac);
        return NULL;
    }
    return mac;
}

static bool update_base64(EVP_MAC_CTX *mac, struct slice body)
{
    char storage[PIECE / 3 * 4];
    bool good = true;
    while (good && body.len > 0) {
        struct buf text;
        size_t take = body.len < PIECE ? body.len : PIECE;
        buf_init_fixed(&text, storage, sizeof storage);
        good = digest_base64(&text, body.ptr, take) == 0 &&
               EVP_MAC_update(mac, (const unsigned char *)text.ptr, text.len);
        body = slice_skip(body, take);
    }
    return good;
}

static bool make_mac(struct slice secret, struct slice body, bool base64, unsigned char out[MAC_LEN])
{
    size_t len = 0;
    EVP_MAC_CTX *mac = create_mac(secret);
    bool good =
        mac && (base64 ? update_base64(mac, body)
                       : body.len == 0 || EVP_MAC_update(mac, (const unsigned char *)body.ptr, body.len));
    good = good && EVP_MAC_final(mac, out, &len, MAC_LEN) && len == MAC_LEN;
    EVP_MAC_CTX_free(mac);
    return good;
}

static bool is_base64_body(enum event_signature form)
{
    return form == EVENT_SIGNATURE_AUTO || form == EVENT_SIGNATURE_BASE64_BODY_HEX ||
           form == EVENT_SIGNATURE_BASE64_BODY_BASE64;
}

static bool is_hex(enum event_signature form)
{
    return form == EVENT_SIGNATURE_AUTO || form == EVENT_SIGNATURE_BASE64_BODY_HEX ||
           form == EVENT_SIGNATURE_BODY_HEX;
}

static int append_text(struct buf *out, const unsigned char mac[MAC_LEN], bool hex)
{
    return hex ? digest_hex(out, mac, MAC_LEN) : digest_base64(out, mac, MAC_LEN);
}

void event_sign(enum event_signature form, struct slice secret, struct slice body, struct buf *out)
{
    unsigned char mac[MAC_LEN] = {0};
    if (make_mac(secret, body, is_base64_body(form), mac))
        append_text(out, mac, is_hex(form));
    else
        out->failed = true;
    digest_wipe(mac, sizeof mac);
}

/* Hex digits may be of either case; a byte that is no letter stays. */
static void lower_hex(char out[HEX_LEN], struct slice signature)
{
    for (size_t i = 0; i < HEX_LEN; i++) {
        char c = signature.ptr[i];
        out[i] = (char)(c >= 'A' && c <= 'F' ? c | 0x20 : c);
    }
}

/* One of the four, both texts always of the length that is compared. */
static bool matches(const unsigned char mac[MAC_LEN], bool hex, struct slice signature)
{
    char storage[HEX_LEN], given[HEX_LEN] = {0};
    size_t len = hex ? HEX_LEN : BASE64_LEN;
    struct buf wanted;
    buf_init_fixed(&wanted, storage, sizeof storage);
    append_text(&wanted, mac, hex);
    if (signature.len == HEX_LEN)
        lower_hex(given, signature);
    else if (signature.len == BASE64_LEN)
        memcpy(given, signature.ptr, BASE64_LEN);
    bool equal = slice_equal_secret(buf_slice(&wanted), slice_of(given, len));
    digest_wipe(storage, sizeof storage);
    return equal && signature.len == len;
}

bool event_verify(enum event_signature form, struct slice secret, struct slice body, struct slice signature)
{
    unsigned char macs[2][MAC_LEN] = {{0}};
    bool made = make_mac(secret, body, false, macs[0]);
    made = make_mac(secret, body, true, macs[1]) && made;
    unsigned good = 0;
    for (size_t i = 1; i < sizeof forms / sizeof forms[0]; i++) {
        unsigned match = matches(macs[is_base64_body(forms[i].form)], is_hex(forms[i].form), signature);
        unsigned wanted = form == EVENT_SIGNATURE_AUTO || form == forms[i].form;
        good |= match & wanted;
    }
    digest_wipe(macs, sizeof macs);
    return made && good != 0;
}
