/* Who a client is by its certificate. The chain was verified before; this only reads. */
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/clock.h"
#include "server/tls_internal.h"

enum { NAME_MAX_BYTES = 512 };

bool tls_has_expired(const X509 *certificate)
{
    time_t now = (time_t)(clock_wall_ms() / 1000);
    return X509_cmp_time(X509_get0_notAfter(certificate), &now) <= 0;
}

/* Printable and bounded: the name goes into logs and rules. A NUL inside (the oldest trick of all) is
 * neither. */
static bool is_name(const unsigned char *text, int len)
{
    if (len <= 0 || len > NAME_MAX_BYTES)
        return false;
    for (int i = 0; i < len; i++)
        if (text[i] < ' ' || text[i] == 0x7f)
            return false;
    return true;
}

static int copy_name(const char *kind, const unsigned char *text, int len, struct slice *out)
{
    if (!is_name(text, len))
        return 0;
    size_t kind_len = strlen(kind), size = kind_len + (size_t)len;
    char *copy = malloc(size);
    if (!copy)
        return ERR_NOMEM;
    memcpy(copy, kind, kind_len);
    memcpy(copy + kind_len, text, (size_t)len);
    *out = slice_of(copy, size);
    return 0;
}

static const ASN1_IA5STRING *first_of(const GENERAL_NAMES *names, int type)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == type)
            return type == GEN_URI ? name->d.uniformResourceIdentifier : name->d.dNSName;
    }
    return NULL;
}

/* One common name, or none: with two, which one counts would be a guess. */
static int common_name(X509 *certificate, struct slice *out)
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
        return 0;
    unsigned char *text = NULL;
    int len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    int error = copy_name("cn:", text, len, out);
    OPENSSL_free(text);
    return error;
}

/* RFC 6125 6.4.4 in spirit: the common name counts only where there is no alternative name of our kinds. */
int tls_peer_name(X509 *certificate, struct slice *out)
{
    *out = slice_of(NULL, 0);
    int critical = -1;
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, NULL);
    if (!names && critical != -1)
        return 0; /* there, but unreadable or twice */
    const ASN1_IA5STRING *uri = first_of(names, GEN_URI), *dns = first_of(names, GEN_DNS);
    const ASN1_IA5STRING *name = uri ? uri : dns;
    int error = 0;
    if (name)
        error = copy_name(uri ? "uri:" : "dns:", ASN1_STRING_get0_data(name), ASN1_STRING_length(name), out);
    else
        error = common_name(certificate, out);
    GENERAL_NAMES_free(names);
    return error;
}
