/* The one table of what the APIs hold (rollout-facts 4.1 and 4.3): everything else of the room is driven by
 * it. */
#include "sandbox/sandbox_internal.h"

enum {
    ALL = SANDBOX_CAN_ALL,
    LIST = SANDBOX_CAN_LIST,
    GET = SANDBOX_CAN_GET,
    CREATE = SANDBOX_CAN_CREATE,
    HOOKS = SANDBOX_CAN_LIST | SANDBOX_CAN_CREATE | SANDBOX_CAN_UPDATE | SANDBOX_CAN_DELETE | SANDBOX_BARE,
    ACTIVITY = SANDBOX_ACTIVITY,
    PEOPLE = SANDBOX_SEEDS_PEOPLE,
};

#define HOOK_FIELDS "!url !event filters{ status=Active|Disabled"
#define PERSON_FIELDS                                                                                        \
    "!firstName !lastName name assignedUserId@users officeId stage~Lead|Prospect|Client|Past-Client "        \
    "stageId tags[ "                                                                                         \
    "addresses[ emails[ phones[ source averageBeds# averagePrice# birthday^ lastActivity^ "                  \
    "lastActivityType~calls|notes "                                                                          \
    "contactTypes[ jobTitle companyName communicationsConsent{ assignedPondId timeframeId sourceId "         \
    "systemSource"
#define USER_FIELDS                                                                                          \
    "!email !firstName !lastName !phone !role~Agent|Broker|Admin !status~Active !username !type~user "       \
    "!address{ "                                                                                             \
    "timezone~America/New_York|America/Chicago teamId offices[ name"
#define MAIL_FIELDS                                                                                          \
    "!subject !body !sender{ !recipients[ personId@people userId@users threadId@email-threads isRead? "      \
    "isStarred? "                                                                                            \
    "isIncoming? sent^ received^"

