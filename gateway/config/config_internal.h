/*
 * Inside config/: the table of fields, and the parser that is driven by it. Everything that knows a key by
 * name is table.c, or check.c where two values must fit together.
 */
#ifndef CONFIG_CONFIG_INTERNAL_H
#define CONFIG_CONFIG_INTERNAL_H

#include "config/config.h"
#include "http/json.h"

enum {
    CONFIG_FILE_MAX = 1024 * 1024,
    CONFIG_ARENA_MAX = 32 * 1024 * 1024,
    CONFIG_TEXT_MAX = 4096, /* of a text after expansion, where a row gives no maximum */
    CONFIG_PATH_MAX = 2048,
};

/* --- the table -------------------------------------------------------------------------------- */

enum field_kind {
    FIELD_OBJECT,   /* fields */
    FIELD_LISTENER, /* fields; a text stands for the object's "address" */
    FIELD_SECRET,   /* struct config_secret, by fields; exactly one of them */
    FIELD_LIST,     /* array of objects: pointer at offset, size_t at count_offset, items of `size` bytes */
    FIELD_MAP,      /* object of objects, stored as FIELD_LIST; an item begins with its name (struct slice) */
    FIELD_NAMES,    /* array of texts: const struct slice * at offset, size_t at count_offset */
    FIELD_BOOL,
    FIELD_COUNT,    /* uint64_t */
    FIELD_WORKERS,  /* unsigned */
    FIELD_DURATION, /* uint64_t, milliseconds */
    FIELD_SIZE,     /* uint64_t, bytes */
    FIELD_RATE,     /* double, a second; 0: "none" */
    FIELD_TEXT,     /* struct slice, or const char * with cstr */
    FIELD_URL,      /* as FIELD_TEXT: absolute http(s) */
    FIELD_REDIS,    /* as FIELD_TEXT: redis:// or rediss:// */
    FIELD_ADDRESS,  /* as FIELD_TEXT: of a listener */
    FIELD_CHOICE,   /* an enum whose values count the choices from 0, or the text with as_text */
};

struct parser;

struct field {
    const char *key; /* NULL ends a table */
    enum field_kind kind;
    size_t offset;              /* in what the parent table describes; groups of struct config have 0 */
    const char *standard;       /* the default as JSON text; NULL: none, and zeroed */
    const char *sentence;       /* what it does, for the manual and the schema */
    const struct field *fields; /* of objects, of the items of lists and maps */
    uint64_t min,
        max; /* of the number; bytes of texts; items of lists (0, 0: not bounded, resp. the usual bound) */
    const char *const *choices; /* ends with NULL; also of the texts of FIELD_NAMES */
    const char
        *alphabet; /* of texts: what is allowed beside letters and digits; NULL: all but control bytes */
    size_t count_offset, size;
    const char *inherits;        /* the manual's word for a default that comes from elsewhere */
    bool required, restart;      /* restart: a reload cannot change it */
    bool cstr, as_text, literal; /* literal: ${NAME} is not expanded */
    bool hidden;                 /* what stands there is never quoted */
    bool query;                  /* of URLs: may have one */
    bool segments;               /* of maps: the names begin paths that clients call */
    /* Of list items, before the file's object is read; of objects and items, afterwards, with what the file
     * gave. */
    void (*prepare)(const struct config *config, void *item);
    void (*finish)(struct parser *p, json_t *given, void *object);
};

/* The whole configuration: offsets in struct config. */
extern const struct field config_table[];
/* Its parts: offsets in what their name says. */
extern const struct field table_listener[], table_admin_listener[], table_secret[], table_limit[],
    table_freshness[], table_upstream[], table_rule[], table_dependency[], table_event[], table_subscriber[],
    table_connector[];
const struct field *table_find(const struct field *fields, struct slice key);

/* --- the parser ------------------------------------------------------------------------------- */

struct parser {
    struct config *config;
    struct config_errors *errors;
    struct buf path; /* of the value being read */
    char storage[CONFIG_PATH_MAX];
    int failure; /* ERR_NOMEM, or 0 */
};

