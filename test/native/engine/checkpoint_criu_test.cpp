// SPDX-License-Identifier: Apache-2.0
// Whole checkpoints: the engine, CRIU with the overlay for the dump, and CRIU as it is for the restore. What
// is kept is churn, which knows every byte of its memory. PCLIVE_ENGINE, PCLIVE_CRIU and PCLIVE_CHURN name
// the programs; without them: skipped.
#include "proc/procfs.hpp"
#include "source_lab.hpp"
#include "support/engine_process.hpp"

#include <arpa/inet.h>
#include <future>
#include <sys/socket.h>
#include <sys/stat.h>

using namespace pclive;
using namespace pclive::testing;
using namespace std::chrono_literals;
using sourcetest::Cgroup;

namespace {

std::string program(const char *variable) {
    const char *path = std::getenv(variable);
    if (!path || access(path, X_OK))
        throw Skip(std::string(variable) + " is not set");
    return path;
}

/// churn as the first process of a pid namespace, so that its pids are free when it is restored.
class Churn {
  public:
    explicit Churn(const Cgroup &cgroup) {
        shell("unshare --pid --fork setsid " + program("PCLIVE_CHURN") +
              " --memory 64 --threads 3 --rate 300 --port " + std::to_string(port_) +
              " </dev/null >/dev/null 2>&1 &");
        verify();
        for (const auto &entry : std::filesystem::directory_iterator("/proc")) {
            auto pid = std::atoi(entry.path().filename().c_str());
            if (pid > 0 && listens(pid))
                pid_ = pid;
        }
        CHECK(pid_ > 0);
        cgroup.add(pid_);
    }
    ~Churn() { end(); }
    [[nodiscard]] pid_t pid() const { return pid_; }

    /// It ends by itself as soon as a byte is wrong; asked, it checks everything.
    void verify() const {
        for (int tries = 0; tries < 200; tries++) {
            Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
            sockaddr_in address{};
            address.sin_family = AF_INET;
            address.sin_port = htons(static_cast<uint16_t>(port_));
            address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            if (connect(fd.get(), reinterpret_cast<sockaddr *>(&address), sizeof address)) {
                std::this_thread::sleep_for(50ms);
                continue;
            }
            timeval limit{60, 0};
            setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
            CHECK(write(fd.get(), "VERIFY\n", 7) == 7);
            char answer[256] = "";
            CHECK(read(fd.get(), answer, sizeof answer - 1) > 0 && !strncmp(answer, "OK ", 3));
            return;
        }
        throw std::runtime_error("churn does not answer");
    }
    void end() {
        if (pid_ > 0)
            kill(pid_, SIGKILL);
        for (int tries = 0; pid_ > 0 && tries < 500 && kill(pid_, 0) == 0; tries++)
            std::this_thread::sleep_for(10ms);
        pid_ = 0;
    }
    void restored(pid_t pid) { pid_ = pid; }

  private:
    [[nodiscard]] bool listens(pid_t pid) const {
        std::ifstream file(procPath(pid, "cmdline"), std::ios::binary);
        std::stringstream text;
        text << file.rdbuf();
        auto command = text.str();
        return command.starts_with(program("PCLIVE_CHURN")) &&
               command.find(std::string(1, '\0') + std::to_string(port_) + '\0') != std::string::npos &&
               statusField(pid, "NSpid").ends_with("\t1");
    }
    const int port_ = 20000 + getpid() % 20000;
    pid_t pid_ = 0;
};

class Bench {
  public:
    explicit Bench(const std::string &tracker) {
        engine.request("begin", {{"initPid", churn.pid()},
                                 {"cgroupProcs", {cgroup.procs()}},
                                 {"tracker", tracker},
                                 {"overlaySocket", scratch.path("dump.sock")},
                                 {"spool", scratch.path()}});
    }