const struct sandbox_entity sandbox_entities[] = {
    {SANDBOX_CRM, "people", "people", ALL, PEOPLE, PERSON_FIELDS},
    {SANDBOX_CRM, "notes", "notes", ALL | ACTIVITY, 12, "!personId@people subject body isHtml?"},
    {SANDBOX_CRM, "tasks", "tasks", ALL | ACTIVITY, 12,
     "!personId@people name type~Follow-Up|Call|Email assignedUserId@users dueDateTime^ isCompleted?"},
    {SANDBOX_CRM, "calls", "calls", ALL | ACTIVITY, 12,
     "!personId@people !phone !isIncoming? userId@users note outcome~Interested|No-Answer duration# toNumber "
     "fromNumber "
     "recordingUrl"},
    {SANDBOX_CRM, "textMessages", "textmessages", ALL | ACTIVITY, 12,
     "!personId@people !message !isIncoming? userId@users status~Delivered|Sent toNumber fromNumber "
     "externalLabel "
     "externalUrl sent^"},
    {SANDBOX_CRM, "events", "events", ALL | ACTIVITY, 12,
     "personId@people noteId@notes propertyId message description source system "
     "type~Registration|Property-Inquiry "
     "pageTitle pageUrl pageReferrer pageDuration# occurredAt^"},
    {SANDBOX_CRM, "appointments", "appointments", ALL | ACTIVITY, 6,
     "!personId@people !appointmentTypeId@appointment-types !title !location userId@users description "
     "isAllDay? type "
     "startsAt^ endsAt^ createdById@users updatedById@users appointmentOutcomeId@appointment-outcomes "
     "outcome "
     "outcomeReason invitees["},
    {SANDBOX_CRM, "appointment-types", "appointment-types", ALL, 3,
     "!name~Showing|Listing|Closing !orderWeight#"},
    {SANDBOX_CRM, "appointment-outcomes", "appointment-outcomes", ALL, 3,
     "!name~Met|No-Show|Moved !orderWeight#"},
    {SANDBOX_CRM, "emailMessages", "emailmessages", LIST | GET | CREATE | ACTIVITY, 12, MAIL_FIELDS},
    {SANDBOX_CRM, "users", "users", ALL | SANDBOX_ARRAY_CREATED, 3, USER_FIELDS},
    {SANDBOX_CRM, "teams", "teams", ALL | SANDBOX_HIDDEN, 2, "!name"},
    {SANDBOX_CRM, "lists", "lists", ALL, 3, "name description isFavorite? peopleParticipantIds["},
    {SANDBOX_CRM, "smart-lists", "smart-lists", ALL, 2,
     "!name !conditions[ description isFub2? shared? userId@users sortBy columns[ sharedWith["},
    {SANDBOX_CRM, "customFields", "customfields", ALL, 3,
     "!type=text|date|number|dropdown !label !name isRecurring? choices["},
    {SANDBOX_CRM, "documents", "documents", ALL, 2, "name url personId@people type"},
    {SANDBOX_CRM, "offices", "offices", ALL, 1, "name address{ phone"},
    {SANDBOX_CRM, "webhooks", "webhooks", HOOKS, 0, HOOK_FIELDS},

    {SANDBOX_EMAIL, "email-threads", "email-threads", LIST | GET | CREATE, 4, "!subject lastMessageAt^"},
    {SANDBOX_EMAIL, "emailMessages", "emailmessages", LIST | GET | CREATE, 12, MAIL_FIELDS},
    {SANDBOX_EMAIL, "webhooks", "webhooks", HOOKS, 0, HOOK_FIELDS},

    {SANDBOX_CALENDAR, "calendars", "calendars", ALL, 2,
     "!name description timezone~America/New_York color~#1a73e8 isPrimary? isReadOnly?"},
    {SANDBOX_CALENDAR, "calendarEvents", "calendarEvents", ALL, 12,
     "!calendarId@calendars !title start^ end^ isAllDay? timezone~America/New_York organizer{ attendees[ "
     "status~confirmed|tentative visibility~default recurrence{ conference{ busy? capacity# "
     "hideParticipants?"},
    {SANDBOX_CALENDAR, "webhooks", "webhooks", HOOKS, 0, HOOK_FIELDS},

    {SANDBOX_TMS, "transactions", "transactions", ALL, PEOPLE,
     "name type~purchase|listing status~Active|Pending|Closed price# address{ closingDate^ listingDate^ "
     "peopleParticipantIds[ userParticipantIds["},
    {SANDBOX_TMS, "people", "people", ALL, PEOPLE, PERSON_FIELDS},
    {SANDBOX_TMS, "users", "users", ALL | SANDBOX_ARRAY_CREATED, 3, USER_FIELDS},
    {SANDBOX_TMS, "tasks", "tasks", ALL, 6,
     "name transactionId@transactions assignedUserId@users dueDateTime^ isCompleted?"},
    {SANDBOX_TMS, "offices", "offices", ALL, 1, "name address{ phone"},
    {SANDBOX_TMS, "documents", "documents", ALL, 2, "name url transactionId@transactions type"},
    {SANDBOX_TMS, "webhooks", "webhooks", HOOKS, 0, HOOK_FIELDS},

    {SANDBOX_LOS, "loans", "loans", ALL, PEOPLE,
     "interestRate# amount# term# loanToValue# type~Conventional|FHA|VA purpose~Purchase|Refinance "
     "status~Application|Processing|Funded rateAndTerms{ stage~Started|Underwriting stageHistory[ "
     "userParticipantIds[ "
     "borrowerParticipantIds[ participatingUserIds[ borrowers[ loanFolder archived? applicationDate^ "
     "closingDate^"},
    {SANDBOX_LOS, "borrowers", "borrowers", ALL, PEOPLE,
     "firstName lastName loanId@loans emails[ phones[ birthday^ maritalStatus"},
    {SANDBOX_LOS, "properties", "properties", ALL, 6,
     "!loanId@loans address{ type~SingleFamily|Condo currentValue# appraisalDate^ insured?"},
    {SANDBOX_LOS, "people", "people", ALL, PEOPLE, PERSON_FIELDS},
    {SANDBOX_LOS, "users", "users", ALL | SANDBOX_ARRAY_CREATED, 3, USER_FIELDS},
    {SANDBOX_LOS, "webhooks", "webhooks", HOOKS, 0, HOOK_FIELDS},

    {SANDBOX_MORTGAGE_CRM, "people", "people", ALL, PEOPLE, PERSON_FIELDS},
    {SANDBOX_MORTGAGE_CRM, "users", "users", ALL | SANDBOX_ARRAY_CREATED, 3, USER_FIELDS},
    {SANDBOX_MORTGAGE_CRM, "notes", "notes", ALL | ACTIVITY, 6, "!personId@people subject body isHtml?"},
    {SANDBOX_MORTGAGE_CRM, "loans", "loans", ALL, 6,
     "amount# interestRate# term# status~Lead|Application|Funded"},
    {SANDBOX_MORTGAGE_CRM, "webhooks", "webhooks", HOOKS, 0, HOOK_FIELDS},
};
const size_t sandbox_entity_count = sizeof sandbox_entities / sizeof *sandbox_entities;

static const char *const api_names[SANDBOX_API_COUNT + 1] = {
    [SANDBOX_CORE] = "core",  [SANDBOX_CRM] = "crm",           [SANDBOX_TMS] = "tms",
    [SANDBOX_LOS] = "los",    [SANDBOX_EMAIL] = "email",       [SANDBOX_MORTGAGE_CRM] = "mortgage-crm",
    [SANDBOX_API_COUNT] = "", [SANDBOX_CALENDAR] = "calendar",
};

const char *sandbox_api_name(enum sandbox_api api)
{
    return api_names[api];
}

