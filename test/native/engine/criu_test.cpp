// SPDX-License-Identifier: Apache-2.0
// A real process, dumped and restored by the real CRIU with the overlay, through the real destination. The
// source is the model; it writes the same contents into the process and onto the wire. PCLIVE_CRIU names the
// CRIU; without it: skipped.
#include "control/fd.hpp"
#include "protocol_io.h"
#include "support/model_source.hpp"
#include "testing.hpp"

#include <csignal>
#include <cstdio>
#include <dirent.h>
#include <fcntl.h>
#include <fstream>
#include <future>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

using namespace pclive;
using namespace pclive::wire;
using namespace pclive::testing;
using namespace std::chrono_literals;

namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kData = 0x7d0000000000, kDataSize = 48 * kMiB;          // written in rounds
constexpr uint64_t kSparse = 0x100000000000, kSparseSize = 4096ull * kMiB; // a few pages far apart
constexpr uint64_t kReadOnly = 0x7d0010000000, kReadOnlySize = 4 * kMiB;
constexpr uint64_t kSmall = 0x7d0020000000, kSmallSize = 64 << 10; // stays CRIU's

/// A child that only sleeps; its memory is written from outside.
class Target {
  public:
    Target() {
        pid_ = fork();
        CHECK(pid_ >= 0);
        if (pid_ == 0)
            live();
        usleep(200000);
    }
    ~Target() {
        if (pid_ > 0)
            kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0); // only while it is still our child
    }
    [[nodiscard]] pid_t pid() const { return pid_; }
    void reap() const { waitpid(pid_, nullptr, 0); }
    void write(uint64_t at, const void *data, size_t size) const {
        iovec here{const_cast<void *>(data), size}, there{reinterpret_cast<void *>(at), size};
        CHECK(process_vm_writev(pid_, &here, 1, &there, 1, 0) == static_cast<ssize_t>(size));
    }
    void read(uint64_t at, void *data, size_t size) const {
        iovec here{data, size}, there{reinterpret_cast<void *>(at), size};
        CHECK(process_vm_readv(pid_, &here, 1, &there, 1, 0) == static_cast<ssize_t>(size));
    }

  private:
    static void map(uint64_t at, uint64_t size) {
        if (mmap(reinterpret_cast<void *>(at), size, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED)
            _exit(1);
    }
    [[noreturn]] static void live() {
        setsid();
        int null = open("/dev/null", O_RDWR);
        for (int fd = 0; fd < 3; fd++)
            dup2(null, fd);
        for (int fd = 3; fd < 256; fd++)
            close(fd);
        map(kData, kDataSize);
        map(kSparse, kSparseSize);
        map(kReadOnly, kReadOnlySize);
        map(kSmall, kSmallSize);
        for (;;)
            pause();
    }
    pid_t pid_;
};

std::string criuPath() {
#ifdef __SANITIZE_ADDRESS__
    throw Skip("the target would be forked with the sanitizer's terabytes of shadow memory");
#endif
    const char *path = std::getenv("PCLIVE_CRIU");
    if (!path || access(path, X_OK))
        throw Skip("no CRIU with the overlay (PCLIVE_CRIU)");
    return path;
}

std::future<int> run(const std::string &command) {
    return std::async(std::launch::async, [command] { return std::system(command.c_str()); });
}

/// The engine's end of a dump: the model's areas are handled, nothing else.
void serveDump(int listener, const std::vector<AreaEntry> &areas) {
    pollfd entry{listener, POLLIN, 0};
    CHECK(poll(&entry, 1, 20000) == 1);
    Fd fd(accept(listener, nullptr, nullptr));
    pclo_header header;
    for (;;) {
        if (pclo_recv_header(fd.get(), &header))
            return;
        std::vector<uint8_t> payload(header.length);
        CHECK(pclo_read_full(fd.get(), payload.data(), payload.size()) == 0);
        if (header.type == PCLO_HELLO) {
            pclo_send(fd.get(), PCLO_DUMP_GO, 0, nullptr, 0);
        } else if (header.type == PCLO_TASK_VMAS) {
            pclo_task task;
            memcpy(&task, payload.data(), sizeof task);
            std::vector<uint8_t> handled(task.count);
            for (uint32_t i = 0; i < task.count; i++) {
                pclo_vma vma;
                memcpy(&vma, &payload[sizeof task + i * sizeof vma], sizeof vma);
                for (const auto &area : areas)
                    handled[i] |= area.start == vma.start && area.end == vma.end;
            }
            pclo_send(fd.get(), PCLO_HANDLED, 0, handled.data(), handled.size());
        }
    }
}

