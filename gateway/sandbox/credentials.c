/* The core API: credentials, connectors, the beginning of OAuth (rollout-facts 3). Bare arrays, and errors in
 * a form of their own. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/digest.h"
#include "sandbox/sandbox_internal.h"

/* --- connectors
 * ---------------------------------------------------------------------------------------------- */

static const struct connector {
    const char *app_key, *name, *apis;
    bool oauth;
} connectors[] = {
    {"boldtrail", "BoldTrail", "crm", false},
    {"boldtrail-backoffice", "BoldTrail BackOffice", "tms", false},
    {"brivity", "Brivity", "crm", false},
    {"cinc", "CINC", "crm", true},
    {"cloze", "Cloze", "crm", true},
    {"cloze-api-key", "Cloze (API key)", "crm", false},
    {"constant-contact", "Constant Contact", "crm", true},
    {"docusign", "DocuSign", "tms", true},
    {"dotloop", "Dotloop", "tms", true},
    {"encompass", "Encompass", "los", false},
    {"follow-up-boss", "Follow Up Boss", "crm", true},
    {"gmail", "Gmail", "email,calendar", true},
    {"gmail-otp", "Gmail (code)", "email,calendar", false},
    {"highlevel", "HighLevel", "crm", true},
    {"hubspot", "HubSpot", "crm", true},
    {"kw-command", "KW Command", "crm", true},
    {"liondesk", "LionDesk", "crm", true},
    {"lofty", "Lofty", "crm", false},
    {"open-to-close", "Open To Close", "tms", false},
    {"real-geeks", "Real Geeks", "crm", false},
    {"rezen", "reZEN", "tms", false},
    {"sierra-interactive", "Sierra Interactive", "crm", false},
    {"sisu", "Sisu", "tms", false},
    {"skyslope", "SkySlope", "tms", false},
    {"sure-send", "SureSend", "crm,mortgage-crm", false},
    {"wise-agent", "Wise Agent", "crm", false},
};

/* Rollout writes one key in two ways: followupboss and follow-up-boss. */
static bool same_key(struct slice a, struct slice b)
{
    char one[64], other[64];
    struct buf x, y;
    buf_init_fixed(&x, one, sizeof one);
    buf_init_fixed(&y, other, sizeof other);
    return event_normalise(&x, a) == 0 && event_normalise(&y, b) == 0 &&
           slice_equal(buf_slice(&x), buf_slice(&y));
}

static const struct connector *find_connector(struct slice app_key)
{
    for (size_t i = 0; i < sizeof connectors / sizeof *connectors; i++) {
        if (same_key(app_key, slice_from(connectors[i].app_key)))
            return &connectors[i];
    }
    return NULL;
}

static json_t *entities_of(unsigned apis)
{
    json_t *object = json_object();
    for (size_t i = 0; i < sandbox_entity_count; i++) {
        if (apis & 1U << sandbox_entities[i].api && !(sandbox_entities[i].flags & SANDBOX_BARE))
            json_object_set_new(object, sandbox_entities[i].path, json_true());
    }
    return object;
}

static void list_connectors(struct sandbox_call *call)
{
    json_t *all = json_object();
    for (size_t i = 0; i < sizeof connectors / sizeof *connectors; i++) {
        const struct connector *connector = &connectors[i];
        json_t *inputs = connector->oauth
                             ? json_array()
                             : json_pack("[{s:s,s:s,s:b}]", "key", "apiKey", "type", "string", "secret", 1);
        json_object_set_new(all, connector->app_key,
                            json_pack("{s:s,s:{s:s,s:o},s:{},s:o}", "name", connector->name, "auth", "type",
                                      connector->oauth ? "oauth2" : "apiKey", "userInputsSchema", inputs,
                                      "authByPlan", "entities",
                                      entities_of(sandbox_api_mask(slice_from(connector->apis)))));
    }
    sandbox_answer_json(call, 200, all);
}

/* --- credentials
 * --------------------------------------------------------------------------------------------- */

struct sandbox_credential *sandbox_credential_find(const struct sandbox *sandbox, struct slice id)
{
    struct map_node *node = map_find(&sandbox->credentials, digest_hash(id));
    for (; node; node = map_next(node)) {
        struct sandbox_credential *credential = container_of(node, struct sandbox_credential, node);
        if (slice_equal(slice_from(credential->id), id))
            return credential;
    }
    return NULL;
}

void sandbox_credential_destroy(struct sandbox_credential *credential)
{
    for (size_t i = 0; credential->collections && i < sandbox_entity_count; i++)
        sandbox_collection_destroy(credential->collections[i]);
    free(credential->collections);
    free(credential->id);
    free(credential->app_key);
    free(credential->mark);
    json_decref(credential->sync);
    free(credential);
}

