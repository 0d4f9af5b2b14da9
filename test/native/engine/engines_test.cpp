// SPDX-License-Identifier: Apache-2.0
// Both engines as processes, told over their control sockets; and a whole migration of a process that keeps
// writing, with the real CRIU on both sides.
#include "support/engine_process.hpp"

#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <fstream>
#include <future>
#include <random>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

using namespace pclive;
using namespace pclive::testing;

namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kArea = 0x7d0000000000, kAreaSize = 256 * kMiB;
constexpr uint64_t kReserved = 0x7d1000000000, kReservedSize = 8ull << 30, kStride = 512 << 10;

/// A child that writes and frees memory all the time.
class Churn {
  public:
    Churn() {
        pid_ = fork();
        CHECK(pid_ >= 0);
        if (pid_ == 0)
            live();
        usleep(500000);
    }
    ~Churn() {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0); // as long as it is still our child
    }
    [[nodiscard]] pid_t pid() const { return pid_; }
    void reap() const { waitpid(pid_, nullptr, 0); }
    void stop() const {
        kill(pid_, SIGSTOP);
        waitpid(pid_, nullptr, WUNTRACED);
    }
    [[nodiscard]] std::vector<uint8_t> memory(uint64_t at, size_t size) const {
        std::vector<uint8_t> bytes(size);
        iovec here{bytes.data(), size}, there{reinterpret_cast<void *>(at), size};
        CHECK(process_vm_readv(pid_, &here, 1, &there, 1, 0) == static_cast<ssize_t>(size));
        return bytes;
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
        map(kArea, kAreaSize);
        map(kReserved, kReservedSize);
        auto *bytes = reinterpret_cast<volatile uint64_t *>(kArea);
        for (uint64_t at = 0; at < kAreaSize / 8; at += 64)
            bytes[at] = at;
        uint64_t random = 1;
        for (uint64_t count = 1;; count++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            bytes[(random >> 33) % (kAreaSize / 8)] = count;
            *reinterpret_cast<volatile uint64_t *>(kReserved + (random >> 20) % (kReservedSize / kStride) *
                                                                   kStride) = count;
            bytes[0] = count;
            if (count % 64 == 0)
                madvise(reinterpret_cast<void *>(kArea + 4096 * (1 + random % 60000)), 4096 * (random >> 60),
                        MADV_DONTNEED);
            if (count % 4 == 0)
                usleep(100);
        }
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

Json tlsOf(const wire::Identity &identity) {
    return {
        {"ca", identity.ca}, {"cert", identity.cert}, {"key", identity.key}, {"peerName", identity.peerName}};
}

/// Compares page by page, and says what differs.
void same(const std::vector<uint8_t> &is, const std::vector<uint8_t> &should) {
    size_t different = 0;
    for (size_t at = 0; at < should.size(); at += 4096)
        if (memcmp(&is[at], &should[at], 4096) != 0 && different++ < 3) {
            size_t byte = at;
            while (is[byte] == should[byte])
                byte++;
            uint64_t left, right;
            memcpy(&left, &is[byte & ~size_t(7)], 8);
            memcpy(&right, &should[byte & ~size_t(7)], 8);
            std::printf("        page %#zx, byte %#zx: %#llx, should be %#llx\n", at / 4096, byte,
                        static_cast<unsigned long long>(left), static_cast<unsigned long long>(right));
        }
    if (different)
        throw std::runtime_error(std::to_string(different) + " pages differ");
}

struct Hosts {
    TempDir directory;
    EngineProcess destination{"destination"}, source{"source"};

    /// Connects the two; both have begun afterwards.
    Hosts(const std::string &strategy, pid_t target) {
        for (const char *name : {"images", "skeleton", "work"})
            mkdir(directory.path(name).c_str(), 0700);
        std::ofstream(directory.path("procs")) << target << "\n";
        wire::Identity a = certificates().identity("a", "b"), b = certificates().identity("b", "a");
        Json common{
            {"host", "127.0.0.1"}, {"migration", a.migration}, {"token", a.token}, {"timeoutMs", 20000u}};
        Json listen = common, connect = common;
        listen.update({{"port", 0u}, {"tls", tlsOf(b)}});
        uint16_t port = destination.request("listen", listen)["port"];
        destination.request("begin", {{"strategy", strategy},
                                      {"imageDir", directory.path("images")},
                                      {"overlaySocket", directory.path("stage.sock")}});
        connect.update({{"port", port}, {"tls", tlsOf(a)}});
        source.request("connect", connect);
        source.request("begin", {{"initPid", static_cast<unsigned>(target)},
                                 {"cgroupProcs", {directory.path("procs")}},
                                 {"tracker", "auto"},
                                 {"overlaySocket", directory.path("dump.sock")},
                                 {"pages", strategy != "stop-and-copy"}});
        destination.events.wait("connected");
    }
    std::future<int> criu(const std::string &what, const std::string &socket, const std::string &images) {
        return run("PCLIVE_SOCKET=" + directory.path(socket) + " " + criuPath() + " " + what + " -v4 -o " +
                   what.substr(0, what.find(' ')) + ".log -D " + directory.path(images) + " -W " +
                   directory.path("work"));
    }
};

void migrate(const std::string &strategy) {
    criuPath();
    certificates();
    Churn churn;
    std::future<int> restored,
        dumped; // wait in their destructors: for what ends when the engines, in hosts, have ended
    Hosts hosts(strategy, churn.pid());
    bool pipelined = strategy == "pipelined", stopAndCopy = strategy == "stop-and-copy";
    if (pipelined) {
        restored = hosts.criu("restore -d", "stage.sock", "images");
        CHECK(hosts.destination.events.wait("overlay")["pid"] > 0);
    }
    for (int i = 0; !stopAndCopy && i < 4; i++) {
        Json round = hosts.source.request("round");
        CHECK(round["round"] == i + 1 && hosts.destination.events.wait("round")["round"] == i + 1);
        CHECK(i > 0 || round["pages"] > 60000);
    }
    dumped = hosts.criu("dump -t " + std::to_string(churn.pid()), "dump.sock", "skeleton");
    hosts.source.events.wait("dump-held");
    churn.stop();
    auto final = std::async(std::launch::async, [&] { return hosts.source.request("final"); });
    hosts.source.events.wait("snapshotted");
    auto memory = churn.memory(kArea, kAreaSize), reserved = churn.memory(kReserved, kReservedSize / 8);
    hosts.source.request("dump-go");
    final.get();
    CHECK(dumped.get() == 0);
    churn.reap();
    hosts.source.request("files", {{"dir", hosts.directory.path("skeleton")}});
    if (!pipelined) {
        CHECK(hosts.destination.events.wait("images-ready")["imageDir"] == hosts.directory.path("images"));
        restored = hosts.criu("restore -d", "stage.sock", "images");
    }
    Json held = hosts.destination.events.wait("held");
    CHECK(pipelined ? held["memoryRestoreMs"] >= 0 : held["memoryRestoreMs"] == -1);
    std::printf("        %s: memoryRestoreMs %.2f\n", strategy.c_str(),
                held["memoryRestoreMs"].get<double>());
    hosts.destination.request("release");
    CHECK(restored.get() == 0);
    same(churn.memory(kArea, kAreaSize), memory);
    same(churn.memory(kReserved, kReservedSize / 8), reserved);
    kill(churn.pid(), SIGCONT); // it was stopped when it was dumped, and stopped it came back
    usleep(200000);
    CHECK(churn.memory(kArea, 8) != std::vector<uint8_t>(memory.begin(), memory.begin() + 8));
    CHECK(hosts.source.finish() == 0);
    CHECK(hosts.destination.finish() == 0);
}

void control() {
    EngineProcess engine("destination");
    Json hello = engine.request("hello");
    CHECK(hello["wire"] == wire::kWireVersion && hello["features"]["pagemapScan"].is_boolean());
    engine.writeLine("not json");
    engine.writeLine("[1,2]");
    engine.writeLine("{\"cmd\":\"hello\"}"); // no id: nothing to answer
    throwsCode("unknown-command", [&] { engine.request("fly"); });
    throwsCode("invalid", [&] { engine.request("listen", {{"port", -1}}); });
    throwsCode("not-held", [&] { engine.request("release"); });
    CHECK(engine.request("stats")["wireBytes"] == 0);
    engine.request("abort");
    engine.request("exit");
    CHECK(engine.finish() == 0);

    EngineProcess left("source");
    left.request("hello");
    CHECK(left.finish() == 0); // EOF ends it

    EngineProcess flooded("destination");
    flooded.writeLine(std::string(70000, 'x'));
    CHECK(flooded.finish() == 0);

    EngineProcess waiting("destination"); // EOF ends it in the middle of waiting too
    wire::Identity b = certificates().identity("b", "a");
    waiting.request("listen", {{"host", "127.0.0.1"},
                               {"port", 0u},
                               {"migration", b.migration},
                               {"token", b.token},
                               {"tls", tlsOf(b)},
                               {"timeoutMs", 20000u}});
    CHECK(waiting.finish() == 0);
}

} // namespace

int main(int argc, char **argv) {
    return runCases({{"the control socket", control},
                     {"pipelined: a process that keeps writing", [] { migrate("pipelined"); }},
                     {"precopy: a process that keeps writing", [] { migrate("precopy"); }},
                     {"stop-and-copy: a process that keeps writing", [] { migrate("stop-and-copy"); }}},
                    argc, argv);
}