Fd listenAt(const std::string &path) {
    Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    CHECK(bind(fd.get(), reinterpret_cast<sockaddr *>(&address), sizeof address) == 0 &&
          listen(fd.get(), 1) == 0);
    return fd;
}

struct Bench {
    TempDir directory;
    Target target; // forks: before the threads
    std::string criu = criuPath();
    Recorder events;
    std::unique_ptr<Session> session = makeDestinationSession(events);
    Streams streams;
    Channel *channel = nullptr;
    std::unique_ptr<ModelSource> source;
    uint32_t vpid = static_cast<uint32_t>(target.pid());
    std::vector<AreaEntry> areas{{kSparse, kSparse + kSparseSize, 0, 0},
                                 {kData, kData + kDataSize, 0, 0},
                                 {kReadOnly, kReadOnly + kReadOnlySize, 0, 0}};

    explicit Bench(const std::string &strategy) {
        for (const char *name : {"images", "skeleton", "work"})
            mkdir(directory.path(name).c_str(), 0700);
        Identity us = certificates().identity("b", "a");
        Json tls{{"ca", us.ca}, {"cert", us.cert}, {"key", us.key}, {"peerName", "a"}};
        Json answer = session->handle("listen", {{"host", "127.0.0.1"},
                                                 {"port", 0u},
                                                 {"migration", us.migration},
                                                 {"token", us.token},
                                                 {"tls", tls},
                                                 {"timeoutMs", 20000u}});
        session->handle("begin", {{"strategy", strategy},
                                  {"imageDir", directory.path("images")},
                                  {"overlaySocket", directory.path("stage.sock")}});
        streams = connectStreams("127.0.0.1", answer["port"].get<uint16_t>(),
                                 certificates().identity("a", "b"), 1, after(10s));
        channel = streams.main.get();
        source = std::make_unique<ModelSource>(streams);
    }
    /// New contents, in the model, on the wire and in the process.
    void write(uint64_t start, uint64_t end) {
        source->write(vpid, start, end);
        uint8_t page[kPageSize];
        for (uint64_t at = start; at < end; at += kPageSize) {
            fillPage(page, source->process(vpid).pages.at(at));
            target.write(at, page, sizeof page);
        }
    }
    void dump() {
        Fd listener = listenAt(directory.path("dump.sock"));
        auto done = run("PCLIVE_SOCKET=" + directory.path("dump.sock") + " " + criu +
                        " dump -v4 -o dump.log -D " + directory.path("skeleton") + " -W " +
                        directory.path("work") + " -t " + std::to_string(target.pid()));
        serveDump(listener.get(), areas);
        CHECK(done.get() == 0);
        target.reap();
    }
    std::future<int> restore() {
        return run("PCLIVE_SOCKET=" + directory.path("stage.sock") + " " + criu +
                   " restore -d -v4 -o restore.log -D " + directory.path("images") + " -W " +
                   directory.path("work"));
    }
    void sendFiles() {
        uint64_t files = 0, bytes = 0;
        DIR *skeleton = opendir(directory.path("skeleton").c_str());
        while (const dirent *entry = readdir(skeleton))
            if (entry->d_type == DT_REG) {
                bytes += sendFile(*channel, entry->d_name, directory.path("skeleton/") + entry->d_name);
                files++;
            }
        closedir(skeleton);
        channel->send(FrameType::go, GoFrame{files, bytes});
        channel->expect<FilesAckFrame>(FrameType::filesAck, after(20s));
    }
    void compare() {
        uint8_t is[kPageSize], should[kPageSize];
        for (const auto &[at, seed] : source->process(vpid).pages) {
            fillPage(should, seed);
            target.read(at, is, sizeof is);
            CHECK(memcmp(is, should, sizeof is) == 0);
        }
        for (uint64_t at = kData; at < kData + kDataSize; at += kPageSize)
            if (!source->process(vpid).pages.count(at)) {
                target.read(at, is, sizeof is);
                CHECK(is[0] == 0 && memcmp(is, is + 1, sizeof is - 1) == 0);
            }
        target.read(kSmall, is, sizeof is);
        fillPage(should, 4711);
        CHECK(memcmp(is, should, sizeof is) == 0);
    }
    /// What the process had in pages that are absent now.
    void empty(uint64_t start, uint64_t end) {
        std::vector<uint8_t> zero(end - start);
        target.write(start, zero.data(), zero.size());
    }
};