/* "Acme" for a tenant's first connection, "Acme-Lofty" for the next ones. */
static char *make_mark(const struct sandbox *sandbox, const char *tenant, const char *app_key)
{
    char storage[300];
    struct buf buf;
    bool first = true;
    list_each (node, (struct list *)(uintptr_t)&sandbox->credential_order) {
        const struct sandbox_credential *other = container_of(node, struct sandbox_credential, order);
        first = first && strcmp(other->tenant, tenant) != 0;
    }
    buf_init_fixed(&buf, storage, sizeof storage - 1);
    buf_append_text(&buf, tenant);
    if (!first) {
        buf_append_char(&buf, '-');
        buf_append_text(&buf, app_key);
    }
    storage[buf.len] = '\0';
    for (size_t i = 0; i < buf.len; i++) {
        if ((i == 0 || storage[i - 1] == '-') && storage[i] >= 'a' && storage[i] <= 'z')
            storage[i] = (char)(storage[i] & ~0x20);
    }
    return strdup(storage);
}

static struct sandbox_credential *add_credential(struct sandbox *sandbox,
                                                 const struct sandbox_account *account)
{
    struct sandbox_credential *credential = calloc(1, sizeof *credential);
    struct buf tenant;
    if (!credential)
        return NULL;
    list_init(&credential->order);
    buf_init_fixed(&tenant, credential->tenant, sizeof credential->tenant - 1);
    buf_append_text(&tenant, account->tenant);
    credential->id = strdup(account->credential_id);
    credential->app_key = strdup(account->app_key);
    credential->mark = make_mark(sandbox, credential->tenant, account->app_key);
    credential->apis = sandbox_api_mask(slice_from(account->apis));
    credential->created_ms = clock_wall_ms();
    credential->collections = calloc(sandbox_entity_count, sizeof(struct sandbox_collection *));
    if (!credential->id || !credential->app_key || !credential->mark || !credential->collections ||
        map_insert(&sandbox->credentials, &credential->node, digest_hash(slice_from(credential->id))) != 0) {
        sandbox_credential_destroy(credential);
        return NULL;
    }
    list_push_back(&sandbox->credential_order, &credential->order);
    return credential;
}

int sandbox_credentials_seed(struct sandbox *sandbox)
{
    for (const struct sandbox_account *account = sandbox_accounts; account->tenant; account++) {
        if (!add_credential(sandbox, account))
            return ERR_NOMEM;
    }
    return 0;
}

/* --- as JSON
 * ------------------------------------------------------------------------------------------------- */

static bool asks(const struct sandbox_call *call, const char *name)
{
    struct slice value;
    return url_query_find(call->query, slice_from(name), &value) && slice_equal(value, SLICE("true"));
}

/* `data` is what must never leave a gateway: it looks like a secret so that a leak is seen. */
static json_t *describe(const struct sandbox_credential *credential, bool data, bool profile)
{
    char created[SANDBOX_TIME_SIZE];
    sandbox_format_time(credential->created_ms, true, created);
    json_t *value = json_pack("{s:s,s:s,s:s,s:o}", "id", credential->id, "createdAt", created, "appKey",
                              credential->app_key, "label", json_sprintf("%s account", credential->mark));
    if (data)
        json_object_set_new(
            value, "data",
            json_pack("{s:o,s:o,s:s}", "accessToken",
                      json_sprintf("sandbox-secret-access-%s", credential->mark), "refreshToken",
                      json_sprintf("sandbox-secret-refresh-%s", credential->mark), "tokenType", "Bearer"));
    if (profile)
        json_object_set_new(value, "profile", json_pack("{s:s}", "accountName", credential->mark));
    if (credential->sync)
        json_object_set(value, "entitiesToSync", credential->sync);
    return value;
}

static void list_credentials(struct sandbox_call *call)
{
    json_t *all = json_array();
    struct slice app_key;
    bool narrow = url_query_find(call->query, SLICE("appKey"), &app_key) && app_key.len > 0;
    list_each (node, &call->sandbox->credential_order) {
        const struct sandbox_credential *credential = container_of(node, struct sandbox_credential, order);
        if (strcmp(credential->tenant, call->claims.sub) != 0)
            continue;
        if (!narrow || same_key(app_key, slice_from(credential->app_key)))
            json_array_append_new(
                all, describe(credential, asks(call, "includeData"), asks(call, "includeProfile")));
    }
    sandbox_answer_json(call, 200, all);
}

