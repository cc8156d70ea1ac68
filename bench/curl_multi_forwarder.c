/*
 * What libcurl's multi interface costs by itself: one thread, one epoll, curl_multi_socket_action. Each GET
 * that arrives is forwarded as a full libcurl transfer and its answer is sent on when it is whole, with a
 * Content-Length. It checks nothing, adds no token, caches nothing: a row to compare a gateway with, no
 * server.
 *
 *   curl_multi_forwarder PORT BASE_URL [CA_FILE]     serves on 127.0.0.1 until it is killed
 *
 * GET /a?b goes to BASE_URL/a?b. One request at a time on a connection: pipelining is not understood.
 */
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 4096, EVENTS = 256, INPUT = 8192, HEAD = 128, BODY = 1 << 20, CLIENTS = 4096, URL = 4096 };

struct forwarder {
    int epoll;
    int listener;
    long wait_ms; /* what libcurl wants: -1 for no timer */
    CURLM *multi;
    const char *base;
    const char *ca;
    struct client *clients[CLIENTS]; /* by descriptor; those of libcurl have none */
};

/* A connection with its one, reused, transfer. */
struct client {
    int fd;
    bool busy;
    bool gone; /* closed while busy */
    CURL *easy;
    size_t input_len;
    size_t body_len;
    char input[INPUT];
    char answer[HEAD + BODY]; /* the body begins at HEAD, its head is put right before it */
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(const struct forwarder *forwarder, int operation, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(forwarder->epoll, operation, fd, &event) != 0 && errno != ENOENT && errno != EBADF)
        fail("epoll_ctl");
}

/* --- libcurl's side
 * ------------------------------------------------------------------------------------------ */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *known)
{
    struct forwarder *forwarder = user;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        watch(forwarder, EPOLL_CTL_DEL, fd, 0);
        return 0;
    }
    uint32_t events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
    watch(forwarder, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, events);
    curl_multi_assign(forwarder->multi, fd, forwarder);
    return 0;
}

static int on_timer(CURLM *multi, long wait_ms, void *user)
{
    struct forwarder *forwarder = user;
    (void)multi;
    forwarder->wait_ms = wait_ms;
    return 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
    struct client *client = user;
    size_t len = size * count;
    if (len > BODY - client->body_len)
        return 0;
    memcpy(client->answer + HEAD + client->body_len, data, len);
    client->body_len += len;
    return len;
}

static CURL *make_transfer(const struct forwarder *forwarder, struct client *client)
{
    CURL *easy = curl_easy_init();
    if (!easy)
        fail("curl_easy_init");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, client);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, client);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    if (forwarder->ca)
        curl_easy_setopt(easy, CURLOPT_CAINFO, forwarder->ca);
    return easy;
}

/* --- the clients' side
 * --------------------------------------------------------------------------------------- */

static void close_client(struct forwarder *forwarder, struct client *client)
{
    forwarder->clients[client->fd] = NULL;
    close(client->fd);
    client->gone = true;
    if (client->busy)
        return;
    curl_easy_cleanup(client->easy);
    free(client);
}

static void answer(struct forwarder *forwarder, struct client *client, long status)
{
    char head[HEAD];
    int len = snprintf(head, sizeof head,
                       "HTTP/1.1 %ld X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                       status, client->body_len);
    char *start = client->answer + HEAD - len;
    memcpy(start, head, (size_t)len);
    size_t whole = (size_t)len + client->body_len;
    if (send(client->fd, start, whole, MSG_NOSIGNAL) != (ssize_t)whole)
        close_client(forwarder, client);
}

static void finish(struct forwarder *forwarder, CURL *easy, CURLcode result)
{
    struct client *client = NULL;
    long status = 502;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &client);
    if (result == CURLE_OK)
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    else
        fprintf(stderr, "curl_multi_forwarder: %s\n", curl_easy_strerror(result));
    curl_multi_remove_handle(forwarder->multi, easy);
    client->busy = false;
    if (client->gone) {
        curl_easy_cleanup(easy);
        free(client);
        return;
    }
    answer(forwarder, client, status);
}

static void collect(struct forwarder *forwarder)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(forwarder->multi, &left)))
        if (message->msg == CURLMSG_DONE)
            finish(forwarder, message->easy_handle, message->data.result);
}

