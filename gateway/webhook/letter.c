#include "letter.h"

#include "base/digest.h"
#include "bytes.h"

enum { KEY = 10, NUMBERS = 24, TEXTS = 7, TEXT_MAX = 1024, HEAD_MAX = NUMBERS + TEXTS * (2 + TEXT_MAX) };

int letter_id(struct slice credential_id, struct slice event_id, struct buf *out)
{
    static const struct digest_key keys[2] = {{0x726f6c6c, 1}, {0x726f6c6c, 2}};
    char storage[1024], sums[16];
    struct buf text;
    buf_init_fixed(&text, storage, sizeof storage);
    buf_append_slice(&text, credential_id);
    buf_append_char(&text, '\0');
    if (buf_append_slice(&text, event_id))
        return ERR_LIMIT;
    for (size_t i = 0; i < 2; i++)
        bytes_put(sums + 8 * i, 8, digest64(&keys[i], text.ptr, text.len));
    buf_append_text(out, "evt_");
    return digest_hex(out, sums, sizeof sums);
}

/* --- bytes ----------------------------------------------------------------------------------------- */

static struct slice key_of(char key[KEY], uint64_t number, size_t part)
{
    bytes_put(key, 8, number);
    bytes_put(key + 8, 2, part);
    return slice_of(key, KEY);
}

static void list_texts(struct letter *letter, struct slice *texts[TEXTS])
{
    struct slice *all[TEXTS] = {&letter->id,      &letter->name, &letter->tenant, &letter->credential_id,
                                &letter->app_key, &letter->only, &letter->reason};
    memcpy(texts, all, sizeof all);
}

static int encode(const struct letter *letter, struct buf *out)
{
    char numbers[NUMBERS];
    struct letter copy = *letter;
    struct slice *texts[TEXTS];
    list_texts(&copy, texts);
    bytes_put(numbers, 8, (uint64_t)letter->at_ms);
    bytes_put(numbers + 8, 8, (uint64_t)letter->died_ms);
    bytes_put(numbers + 16, 4, letter->attempts);
    bytes_put(numbers + 20, 4, letter->body.len);
    buf_append(out, numbers, sizeof numbers);
    for (size_t i = 0; i < TEXTS; i++) {
        char len[2];
        if (texts[i]->len > TEXT_MAX)
            return ERR_INVALID;
        bytes_put(len, 2, texts[i]->len);
        buf_append(out, len, 2);
        buf_append_slice(out, *texts[i]);
    }
    return out->failed ? ERR_NOMEM : 0;
}

/* What is left behind the head is of the body, whose whole length is told. */
static int decode(struct slice value, struct letter *out, size_t *body_len)
{
    struct slice *texts[TEXTS];
    if (value.len < NUMBERS)
        return ERR_CORRUPT;
    *out = (struct letter){.at_ms = (int64_t)bytes_get(value.ptr, 8),
                           .died_ms = (int64_t)bytes_get(value.ptr + 8, 8),
                           .attempts = (uint32_t)bytes_get(value.ptr + 16, 4)};
    *body_len = (size_t)bytes_get(value.ptr + 20, 4);
    value = slice_skip(value, NUMBERS);
    list_texts(out, texts);
    for (size_t i = 0; i < TEXTS; i++) {
        size_t len = value.len < 2 ? SIZE_MAX : (size_t)bytes_get(value.ptr, 2);
        if (len > value.len - (value.len < 2 ? value.len : 2))
            return ERR_CORRUPT;
        *texts[i] = slice_of(value.ptr + 2, len);
        value = slice_skip(value, 2 + len);
    }
    out->body = value;
    return value.len <= *body_len ? 0 : ERR_CORRUPT;
}

/* --- writing --------------------------------------------------------------------------------------- */

