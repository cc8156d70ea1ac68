/* Examples. All of it follows from credential, entity and number, so that two runs (and two sandboxes) agree,
 * records can name each other before they exist, and a value tells whose it is: a leak between tenants is
 * seen at a glance. */
#include <stdio.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/random.h"
#include "sandbox/sandbox_internal.h"

static const int64_t seed_epoch_ms = 1767225600000; /* 2026-01-01 */
enum { HOUR_MS = 3600 * 1000 };

static const char *const first_names[] = {
    "Ada",   "Blaise", "Chen",      "Dorothy", "Emmy",   "Frances", "Grace",  "Hedy",
    "Ivan",  "Joan",   "Katherine", "Leon",    "Mary",   "Niels",   "Olga",   "Paul",
    "Quinn", "Rosa",   "Sofia",     "Tu",      "Ursula", "Vera",    "Werner", "Zelda",
};
enum { NAMES = sizeof first_names / sizeof *first_names };

/* --- ids and times
 * ------------------------------------------------------------------------------------------- */

static void format_uuid7(uint64_t ms, uint64_t a, uint64_t b, char out[SANDBOX_ID_SIZE])
{
    snprintf(out, SANDBOX_ID_SIZE, "%08x-%04x-7%03x-%04x-%012llx", (unsigned)(ms >> 16),
             (unsigned)(ms & 0xffff), (unsigned)(a & 0xfff), (unsigned)(0x8000 | (a >> 12 & 0x3fff)),
             (unsigned long long)(b & 0xffffffffffff));
}

void sandbox_seed_id(const char *credential_id, const struct sandbox_entity *entity, unsigned n,
                     char out[SANDBOX_ID_SIZE])
{
    char name[300];
    size_t index = sandbox_entity_index(entity);
    int len = snprintf(name, sizeof name, "%.128s/%s/%s/%u", credential_id, sandbox_api_name(entity->api),
                       entity->path, n);
    uint64_t a = digest_checksum(name, (size_t)len), b = digest_checksum(name, (size_t)len - 1) ^ a << 7;
    format_uuid7((uint64_t)seed_epoch_ms + n * 1000ULL + index, a, b, out);
}

void sandbox_fresh_id(char out[SANDBOX_ID_SIZE])
{
    format_uuid7((uint64_t)clock_wall_ms(), random_u64(), random_u64(), out);
}

/* Civil date from days since 1970, by eras of 400 years. */
static void split_days(int64_t days, int *year, unsigned *month, unsigned *day)
{
    int64_t z = days + 719468, era = z / 146097;
    unsigned of_era = (unsigned)(z - era * 146097);
    unsigned years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * years + years / 4 - years / 100);
    unsigned shifted = (5 * of_year + 2) / 153;
    *day = of_year - (153 * shifted + 2) / 5 + 1;
    *month = shifted < 10 ? shifted + 3 : shifted - 9;
    *year = (int)(years + era * 400) + (*month <= 2);
}

void sandbox_format_time(int64_t wall_ms, bool fraction, char out[SANDBOX_TIME_SIZE])
{
    int64_t seconds = wall_ms > 0 ? wall_ms / 1000 : 0;
    int year;
    unsigned month, day, of_day = (unsigned)(seconds % 86400),
                         ms = wall_ms > 0 ? (unsigned)(wall_ms % 1000) : 0;
    split_days(seconds / 86400, &year, &month, &day);
    int len = snprintf(out, SANDBOX_TIME_SIZE, "%04d-%02u-%02uT%02u:%02u:%02u", year % 10000, month, day,
                       of_day / 3600, of_day / 60 % 60, of_day % 60);
    if (fraction)
        snprintf(out + len, SANDBOX_TIME_SIZE - (size_t)len, ".%03uZ", ms);
    else
        snprintf(out + len, SANDBOX_TIME_SIZE - (size_t)len, "+00:00");
}

/* --- values
 * -------------------------------------------------------------------------------------------------- */

struct seed {
    const struct sandbox_credential *credential;
    const struct sandbox_entity *entity;
    unsigned people, n;
    json_t *record;
};

unsigned sandbox_seed_count(const struct sandbox_entity *entity, unsigned people)
{
    if (entity->seeds == SANDBOX_SEEDS_PEOPLE)
        return people;
    return people == 0 ? 0 : (unsigned)entity->seeds;
}

