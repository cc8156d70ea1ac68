/* The environment: opened, shared by its users, closed. */
#include "store/store_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

enum {
    READERS_MAX = 500,
    MOVE_WAIT_MS = 2000,
    FILE_MODE = 0600,
    DIRECTORY_MODE = 0700,
};

static size_t default_map_size(void)
{
    return (size_t)16 << 30;
}

int store_error(int rc)
{
    switch (rc) {
    case 0:
        return 0;
    case MDB_NOTFOUND:
        return ERR_NOTFOUND;
    case MDB_MAP_FULL:
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ERR_FULL;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
        return ERR_CORRUPT;
    case MDB_READERS_FULL:
    case MDB_TXN_FULL:
    case MDB_DBS_FULL:
        return ERR_LIMIT;
    case MDB_BAD_VALSIZE:
        return ERR_INVALID;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_DENIED;
    case ENOMEM:
        return ERR_NOMEM;
    case ENOENT:
        return ERR_NOTFOUND;
    default:
        return ERR_IO;
    }
}

/* --- users of the map ------------------------------------------------------------------------------------
 */

void store_user_add(struct store *store, struct store_user *user)
{
    atomic_init(&user->active, false);
    pthread_mutex_lock(&store->users_lock);
    list_push_back(&store->users, &user->node);
    pthread_mutex_unlock(&store->users_lock);
}

void store_user_remove(struct store *store, struct store_user *user)
{
    pthread_mutex_lock(&store->users_lock);
    list_remove(&user->node);
    pthread_mutex_unlock(&store->users_lock);
}

static bool any_active(struct store *store)
{
    list_each (node, &store->users)
        if (atomic_load(&container_of(node, struct store_user, node)->active))
            return true;
    return false;
}

/* Takes over the larger map of another process, once nobody of this one reads. An LMDB code. */
static int map_follow(struct store *store)
{
    int rc = EBUSY;
    uint64_t deadline = clock_mono_ns() + (uint64_t)MOVE_WAIT_MS * 1000000;
    pthread_mutex_lock(&store->users_lock);
    atomic_store(&store->moving, true);
    while (any_active(store) && clock_mono_ns() < deadline)
        sched_yield();
    atomic_store(&store->map, NULL);
    if (!any_active(store))
        rc = mdb_env_set_mapsize(store->env, 0);
    atomic_store(&store->moving, false);
    pthread_mutex_unlock(&store->users_lock);
    return rc;
}

/* False while the map is being moved: the caller waits for it to end (the lock is held all the while) and
 * tries again. */
static bool enter(struct store *store, struct store_user *user)
{
    atomic_store(&user->active, true);
    if (!atomic_load(&store->moving))
        return true;
    atomic_store(&user->active, false);
    pthread_mutex_lock(&store->users_lock);
    pthread_mutex_unlock(&store->users_lock);
    return false;
}

/*
 * LMDB has two meta pages in turn. A reader that is held up between learning the number of the last commit
 * and reading its meta page may find the one of two commits later there, which is not on disk yet, and would
 * go back in time with its next transaction. Then it begins again.
 */
static bool was_overtaken(MDB_env *env, MDB_txn *txn)
{
    MDB_envinfo info;
    mdb_env_info(env, &info);
    return info.me_last_txnid > mdb_txn_id(txn) + 1;
}

static int begin_read(MDB_env *env, MDB_txn **txn)
{
    enum { TRIES = 16 };
    int rc = *txn ? mdb_txn_renew(*txn) : mdb_txn_begin(env, NULL, MDB_RDONLY, txn);
    for (int i = 0; rc == 0 && i < TRIES && was_overtaken(env, *txn); i++) {
        mdb_txn_reset(*txn);
        rc = mdb_txn_renew(*txn);
    }
    return rc;
}

int store_user_begin(struct store *store, struct store_user *user, unsigned flags, MDB_txn **txn)
{
    for (bool moved = false;; moved = true) {
        while (!enter(store, user))
            ;
        int rc =
            flags & MDB_RDONLY ? begin_read(store->env, txn) : mdb_txn_begin(store->env, NULL, flags, txn);
        if (rc == 0)
            return 0;
        atomic_store(&user->active, false);
        if (rc != MDB_MAP_RESIZED || moved)
            return rc;
        if ((rc = map_follow(store)))
            return rc;
    }
}

void store_user_end(struct store_user *user)
{
    atomic_store(&user->active, false);
}

/* --- open and close ----------------------------------------------------------------------------------------
 */

static int fault_errno(struct fault *fault, const char *path, int error)
{
    char text[128];
    return fault_set(fault, store_error(error), "%s: %s", path, strerror_r(error, text, sizeof(text)));
}

/* Makes the directory and those above it. */
static int make_directory(const char *path, struct fault *fault)
{
    char *copy = strdup(path);
    if (copy == NULL)
        return fault_set(fault, ERR_NOMEM, "%s: out of memory", path);
    int rc = 0;
    for (char *at = copy + 1; rc == 0 && at[-1]; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        char kept = *at;
        *at = '\0';
        if (mkdir(copy, DIRECTORY_MODE) && errno != EEXIST && errno != EISDIR)
            rc = errno;
        *at = kept;
    }
    struct stat stat_of;
    if (stat(path, &stat_of) == 0)
        rc = S_ISDIR(stat_of.st_mode) ? 0 : ENOTDIR;
    free(copy);
    return rc ? fault_errno(fault, path, rc) : 0;
}

