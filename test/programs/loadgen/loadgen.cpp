// An open-loop load generator for Redis.
//
// Requests fall due at a fixed rate whatever the server does; each is timed from the moment it was due, so a
// pause of the server shows in full. Connections are never opened again: one that breaks counts as broken and
// its outstanding requests as lost.
//
//   gap       longest time between two replies (of any connection) during which at least one request was
//   outstanding late      requests answered more than --late-ms after they were due lost      requests
//   without an answer at the end, after a grace of --grace seconds wrong     a GET that returned anything but
//   the one right value, or an INCR that was not the last one plus one
#include "resp.hpp"
#include "stats.hpp"

#include <arpa/inet.h>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fcntl.h>
#include <memory>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <random>
#include <stdexcept>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

namespace load {
namespace {

struct Options {
    std::string host = "127.0.0.1";
    unsigned port = 6379;
    unsigned connections = 8;
    double rate = 2000, reads = 0.9, duration_s = 10, late_ms = 100, grace_s = 10;
    uint64_t keys = 10000;
    size_t value_bytes = 4096;
    double increments = 0.01; ///< share of requests that INCR the connection's own counter
    bool populate = false, verify = false;
};

enum class Kind : uint8_t { get, set, incr };

struct Request {
    Kind kind;
    uint64_t key;
    double due_ms;
};

struct Connection {
    int fd = -1;
    unsigned number = 0;
    bool broken = false;
    std::string out, in;
    size_t out_done = 0, in_done = 0;
    std::deque<Request> outstanding;
    uint64_t counter = 0;
};

volatile std::sig_atomic_t stop_requested = 0;

double now_ms(clockid_t clock = CLOCK_MONOTONIC) {
    timespec t;
    clock_gettime(clock, &t);
    return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
}

int connect_to(const Options &options) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(options.port));
    if (inet_pton(AF_INET, options.host.c_str(), &address.sin_addr) != 1)
        throw std::runtime_error("--host " + options.host + " is not an IPv4 address");
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, reinterpret_cast<sockaddr *>(&address), sizeof address) != 0)
        throw std::runtime_error("cannot connect to " + options.host + ":" + std::to_string(options.port) +
                                 ": " + strerror(errno));
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    // Closed by a reset: else a server that is restored from an image of these connections talked for a
    // minute to what TCP keeps of them here.
    linger reset{1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

class Generator {
  public:
    explicit Generator(const Options &options) : options_(options), random_(42) {
        epoll_ = epoll_create1(EPOLL_CLOEXEC);
        for (unsigned i = 0; i < options.connections; i++) {
            auto connection = std::make_unique<Connection>();
            connection->fd = connect_to(options);
            connection->number = i;
            epoll_event event{};
            event.events = EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP;
            event.data.ptr = connection.get();
            epoll_ctl(epoll_, EPOLL_CTL_ADD, connection->fd, &event);
            connections_.push_back(std::move(connection));
        }
    }

    ~Generator() {
        for (auto &connection : connections_)
            close(connection->fd);
        close(epoll_);
    }

    /// Offers the load for the configured time, then waits for what is outstanding.
    void run() {
        start();
        uint64_t next = 0;
        const double interval = 1000 / options_.rate, length = options_.duration_s * 1000;
        while (!stop_requested && now_ms() - start_ms_ < length && alive()) {
            double now = now_ms();
            for (; start_ms_ + static_cast<double>(next) * interval <= now; next++)
                issue(next, start_ms_ + static_cast<double>(next) * interval);
            flush_all();
            double wait = start_ms_ + static_cast<double>(next) * interval - now_ms();
            poll(std::clamp(static_cast<int>(std::ceil(wait)), 1, 100));
        }
        stats.elapsed_ms = now_ms() - start_ms_;
        drain();
    }

    /// SETs every key (populate) or GETs and compares every key (verify), as fast as the server answers.
    void sweep(Kind kind) {
        start();
        constexpr size_t max_outstanding = 64;
        for (uint64_t key = 0; key < options_.keys && alive() && !stop_requested;) {
            for (auto &connection : connections_)
                while (connection->outstanding.size() < max_outstanding && key < options_.keys &&
                       !connection->broken)
                    send(*connection, Request{kind, key++, now_ms()});
            flush_all();
            poll(100);
        }
        stats.elapsed_ms = now_ms() - start_ms_;
        drain();
    }

    /// Removes the counters, so that the dataset is as it was before.
    void remove_counters() {
        for (auto &connection : connections_) {
            if (connection->broken || connection->counter == 0)
                continue;
            append_command(connection->out, {"DEL", counter_name(*connection)});
            connection->outstanding.push_back(Request{Kind::set, ~0ull, now_ms()});
            stats.sent++;
        }
        drain();
    }

    Stats stats;

  private:
    void start() {
        start_ms_ = last_reply_ms_ = now_ms();
        stats.start_unix_ms = now_ms(CLOCK_REALTIME);
    }

    static std::string counter_name(const Connection &connection) {
        return "counter:" + std::to_string(getpid()) + ":" + std::to_string(connection.number);
    }

    bool alive() const {
        return std::any_of(connections_.begin(), connections_.end(), [](auto &c) { return !c->broken; });
    }

    void issue(uint64_t index, double due) {
        window(due).due++;
        Connection &connection = *connections_[index % connections_.size()];
        if (connection.broken) {
            stats.sent++;
            stats.lost++;
            return;
        }
        double dice = std::uniform_real_distribution<>(0, 1)(random_);
        uint64_t key = std::uniform_int_distribution<uint64_t>(0, options_.keys - 1)(random_);
        Kind kind = dice < options_.increments                                                ? Kind::incr
                    : dice < options_.increments + (1 - options_.increments) * options_.reads ? Kind::get
                                                                                              : Kind::set;
        send(connection, Request{kind, key, due});
    }

    void send(Connection &connection, const Request &request) {
        switch (request.kind) {
        case Kind::get:
            append_command(connection.out, {"GET", key_name(request.key)});
            stats.reads++;
            break;
        case Kind::set:
            fill_value(request.key, options_.value_bytes, value_);
            append_command(connection.out, {"SET", key_name(request.key), value_});
            stats.writes++;
            break;
        case Kind::incr:
            append_command(connection.out, {"INCR", counter_name(connection)});
            stats.increments++;
            break;
        }
        if (outstanding_++ == 0)
            last_reply_ms_ = std::max(last_reply_ms_, request.due_ms);
        connection.outstanding.push_back(request);
        stats.sent++;
    }

    void flush_all() {
        for (auto &connection : connections_)
            flush(*connection);
    }

    void flush(Connection &c) {
        while (!c.broken && c.out_done < c.out.size()) {
            ssize_t n = ::send(c.fd, c.out.data() + c.out_done, c.out.size() - c.out_done, MSG_NOSIGNAL);
            if (n < 0 && errno == EAGAIN)
                return;
            if (n < 0)
                return fail(c);
            c.out_done += static_cast<size_t>(n);
        }
        c.out.clear();
        c.out_done = 0;
    }

    void poll(int timeout_ms) {
        epoll_event events[64];
        int n = epoll_wait(epoll_, events, 64, timeout_ms);
        for (int i = 0; i < n; i++) {
            auto &connection = *static_cast<Connection *>(events[i].data.ptr);
            flush(connection);
            receive(connection);
        }
    }

    void receive(Connection &c) {
        char buffer[65536];
        while (!c.broken) {
            ssize_t n = recv(c.fd, buffer, sizeof buffer, 0);
            if (n < 0 && errno == EAGAIN)
                break;
            if (n <= 0)
                return fail(c);
            c.in.append(buffer, static_cast<size_t>(n));
        }
        std::string_view data(c.in);
        while (c.in_done < data.size()) {
            auto reply = parse_reply(data.substr(c.in_done));
            if (!reply)
                break;
            if (reply->kind == 0 || c.outstanding.empty())
                return fail(c);
            c.in_done += reply->size;
            settle(c, *reply);
        }
        c.in.erase(0, c.in_done);
        c.in_done = 0;
    }

    void settle(Connection &c, const Reply &reply) {
        Request request = c.outstanding.front();
        c.outstanding.pop_front();
        double now = now_ms(), latency = now - request.due_ms;
        if (now - last_reply_ms_ > stats.gap_ms) {
            stats.gap_ms = now - last_reply_ms_;
            stats.gap_at_ms = now_ms(CLOCK_REALTIME);
        }
        last_reply_ms_ = now;
        outstanding_ -= outstanding_ > 0;
        stats.received++;
        stats.late += latency > options_.late_ms;
        stats.latency.add(latency);
        Window &w = window(now);
        w.received++;
        w.latency.add(latency);
        check(c, request, reply);
    }

    void check(Connection &c, const Request &request, const Reply &reply) {
        if (reply.kind == '-') {
            stats.errors++;
            note("error reply: " + std::string(reply.text.substr(0, 80)));
        } else if (request.kind == Kind::get) {
            fill_value(request.key, options_.value_bytes, value_);
            if (reply.text != value_) {
                stats.wrong++;
                note("GET " + key_name(request.key) + (reply.null ? ": missing" : ": another value"));
            }
        } else if (request.kind == Kind::incr && std::string(reply.text) != std::to_string(++c.counter)) {
            stats.wrong++;
            note("INCR of connection " + std::to_string(c.number) + ": " + std::string(reply.text) +
                 " after " + std::to_string(c.counter - 1));
            c.counter = std::strtoull(std::string(reply.text).c_str(), nullptr, 10);
        }
    }

    void note(std::string text) {
        if (stats.first_wrong.empty())
            stats.first_wrong = std::move(text);
    }

    void fail(Connection &c) {
        c.broken = true;
        stats.broken++;
        stats.lost += c.outstanding.size();
        outstanding_ -= c.outstanding.size();
        c.outstanding.clear();
        shutdown(c.fd, SHUT_RDWR);
    }

    Window &window(double at) {
        size_t index = static_cast<size_t>(std::max(0.0, at - start_ms_) / 100);
        if (index >= stats.windows.size())
            stats.windows.resize(index + 1);
        return stats.windows[index];
    }

    void drain() {
        double deadline = now_ms() + options_.grace_s * 1000;
        auto waiting = [&] {
            return std::any_of(connections_.begin(), connections_.end(),
                               [](auto &c) { return !c->broken && !c->outstanding.empty(); });
        };
        while (waiting() && now_ms() < deadline) {
            flush_all();
            poll(50);
        }
        for (auto &connection : connections_)
            if (!connection->broken)
                stats.lost += connection->outstanding.size();
    }

    Options options_;
    std::mt19937_64 random_;
    std::string value_;
    int epoll_ = -1;
    std::vector<std::unique_ptr<Connection>> connections_;
    double start_ms_ = 0, last_reply_ms_ = 0;
    uint64_t outstanding_ = 0;
};

std::string quoted(const std::string &text) {
    std::string out = "\"";
    for (char c : text)
        if (c == '"' || c == '\\')
            (out += '\\') += c;
        else
            out += static_cast<unsigned char>(c) < 32 ? ' ' : c;
    return out + '"';
}

void print_json(const Options &o, const Stats &s) {
    double seconds = s.elapsed_ms / 1000;
    std::printf("{\"offered_rate\":%.1f,\"achieved_rate\":%.1f,\"elapsed_ms\":%.1f,\"start_unix_ms\":%.3f,"
                "\"sent\":%llu,\"received\":%llu,\"reads\":%llu,\"writes\":%llu,\"increments\":%llu,"
                "\"wrong\":%llu,\"errors\":%llu,\"late\":%llu,\"lost\":%llu,\"broken_connections\":%llu,"
                "\"client_gap_ms\":%.3f,\"gap_end_unix_ms\":%.3f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%"
                ".3f,\"first_wrong\":%s,\"windows\":[",
                o.rate, seconds > 0 ? static_cast<double>(s.received) / seconds : 0, s.elapsed_ms,
                s.start_unix_ms, (unsigned long long)s.sent, (unsigned long long)s.received,
                (unsigned long long)s.reads, (unsigned long long)s.writes, (unsigned long long)s.increments,
                (unsigned long long)s.wrong, (unsigned long long)s.errors, (unsigned long long)s.late,
                (unsigned long long)s.lost, (unsigned long long)s.broken, s.gap_ms, s.gap_at_ms,
                s.latency.quantile(0.5), s.latency.quantile(0.99), s.latency.max(),
                quoted(s.first_wrong).c_str());
    for (size_t i = 0; i < s.windows.size(); i++)
        std::printf("%s[%zu,%u,%u,%.3f]", i ? "," : "", i * 100, s.windows[i].due, s.windows[i].received,
                    s.windows[i].latency.quantile(0.99));
    std::printf("]}\n");
}

const char *usage =
    "usage: loadgen [--host H] [--port P] [--connections N] [--rate R/s] [--reads SHARE] [--keys N] "
    "[--value-bytes N]\n"
    "               [--duration S] [--late-ms MS] [--grace S] [--increments SHARE] [--populate | --verify]\n"
    "Prints one JSON object. windows: [start ms, due, received, p99 ms] per 100 ms. SIGTERM ends the load "
    "early.\n";

double number(const char *text) {
    char *end = nullptr;
    double value = std::strtod(text, &end);
    if (*end != 0 || value < 0)
        throw std::runtime_error(std::string("not a number: ") + text);
    return value;
}

Options parse(int argc, char **argv) {
    Options o;
    for (int i = 1; i < argc; i++) {
        std::string_view flag = argv[i];
        auto value = [&] {
            if (i + 1 >= argc)
                throw std::runtime_error(std::string(flag) + " needs a value");
            return argv[++i];
        };
        if (flag == "--host")
            o.host = value();
        else if (flag == "--port")
            o.port = static_cast<unsigned>(number(value()));
        else if (flag == "--connections")
            o.connections = std::max(1u, static_cast<unsigned>(number(value())));
        else if (flag == "--rate")
            o.rate = std::max(0.1, number(value()));
        else if (flag == "--reads")
            o.reads = number(value());
        else if (flag == "--keys")
            o.keys = std::max<uint64_t>(1, static_cast<uint64_t>(number(value())));
        else if (flag == "--value-bytes")
            o.value_bytes = static_cast<size_t>(number(value()));
        else if (flag == "--duration")
            o.duration_s = number(value());
        else if (flag == "--late-ms")
            o.late_ms = number(value());
        else if (flag == "--grace")
            o.grace_s = number(value());
        else if (flag == "--increments")
            o.increments = number(value());
        else if (flag == "--populate")
            o.populate = true;
        else if (flag == "--verify")
            o.verify = true;
        else
            throw std::runtime_error("unknown flag " + std::string(flag) + "\n" + usage);
    }
    return o;
}

} // namespace
} // namespace load

int main(int argc, char **argv) {
    using namespace load;
    std::signal(SIGTERM, [](int) { stop_requested = 1; });
    std::signal(SIGINT, [](int) { stop_requested = 1; });
    try {
        Options options = parse(argc, argv);
        Generator generator(options);
        if (options.populate || options.verify)
            generator.sweep(options.populate ? Kind::set : Kind::get);
        else {
            generator.run();
            generator.remove_counters();
        }
        print_json(options, generator.stats);
        const Stats &s = generator.stats;
        return s.wrong || s.errors || s.lost || s.broken ? 3 : 0;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "loadgen: %s\n", error.what());
        return 2;
    }
}
