// A cheap S3 endpoint, so that the client is what is measured.  It is not a store:
//  - the bodies of PUT are dropped in the kernel; only their sizes are kept;
//  - GET answers bytes of one pattern in memory, by sendfile;
//  - no signature is checked, and nothing lasts.
// One thread, on 127.0.0.1.  It writes its port to standard output, and ends when standard input
// does.  usage: server [--tls CERTIFICATE KEY] [--delay MILLISECONDS]
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <deque>

#include "store.h"
#ifndef WITHOUT_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

using std::string;

static const size_t PATTERN = 64 << 20;
static const long FAIR = 4 << 20;  // bytes for one connection before another one has its turn
static int pattern_file, poller;
static char* pattern;
static double delay;
static Store store;

#ifdef WITHOUT_TLS
struct Tls;
#else
using Tls = SSL;
static SSL_CTX* tls_context;
#endif

struct Connection {
    int socket;
    Tls* tls = nullptr;
    bool shaken = false;  // the handshake of TLS is done
    string in;            // what has come and is not yet understood
    size_t in_at = 0;
    string out;  // what is to be sent, followed by bytes of the pattern
    size_t out_at = 0;
    long body_at = 0, body_left = 0;
    Request request;
    bool in_body = false, chunked = false, in_chunk = false, last_chunk = false;
    long to_come = 0;  // of the body, or of the chunk
    bool watched = false, delayed = false, gone = false;
    double due = 0;

    bool keeps_body() const { return request.method == "POST"; }
    bool is_answering() const { return delayed || body_left > 0 || out_at < out.size(); }
};
static std::deque<Connection*> waiting;  // for their delay to pass

static double now() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return double(time.tv_sec) * 1e3 + double(time.tv_nsec) / 1e6;
}

static void watch(Connection* connection, bool writable) {
    if (connection->watched == writable) return;
    connection->watched = writable;
    epoll_event event{};
    event.events = EPOLLIN | (writable ? unsigned(EPOLLOUT) : 0u);
    event.data.ptr = connection;
    epoll_ctl(poller, EPOLL_CTL_MOD, connection->socket, &event);
}