void migrate(const std::string &strategy) {
    criuPath();
    std::future<int> restored; // waits in its destructor: for what ends when the bench has ended
    Bench bench(strategy);
    bool pipelined = strategy == "pipelined";
    if (pipelined)
        restored = bench.restore();
    uint8_t page[kPageSize];
    fillPage(page, 4711);
    bench.target.write(kSmall, page, sizeof page);

    auto &source = *bench.source;
    source.begin(bench.vpid);
    source.layout(bench.vpid, bench.areas);
    bench.write(kData + 8 * kMiB, kData + 20 * kMiB); // not in the order of addresses
    bench.write(kData, kData + 4 * kMiB);
    bench.write(kReadOnly, kReadOnly + kReadOnlySize);
    bench.write(kSparse + 5 * kPageSize, kSparse + 6 * kPageSize);
    bench.write(kSparse + 3000 * kMiB, kSparse + 3001 * kMiB);
    source.endRound();
    bench.write(kData + 1 * kMiB, kData + 2 * kMiB);
    bench.write(kData + 1 * kMiB, kData + 1 * kMiB + 3 * kPageSize); // twice in one round
    bench.write(kData + 30 * kMiB, kData + 31 * kMiB);
    source.absent(bench.vpid, kData + 30 * kMiB,
                  kData + 30 * kMiB + 4 * kPageSize); // sent and gone in one round
    bench.empty(kData + 30 * kMiB, kData + 30 * kMiB + 4 * kPageSize);
    source.absent(bench.vpid, kData + 9 * kMiB, kData + 10 * kMiB);
    bench.empty(kData + 9 * kMiB, kData + 10 * kMiB);
    source.endRound();
    source.endRound(); // nothing new
    kill(bench.target.pid(), SIGSTOP);
    source.beginFinal();
    bench.write(kData + 12 * kMiB, kData + 12 * kMiB + 100 * kPageSize);
    source.forget(bench.vpid, kData + 3 * kMiB, kData + 4 * kMiB);
    bench.empty(kData + 3 * kMiB, kData + 4 * kMiB);
    source.endFinal();
    kill(bench.target.pid(), SIGCONT);
    bench.dump();
    bench.sendFiles();
    if (!pipelined) {
        bench.events.wait("images-ready");
        restored = bench.restore();
    }
    double ms = bench.events.wait("held")["memoryRestoreMs"];
    CHECK(pipelined ? ms >= 0 : ms == -1);
    bench.session->handle("release", Json::object());
    CHECK(restored.get() == 0);
    bench.events.wait("released");
    bench.compare();
}

} // namespace

int main(int argc, char **argv) {
    certificates();
    return runCases(
        {{"precopy: collected images are restored by CRIU's own logic", [] { migrate("precopy"); }},
         {"pipelined: staged memory is restored by CRIU with the overlay", [] { migrate("pipelined"); }}},
        argc, argv);
}
