/* X-Fanout: all | name[;next=cursor] *("," name[;next=cursor]). */
#include "fanout.h"

/* Of percent-encoding, unreserved characters and escapes only. */
static bool is_encoded(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i], lower = (char)(c | 0x20);
        bool plain = (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9');
        if (!plain && (c == '\0' || !strchr("-._~%", c)))
            return false;
    }
    char storage[FANOUT_CURSOR_MAX];
    struct buf decoded;
    buf_init_fixed(&decoded, storage, sizeof storage);
    return s.len > 0 && url_decode(&decoded, s) == 0;
}

static bool is_name(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < 0x20 || s.ptr[i] > 0x7e || strchr("\"\\=", s.ptr[i]))
            return false;
    return s.len > 0 && s.len <= CREDENTIAL_ID_MAX;
}

static bool read_member(struct slice member, struct fanout_name *out)
{
    struct slice parameter, key;
    bool has = slice_cut(member, ';', &out->name, &parameter);
    out->name = slice_trim(out->name);
    out->cursor = SLICE("");
    if (!is_name(out->name))
        return false;
    if (!has)
        return true;
    return slice_cut(slice_trim(parameter), '=', &key, &out->cursor) &&
           slice_equal_nocase(key, SLICE("next")) && is_encoded(out->cursor);
}

bool fanout_read(const struct http_fields *fields, struct fanout_names *names, const char **why)
{
    struct http_members it = {0};
    struct slice member;
    names->all = false;
    names->count = 0;
    *why = "X-Fanout: all, or a list of app keys and credential ids, each with ;next=CURSOR at most";
    while (http_member_next(fields, FIELD_X_FANOUT, &it, &member)) {
        if (names->count == FANOUT_NAMES_MAX) {
            *why = "X-Fanout names more than 64 systems";
            return false;
        }
        struct fanout_name *name = &names->at[names->count];
        if (!read_member(member, name))
            return false;
        names->count++;
        names->all = names->all || slice_equal_nocase(name->name, SLICE("all"));
    }
    if (names->all)
        return names->count == 1 && names->at[0].cursor.len == 0;
    return names->count > 0;
}

bool fanout_names(const struct fanout_name *name, const struct credential *credential, struct slice api)
{
    struct credential_selector selector = {.api = api};
    return credential_fits(credential, &selector) &&
           (slice_equal(credential->id, name->name) ||
            credential_app_key_equal(credential->app_key, name->name));
}
