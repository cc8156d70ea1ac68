/* What a credential's fields may be. Pure. */
#include "credential/credential_internal.h"

bool credential_tenant_valid(struct slice tenant)
{
    return slice_is_name(tenant, CREDENTIAL_TENANT_MAX, "._:@-");
}

bool credential_id_valid(struct slice id)
{
    return slice_is_name(id, CREDENTIAL_ID_MAX, "-._~:");
}

static bool is_api_name(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] >= 'A' && s.ptr[i] <= 'Z')
            return false;
    return slice_is_name(s, CREDENTIAL_API_NAME_MAX, "-");
}

static bool is_app_key(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < 0x20 || s.ptr[i] > 0x7E)
            return false;
    return s.len <= CREDENTIAL_APP_KEY_MAX;
}

/* Takes one character of strict UTF-8 off the front (RFC 3629: shortest form, no surrogates); false when
 * there is none. */
static bool take_character(struct slice *rest, uint32_t *out)
{
    static const struct {
        uint8_t mask, lead;
        uint32_t least;
    } forms[] = {{0x80, 0x00, 0}, {0xE0, 0xC0, 0x80}, {0xF0, 0xE0, 0x800}, {0xF8, 0xF0, 0x10000}};
    uint8_t first = (uint8_t)rest->ptr[0];
    size_t more = 0;
    while (more < 4 && (first & forms[more].mask) != forms[more].lead)
        more++;
    if (more == 4 || rest->len < more + 1)
        return false;
    uint32_t value = first & (uint8_t)~forms[more].mask;
    for (size_t i = 1; i <= more; i++) {
        uint8_t next = (uint8_t)rest->ptr[i];
        if ((next & 0xC0) != 0x80)
            return false;
        value = value << 6 | (next & 0x3F);
    }
    *out = value;
    *rest = slice_skip(*rest, more + 1);
    return value >= forms[more].least && value <= 0x10FFFF && !(value >= 0xD800 && value <= 0xDFFF);
}

static bool is_label(struct slice s)
{
    uint32_t c;
    if (s.len > CREDENTIAL_LABEL_MAX)
        return false;
    while (s.len)
        if (!take_character(&s, &c) || c < 0x20 || (c >= 0x7F && c <= 0x9F))
            return false;
    return true;
}

static int check_apis(const struct credential_patch *patch, struct fault *fault)
{
    if (patch->api_count > CREDENTIAL_API_MAX)
        return fault_set(fault, ERR_INVALID, "apis: at most %d names", CREDENTIAL_API_MAX);
    for (size_t i = 0; i < patch->api_count; i++) {
        if (!is_api_name(patch->apis[i]))
            return fault_set(fault, ERR_INVALID, "apis[%zu]: must be 1 to %d of a-z 0-9 -", i,
                             CREDENTIAL_API_NAME_MAX);
        for (size_t earlier = 0; earlier < i; earlier++)
            if (slice_equal(patch->apis[earlier], patch->apis[i]))
                return fault_set(fault, ERR_INVALID, "apis[%zu]: the same as apis[%zu]", i, earlier);
    }
    return 0;
}

int credential_validate(struct slice tenant, struct slice id, const struct credential_patch *patch,
                        struct fault *fault)
{
    struct fault unwanted;
    if (fault == NULL)
        fault = &unwanted;
    if (!credential_tenant_valid(tenant))
        return fault_set(fault, ERR_INVALID, "tenant: must be 1 to %d of A-Z a-z 0-9 . _ : @ -",
                         CREDENTIAL_TENANT_MAX);
    if (!credential_id_valid(id))
        return fault_set(fault, ERR_INVALID, "credential_id: must be 1 to %d of A-Z a-z 0-9 . _ ~ : -",
                         CREDENTIAL_ID_MAX);
    if (patch->has_app_key && !is_app_key(patch->app_key))
        return fault_set(fault, ERR_INVALID, "app_key: must be at most %d printable ASCII characters",
                         CREDENTIAL_APP_KEY_MAX);
    if (patch->has_label && !is_label(patch->label))
        return fault_set(fault, ERR_INVALID,
                         "label: must be at most %d bytes of UTF-8 without control characters",
                         CREDENTIAL_LABEL_MAX);
    return patch->has_apis ? check_apis(patch, fault) : 0;
}