enum sandbox_api sandbox_api_find(struct slice name)
{
    for (unsigned i = 0; i < SANDBOX_API_COUNT; i++) {
        if (slice_equal(name, slice_from(api_names[i])))
            return (enum sandbox_api)i;
    }
    return SANDBOX_API_COUNT;
}

unsigned sandbox_api_mask(struct slice names)
{
    struct slice name;
    unsigned mask = 0;
    while (names.len > 0) {
        slice_cut(names, ',', &name, &names);
        enum sandbox_api api = sandbox_api_find(slice_trim(name));
        if (api != SANDBOX_API_COUNT)
            mask |= 1U << api;
    }
    return mask;
}

const struct sandbox_entity *sandbox_entity_find(enum sandbox_api api, struct slice path)
{
    for (size_t i = 0; i < sandbox_entity_count; i++) {
        if (sandbox_entities[i].api == api && slice_equal(path, slice_from(sandbox_entities[i].path)))
            return &sandbox_entities[i];
    }
    return NULL;
}

size_t sandbox_entity_index(const struct sandbox_entity *entity)
{
    return (size_t)(entity - sandbox_entities);
}

void sandbox_event_name(const struct sandbox_entity *entity, const char *what, struct buf *out)
{
    for (const char *c = entity->path; *c; c++) {
        if (*c != '-')
            buf_append_char(out, c > entity->path && c[-1] == '-' ? (char)(*c & ~0x20) : *c);
    }
    buf_append_text(out, what);
}

/* --- fields
 * -------------------------------------------------------------------------------------------------- */

bool sandbox_spec_next(const char **rest, struct sandbox_spec *spec)
{
    struct slice word;
    const char *at = *rest + strspn(*rest, " ");
    size_t len = strcspn(at, " ");
    *rest = at + len;
    if (len == 0)
        return false;
    word = slice_of(at, len);
    spec->required = *at == '!';
    word = slice_skip(word, spec->required);
    size_t name = 0;
    while (name < word.len && !strchr("#?[{^@=~", word.ptr[name]))
        name++;
    spec->name = slice_of(word.ptr, name);
    spec->kind = name < word.len ? word.ptr[name] : 's';
    spec->detail = name < word.len ? slice_skip(word, name + 1) : slice_of(NULL, 0);
    return true;
}

static bool is_one_of(struct slice choices, struct slice value)
{
    struct slice choice;
    bool more = true;
    while (more) {
        more = slice_cut(choices, '|', &choice, &choices);
        if (slice_equal(choice, value))
            return true;
    }
    return false;
}

/* What is wrong with the member, or NULL. Nulls are fine: many fields are nullable. */
static const char *find_wrong(const struct sandbox_spec *spec, const json_t *value)
{
    if (!value)
        return spec->required ? "Required property" : NULL;
    if (json_is_null(value))
        return spec->required ? "Expected a value" : NULL;
    switch (spec->kind) {
    case '#':
        return json_is_number(value) ? NULL : "Expected number";
    case '?':
        return json_is_boolean(value) ? NULL : "Expected boolean";
    case '[':
        return json_is_array(value) ? NULL : "Expected array";
    case '{':
        return json_is_object(value) ? NULL : "Expected object";
    default:
        break;
    }
    if (!json_is_string(value))
        return "Expected string";
    struct slice text = slice_of(json_string_value(value), json_string_length(value));
    if (spec->kind == '=' && !is_one_of(spec->detail, text))
        return "Expected one of the documented values";
    return NULL;
}

json_t *sandbox_entity_check(const struct sandbox_entity *entity, const json_t *value, bool partial)
{
    json_t *errors = json_array();
    struct sandbox_spec spec;
    const char *rest = entity->fields;
    while (errors && sandbox_spec_next(&rest, &spec)) {
        const json_t *member = json_object_getn(value, spec.name.ptr, spec.name.len);
        const char *wrong = partial && !member ? NULL : find_wrong(&spec, member);
        if (!wrong)
            continue;
        json_t *path = json_sprintf("/%.*s", SLICE_ARG(spec.name));
        if (json_array_append_new(errors, json_pack("{s:o*,s:s}", "path", path, "message", wrong))) {
            json_decref(errors);
            return NULL;
        }
    }
    return errors;
}

json_t *sandbox_entity_pick(const struct sandbox_entity *entity, const json_t *value)
{
    json_t *picked = json_object();
    struct sandbox_spec spec;
    const char *rest = entity->fields;
    while (picked && sandbox_spec_next(&rest, &spec)) {
        json_t *member = json_object_getn(value, spec.name.ptr, spec.name.len);
        if (member && json_object_setn(picked, spec.name.ptr, spec.name.len, member)) {
            json_decref(picked);
            return NULL;
        }
    }
    return picked;
}
