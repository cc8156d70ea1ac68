/* Stores that begin anew: whatever lies there, they open, what they could not believe stands aside, and no
 * more than one of those is kept. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <lmdb.h>

#include "store/store_internal.h"
#include "unit/store/fixture.h"

enum { MAP = 4 << 20 };

static int open_as(struct store **out, const struct place *place, size_t size, const char *contents,
                   struct fault *fault)
{
    static const char *const tables[] = {"a", "b", NULL};
    struct store_options options = {
        .path = place->path, .tables = tables, .map_size = size, .contents = contents, .disposable = true};
    return store_open(out, &options, fault);
}

static struct store *open_disposable(const struct place *place)
{
    struct store *store;
    struct fault fault = {""};
    if (open_as(&store, place, MAP, "things 1", &fault))
        fail_msg("%s", fault.text);
    return store;
}

/* How many stand aside; `path` gets one of them. */
static int count_aside(const struct place *place, char path[400])
{
    char above[128];
    int count = 0;
    struct dirent *each;
    snprintf(above, sizeof(above), "%s/deep", place->root);
    DIR *listing = opendir(above);
    while (listing && (each = readdir(listing)))
        if (strncmp(each->d_name, "state.damaged-", 14) == 0) {
            if (path)
                snprintf(path, 400, "%s/%s", above, each->d_name);
            count++;
        }
    if (listing)
        closedir(listing);
    return count;
}

static void remove_files(const char *directory)
{
    static const char *const names[] = {"data.mdb", "lock.mdb", "mark", "theirs"};
    char path[500];
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
        unlink(path);
    }
    if (rmdir(directory))
        unlink(directory);
}

static int set_up(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    place_make(place);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    char path[400];
    while (count_aside(place, path))
        remove_files(path);
    remove_files(place->path);
    place_remove(place);
    free(place);
    return 0;
}

static void put_file(const struct place *place, const char *name, const void *data, size_t len)
{
    char path[160];
    snprintf(path, sizeof(path), "%s/%s", place->path, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    close(fd);
}

static void make_one(const struct place *place)
{
    struct store *store = open_disposable(place);
    assert_int_equal(fill(store, 200, 300), 0);
    store_close(store);
}

static void expect_anew(const struct place *place, const char *why)
{
    struct store *store;
    struct fault fault = {""};
    int rc = open_as(&store, place, MAP, "things 1", &fault);
    if (rc)
        fail_msg("%s: %s", why, fault.text);
    if (get(store, TABLE_A, SLICE("key-0001"), NULL) != ERR_NOTFOUND)
        fail_msg("%s: it was believed", why);
    assert_int_equal(put(store, TABLE_B, SLICE("new"), SLICE("v")), 0);
    store_close(store);
    if (count_aside(place, NULL) != 1)
        fail_msg("%s: %d stand aside", why, count_aside(place, NULL));
}

static void what_was_closed_comes_back(void **state)
{
    struct place *place = *state;
    make_one(place);
    struct store *store = open_disposable(place);
    assert_int_equal(count_records(store, TABLE_A, NULL), 200);
    store_close(store);
    assert_int_equal(count_aside(place, NULL), 0);
}

static void damage_stands_aside(void **state)
{
    static char noise[16384], zeros[16384];
    struct place *place = *state;
    const struct {
        const char *name, *file;
        const void *data;
        size_t len;
    } rows[] = {
        {"empty", "data.mdb", zeros, 0},
        {"one byte", "data.mdb", noise, 1},
        {"text", "data.mdb", "{\"tenants\": []}\n", 16},
        {"less than a meta page", "data.mdb", noise, 100},
        {"noise", "data.mdb", noise, sizeof(noise)},
        {"zeros", "data.mdb", zeros, sizeof(zeros)},
        {"empty mark", "mark", zeros, 0},
        {"mark of noise", "mark", noise, 300},
        {"mark of another boot", "mark", "open 00000000-0000-0000-0000-000000000000\n", 42},
        {"mark without boot", "mark", "open \n", 6},
    };
    uint32_t x = 2463534242u;
    for (size_t i = 0; i < sizeof(noise); i++) {
        x ^= x << 13, x ^= x >> 17, x ^= x << 5;
        noise[i] = (char)x;
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        make_one(place);
        put_file(place, rows[i].file, rows[i].data, rows[i].len);
        expect_anew(place, rows[i].name);
        remove_files(place->path);
    }
}

static void a_cut_file_stands_aside(void **state)
{
    struct place *place = *state;
    const off_t ends[] = {1, 4096, 8191, 12288, 40000};
    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
        make_one(place);
        assert_int_equal(truncate(place->data, ends[i]), 0);
        expect_anew(place, "cut");
        remove_files(place->path);
    }
}