/* True when a whole head was there and its transfer began, or more is needed. */
static bool forward(struct forwarder *forwarder, struct client *client)
{
    char url[URL];
    if (!memmem(client->input, client->input_len, "\r\n\r\n", 4))
        return client->input_len < INPUT;
    char *end = memchr(client->input + 4, ' ', client->input_len - 4);
    if (memcmp(client->input, "GET ", 4) != 0 || !end)
        return false;
    int len = snprintf(url, sizeof url, "%s%.*s", forwarder->base, (int)(end - client->input - 4),
                       client->input + 4);
    if (len < 0 || len >= URL)
        return false;
    client->input_len = 0;
    client->body_len = 0;
    client->busy = true;
    curl_easy_setopt(client->easy, CURLOPT_URL, url);
    return curl_multi_add_handle(forwarder->multi, client->easy) == CURLM_OK;
}

static void serve(struct forwarder *forwarder, struct client *client)
{
    ssize_t n = recv(client->fd, client->input + client->input_len, INPUT - client->input_len, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    client->input_len += n > 0 ? (size_t)n : 0;
    if (n <= 0 || client->busy || !forward(forwarder, client))
        close_client(forwarder, client);
}

static void accept_all(struct forwarder *forwarder)
{
    int fd, on = 1;
    while ((fd = accept4(forwarder->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct client *client = fd < CLIENTS ? calloc(1, sizeof *client) : NULL;
        if (!client)
            fail("a client");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        client->fd = fd;
        client->easy = make_transfer(forwarder, client);
        forwarder->clients[fd] = client;
        watch(forwarder, EPOLL_CTL_ADD, fd, EPOLLIN);
    }
}

/* --- the loop
 * ------------------------------------------------------------------------------------------------ */

static void on_event(struct forwarder *forwarder, const struct epoll_event *event)
{
    int fd = event->data.fd, running;
    if (fd == forwarder->listener)
        accept_all(forwarder);
    else if (fd < CLIENTS && forwarder->clients[fd])
        serve(forwarder, forwarder->clients[fd]);
    else {
        int what = (event->events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                   (event->events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                   (event->events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
        curl_multi_socket_action(forwarder->multi, fd, what, &running);
    }
}

static void run(struct forwarder *forwarder)
{
    struct epoll_event events[EVENTS];
    for (;;) {
        int running, count = epoll_wait(forwarder->epoll, events, EVENTS, (int)forwarder->wait_ms);
        if (count < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int i = 0; i < count; i++)
            on_event(forwarder, &events[i]);
        if (count <= 0 || forwarder->wait_ms == 0) {
            forwarder->wait_ms = -1;
            curl_multi_socket_action(forwarder->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        }
        collect(forwarder);
    }
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)&at, sizeof at) != 0 || listen(fd, BACKLOG) != 0)
        fail("listen");
    return fd;
}

int main(int argc, char **argv)
{
    char *end = NULL;
    unsigned long port = argc >= 3 ? strtoul(argv[1], &end, 10) : 0;
    if (port == 0 || port > UINT16_MAX || *end != '\0' || argc > 4) {
        fprintf(stderr, "usage: curl_multi_forwarder PORT BASE_URL [CA_FILE]\n");
        return 2;
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    struct forwarder *forwarder = calloc(1, sizeof *forwarder);
    if (!forwarder || !(forwarder->multi = curl_multi_init()))
        fail("libcurl");
    forwarder->base = argv[2];
    forwarder->ca = argc == 4 ? argv[3] : NULL;
    forwarder->wait_ms = -1;
    forwarder->listener = listen_on((uint16_t)port);
    forwarder->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (forwarder->epoll < 0)
        fail("epoll_create1");
    watch(forwarder, EPOLL_CTL_ADD, forwarder->listener, EPOLLIN);
    curl_multi_setopt(forwarder->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(forwarder->multi, CURLMOPT_SOCKETDATA, forwarder);
    curl_multi_setopt(forwarder->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(forwarder->multi, CURLMOPT_TIMERDATA, forwarder);
    curl_multi_setopt(forwarder->multi, CURLMOPT_MAXCONNECTS, 256L);
    run(forwarder);
}
