/*
 * Sends genuine webhooks at a steady rate over a few connections, each for another record, and tells how
 * long their answers took. One JSON line.
 *
 *   storm PORT PATH SECRET ENTITY RATE SECONDS
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "event/event.h"

enum { SENDERS = 8, TEXT_MAX = 2048 };

struct plan {
    uint16_t port;
    const char *path, *secret, *entity;
    uint64_t rate, seconds, start_ns;
};

struct sender {
    pthread_t thread;
    const struct plan *plan;
    unsigned number;
    uint64_t *took_us;
    size_t count;
};

static void stop(const char *what)
{
    fprintf(stderr, "storm: %s\n", what);
    exit(1);
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address))
        stop("no connection");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static size_t write_event(char out[TEXT_MAX], const struct plan *plan, uint64_t number)
{
    char body[TEXT_MAX / 2], signature[256];
    int len = snprintf(body, sizeof body,
                       "{\"eventId\":\"storm-%llu-%llu\",\"eventCreated\":\"2026-01-01T00:00:00+00:00\","
                       "\"event\":\"%sUpdated\",\"resourceIds\":[\"storm-%llu\"],"
                       "\"uri\":\"https://crm.universal.rollout.com/%s\"}",
                       (unsigned long long)plan->start_ns, (unsigned long long)number, plan->entity,
                       (unsigned long long)number, plan->entity);
    struct buf text;
    buf_init_fixed(&text, signature, sizeof signature);
    event_sign(EVENT_SIGNATURE_AUTO, slice_from(plan->secret), slice_of(body, (size_t)len), &text);
    int all = snprintf(out, TEXT_MAX,
                       "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
                       "X-Rollout-Signature: %.*s\r\nContent-Length: %d\r\n\r\n%s",
                       plan->path, (int)text.len, signature, len, body);
    if (text.failed || all >= TEXT_MAX)
        stop("an event is too long");
    return (size_t)all;
}

/* A 204 has no body. */
static void deliver(int fd, const char *request, size_t len)
{
    char answer[TEXT_MAX];
    size_t got = 0;
    if (write(fd, request, len) != (ssize_t)len)
        stop("an event could not be sent");
    do {
        ssize_t more = read(fd, answer + got, sizeof answer - 1 - got);
        if (more <= 0)
            stop("no answer");
        got += (size_t)more;
        answer[got] = '\0';
    } while (!strstr(answer, "\r\n\r\n") && got < sizeof answer - 1);
    if (memcmp(answer, "HTTP/1.1 204", 12) != 0)
        stop(answer);
}

static void sleep_until(uint64_t ns)
{
    struct timespec at = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static void *send_all(void *arg)
{
    struct sender *sender = arg;
    const struct plan *plan = sender->plan;
    int fd = connect_to(plan->port);
    char request[TEXT_MAX];
    for (uint64_t n = sender->number; n < plan->rate * plan->seconds; n += SENDERS) {
        size_t len = write_event(request, plan, n);
        sleep_until(plan->start_ns + n * 1000000000 / plan->rate);
        uint64_t before = clock_mono_ns();
        deliver(fd, request, len);
        sender->took_us[sender->count++] = (clock_mono_ns() - before) / 1000;
    }
    close(fd);
    return NULL;
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

int main(int argc, char **argv)
{
    struct plan plan = {.start_ns = clock_mono_ns() + 50000000};
    struct sender senders[SENDERS];
    uint64_t port = 0;
    if (argc != 7 || !slice_to_u64(slice_from(argv[1]), &port) || port == 0 || port > 65535 ||
        !slice_to_u64(slice_from(argv[5]), &plan.rate) || !slice_to_u64(slice_from(argv[6]), &plan.seconds) ||
        plan.rate == 0 || plan.rate > 100000 || plan.seconds == 0 || plan.seconds > 3600)
        stop("usage: storm PORT PATH SECRET ENTITY RATE SECONDS");
    plan.port = (uint16_t)port;
    plan.path = argv[2], plan.secret = argv[3], plan.entity = argv[4];
    size_t total = plan.rate * plan.seconds, count = 0;
    uint64_t *took_us = calloc(total, sizeof *took_us);
    if (!took_us)
        stop("out of memory");
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.plan = &plan, .number = i, .took_us = calloc(total, sizeof *took_us)};
        if (!senders[i].took_us || pthread_create(&senders[i].thread, NULL, send_all, &senders[i]))
            stop("no thread");
    }
    for (unsigned i = 0; i < SENDERS; i++) {
        pthread_join(senders[i].thread, NULL);
        memcpy(took_us + count, senders[i].took_us, senders[i].count * sizeof *took_us);
        count += senders[i].count;
        free(senders[i].took_us);
    }
    double seconds = (double)(clock_mono_ns() - plan.start_ns) / 1e9;
    qsort(took_us, count, sizeof *took_us, compare);
    printf("{\"bench\":\"storm\",\"events\":%zu,\"per_s\":%.0f,\"p50_us\":%llu,\"p99_us\":%llu}\n", count,
           (double)count / seconds, (unsigned long long)took_us[count / 2],
           (unsigned long long)took_us[count - 1 - count / 100]);
    free(took_us);
    return 0;
}