/* LMDB's own file with somebody's table, and no mark of ours; then with one. */
static void foreign_files_stand_aside(void **state)
{
    struct place *place = *state;
    for (int marked = 0; marked < 2; marked++) {
        make_one(place);
        unlink(place->data);
        MDB_env *env;
        MDB_txn *txn;
        MDB_dbi dbi;
        MDB_val key = {1, "k"}, value = {1, "v"};
        assert_int_equal(mdb_env_create(&env), 0);
        assert_int_equal(mdb_env_set_maxdbs(env, 8), 0);
        assert_int_equal(mdb_env_open(env, place->path, 0, 0600), 0);
        assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
        assert_int_equal(mdb_dbi_open(txn, "theirs", MDB_CREATE, &dbi), 0);
        assert_int_equal(mdb_put(txn, dbi, &key, &value, 0), 0);
        assert_int_equal(mdb_txn_commit(txn), 0);
        mdb_env_close(env);
        if (!marked) {
            char path[160];
            snprintf(path, sizeof(path), "%s/mark", place->path);
            assert_int_equal(unlink(path), 0);
        }
        expect_anew(place, marked ? "foreign, marked" : "foreign");
        remove_files(place->path);
    }
}

static void other_contents_and_versions_stand_aside(void **state)
{
    struct place *place = *state;
    const char *const contents[] = {"things 2", NULL, "others 1"};
    for (size_t i = 0; i < sizeof(contents) / sizeof(*contents); i++) {
        struct store *store;
        struct fault fault = {""};
        assert_int_equal(open_as(&store, place, MAP, contents[i], &fault), 0);
        assert_int_equal(fill(store, 10, 300), 0);
        store_close(store);
        expect_anew(place, contents[i] ? contents[i] : "nothing told");
        remove_files(place->path);
    }
}

