/* Files that are not ours, of another version, cut or damaged: one clear line, nothing overwritten, no crash.
 */
#include "unit/store/fixture.h"

#include <fcntl.h>
#include <lmdb.h>
#include <sys/stat.h>

#include "store/store_internal.h"

struct bytes {
    char *ptr;
    size_t len;
};

static struct bytes read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct stat stat_of;
    assert_non_null(file);
    assert_int_equal(fstat(fileno(file), &stat_of), 0);
    struct bytes bytes = {malloc((size_t)stat_of.st_size + 1), (size_t)stat_of.st_size};
    assert_int_equal(fread(bytes.ptr, 1, bytes.len, file), bytes.len);
    fclose(file);
    return bytes;
}

static void write_file(const char *path, const void *data, size_t len)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    fclose(file);
}

static int set_up(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    place_make(place);
    store_close(open_store(place));
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    place_remove(*state);
    free(*state);
    return 0;
}

static void expect_refused(const struct place *place, const char *why)
{
    struct store *store;
    struct fault fault = {""};
    struct bytes before = read_file(place->data);
    int rc = try_open(&store, place, 0, &fault);
    if (rc != ERR_CORRUPT || store)
        fail_msg("%s: %d %s", why, rc, fault.text);
    assert_non_null(strstr(fault.text, place->path));
    assert_null(strchr(fault.text, '\n'));
    struct bytes after = read_file(place->data);
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.ptr, after.ptr, before.len);
    free(before.ptr);
    free(after.ptr);
}

static void garbage_is_refused(void **state)
{
    static char noise[16384], zeros[16384];
    struct place *place = *state;
    const struct {
        const char *name;
        const void *data;
        size_t len;
    } rows[] = {
        {"empty", zeros, 0},
        {"one byte", noise, 1},
        {"text", "{\"tenants\": []}\n", 16},
        {"less than a meta page", noise, 100},
        {"noise", noise, sizeof(noise)},
        {"zeros", zeros, sizeof(zeros)},
    };
    uint32_t x = 2463534242u;
    for (size_t i = 0; i < sizeof(noise); i++) {
        x ^= x << 13, x ^= x >> 17, x ^= x << 5;
        noise[i] = (char)x;
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        write_file(place->data, rows[i].data, rows[i].len);
        expect_refused(place, rows[i].name);
    }
}

static void a_cut_file_is_refused(void **state)
{
    struct place *place = *state;
    struct store *store = open_store(place);
    assert_int_equal(fill(store, 2000, 300), 0);
    assert_int_equal(put(store, TABLE_B, SLICE("last"), SLICE("v")), 0);
    store_close(store);
    struct bytes whole = read_file(place->data);
    const size_t ends[] = {1,
                           4095,
                           4096,
                           8191,
                           8192,
                           12288,
                           whole.len / 2,
                           whole.len / 2 + 100,
                           whole.len - 3 * 4096,
                           whole.len - 4096,
                           whole.len - 1};
    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
        char name[32];
        snprintf(name, sizeof(name), "cut at %zu", ends[i]);
        write_file(place->data, whole.ptr, ends[i]);
        expect_refused(place, name);
    }
    write_file(place->data, whole.ptr, whole.len);
    free(whole.ptr);
    store = open_store(place);
    assert_int_equal(count_records(store, TABLE_A, NULL), 2000);
    store_close(store);
}

/* --- short, and yet whole --- */

/* The pages of the large value come from behind the end of the file, and are given back before they are
 * written. */
static int apply_come_and_go(struct store_change *change, struct store_txn *txn)
{
    static char value[100000];
    (void)change;
    int rc = store_txn_put(txn, TABLE_B, SLICE("large"), slice_of(value, sizeof(value)));
    return rc ? rc : store_txn_delete(txn, TABLE_B, SLICE("large"));
}

static void a_file_that_lacks_only_free_pages_is_whole(void **state)
{
    struct place *place = *state;
    struct store *store = open_store(place);
    struct store_change change = {.apply = apply_come_and_go};
    struct store_stats stats;
    char key[16];
    assert_int_equal(fill(store, 400, 300), 0);
    for (int i = 0; i < 10; i++) /* single pages become free, which the large value can't use */
        assert_int_equal(put(store, TABLE_A, bulk_key(key, i * 37), SLICE("v")), 0);
    assert_int_equal(store_apply(store, &change), 0);
    store_stats(store, &stats);
    store_close(store);
    struct bytes whole = read_file(place->data);
    assert_true(whole.len < stats.used_bytes); /* else this tests nothing */
    write_file(place->data, whole.ptr, whole.len / 2);
    expect_refused(place, "short, and cut as well");
    write_file(place->data, whole.ptr, whole.len);
    free(whole.ptr);
    store = open_store(place);
    assert_int_equal(count_records(store, TABLE_A, NULL), 400);
    assert_int_equal(fill(store, 400, 300), 0);
    store_close(store);
}