int letter_write(const struct letter_place *place, const struct letter *letter)
{
    struct buf part;
    struct slice rest = letter->body;
    char key[KEY];
    buf_init(&part, HEAD_MAX + LETTER_PART);
    int error = letter->body.len > UINT32_MAX ? ERR_INVALID : encode(letter, &part);
    for (size_t i = 0; !error && (i == 0 || rest.len > 0); i++) {
        size_t take = rest.len < LETTER_PART ? rest.len : LETTER_PART;
        error = i > UINT16_MAX ? ERR_INVALID : buf_append(&part, rest.ptr, take);
        if (!error)
            error = store_txn_put(place->txn, place->table, key_of(key, letter->number, i), buf_slice(&part));
        rest = slice_skip(rest, take);
        buf_reset(&part);
    }
    buf_deinit(&part);
    return error;
}

int letter_delete(const struct letter_place *place, uint64_t number)
{
    char key[KEY];
    int error = store_txn_delete(place->txn, place->table, key_of(key, number, 0));
    for (size_t part = 1; error == 0 && part <= UINT16_MAX; part++) {
        error = store_txn_delete(place->txn, place->table, key_of(key, number, part));
        if (error == ERR_NOTFOUND)
            return 0;
    }
    return error;
}

/* --- reading --------------------------------------------------------------------------------------- */

static int get_part(const struct letter_place *place, uint64_t number, size_t part, struct slice *value)
{
    char key[KEY];
    struct slice name = key_of(key, number, part);
    return place->txn ? store_txn_get(place->txn, place->table, name, value)
                      : store_get(place->view, place->table, name, value);
}

/* The parts behind the first, which stands in *spill already. */
static int gather(const struct letter_place *place, uint64_t number, size_t missing, struct buf *spill)
{
    struct slice value;
    for (size_t part = 1; missing > 0; part++) {
        int error = get_part(place, number, part, &value);
        if (error)
            return error == ERR_NOTFOUND ? ERR_CORRUPT : error;
        if (value.len == 0 || value.len > missing)
            return ERR_CORRUPT;
        if ((error = buf_append_slice(spill, value)))
            return error;
        missing -= value.len;
    }
    return 0;
}

int letter_read(const struct letter_place *place, uint64_t number, struct buf *spill, struct letter *out)
{
    struct slice value;
    size_t body_len;
    int error = get_part(place, number, 0, &value);
    if (!error)
        error = decode(value, out, &body_len);
    if (error)
        return error;
    if (place->txn || out->body.len < body_len) {
        size_t missing = body_len - out->body.len;
        buf_reset(spill);
        error = buf_append_slice(spill, value);
        if (!error)
            error = gather(place, number, missing, spill);
        if (!error)
            error = decode(buf_slice(spill), out, &body_len);
    }
    out->number = number;
    return error;
}

int letter_time(const struct letter_place *place, uint64_t number, int64_t *at_ms)
{
    struct slice value;
    struct letter letter;
    size_t body_len;
    int error = get_part(place, number, 0, &value);
    if (!error)
        error = decode(value, &letter, &body_len);
    if (error)
        return error;
    *at_ms = letter.at_ms;
    return 0;
}

struct walk {
    bool (*visit)(const struct letter *letter, void *arg);
    void *arg;
};

static bool on_record(struct slice key, struct slice value, void *arg)
{
    struct walk *walk = arg;
    struct letter letter;
    size_t body_len;
    if (key.len != KEY || bytes_get(key.ptr + 8, 2) != 0 || decode(value, &letter, &body_len))
        return true;
    letter.number = bytes_get(key.ptr, 8);
    if (letter.body.len < body_len)
        letter.body = (struct slice){NULL, body_len};
    return walk->visit(&letter, walk->arg);
}

int letter_scan(const struct letter_place *place, uint64_t number,
                bool (*visit)(const struct letter *letter, void *arg), void *arg)
{
    struct walk walk = {visit, arg};
    char key[KEY];
    return store_scan(place->view, place->table, key_of(key, number, 0), on_record, &walk, NULL);
}
