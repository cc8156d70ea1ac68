/*
 * Stores that are begun anew rather than repaired. Nothing is synced while one is open: the kernel keeps what
 * a killed process has written, but a machine that goes down leaves any mixture of old and new pages. So a
 * file `mark` beside the data tells in which boot of the machine the store was opened, or that it was synced
 * and closed since; else it is not believed. (LMDB stops the process when it meets pages that make no sense,
 * and no check at an affordable price finds them all.)
 */
#include "store/store_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"

enum { PATH_SIZE = 4096, BOOT_MAX = 64, MARK_MAX = 128, DISK_SHARE = 20 };

#define MARK         "mark"
#define ASIDE        ".damaged-"
#define DISK_RESERVE ((uint64_t)256 << 20)

/* --- the mark ----------------------------------------------------------------------------------------------
 */

/* The kernel's name of this boot, "" when it tells none. */
static void read_boot(char out[BOOT_MAX])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, out, BOOT_MAX - 1);
    out[len > 0 ? len : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
    if (fd >= 0)
        close(fd);
}

uint64_t store_boot(void)
{
    char boot[BOOT_MAX];
    read_boot(boot);
    return boot[0] ? digest_checksum(boot, strlen(boot)) : 0;
}

static bool read_mark(int directory, char out[MARK_MAX])
{
    int fd = openat(directory, MARK, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    ssize_t len = fd < 0 ? -1 : read(fd, out, MARK_MAX - 1);
    out[len > 0 ? len : 0] = '\0';
    if (fd >= 0)
        close(fd);
    return len > 0;
}

/* The mark is synced before anything that is not: a machine that goes down must not find "closed" there. */
static int write_mark(int directory, const char *state)
{
    char text[MARK_MAX], boot[BOOT_MAX];
    read_boot(boot);
    int len = snprintf(text, sizeof(text), "%s %s\n", state, boot);
    int fd = openat(directory, MARK, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return errno;
    int rc = write(fd, text, (size_t)len) == len && fdatasync(fd) == 0 ? 0 : errno ? errno : EIO;
    close(fd);
    return rc;
}

static int check_mark(const struct store_options *options, int directory, struct fault *fault)
{
    char mark[MARK_MAX], boot[BOOT_MAX];
    struct stat file;
    if (fstatat(directory, "data.mdb", &file, AT_SYMLINK_NOFOLLOW))
        return 0; /* new */
    if (!read_mark(directory, mark))
        return fault_set(fault, ERR_CORRUPT, "%s/data.mdb is not known here: it has no mark", options->path);
    read_boot(boot);
    if (strncmp(mark, "closed ", 7) == 0)
        return 0;
    if (boot[0] && strncmp(mark, "open ", 5) == 0 && strncmp(mark + 5, boot, strlen(boot)) == 0)
        return 0;
    return fault_set(fault, ERR_CORRUPT, "%s was open when the machine went down, and is not synced",
                     options->path);
}

int disposable_enter(const struct store_options *options, int directory, struct fault *fault)
{
    if (flock(directory, LOCK_EX | LOCK_NB))
        return fault_set(fault, errno == EWOULDBLOCK ? ERR_INUSE : ERR_IO, "%s is in use by another process",
                         options->path);
    int rc = check_mark(options, directory, fault);
    if (rc)
        return rc;
    int error = write_mark(directory, "open");
    return error ? fault_set(fault, store_error(error), "%s/" MARK " can't be written", options->path) : 0;
}

void disposable_leave(struct store *store)
{
    if (mdb_env_sync(store->env, 1) == 0)
        write_mark(store->directory, "closed"); /* else it is begun anew after a reboot */
}

bool disposable_may_grow(const struct store *store)
{
    struct statvfs disk;
    if (!store->disposable || fstatvfs(store->directory, &disk))
        return true;
    uint64_t left = (uint64_t)disk.f_bavail * disk.f_frsize;
    uint64_t share = (uint64_t)disk.f_blocks * disk.f_frsize / DISK_SHARE;
    return left > (share < DISK_RESERVE ? share : DISK_RESERVE);
}

/* --- setting aside -----------------------------------------------------------------------------------------
 */

/* Only files that a store has: whatever else somebody put there stays, and the directory with it. */
static void empty_directory(int parent, const char *name)
{
    int directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (directory < 0)
        return;
    unlinkat(directory, "data.mdb", 0);
    unlinkat(directory, "lock.mdb", 0);
    unlinkat(directory, MARK, 0);
    close(directory);
}

/* Those set aside earlier: one is kept, and that is the one to come. */
static void remove_earlier(int parent, const char *prefix)
{
    int copy = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = copy < 0 ? NULL : fdopendir(copy);
    if (listing == NULL) {
        if (copy >= 0)
            close(copy);
        return;
    }
    struct dirent *each;
    while ((each = readdir(listing))) {
        if (strncmp(each->d_name, prefix, strlen(prefix)) != 0)
            continue;
        empty_directory(parent, each->d_name);
        if (unlinkat(parent, each->d_name, AT_REMOVEDIR))
            unlinkat(parent, each->d_name, 0);
    }
    closedir(listing);
}

/* Renames PATH; `to` gets the new name. 0 or errno. */
static int set_aside(const char *path, char to[PATH_SIZE])
{
    char above[PATH_SIZE], prefix[NAME_MAX + 1];
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    int written =
        snprintf(to, PATH_SIZE, "%.*s" ASIDE "%lld", (int)len, path, (long long)(clock_wall_ms() / 1000));
    if (written < 0 || written >= PATH_SIZE)
        return ENAMETOOLONG;
    memcpy(above, to, (size_t)written + 1);
    char *slash = strrchr(above, '/');
    const char *name = slash ? slash + 1 : above;
    if (snprintf(prefix, sizeof(prefix), "%.*s", (int)(strrchr(name, '-') - name + 1), name) >=
        (int)sizeof(prefix))
        return ENAMETOOLONG;
    if (slash)
        slash[slash == above] = '\0';
    int parent = open(slash ? above : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0)
        return errno;
    remove_earlier(parent, prefix);
    close(parent);
    char from[PATH_SIZE];
    snprintf(from, sizeof(from), "%.*s", (int)len, path);
    return rename(from, to) ? errno : 0;
}

void disposable_condemn(const struct store *store)
{
    char to[PATH_SIZE];
    if (set_aside(store->path, to) == 0)
        log_message(LOG_WARN, "store_set_aside", "%s was moved to %s", store->path, to);
}

static bool is_foreign_thing(const char *path)
{
    struct stat what;
    return stat(path, &what) == 0 && !S_ISDIR(what.st_mode);
}

static int begin_anew(struct store **out, const struct store_options *options, struct fault *fault)
{
    char to[PATH_SIZE];
    int error = set_aside(options->path, to);
    if (error)
        return fault_set(fault, store_error(error), "%s is damaged or foreign and can't be moved away",
                         options->path);
    char *claim = strstr(fault->text, "; nothing was changed");
    if (claim)
        *claim = '\0';
    log_message(LOG_WARN, "store_set_aside", "%s; moved to %s, begun anew", fault->text, to);
    return store_open_once(out, options, fault);
}

/* A file never shrinks, so a smaller limit needs a new one. */
static int begin_smaller(struct store **out, const struct store_options *options, struct fault *fault)
{
    store_close(*out);
    *out = NULL;
    empty_directory(AT_FDCWD, options->path);
    log_message(LOG_WARN, "store_begun_anew", "%s had become larger than it may be now", options->path);
    return store_open_once(out, options, fault);
}

int disposable_open(struct store **out, const struct store_options *options, struct fault *fault)
{
    *out = NULL;
    if (is_foreign_thing(options->path)) {
        fault_set(fault, ERR_CORRUPT, "%s is not a directory", options->path);
        return begin_anew(out, options, fault);
    }
    int rc = store_open_once(out, options, fault);
    if (rc == ERR_CORRUPT)
        return begin_anew(out, options, fault);
    if (rc)
        return rc;
    struct store_stats stats;
    store_stats(*out, &stats);
    return options->map_size && stats.used_bytes > options->map_size ? begin_smaller(out, options, fault) : 0;
}

int store_discard(const char *path, struct fault *fault)
{
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (directory < 0)
        return errno == ENOENT ? 0 : fault_set(fault, store_error(errno), "%s can't be deleted", path);
    int rc = 0;
    if (flock(directory, LOCK_EX | LOCK_NB))
        rc = fault_set(fault, errno == EWOULDBLOCK ? ERR_INUSE : ERR_IO, "%s is in use by another process",
                       path);
    else
        empty_directory(AT_FDCWD, path);
    close(directory);
    if (rc == 0 && rmdir(path) && errno != ENOTEMPTY && errno != ENOENT)
        rc = fault_set(fault, store_error(errno), "%s can't be deleted", path);
    return rc;
}