#ifdef WITHOUT_TLS
static bool shake(Connection*) { return true; }
static void forget_tls(Connection*) {}
static ssize_t receive(Connection* connection, char* buffer, size_t size) {
    return recv(connection->socket, buffer, size, 0);
}
static ssize_t transmit(Connection* connection, const char* data, size_t size, bool more) {
    return send(connection->socket, data, size, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
}
#else
static ssize_t outcome(Connection* connection, int result) {
    if (result > 0) return result;
    const int error = SSL_get_error(connection->tls, result);
    errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : EPIPE;
    return -1;
}
static bool shake(Connection* connection) {
    if (!connection->tls || connection->shaken) return true;
    ERR_clear_error();
    connection->shaken = outcome(connection, SSL_accept(connection->tls)) > 0;
    return connection->shaken;
}
static void forget_tls(Connection* connection) { SSL_free(connection->tls); }
static ssize_t receive(Connection* connection, char* buffer, size_t size) {
    if (!connection->tls) return recv(connection->socket, buffer, size, 0);
    ERR_clear_error();
    return outcome(connection, SSL_read(connection->tls, buffer, int(size)));
}
static ssize_t transmit(Connection* connection, const char* data, size_t size, bool more) {
    if (!connection->tls)
        return send(connection->socket, data, size, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
    ERR_clear_error();
    return outcome(connection, SSL_write(connection->tls, data, int(size)));
}
#endif

static ssize_t transmit_body(Connection* connection) {
    off_t offset = connection->body_at % long(PATTERN);
    const long left = std::min(connection->body_left, long(PATTERN) - offset);
    if (!connection->tls)
        return sendfile(connection->socket, pattern_file, &offset, std::min(left, 1L << 20));
    return transmit(connection, pattern + offset, std::min(left, 1L << 16), false);
}

// Send what can be sent; false if the connection is gone.  So are those that follow.
static bool flush(Connection* connection) {
    for (long budget = FAIR;;) {
        ssize_t sent;
        if (connection->out_at < connection->out.size()) {
            const string& out = connection->out;
            sent = transmit(connection, out.data() + connection->out_at,
                            out.size() - connection->out_at, connection->body_left > 0);
            if (sent > 0) connection->out_at += size_t(sent);
        } else if (connection->body_left > 0 && budget > 0) {
            sent = transmit_body(connection);
            if (sent > 0) {
                connection->body_at += sent;
                connection->body_left -= sent;
                budget -= sent;
            }
        } else {
            watch(connection, connection->body_left > 0);
            return true;
        }
        if (sent < 0 && errno != EAGAIN) return false;
        if (sent <= 0) {
            watch(connection, true);
            return true;
        }
    }
}

static bool answer(Connection* connection) {
    Answer found = store.answer(connection->request);
    connection->out = std::move(found.text);
    connection->out_at = 0;
    connection->body_at = found.start;
    connection->body_left = found.size;
    return flush(connection);
}

static bool end_request(Connection* connection) {
    connection->in_body = false;
    if (delay <= 0) return answer(connection);
    connection->due = now() + delay;
    connection->delayed = true;
    waiting.push_back(connection);
    return true;
}

// Understand a head if all of it is there.
static bool begin_request(Connection* connection) {
    const string& in = connection->in;
    const size_t end = in.find("\r\n\r\n", connection->in_at);
    if (end == string::npos) return false;
    const string text = in.substr(connection->in_at, end + 2 - connection->in_at);
    connection->in_at = end + 4;
    const size_t first = text.find(' '), second = text.find(' ', first + 1);
    const string target = text.substr(first + 1, second - first - 1);
    const size_t mark = target.find('?');
    Request& request = connection->request = Request();
    request.method = text.substr(0, first);
    request.path = target.substr(0, mark);
    request.query = mark == string::npos ? "" : target.substr(mark + 1);
    request.headers = text.substr(text.find("\r\n"));
    const string plain_length = header(request, "x-amz-decoded-content-length");
    connection->to_come = atol(header(request, "content-length").c_str());
    request.length = plain_length.empty() ? connection->to_come : atol(plain_length.c_str());
    connection->chunked = !strcasecmp(header(request, "transfer-encoding").c_str(), "chunked");
    if (connection->chunked) connection->to_come = 0;
    connection->in_chunk = connection->last_chunk = false;
    connection->in_body = true;
    const bool expects = !header(request, "expect").empty() && connection->in_at == in.size();
    if (expects && (connection->to_come > 0 || connection->chunked)) {
        connection->out = "HTTP/1.1 100 Continue\r\n\r\n";
        connection->out_at = 0;
    }
    return true;
}

// Take what is there of a body of known length; true at its end.
static bool take(Connection* connection) {
    const size_t size = std::min(size_t(connection->to_come),
                                 connection->in.size() - connection->in_at);
    if (connection->keeps_body())
        connection->request.body.append(connection->in, connection->in_at, size);
    connection->in_at += size;
    connection->to_come -= long(size);
    return connection->to_come == 0;
}

// Take what is there of a body in chunks; true at its end.
static bool take_chunks(Connection* connection) {
    for (;;) {
        if (connection->in_chunk) {
            if (!take(connection)) return false;
            connection->in_chunk = false;
        }
        const size_t end = connection->in.find("\r\n", connection->in_at);
        if (end == string::npos) return false;
        const bool empty = end == connection->in_at;
        const long size = strtol(connection->in.c_str() + connection->in_at, nullptr, 16);
        connection->in_at = end + 2;
        if (connection->last_chunk && empty) return true;
        if (connection->last_chunk || empty) continue;  // a trailer, or the end of a chunk
        connection->last_chunk = size == 0;
        connection->in_chunk = size > 0;
        connection->to_come = size;
        if (header(connection->request, "x-amz-decoded-content-length").empty())
            connection->request.length += size;
    }
}

static bool understand(Connection* connection) {
    while (!connection->is_answering()) {
        bool whole = connection->in_body || begin_request(connection);
        if (whole) {
            if (!flush(connection)) return false;  // 100 Continue
            whole = connection->chunked ? take_chunks(connection) : take(connection);
        }
        if (!whole) {
            connection->in.erase(0, connection->in_at);
            connection->in_at = 0;
            return true;
        }
        if (!end_request(connection)) return false;
    }
    return true;
}

static bool read_on(Connection* connection) {
    static char buffer[256 << 10];
    if (!shake(connection)) return errno == EAGAIN;
    for (long budget = FAIR; budget > 0 || connection->tls;) {
        const bool dropped = connection->in_body && !connection->chunked &&
                             connection->to_come > 0 && connection->in.empty() &&
                             !connection->keeps_body();
        const size_t most = dropped ? std::min(connection->to_come, FAIR) : sizeof buffer;
        const ssize_t size = dropped && !connection->tls
                                 ? recv(connection->socket, buffer, most, MSG_TRUNC)
                                 : receive(connection, buffer, std::min(most, sizeof buffer));
        if (size == 0) return false;
        if (size < 0) return errno == EAGAIN || errno == EINTR;
        budget -= size;
        if (dropped) {
            connection->to_come -= size;
            if (connection->to_come > 0) continue;
        } else {
            connection->in.append(buffer, size_t(size));
        }
        if (!understand(connection)) return false;
        if (!dropped && !connection->tls && size < ssize_t(sizeof buffer)) return true;
    }
    return true;
}

static void forget(Connection* connection) {
    forget_tls(connection);
    close(connection->socket);
    connection->gone = true;
    if (!connection->delayed) delete connection;
}

static void accept_all(int listener) {
    const int on = 1;
    for (int socket; (socket = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK)) >= 0;) {
        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        auto* connection = new Connection;
        connection->socket = socket;
#ifndef WITHOUT_TLS
        if (tls_context) {
            connection->tls = SSL_new(tls_context);
            SSL_set_fd(connection->tls, socket);
            SSL_set_accept_state(connection->tls);
        }
#endif
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = connection;
        epoll_ctl(poller, EPOLL_CTL_ADD, socket, &event);
    }
}

static void answer_late_ones() {
    while (!waiting.empty() && waiting.front()->due <= now()) {
        Connection* connection = waiting.front();
        waiting.pop_front();
        connection->delayed = false;
        if (connection->gone) delete connection;
        else if (!answer(connection) || !understand(connection)) forget(connection);
    }
}

static void make_pattern() {
    pattern_file = memfd_create("pattern", 0);
    if (pattern_file < 0 || ftruncate(pattern_file, PATTERN)) exit(1);
    pattern = static_cast<char*>(
        mmap(nullptr, PATTERN, PROT_READ | PROT_WRITE, MAP_SHARED, pattern_file, 0));
    auto* words = reinterpret_cast<unsigned long*>(pattern);
    unsigned long word = 88172645463325252ul;  // xorshift
    for (size_t at = 0; at < PATTERN / sizeof word; at++) {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        words[at] = word;
    }
}

static void use_tls(const char* certificate, const char* key) {
#ifdef WITHOUT_TLS
    fprintf(stderr, "built without TLS: %s, %s\n", certificate, key);
    exit(1);
#else
    tls_context = SSL_CTX_new(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(tls_context, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls_context, key, SSL_FILETYPE_PEM) != 1)
        exit(1);
    SSL_CTX_set_mode(tls_context,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(tls_context, 1);
    SSL_CTX_set_default_read_buffer_len(tls_context, 128 << 10);
#endif
}

static int listen_somewhere() {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    sockaddr_in address{};
    socklen_t size = sizeof address;
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* place = reinterpret_cast<sockaddr*>(&address);
    if (bind(listener, place, size) || listen(listener, 4096)) exit(1);
    getsockname(listener, place, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

int main(int count, char** arguments) {
    signal(SIGPIPE, SIG_IGN);
    // Or else every long answer has its memory mapped anew, page by page.
    mallopt(M_MMAP_THRESHOLD, 64 << 20);
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
    for (int at = 1; at < count; at++) {
        const string name = arguments[at];
        if (name == "--tls" && at + 2 < count) {
            use_tls(arguments[at + 1], arguments[at + 2]);
            at += 2;
        } else if (name == "--delay" && at + 1 < count) {
            delay = atof(arguments[++at]);
        }
    }
    make_pattern();
    const int listener = listen_somewhere();
    poller = epoll_create1(0);
    int marks[] = {listener, 0};  // their addresses tell them from connections
    for (int& mark : marks) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = &mark;
        epoll_ctl(poller, EPOLL_CTL_ADD, mark, &event);
    }
    for (epoll_event events[256];;) {
        const double left = waiting.empty() ? 0 : std::max(0.0, waiting.front()->due - now());
        const int ready = epoll_wait(poller, events, 256, waiting.empty() ? -1 : int(left + 0.999));
        for (int at = 0; at < ready; at++) {
            const epoll_event& event = events[at];
            if (event.data.ptr == &marks[0]) {
                accept_all(listener);
                continue;
            }
            if (event.data.ptr == &marks[1]) return 0;
            auto* connection = static_cast<Connection*>(event.data.ptr);
            bool lives = true;
            if (event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) lives = read_on(connection);
            if (lives && !connection->delayed && (event.events & EPOLLOUT))
                lives = flush(connection) && understand(connection);
            if (!lives) forget(connection);
        }
        answer_late_ones();
    }
}