    /// Dumps into skeleton<n>. The container stands still afterwards.
    void dump(int number) {
        auto skeleton = scratch.path("skeleton" + std::to_string(number));
        mkdir(skeleton.c_str(), 0700);
        auto criu = run("PCLIVE_SOCKET=" + scratch.path("dump.sock") + " " + criuCommand("dump", skeleton) +
                        " -t " + std::to_string(churn.pid()) + " --leave-running --freeze-cgroup " +
                        std::filesystem::path(cgroup.procs()).parent_path().string());
        engine.events.wait("dump-held");
        cgroup.freeze();
        auto final = std::async(std::launch::async, [this] { return engine.request("final"); });
        engine.events.wait("snapshotted");
        engine.request("dump-go", {{"keepNetworkLock", false}});
        final.get();
        CHECK(criu.get() == 0);
    }
    Json write(int number, Json more = Json::object()) {
        auto to = scratch.path("image" + std::to_string(number));
        mkdir(to.c_str(), 0700);
        more["skeleton"] = scratch.path("skeleton" + std::to_string(number));
        more["to"] = to;
        return engine.request("write", more);
    }
    /// The processes as they were are gone; those of the image live on.
    void restore(int number) {
        churn.end();
        auto pidFile = scratch.path("restored" + std::to_string(number));
        CHECK(run(criuCommand("restore", scratch.path("image" + std::to_string(number))) + " -d --pidfile " +
                  pidFile)
                  .get() == 0);
        pid_t pid = 0;
        CHECK(std::ifstream(pidFile) >> pid);
        churn.restored(pid);
        churn.verify();
        std::this_thread::sleep_for(300ms); // it goes on changing and checking
        churn.verify();
    }

    TempDir scratch;
    Cgroup cgroup;
    Churn churn{cgroup};
    EngineProcess engine{"checkpoint"};

  private:
    [[nodiscard]] std::string criuCommand(const std::string &command, const std::string &images) const {
        return program("PCLIVE_CRIU") + " " + command + " -v4 -o " + command + ".log -D " + images + " -W " +
               scratch.path() + " --file-locks --ext-unix-sk";
    }
    static std::future<int> run(const std::string &command) {
        return std::async(std::launch::async, [command] { return std::system(command.c_str()); });
    }
};

template <class Body> void skippingWithoutCgroups(Body body) {
    try {
        for (const char *variable : {"PCLIVE_ENGINE", "PCLIVE_CRIU", "PCLIVE_CHURN"})
            program(variable);
        body();
    } catch (const sourcetest::Skip &skip) {
        throw Skip(skip.why);
    }
}

/// An image, and one upon it, while churn runs; both are restored.
void whileItRuns() {
    Bench bench("auto");
    for (int i = 0; i < 3; i++) {
        bench.engine.request("round");
        std::this_thread::sleep_for(200ms);
    }
    bench.dump(1);
    bench.cgroup.thaw();
    auto first = bench.write(1);
    bench.churn.verify();
    bench.engine.request("round");
    bench.dump(2);
    bench.cgroup.thaw();
    auto second = bench.write(2, {{"parent", "../image1"}, {"direct", true}});
    std::printf("# %llu pages, then %llu\n", first["pages"].get<unsigned long long>(),
                second["pages"].get<unsigned long long>());
    bench.engine.request("detach");
    bench.churn.verify();
    bench.restore(1);
    bench.restore(2);
}

/// Paused by its owner, on any kernel.
void whileItStands() {
    Bench bench("none");
    bench.dump(1);
    bench.write(1);
    bench.cgroup.thaw();
    bench.engine.request("detach");
    bench.churn.verify();
    bench.restore(1);
}

} // namespace

int main(int argc, char **argv) {
    return runCases({{"a running program is kept, twice, and restored by CRIU",
                      [] { skippingWithoutCgroups(whileItRuns); }},
                     {"a program that stands still is kept and restored by CRIU",
                      [] { skippingWithoutCgroups(whileItStands); }}},
                    argc, argv);
}
