/*
 * The floor of the bench: one thread, one epoll, the fewest system calls that an HTTP answer can cost.
 * Whatever ends in CRLFCRLF is answered with the same 1 KiB of JSON. It parses nothing and is no server: it
 * only says what the kernel's share is.
 *
 *   bare_epoll PORT      serves on 127.0.0.1 until SIGTERM or SIGINT, then prints its CPU time per answer
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BODY = 1024, BACKLOG = 4096, EVENTS = 256, INPUT = 65536 };

struct answer {
    char bytes[BODY + 512];
    size_t len;
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void make_answer(struct answer *answer)
{
    int head = snprintf(
        answer->bytes, sizeof answer->bytes,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n{\"data\":\"", BODY);
    size_t body_at = (size_t)head - strlen("{\"data\":\"");
    memset(answer->bytes + head, 'x', body_at + BODY - 2 - (size_t)head);
    memcpy(answer->bytes + body_at + BODY - 2, "\"}", 2);
    answer->len = body_at + BODY;
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)&at, sizeof at) != 0 || listen(fd, BACKLOG) != 0)
        fail("listen");
    return fd;
}

static void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        fail("epoll_ctl");
}

static void accept_all(int epoll, int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        watch(epoll, fd);
}

/* One read, one write. False when the connection is over; answers fit an empty socket buffer. */
static bool serve(int fd, const struct answer *answer, char input[INPUT], unsigned long *answers)
{
    ssize_t n = recv(fd, input, INPUT, 0);
    if (n < 0)
        return errno == EAGAIN;
    if (n == 0)
        return false;
    if (n < 4 || memcmp(input + n - 4, "\r\n\r\n", 4) != 0)
        return true;
    ++*answers;
    return send(fd, answer->bytes, answer->len, MSG_NOSIGNAL) == (ssize_t)answer->len;
}

static void report(unsigned long answers)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    double user = (double)use.ru_utime.tv_sec * 1e6 + (double)use.ru_utime.tv_usec;
    double system = (double)use.ru_stime.tv_sec * 1e6 + (double)use.ru_stime.tv_usec;
    double each = answers > 0 ? (double)answers : 1;
    printf("%lu answers, %.3f us of CPU each (%.3f user)\n", answers, (user + system) / each, user / each);
}

static void on_signal(int number)
{
    (void)number;
}

/* Signals arrive only while epoll_pwait sleeps, so none is missed. */
static void run(int listener, const struct answer *answer, unsigned long *answers)
{
    static char input[INPUT];
    struct epoll_event events[EVENTS];
    sigset_t blocked, while_waiting;
    struct sigaction action = {.sa_handler = on_signal};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGINT);
    sigprocmask(SIG_BLOCK, &blocked, &while_waiting);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    watch(epoll, listener);
    for (;;) {
        int count = epoll_pwait(epoll, events, EVENTS, -1, &while_waiting);
        if (count < 0)
            break;
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                accept_all(epoll, listener);
            else if (!serve(fd, answer, input, answers))
                close(fd);
        }
    }
    close(epoll);
}

int main(int argc, char **argv)
{
    struct answer answer;
    unsigned long answers = 0;
    char *end = NULL;
    unsigned long port = argc == 2 ? strtoul(argv[1], &end, 10) : 0;
    if (port == 0 || port > UINT16_MAX || *end != '\0') {
        fprintf(stderr, "usage: bare_epoll PORT\n");
        return 2;
    }
    make_answer(&answer);
    int listener = listen_on((uint16_t)port);
    run(listener, &answer, &answers);
    close(listener);
    report(answers);
    return 0;
}