static void set(const struct seed *seed, const char *key, json_t *value)
{
    json_object_set_new(seed->record, key, value);
}

static json_t *time_of(int64_t wall_ms)
{
    char text[SANDBOX_TIME_SIZE];
    sandbox_format_time(wall_ms, true, text);
    return json_string(text);
}

static json_t *reference(const struct seed *seed, struct slice path)
{
    char id[SANDBOX_ID_SIZE];
    const struct sandbox_entity *other = sandbox_entity_find(seed->entity->api, path);
    unsigned count = other ? sandbox_seed_count(other, seed->people) : 0;
    if (count == 0)
        return json_null();
    sandbox_seed_id(seed->credential->id, other, seed->n % count, id);
    return json_string(id);
}

static json_t *choice(struct slice choices, unsigned n)
{
    unsigned count = 1;
    for (size_t i = 0; i < choices.len; i++)
        count += choices.ptr[i] == '|';
    struct slice picked = choices, rest = choices;
    for (unsigned i = 0; i <= n % count; i++)
        slice_cut(rest, '|', &picked, &rest);
    return json_stringn(picked.ptr, picked.len);
}

static json_t *address(const struct seed *seed)
{
    return json_pack("{s:s,s:o,s:s,s:s,s:s,s:s}", "type", "home", "street",
                     json_sprintf("%u %s Street", seed->n + 1, seed->credential->mark), "city", "Springfield",
                     "state", "IL", "code", "62701", "country", "US");
}

static json_t *phone(const struct seed *seed)
{
    return json_sprintf(
        "+1555%07u",
        (unsigned)(digest_checksum(seed->credential->id, strlen(seed->credential->id)) % 900) * 10000 +
            seed->n);
}

