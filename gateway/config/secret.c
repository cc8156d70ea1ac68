/* Secrets: where they come from (parsed), and what they are (read when asked for, never kept here). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/digest.h"
#include "config/config_internal.h"

enum { SECRET_MAX = 4096 };

void parse_secret(struct parser *p, const struct field *field, json_t *value, void *base)
{
    const char *expected = "{ \"env\": NAME } or { \"file\": PATH }";
    struct config_secret *secret = base;
    struct field unseen = *field;
    unseen.hidden = true;
    if (!json_is_object(value)) {
        parser_refuse(p, &unseen, value);
        return;
    }
    const unsigned before = p->errors->count;
    *secret = (struct config_secret){NULL, NULL};
    parse_object(p, field->fields, value, secret);
    const bool env = json_object_get(value, "env"), file = json_object_get(value, "file");
    if (env && file)
        parser_report(p, "found both \"env\" and \"file\", expected either %s", expected);
    else if (!env && !file && p->errors->count == before)
        parser_report(p, "found neither \"env\" nor \"file\", expected %s", expected);
}

static int take(struct slice value, const char *kind, const char *name, struct buf *out, struct fault *fault)
{
    if (value.len == 0)
        return fault_set(fault, ERR_INVALID, "%s %s is empty, expected a secret", kind, name);
    if (value.len > SECRET_MAX)
        return fault_set(fault, ERR_INVALID, "%s %s is longer than %d bytes, too long for a secret", kind,
                         name, SECRET_MAX);
    /* The whole size at once, so that growing leaves no copy behind. */
    int error = buf_reserve(out, value.len);
    if (!error)
        error = buf_append_slice(out, value);
    return error ? fault_set(fault, error, "%s %s: %s", kind, name, error_text(error)) : 0;
}

static int read_env(const char *name, struct buf *out, struct fault *fault)
{
    const char *value = getenv(name);
    if (!value)
        return fault_set(fault, ERR_NOTFOUND, "the environment variable %s is not set", name);
    return take(slice_from(value), "the environment variable", name, out, fault);
}

static int file_fault(const char *path, int code, struct fault *fault)
{
    if (code == ENOENT || code == ENOTDIR)
        return fault_set(fault, ERR_NOTFOUND, "the file %s does not exist", path);
    if (code == EACCES || code == EPERM)
        return fault_set(fault, ERR_DENIED, "no permission to read the file %s", path);
    return fault_set(fault, ERR_IO, "cannot read the file %s: %s", path, strerror(code));
}

static struct slice without_newline(struct slice text)
{
    if (text.len > 0 && text.ptr[text.len - 1] == '\n')
        text.len--;
    if (text.len > 0 && text.ptr[text.len - 1] == '\r')
        text.len--;
    return text;
}

static int read_file(const char *path, struct buf *out, struct fault *fault)
{
    char bytes[SECRET_MAX + 8]; /* more than fits: then it is too long */
    size_t len = 0;
    ssize_t got = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return file_fault(path, errno, fault);
    while (len < sizeof bytes &&
           ((got = read(fd, bytes + len, sizeof bytes - len)) > 0 || (got < 0 && errno == EINTR)))
        len += got > 0 ? (size_t)got : 0;
    int error = got < 0 ? file_fault(path, errno, fault) : 0;
    close(fd);
    if (!error)
        error = take(without_newline(slice_of(bytes, len)), "the file", path, out, fault);
    digest_wipe(bytes, sizeof bytes);
    return error;
}

int config_secret_read(const struct config_secret *secret, struct buf *out, struct fault *fault)
{
    if (secret->env)
        return read_env(secret->env, out, fault);
    if (secret->file)
        return read_file(secret->file, out, fault);
    return fault_set(fault, ERR_NOTFOUND, "no secret is configured");
}