static void connect_credential(struct sandbox_call *call, const struct connector *connector,
                               const json_t *body)
{
    struct sandbox *sandbox = call->sandbox;
    char id[SANDBOX_ID_SIZE];
    sandbox_fresh_id(id);
    const struct sandbox_account account = {call->claims.sub, id, connector->app_key, connector->apis};
    struct sandbox_credential *credential =
        sandbox->credentials.count < SANDBOX_CREDENTIALS_MAX ? add_credential(sandbox, &account) : NULL;
    if (!credential) {
        sandbox_answer_error(call, 500, "No room for another credential.");
        return;
    }
    credential->ready_ms = loop_now(sandbox->loop) + sandbox->knobs.first_sync_ms;
    credential->sync = json_incref(json_object_get(body, "entitiesToSync"));
    sandbox_answer_json(call, 200, describe(credential, false, false));
}

static void create_credential(struct sandbox_call *call)
{
    json_t *body = sandbox_call_object(call);
    if (!body)
        return;
    const struct connector *connector = find_connector(json_text(body, "appKey"));
    const json_t *sync = json_object_get(body, "entitiesToSync");
    if (!connector || (sync && !json_is_object(sync)))
        sandbox_answer_error(call, 400, connector ? "Invalid entitiesToSync." : "Unknown appKey.");
    else if (!strcmp(connector->app_key, "gmail-otp"))
        sandbox_answer_json(call, 200,
                            json_pack("{s:s,s:s,s:s,s:s}", "action", "OTP_REQUEST", "otpChallengeId",
                                      "sandbox-otp", "titleHTML", "Enter the code", "messageHTML",
                                      "We sent you a code."));
    else
        connect_credential(call, connector, body);
    json_decref(body);
}

static struct sandbox_credential *own_credential(const struct sandbox_call *call, struct slice id)
{
    struct sandbox_credential *credential = sandbox_credential_find(call->sandbox, id);
    return credential && !strcmp(credential->tenant, call->claims.sub) ? credential : NULL;
}

/* Its changes that no read has seen yet go with it: they name its records. */
static void delete_credential(struct sandbox_call *call)
{
    struct slice id = {NULL, 0};
    url_query_find(call->query, SLICE("credentialId"), &id);
    struct sandbox_credential *credential = own_credential(call, id);
    if (!credential) {
        sandbox_answer_not_found(call);
        return;
    }
    sandbox_data_drop_changes(call->sandbox, credential);
    map_remove(&call->sandbox->credentials, &credential->node);
    list_remove(&credential->order);
    sandbox_credential_destroy(credential);
    sandbox_answer_json(call, 200, json_object());
}

static void update_credential(struct sandbox_call *call)
{
    struct sandbox_credential *credential = own_credential(call, call->segments[1]);
    json_t *body = credential ? sandbox_call_object(call) : NULL,
           *sync = json_object_get(body, "entitiesToSync");
    if (!credential) {
        sandbox_answer_not_found(call);
    } else if (body && !json_is_object(sync)) {
        sandbox_answer_error(call, 400, "Invalid entitiesToSync.");
    } else if (body) {
        json_decref(credential->sync);
        credential->sync = json_incref(sync);
        sandbox_answer_json(call, 200, describe(credential, false, false));
    }
    json_decref(body);
}

/* --- paths
 * --------------------------------------------------------------------------------------------------- */

static void start_oauth(struct sandbox_call *call)
{
    json_t *body = sandbox_call_object(call);
    const struct connector *connector = body ? find_connector(json_text(body, "appKey")) : NULL;
    char id[SANDBOX_ID_SIZE];
    sandbox_fresh_id(id);
    if (body && !connector)
        sandbox_answer_error(call, 400, "Unknown appKey.");
    else if (body)
        sandbox_answer_json(
            call, 200,
            json_pack("{s:o,s:s}", "url",
                      json_sprintf("https://login.example/%s/authorize?state=%s", connector->app_key, id),
                      "requestId", id));
    json_decref(body);
}

static const struct {
    enum method method;
    const char *first;
    size_t segments;
    void (*serve)(struct sandbox_call *call);
} paths[] = {
    {METHOD_GET, "credentials", 1, list_credentials},     {METHOD_POST, "credentials", 1, create_credential},
    {METHOD_DELETE, "credentials", 1, delete_credential}, {METHOD_PUT, "credentials", 2, update_credential},
    {METHOD_GET, "connectors", 1, list_connectors},       {METHOD_POST, "oauth", 2, start_oauth},
};

void sandbox_core(struct sandbox_call *call)
{
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        bool fits = paths[i].method == call->method && paths[i].segments == call->segment_count &&
                    slice_equal(call->segments[0], slice_from(paths[i].first));
        if (fits &&
            (paths[i].serve != start_oauth || slice_equal(call->segments[1], SLICE("authorize-url")))) {
            paths[i].serve(call);
            return;
        }
    }
    sandbox_answer_not_found(call);
}