static void a_file_in_its_place_stands_aside(void **state)
{
    struct place *place = *state;
    make_one(place);
    remove_files(place->path);
    int fd = open(place->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    close(fd);
    expect_anew(place, "a file");
}

static void what_others_put_there_is_not_deleted(void **state)
{
    struct place *place = *state;
    char aside[400], theirs[500];
    make_one(place);
    put_file(place, "theirs", "x", 1);
    put_file(place, "data.mdb", "noise", 5);
    expect_anew(place, "first");
    assert_int_equal(count_aside(place, aside), 1);
    snprintf(theirs, sizeof(theirs), "%s/theirs", aside);
    assert_int_equal(access(theirs, F_OK), 0);
}

static void a_smaller_limit_begins_anew(void **state)
{
    struct place *place = *state;
    struct store *store = open_disposable(place);
    struct fault fault = {""};
    assert_int_equal(fill(store, 1000, 1900), 0);
    store_close(store);
    assert_int_equal(open_as(&store, place, 1 << 20, "things 1", &fault), 0);
    assert_int_equal(count_records(store, TABLE_A, NULL), 0);
    struct store_stats stats;
    store_stats(store, &stats);
    assert_int_equal(stats.map_bytes, 1 << 20);
    store_close(store);
    assert_int_equal(count_aside(place, NULL), 0);
}

/* --- full --- */

struct room {
    struct store_change change;
    uint64_t room;
};

static int apply_room(struct store_change *change, struct store_txn *txn)
{
    container_of(change, struct room, change)->room = store_txn_room(txn);
    return 0;
}

static uint64_t room_of(struct store *store)
{
    struct room room = {.change.apply = apply_room};
    assert_int_equal(store_apply(store, &room.change), 0);
    return room.room;
}

static void room_is_told_and_comes_back(void **state)
{
    struct store *store = open_disposable(*state);
    char key[16], value[1900];
    memset(value, '.', sizeof(value));
    const uint64_t before = room_of(store);
    int count = 0, rc = 0;
    assert_true(before > MAP * 9 / 10 && before <= MAP);
    while ((rc = put(store, TABLE_A, bulk_key(key, count), slice_of(value, sizeof(value)))) == 0)
        count++;
    assert_int_equal(rc, ERR_FULL);
    assert_true(count > 500);
    const uint64_t full = room_of(store);
    assert_true(full < MAP / 6);
    for (int i = 0; i < count; i++)
        assert_int_equal(erase(store, TABLE_A, bulk_key(key, i)), 0);
    assert_true(room_of(store) > full + MAP / 2);
    assert_int_equal(put(store, TABLE_A, SLICE("again"), slice_of(value, sizeof(value))), 0);
    store_close(store);
}

/* --- processes: children are forked before this one has a store or a thread --- */

static int write_until_killed(const struct place *place, int news)
{
    struct store *store = open_disposable(place);
    char key[16];
    for (int i = 0; i < 10000; i++) {
        if (put(store, TABLE_A, bulk_key(key, i), SLICE("v")))
            return 1;
        if (write(news, "x", 1) != 1)
            return 2;
    }
    return 3;
}

static void a_killed_writer_leaves_what_it_committed(void **state)
{
    struct place *place = *state;
    char key[16], byte;
    for (int round = 1; round <= 5; round++) {
        int news[2], status, heard = 0;
        assert_int_equal(pipe(news), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            close(news[0]);
            _exit(write_until_killed(place, news[1]));
        }
        close(news[1]);
        while (heard < round * 60 && read(news[0], &byte, 1) == 1)
            heard++;
        kill(pid, SIGKILL);
        while (read(news[0], &byte, 1) == 1)
            heard++;
        close(news[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        struct store *store = open_disposable(place);
        for (int i = 0; i < heard; i++)
            assert_int_equal(get(store, TABLE_A, bulk_key(key, i), "v"), 0);
        store_close(store);
        assert_int_equal(count_aside(place, NULL), 0);
    }
}

/* Held open by a child; this process is told so, and harms nothing. */
static void a_second_process_is_refused(void **state)
{
    struct place *place = *state;
    int news[2], orders[2], status;
    char byte;
    assert_int_equal(pipe(news), 0);
    assert_int_equal(pipe(orders), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(orders[1]);
        struct store *store = open_disposable(place);
        bool good = write(news[1], "x", 1) == 1 && read(orders[0], &byte, 1) == 0 &&
                    put(store, TABLE_A, SLICE("k"), SLICE("v")) == 0;
        store_close(store);
        _exit(good ? 0 : 1);
    }
    close(orders[0]);
    assert_int_equal(read(news[0], &byte, 1), 1);
    struct store *store;
    struct fault fault = {""};
    assert_int_equal(open_as(&store, place, MAP, "things 1", &fault), ERR_INUSE);
    assert_non_null(strstr(fault.text, place->path));
    close(orders[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(news[0]);
    close(news[1]);
    assert_int_equal(count_aside(place, NULL), 0);
    store = open_disposable(place);
    assert_int_equal(get(store, TABLE_A, SLICE("k"), "v"), 0);
    store_close(store);
}

/* A limit on the size of files makes the same writes fail as a full disk. */
static int fill_the_disk(const struct place *place)
{
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    struct store *store = open_disposable(place);
    if (put(store, TABLE_B, SLICE("before"), SLICE("v")))
        return 10;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = 1 << 20;
    setrlimit(RLIMIT_FSIZE, &limit);
    int rc = fill(store, 1000, 1900);
    if (rc != ERR_FULL && rc != ERR_IO)
        return 11;
    if (get(store, TABLE_B, SLICE("before"), "v") || put(store, TABLE_B, SLICE("small"), SLICE("v")))
        return 12;
    store_close(store);
    return 0;
}

static void a_full_disk_fails_that_write_only(void **state)
{
    struct place *place = *state;
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(fill_the_disk(place));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 0);
    struct store *store = open_disposable(place);
    assert_int_equal(get(store, TABLE_B, SLICE("small"), "v"), 0);
    store_close(store);
}

/* What LMDB's assertion does before it ends the process. */
static void a_condemned_file_is_not_met_again(void **state)
{
    struct place *place = *state;
    struct store *store = open_disposable(place);
    assert_int_equal(fill(store, 200, 300), 0);
    disposable_condemn(store);
    store_close(store);
    assert_int_equal(count_aside(place, NULL), 1);
    store = open_disposable(place);
    assert_int_equal(count_records(store, TABLE_A, NULL), 0);
    store_close(store);
}

/* Whoever wants no such store any more: its files go, others' stay. */
static void a_store_is_discarded(void **state)
{
    struct place *place = *state;
    struct fault fault = {""};
    char path[500];
    assert_int_equal(store_discard(place->path, &fault), 0);
    struct store *store = open_disposable(place);
    assert_int_equal(fill(store, 10, 300), 0);
    assert_int_equal(store_discard(place->path, &fault), ERR_INUSE);
    store_close(store);
    assert_int_equal(store_discard(place->path, &fault), 0);
    assert_int_equal(access(place->path, F_OK), -1);
    store_close(open_disposable(place));
    snprintf(path, sizeof(path), "%s/theirs", place->path);
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(store_discard(place->path, &fault), 0);
    assert_int_equal(access(path, F_OK), 0);
    snprintf(path, sizeof(path), "%s/data.mdb", place->path);
    assert_int_equal(access(path, F_OK), -1);
}

static void a_boot_has_a_number(void **state)
{
    (void)state;
    assert_int_equal(store_boot(), store_boot());
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_killed_writer_leaves_what_it_committed),
        CASE(a_second_process_is_refused),
        CASE(a_full_disk_fails_that_write_only),
        CASE(what_was_closed_comes_back),
        CASE(damage_stands_aside),
        CASE(a_cut_file_stands_aside),
        CASE(foreign_files_stand_aside),
        CASE(other_contents_and_versions_stand_aside),
        CASE(a_file_in_its_place_stands_aside),
        CASE(what_others_put_there_is_not_deleted),
        CASE(a_smaller_limit_begins_anew),
        CASE(room_is_told_and_comes_back),
        CASE(a_condemned_file_is_not_met_again),
        CASE(a_store_is_discarded),
        cmocka_unit_test(a_boot_has_a_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