/* Locks and maps of LMDB do not work over the network. */
static int check_file_system(const char *path, struct fault *fault)
{
    static const unsigned long network[] = {0x6969 /* NFS */,      0x517B /* SMB */,
                                            0xFF534D42 /* CIFS */, 0xFE534D42 /* SMB2 */,
                                            0x5346414F /* AFS */,  0x00C36400 /* Ceph */};
    struct statfs fs;
    if (statfs(path, &fs))
        return 0;
    for (size_t i = 0; i < sizeof(network) / sizeof(*network); i++)
        if (((unsigned long)fs.f_type & 0xFFFFFFFF) == network[i])
            return fault_set(fault, ERR_INVALID,
                             "%s: a network file system can't hold a store; use a local disk", path);
    return 0;
}

/* LMDB stops the process right after this, rather than go on with pages that make no sense. */
static void on_assert(MDB_env *env, const char *text)
{
    const struct store *store = mdb_env_get_userctx(env);
    log_message(LOG_ERROR, "store_damaged", "%s/data.mdb is damaged inside: %s", store->path, text);
    if (store->disposable)
        disposable_condemn(store);
    log_flush();
}

static int env_open(struct store *store, const struct store_options *options, struct fault *fault)
{
    /* Without MDB_WRITEMAP also where nothing is synced: a full disk is an error then, not a signal. */
    unsigned flags =
        MDB_NOTLS | (options->read_only ? MDB_RDONLY : 0u) | (options->disposable ? MDB_NOSYNC : 0u);
    int rc = mdb_env_create(&store->env);
    if (rc)
        return fault_errno(fault, options->path, rc);
    mdb_env_set_userctx(store->env, store);
    mdb_env_set_assert(store->env, on_assert);
    if ((rc = mdb_env_set_maxreaders(store->env, READERS_MAX)) == 0 &&
        (rc = mdb_env_set_maxdbs(store->env, STORE_TABLE_MAX + 1)) == 0 &&
        (rc = mdb_env_set_mapsize(store->env, options->map_size ? options->map_size : default_map_size())) ==
            0)
        rc = mdb_env_open(store->env, options->path, flags, FILE_MODE);
    int code = store_error(rc);
    if (code == ERR_CORRUPT)
        return fault_set(fault, code, "%s/data.mdb is damaged or not a store (%s); nothing was changed",
                         options->path, mdb_strerror(rc));
    return rc ? fault_set(fault, code, "%s: %s", options->path, mdb_strerror(rc)) : 0;
}

static int open_checked(struct store *store, const struct store_options *options, struct fault *fault)
{
    int rc = format_check_file(options, fault);
    if (rc || (rc = env_open(store, options, fault)) || (rc = pages_check(store, fault)))
        return rc;
    int dead;
    mdb_reader_check(store->env, &dead);
    return format_open_tables(store, options, fault);
}

/* Processes that open the same directory take turns, so that none of them sees a file that another is only
 * just making. */
static int open_in_turn(struct store *store, const struct store_options *options, struct fault *fault)
{
    int directory = open(options->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return fault_errno(fault, options->path, errno);
    if (options->disposable) {
        store->directory = directory; /* and stays locked */
        int rc = disposable_enter(options, directory, fault);
        return rc ? rc : open_checked(store, options, fault);
    }
    while (flock(directory, LOCK_EX) && errno == EINTR)
        ;
    int rc = open_checked(store, options, fault);
    close(directory);
    return rc;
}

static struct store *allocate(const struct store_options *options)
{
    struct store *store = aligned_alloc(_Alignof(struct store), sizeof(*store));
    if (store == NULL)
        return NULL;
    memset(store, 0, sizeof(*store));
    store->read_only = options->read_only;
    store->disposable = options->disposable;
    store->contents = options->contents;
    store->directory = -1;
    store->path = strdup(options->path);
    while (options->tables[store->table_count])
        store->table_count++;
    assert(store->table_count <= STORE_TABLE_MAX);
    pthread_mutex_init(&store->users_lock, NULL);
    list_init(&store->users);
    list_init(&store->writer.node);
    store_user_add(store, &store->writer);
    if (store->path)
        return store;
    free(store);
    return NULL;
}

static void release(struct store *store)
{
    if (store->env)
        mdb_env_close(store->env);
    if (store->directory >= 0)
        close(store->directory);
    pthread_mutex_destroy(&store->users_lock);
    free(store->path);
    free(store);
}

int store_open_once(struct store **out, const struct store_options *options, struct fault *fault)
{
    struct store *store = allocate(options);
    int rc;
    *out = NULL;
    if (store == NULL)
        return fault_set(fault, ERR_NOMEM, "%s: out of memory", options->path);
    if (!options->read_only && (rc = make_directory(options->path, fault)))
        goto failed;
    if ((rc = check_file_system(options->path, fault)) || (rc = open_in_turn(store, options, fault)))
        goto failed;
    if (!options->read_only && (rc = writer_start(store))) {
        fault_set(fault, rc, "%s: the writer thread can't be started", options->path);
        goto failed;
    }
    *out = store;
    return 0;
failed:
    release(store);
    return rc;
}

int store_open(struct store **out, const struct store_options *options, struct fault *fault)
{
    return options->disposable ? disposable_open(out, options, fault) : store_open_once(out, options, fault);
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    writer_stop(store);
    if (store->disposable)
        disposable_leave(store);
    store_user_remove(store, &store->writer);
    assert(list_empty(&store->users));
    release(store);
}

void store_stats(struct store *store, struct store_stats *out)
{
    MDB_envinfo info;
    pthread_mutex_lock(&store->users_lock);
    mdb_env_info(store->env, &info);
    pthread_mutex_unlock(&store->users_lock);
    *out = (struct store_stats){.commits = atomic_load(&store->commits),
                                .changes = atomic_load(&store->changes),
                                .failures = atomic_load(&store->failures),
                                .used_bytes = (info.me_last_pgno + 1) * store->page_size,
                                .map_bytes = info.me_mapsize};
}