/* --- foreign and other versions --- */

static MDB_env *raw_open(const struct place *place)
{
    MDB_env *env;
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 8), 0);
    assert_int_equal(mdb_env_open(env, place->path, 0, 0600), 0);
    return env;
}

static void raw_put(const struct place *place, const char *table, struct slice key, struct slice value)
{
    MDB_env *env = raw_open(place);
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_val name = {key.len, (void *)(uintptr_t)key.ptr}, data = {value.len, (void *)(uintptr_t)value.ptr};
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, table, MDB_CREATE, &dbi), 0);
    assert_int_equal(mdb_put(txn, dbi, &name, &data, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

static void another_programs_file_is_refused(void **state)
{
    struct place *place = *state;
    unlink(place->data);
    raw_put(place, "theirs", SLICE("k"), SLICE("v"));
    expect_refused(place, "no format record");
}

static void another_format_is_refused(void **state)
{
    struct place *place = *state;
    char record[RECORD_HEADER + 32];
    struct slice other = SLICE("rollout-gateway store 2");
    record_seal(record, SLICE("format"), other);
    memcpy(record + RECORD_HEADER, other.ptr, other.len);
    raw_put(place, "meta", SLICE("format"), slice_of(record, RECORD_HEADER + other.len));
    expect_refused(place, "format 2");
    struct fault fault;
    struct store *store;
    assert_int_equal(try_open(&store, place, 0, &fault), ERR_CORRUPT);
    assert_non_null(strstr(fault.text, "store 2"));
    raw_put(place, "meta", SLICE("format"), SLICE("unsealed"));
    expect_refused(place, "damaged format record");
}

static void another_data_format_of_lmdb_is_refused(void **state)
{
    struct place *place = *state;
    struct bytes bytes = read_file(place->data);
    enum { VERSION_AT = 20, PAGE = 4096 };
    bytes.ptr[VERSION_AT] = bytes.ptr[PAGE + VERSION_AT] = 9;
    write_file(place->data, bytes.ptr, bytes.len);
    expect_refused(place, "LMDB version 9");
    free(bytes.ptr);
}

static void a_read_only_store_makes_nothing(void **state)
{
    struct place *place = *state;
    static const char *const tables[] = {"a", "new", NULL};
    struct store_options options = {
        .path = place->path, .tables = tables, .map_size = 1 << 20, .read_only = true};
    struct store *store;
    struct fault fault;
    assert_int_equal(store_open(&store, &options, &fault), 0);
    assert_int_equal(get(store, 1, SLICE("k"), NULL), ERR_NOTFOUND);
    assert_int_equal(count_records(store, 1, NULL), 0);
    store_close(store);
    unlink(place->data);
    assert_int_equal(store_open(&store, &options, &fault), ERR_NOTFOUND);
    assert_int_equal(access(place->data, F_OK), -1);
}

static void a_directory_that_cannot_be_is_named(void **state)
{
    struct place *place = *state;
    struct place below = *place;
    struct store *store;
    struct fault fault;
    snprintf(below.path, sizeof(below.path), "%s/deep/state/data.mdb/x", place->root);
    assert_int_not_equal(try_open(&store, &below, 0, &fault), 0);
    assert_null(store);
    assert_non_null(strstr(fault.text, below.path));
}

/* --- damage inside ---- */

static size_t find_bytes(struct bytes in, const char *what)
{
    size_t len = strlen(what), last = SIZE_MAX;
    for (size_t i = 0; i + len <= in.len; i++)
        if (memcmp(in.ptr + i, what, len) == 0)
            last = i;
    assert_true(last != SIZE_MAX);
    return last;
}

/* Changes one bit of the file under an open store, which sees it at once in its map, looks, and changes it
 * back. */
static void flip_and_expect(const struct place *place, struct store *store, struct bytes whole, size_t at,
                            unsigned bit)
{
    int fd = open(place->data, O_WRONLY | O_CLOEXEC);
    size_t damaged = 0;
    char flipped = (char)(whole.ptr[at] ^ (1 << bit));
    assert_int_equal(pwrite(fd, &flipped, 1, (off_t)at), 1);
    assert_int_equal(get(store, TABLE_A, SLICE("key-0007"), NULL), ERR_CORRUPT);
    assert_int_equal(get(store, TABLE_A, SLICE("key-0006"), NULL), 0);
    assert_int_equal(get(store, TABLE_A, SLICE("key-0008"), NULL), 0);
    assert_int_equal(count_records(store, TABLE_A, &damaged), 19);
    assert_int_equal(damaged, 1);
    assert_int_equal(pwrite(fd, whole.ptr + at, 1, (off_t)at), 1);
    assert_int_equal(get(store, TABLE_A, SLICE("key-0007"), NULL), 0);
    close(fd);
}

static void a_flipped_bit_spoils_that_record_alone(void **state)
{
    struct place *place = *state;
    enum { KEY = 8, VALUE = 40, NODE_HEADER = 8, LENGTH = 4 };
    struct store *store = open_store(place);
    assert_int_equal(fill(store, 20, VALUE), 0);
    struct bytes whole = read_file(place->data);
    size_t key = find_bytes(whole, "key-0007\001");
    for (size_t at = key + KEY; at < key + KEY + RECORD_HEADER + VALUE; at++)
        flip_and_expect(place, store, whole, at, at % 8);
    /* The length of the node, all bits of its four bytes: shorter, longer, behind the page, behind the file.
     */
    for (size_t byte = key - NODE_HEADER; byte < key - NODE_HEADER + LENGTH; byte++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            int fd = open(place->data, O_WRONLY | O_CLOEXEC);
            char flipped = (char)(whole.ptr[byte] ^ (1 << bit));
            assert_int_equal(pwrite(fd, &flipped, 1, (off_t)byte), 1);
            assert_int_equal(get(store, TABLE_A, SLICE("key-0007"), NULL), ERR_CORRUPT);
            assert_int_equal(get(store, TABLE_A, SLICE("key-0008"), NULL), 0);
            assert_int_equal(pwrite(fd, whole.ptr + byte, 1, (off_t)byte), 1);
            close(fd);
        }
    }
    store_close(store);
    free(whole.ptr);
}

static void a_flipped_bit_in_a_large_record_spoils_that_record_alone(void **state)
{
    struct place *place = *state;
    struct store *store = open_store(place);
    assert_int_equal(fill(store, 20, 9000), 0);
    struct bytes whole = read_file(place->data);
    size_t value = find_bytes(whole, "key-0007...."), head = value - RECORD_HEADER;
    assert_int_equal(head % 4096, 16);
    for (size_t at = head; at < head + 9000; at += 97)
        flip_and_expect(place, store, whole, at, at % 8);
    assert_int_equal(whole.ptr[head - 4], 3);
    flip_and_expect(place, store, whole, head - 4, 0); /* its number of pages: 3 becomes 2 */
    store_close(store);
    free(whole.ptr);
}

/* Damage in the head of any page: the file is refused, or what is damaged is found when it is read. No crash.
 */
static void a_damaged_page_is_refused_or_found(void **state)
{
    struct place *place = *state;
    struct store *store = open_store(place);
    size_t refused = 0, opened = 0;
    assert_int_equal(fill(store, 1000, 200), 0);
    store_close(store);
    struct bytes whole = read_file(place->data);
    for (size_t page = 2 * 4096; page + 4096 <= whole.len; page += 4096)
        for (size_t at = page; at < page + 40; at += 5) {
            struct fault fault;
            whole.ptr[at] = (char)(whole.ptr[at] ^ (1 << at % 8));
            write_file(place->data, whole.ptr, whole.len);
            whole.ptr[at] = (char)(whole.ptr[at] ^ (1 << at % 8));
            if (try_open(&store, place, (size_t)1 << 22, &fault)) {
                assert_non_null(strstr(fault.text, place->path));
                refused++;
                continue;
            }
            opened++;
            get(store, TABLE_A, SLICE("key-0500"), NULL);
            store_close(store);
        }
    free(whole.ptr);
    assert_true(refused > 200);
    assert_true(opened > 0); /* free pages */
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(garbage_is_refused),
        CASE(a_cut_file_is_refused),
        CASE(a_file_that_lacks_only_free_pages_is_whole),
        CASE(another_programs_file_is_refused),
        CASE(another_format_is_refused),
        CASE(another_data_format_of_lmdb_is_refused),
        CASE(a_read_only_store_makes_nothing),
        CASE(a_directory_that_cannot_be_is_named),
        CASE(a_flipped_bit_spoils_that_record_alone),
        CASE(a_flipped_bit_in_a_large_record_spoils_that_record_alone),
        CASE(a_damaged_page_is_refused_or_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