/* errors.c: the path grows and shrinks with the walk; push returns what pop takes. */
void parser_init(struct parser *p, struct config *config, struct config_errors *errors);
size_t parser_push(struct parser *p, struct slice key);
size_t parser_push_index(struct parser *p, size_t index);
void parser_pop(struct parser *p, size_t mark);
/* One line: path, colon, sentence. */
void parser_report(struct parser *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "found …, expected …". What was found is quoted as it stands in the file, or only named by its type when
 * `hidden`. */
void parser_mismatch(struct parser *p, json_t *found, bool hidden, const char *expected);
/* The same with what the field takes in general. */
void parser_refuse(struct parser *p, const struct field *field, json_t *found);
void parser_refuse_near(struct parser *p, const struct field *field, json_t *found, const char *meant);
/* An unknown key, with what could have been meant. The path is the object's. */
void parser_unknown(struct parser *p, const struct field *fields, struct slice key);
/* A required key that is not there. The path is the object's. */
void parser_missing(struct parser *p, const struct field *field);

/* parse.c */
void parse_object(struct parser *p, const struct field *fields, json_t *value, void *base);
void parse_field(struct parser *p, const struct field *field, json_t *value, void *base);
void parse_defaults(struct parser *p, const struct field *fields, void *base);
/* "$comment" anywhere, "$schema" in the root. */
bool parse_is_comment(const struct parser *p, const char *key);
/* value.c: scalars. */
void parse_scalar(struct parser *p, const struct field *field, json_t *value, void *base);
/* Expanded and checked against bounds, alphabet and choices; copied into the arena. False: reported. */
bool parse_text(struct parser *p, const struct field *field, json_t *value, struct slice *out);
/* rules.c: lists, maps, names. */
void parse_list(struct parser *p, const struct field *field, json_t *value, void *base);
void parse_map(struct parser *p, const struct field *field, json_t *value, void *base);
void parse_names(struct parser *p, const struct field *field, json_t *value, void *base);
/* secret.c */
void parse_secret(struct parser *p, const struct field *field, json_t *value, void *base);
/* check.c: what two values must agree on, inside one object (hooks of the table) or anywhere. */
void check_limit(struct parser *p, json_t *given, void *object);
void check_freshness(struct parser *p, json_t *given, void *object);
void check_rule_freshness(struct parser *p, json_t *given, void *item);
void check_config(struct parser *p);

/* --- helpers without a parser ----------------------------------------------------------------- */

struct unit {
    const char *name;
    uint64_t factor;
};
extern const struct unit units_duration[], units_size[], units_rate[];
enum unit_result { UNIT_OK, UNIT_FORM, UNIT_RANGE };
/* A whole number and a unit, nothing else. *value = number * factor (for rates the caller divides: *unit is
 * told). */
enum unit_result units_read(const struct unit *units, struct slice text, uint64_t *value,
                            const struct unit **unit);
/* With the largest unit that leaves a whole number. */
void units_write(const struct unit *units, uint64_t value, struct buf *out);
enum unit_result units_read_rate(struct slice text, double *rate);
void units_write_rate(double rate, struct buf *out);

/* Feeds candidates one by one; best stays NULL when none is near enough. */
struct suggestion {
    const char *best;
    size_t distance;
};
void suggest_offer(struct suggestion *s, struct slice word, const char *candidate);
/* Optimal string alignment (Damerau-Levenshtein without repeated edits), without case. */
size_t suggest_distance(struct slice a, struct slice b);

/* ${NAME} -> its value, $${ -> ${. 0; ERR_NOTFOUND (*name: the variable), ERR_SYNTAX, ERR_LIMIT, ERR_NOMEM.
 */
int environment_expand(struct slice text, struct buf *out, struct slice *name);
/* The way back: what stands in a file so that it is read as `text`. */
int environment_escape(struct slice text, struct buf *out);
bool environment_used(struct slice text);
/* [A-Za-z_][A-Za-z0-9_]*: the length of the name that the text begins with. */
size_t environment_name(struct slice text);

/* listener.c */
bool listener_is_address(struct slice text);
bool listener_is_local(struct slice address);

/* describe.c: one field as JSON, NULL when it is not set (or out of memory: then *failed). */
json_t *describe_field(const struct field *field, const void *base, bool *failed);

static inline const void *field_at(const struct field *field, const void *base)
{
    return (const char *)base + field->offset;
}

#endif
