/* GET and DELETE /credentials of the core API: the accounts that a tenant has connected. */
#include "http/json.h"
#include "http/url.h"
#include "rollout/rollout.h"

static bool copy_text(struct arena *arena, const json_t *item, const char *key, struct slice *out)
{
    struct slice text = json_text(item, key);
    *out = text.len > 0 ? arena_copy(arena, text) : (struct slice){"", 0};
    return out->ptr != NULL;
}

/* Beside these there may be secrets of the connected system (`data`): they are not looked at. */
static int read_account(struct arena *arena, const json_t *item, struct rollout_account *out)
{
    if (!json_is_object(item) || json_text(item, "id").len == 0)
        return ERR_SYNTAX;
    bool copied = copy_text(arena, item, "id", &out->id) && copy_text(arena, item, "appKey", &out->app_key) &&
                  copy_text(arena, item, "label", &out->label);
    return copied ? 0 : ERR_NOMEM;
}

static int read_array(struct arena *arena, const json_t *array, struct rollout_accounts *out)
{
    size_t count = json_array_size(array);
    if (count > ROLLOUT_ACCOUNTS_MAX)
        return ERR_LIMIT;
    struct rollout_account *items = arena_alloc(arena, (count + 1) * sizeof *items);
    int error = items ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < count && !error; i++)
        error = read_account(arena, json_array_get(array, i), &items[i]);
    if (!error)
        *out = (struct rollout_accounts){items, count};
    return error;
}

int rollout_read_accounts(struct slice body, struct arena *arena, struct rollout_accounts *out)
{
    struct fault unwanted;
    json_t *array = json_read(body, ROLLOUT_ANSWER_MAX, &unwanted);
    *out = (struct rollout_accounts){NULL, 0};
    int error = json_is_array(array) ? read_array(arena, array, out) : ERR_SYNTAX;
    json_decref(array);
    return error;
}

int rollout_disconnect_path(struct buf *out, struct slice credential_id)
{
    buf_append_text(out, ROLLOUT_ACCOUNTS_PATH "?credentialId=");
    return url_encode(out, credential_id);
}