static json_t *email(const struct seed *seed)
{
    char local[64], domain[160];
    size_t i = 0;
    snprintf(local, sizeof local, "%s.%u", first_names[seed->n % NAMES], seed->n + 1);
    local[0] = (char)(local[0] | 0x20);
    for (; i < sizeof domain - 1 && seed->credential->mark[i]; i++) {
        char c = seed->credential->mark[i];
        domain[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    domain[i] = '\0';
    return json_sprintf("%s@%s.example", local, domain);
}

static json_t *text(const struct seed *seed, struct slice name)
{
    if (slice_equal(name, SLICE("email")))
        return email(seed);
    if (slice_equal(name, SLICE("phone")) || slice_glob(SLICE("*Number"), name))
        return phone(seed);
    if (slice_equal(name, SLICE("firstName")))
        return json_string(first_names[seed->n % NAMES]);
    if (slice_equal(name, SLICE("lastName")))
        return json_sprintf("%s-%u", seed->credential->mark, seed->n + 1);
    if (slice_glob(SLICE("*Url"), name) || slice_equal(name, SLICE("url")))
        return json_sprintf("https://files.example/%s/%u", seed->credential->mark, seed->n + 1);
    if (slice_glob(SLICE("*Id"), name))
        return json_null();
    return json_sprintf("%.*s %u of %s", SLICE_ARG(name), seed->n + 1, seed->credential->mark);
}

static json_t *number(const struct seed *seed, struct slice name)
{
    bool money = slice_glob(SLICE("*rice"), name) || slice_glob(SLICE("*alue"), name) ||
                 slice_equal(name, SLICE("amount"));
    if (slice_equal(name, SLICE("interestRate")))
        return json_real(5.0 + 0.125 * (seed->n % 16));
    return json_integer(money ? 250000 + (json_int_t)seed->n * 5000 : (json_int_t)(seed->n % 60) + 1);
}

static json_t *plain_value(const struct seed *seed, const struct sandbox_spec *spec)
{
    switch (spec->kind) {
    case '#':
        return number(seed, spec->name);
    case '?':
        return json_boolean(seed->n % 2);
    case '[':
        return json_array();
    case '{':
        return slice_equal(spec->name, SLICE("address")) ? address(seed) : json_object();
    case '^':
        return time_of(seed_epoch_ms + (int64_t)(seed->n + 1) * HOUR_MS);
    case '@':
        return reference(seed, spec->detail);
    case '=':
    case '~':
        return choice(spec->detail, seed->n);
    default:
        return text(seed, spec->name);
    }
}

/* --- what plain values are too plain for
 * --------------------------------------------------------------------- */

static json_t *contact(json_t *value, const char *type)
{
    return json_pack("[{s:o,s:s,s:s,s:b}]", "value", value, "type", type, "status", "Valid", "isPrimary", 1);
}

static void make_names(const struct seed *seed)
{
    set(seed, "name",
        json_sprintf("%s %s-%u", first_names[seed->n % NAMES], seed->credential->mark, seed->n + 1));
}

static void make_person(const struct seed *seed)
{
    static const char *const tags[] = {"Buyer", "Seller", "VIP", "Past Client"};
    make_names(seed);
    set(seed, "emails", contact(email(seed), "work"));
    set(seed, "phones", contact(phone(seed), "mobile"));
    set(seed, "addresses", json_pack("[o]", address(seed)));
    set(seed, "tags", json_pack("[s,s]", tags[seed->n % 4], seed->credential->mark));
    set(seed, "companyName", json_string(seed->credential->tenant));
    set(seed, "source", json_string(seed->credential->app_key));
    set(seed, "communicationsConsent", json_pack("{s:b,s:b,s:b}", "email", 1, "call", 1, "text", 0));
}

static void make_borrower(const struct seed *seed)
{
    set(seed, "emails", contact(email(seed), "work"));
    set(seed, "phones", contact(phone(seed), "mobile"));
}

static void make_message(const struct seed *seed)
{
    set(seed, "sender", json_pack("{s:s,s:o}", "name", seed->credential->mark, "email", email(seed)));
    set(seed, "recipients", json_pack("[{s:s,s:s}]", "name", "Office", "email", "office@rollout.example"));
}

static void make_list(const struct seed *seed)
{
    set(seed, "peopleParticipantIds", json_pack("[o]", reference(seed, SLICE("people"))));
}

static void make_smart_list(const struct seed *seed)
{
    set(seed, "conditions", json_pack("[[{s:s,s:s,s:[s]}]]", "fld", "stage", "opr", "is", "val", "Lead"));
}

static void make_meeting(const struct seed *seed)
{
    set(seed, "organizer", json_pack("{s:o}", "email", email(seed)));
}

static void make_loan(const struct seed *seed)
{
    if (seed->entity->api != SANDBOX_LOS)
        return;
    set(seed, "borrowerParticipantIds", json_pack("[o]", reference(seed, SLICE("borrowers"))));
    set(seed, "loanFolder", json_sprintf("%s-%u", seed->credential->mark, seed->n + 1));
    json_object_del(seed->record, "borrowers");
    json_object_del(seed->record, "participatingUserIds");
}

static const struct {
    const char *path;
    void (*make)(const struct seed *seed);
} makers[] = {
    {"people", make_person},
    {"users", make_names},
    {"borrowers", make_borrower},
    {"lists", make_list},
    {"emailMessages", make_message},
    {"smart-lists", make_smart_list},
    {"loans", make_loan},
    {"calendarEvents", make_meeting},
};

static void make_stamps(const struct seed *seed, const char *id)
{
    int64_t created = seed_epoch_ms + (int64_t)seed->n * HOUR_MS;
    set(seed, "created", time_of(created));
    set(seed, "updated", time_of(created + HOUR_MS / 2));
    set(seed, "rolloutUpdated", time_of(created + HOUR_MS / 2 + 1000));
    set(seed, "originalIds", json_pack("{s:o}", seed->credential->app_key, json_sprintf("%u", seed->n + 1)));
    set(seed, "original", json_pack("{s:{s:s}}", seed->credential->app_key, "rolloutId", id));
}

json_t *sandbox_seed(const struct sandbox_credential *credential, const struct sandbox_entity *entity,
                     unsigned people, unsigned n)
{
    char id[SANDBOX_ID_SIZE];
    struct seed seed = {credential, entity, people, n, json_object()};
    struct sandbox_spec spec;
    const char *rest = entity->fields;
    if (!seed.record)
        return NULL;
    sandbox_seed_id(credential->id, entity, n, id);
    set(&seed, "id", json_string(id));
    while (!(entity->flags & SANDBOX_HIDDEN) && sandbox_spec_next(&rest, &spec))
        json_object_setn_new(seed.record, spec.name.ptr, spec.name.len, plain_value(&seed, &spec));
    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++) {
        if (!strcmp(makers[i].path, entity->path))
            makers[i].make(&seed);
    }
    make_stamps(&seed, id);
    return seed.record;
}
