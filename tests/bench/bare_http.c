#include "tests/bench/bare_http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/clock.h"

#define BODY "0123456789abcdef"
#define EVENTS 64

static struct bare {
    CURLM *multi;
    int epoll;
    int64_t due_ms; /* of libcurl's timer; -1: none */
    unsigned left, under_way;
    struct curl_slist *header;
} bare;

static void die(const char *what)
{
    (void)fprintf(stderr, "bench: bare libcurl: %s\n", what);
    exit(1);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    struct epoll_event e = {.data.fd = fd};
    (void)easy, (void)arg;
    e.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
    if (what == CURL_POLL_REMOVE)
        (void)epoll_ctl(bare.epoll, EPOLL_CTL_DEL, fd, NULL);
    else
        (void)epoll_ctl(bare.epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e);
    (void)curl_multi_assign(bare.multi, fd, what == CURL_POLL_REMOVE ? NULL : &bare);
    return 0;
}

static int on_timer(CURLM *multi, long ms, void *arg)
{
    (void)multi, (void)arg;
    bare.due_ms = ms < 0 ? -1 : clock_now_ms() + ms;
    return 0;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
    (void)bytes, (void)arg;
    return size * n;
}

static void begin(CURL *easy)
{
    bare.left--;
    bare.under_way++;
    if (curl_multi_add_handle(bare.multi, easy) != CURLM_OK)
        die("a request is refused");
}

static CURL *new_easy(const char *url)
{
    CURL *easy = curl_easy_init();
    if (!easy)
        die("no memory");
    (void)curl_easy_setopt(easy, CURLOPT_URL, url);
    (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, BODY);
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, bare.header);
    (void)curl_easy_setopt(easy, CURLOPT_USERAGENT, "rpopd/" RPOPD_VERSION);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    return easy;
}

static void collect(void)
{
    int left;
    for (CURLMsg *msg; (msg = curl_multi_info_read(bare.multi, &left));) {
        CURL *easy = msg->easy_handle;
        long status = 0;
        (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        if (msg->data.result != CURLE_OK || status < 200 || status > 299)
            die("a request has failed");
        (void)curl_multi_remove_handle(bare.multi, easy);
        bare.under_way--;
        if (bare.left)
            begin(easy);
        else
            curl_easy_cleanup(easy);
    }
}

static void turn(void)
{
    struct epoll_event events[EVENTS];
    int running;
    int64_t wait = bare.due_ms < 0 ? 1000 : bare.due_ms - clock_now_ms();
    int n = epoll_wait(bare.epoll, events, EVENTS, wait < 0 ? 0 : (int)wait);
    for (int i = 0; i < n; i++)
        (void)curl_multi_socket_action(
            bare.multi, events[i].data.fd,
            (events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                (events[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0),
            &running);
    if (bare.due_ms >= 0 && clock_now_ms() >= bare.due_ms) {
        bare.due_ms = -1;
        (void)curl_multi_socket_action(bare.multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    collect();
}

/* What the daemon sends with a job, at the same length. */
static struct curl_slist *same_header(void)
{
    static const char *const lines[] = {"X-Rpopd-Id: 0123456789abcdef.1-100-50",
                                        "X-Rpopd-Queue: bench", "X-Rpopd-Attempt: 1",
                                        "Content-Type: application/octet-stream", "Expect:"};
    struct curl_slist *header = NULL;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct curl_slist *longer = curl_slist_append(header, lines[i]);
        if (!longer)
            die("no memory");
        header = longer;
    }
    return header;
}

int64_t bare_http(const char *url, unsigned requests, unsigned at_once)
{
    bare = (struct bare){.multi = curl_multi_init(), .epoll = epoll_create1(EPOLL_CLOEXEC)};
    bare.due_ms = -1;
    bare.left = requests;
    bare.header = same_header();
    if (!bare.multi || bare.epoll < 0)
        die("no memory");
    (void)curl_multi_setopt(bare.multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(bare.multi, CURLMOPT_TIMERFUNCTION, on_timer);
    (void)curl_multi_setopt(bare.multi, CURLMOPT_MAXCONNECTS, 2L * at_once);
    int64_t began = clock_now_ns();
    for (unsigned i = 0; i < at_once && bare.left; i++)
        begin(new_easy(url));
    while (bare.under_way)
        turn();
    int64_t took = clock_now_ns() - began;
    (void)curl_multi_cleanup(bare.multi);
    curl_slist_free_all(bare.header);
    (void)close(bare.epoll);
    return took;
}
