// SPDX-License-Identifier: Apache-2.0
// Whole migrations of memory: a source session against a peer that keeps all it gets, compared with the
// truth.
#include "source_compare.hpp"
#include "source_lab.hpp"
#include "source_overlay.hpp"
#include "source_targets.hpp"

#include "control/session.hpp"
#include <cstring>
#include <set>

using namespace sourcetest;

namespace {

/// As the control loop calls it: with arguments that came as text.
Json call(Session &session, const std::string &command, const Json &arguments = Json::object()) {
    return session.handle(command, Json::parse(arguments.dump()));
}

/// PCLIVE_TEST_TRACKER=soft-dirty, on a kernel that has it: the same for the other tracker.
std::string tracker() {
    const char *wanted = std::getenv("PCLIVE_TEST_TRACKER");
    return wanted ? wanted : "uffd";
}

/// A source, connected and begun.
class Migration {
  public:
    Migration(const Cgroup &cgroup, pid_t init, bool keep = true, uint64_t bandwidth = 0)
        : peer(keep), session(makeSourceSession(events)), overlay(scratch.path("dump.sock")) {
        auto identity = testing::certificates().identity("a", "b");
        call(*session, "begin",
             {{"initPid", init},
              {"cgroupProcs", {cgroup.procs()}},
              {"tracker", tracker()},
              {"overlaySocket", overlay},
              {"pages", true}});
        call(*session, "connect",
             {{"host", "127.0.0.1"},
              {"port", peer.port()},
              {"migration", identity.migration},
              {"token", identity.token},
              {"timeoutMs", 5000},
              {"bandwidth", bandwidth},
              {"tls",
               {{"ca", identity.ca},
                {"cert", identity.cert},
                {"key", identity.key},
                {"peerName", identity.peerName}}}});
    }
    ~Migration() { session->abort(); }
    Json round() {
        auto answer = call(*session, "round");
        for (int i = 0; i < 2 && answer["skippedProcesses"] != 0;
             i++) // on a host too busy to stop it in time
            answer = call(*session, "round");
        return answer;
    }
    Json dirty() { return call(*session, "dirty"); }

    testing::Recorder events;
    testing::TempDir scratch;
    Peer peer;
    std::unique_ptr<Session> session;
    std::string overlay;
};

uint64_t number(const Json &answer, const char *field) {
    return answer.at(field).get<uint64_t>();
}

/// Equal; but the sanitizers' own memory, which changes at their will, is migrated too.
bool near(uint64_t value, uint64_t expected) {
#ifdef __SANITIZE_ADDRESS__
    return value + 16 >= expected && value <= expected + 16;
#else
    return value == expected;
#endif
}

// One change at a time; the target waits for the next command while a round runs, so the copy must be exact.
void stepByStep() {
    Cgroup cgroup;
    Target target("steps", &cgroup);
    Migration migration(cgroup, target.pid());
    auto vpid = static_cast<uint32_t>(target.pid());
    std::map<std::string, Json> answers;
    for (const char *step :
         {"fill",      "nothing",   "write", "zero",    "dontneed", "dontneed-read", "huge",
          "huge-read", "unmap-map", "move",  "protect", "guard",    "grow",          "sparse",
          "heap",      "shrink",    "exec",  "nothing", "fill",     "dontneed"}) {
        target.say(std::string(step) + "\n");
        check(target.line() == step, std::string("the target does ") + step);
        auto before = migration.dirty();
        auto answer = migration.round();
        check(near(number(before, "pages"), number(answer, "pages") + number(answer, "zeroPages")),
              std::string(step) + ": dirty foretells the round: " + before.dump() + " " + answer.dump());
        try {
            compare(migration.peer, target.pid(), vpid);
        } catch (const std::exception &error) {
            throw std::runtime_error(std::string("after ") + step + ": " + error.what());
        }
        answers[step] = answer;
    }
    check(near(number(answers["write"], "pages"), 100),
          "only what was written is sent: " + answers["write"].dump());
    check(near(number(answers["zero"], "droppedPages"), 50),
          "zeroed pages are dropped: " + answers["zero"].dump());
    check(near(number(answers["nothing"], "pages"), 0),
          "nothing is sent when nothing was written: " + answers["nothing"].dump());
    check(number(answers["exec"], "attachedProcesses") == (tracker() == "uffd" ? 1 : 0),
          "after exec it is attached anew: " + answers["exec"].dump());
}

/// Rounds while everything changes at random, the final round in the freezer, then the whole of it compared.
void chaos(const std::string &mode, int rounds) {
    Cgroup cgroup;
    Target target(mode, &cgroup);
    Migration migration(cgroup, target.pid());
    Overlay overlay(migration.overlay);
    migration.events.wait("dump-held");
    uint64_t pages = 0, dropped = 0, processes = 0;
    for (int i = 0; i < rounds; i++) {
        auto answer = migration.round();
        pages += number(answer, "pages");
        dropped += number(answer, "droppedPages");
        processes = std::max(processes, number(answer, "processes"));
        std::this_thread::sleep_for(std::chrono::milliseconds(30 + 17 * (i % 5)));
    }
    cgroup.freeze();
    auto answer = call(*migration.session, "final");
    migration.events.wait("snapshotted");
    call(*migration.session, "dump-go");
    overlay.awaitGo();
    uint64_t compared = 0;
    for (pid_t pid : pidsOf(cgroup)) {
        if (!findProcess(migration.peer, static_cast<uint32_t>(pid)) && mode == "families")
            continue; // between vfork and exec
        compared += compare(migration.peer, pid, static_cast<uint32_t>(pid)).pages;
        std::set<uint64_t> areas;
        for (const auto &area : findProcess(migration.peer, static_cast<uint32_t>(pid))->areas)
            areas.insert(area.start);
        check(overlay.ask(pid) == areas, "HANDLED is the final layout");
    }
    check(compared > 0 && migration.peer.ledger.processes().size() <= pidsOf(cgroup).size(),
          "the processes are those that live");
    std::printf(
        "# %s: %llu pages in rounds, %llu dropped, up to %llu processes; final %s; %llu pages compared\n",
        mode.c_str(), static_cast<unsigned long long>(pages), static_cast<unsigned long long>(dropped),
        static_cast<unsigned long long>(processes), answer.dump().c_str(),
        static_cast<unsigned long long>(compared));
    auto dir = migration.scratch.path("images");
    std::filesystem::create_directory(dir);
    std::ofstream(dir + "/core-1.img") << "a skeleton";
    call(*migration.session, "put", {{"name", "early.json"}, {"path", dir + "/core-1.img"}});
    auto files = call(*migration.session, "files", {{"dir", dir}});
    check(number(files, "files") == 1 && migration.peer.files["core-1.img"] == "a skeleton" &&
              migration.peer.files["early.json"] == "a skeleton",
          "the files arrive");
    call(*migration.session, "detach");
    cgroup.thaw();
}

/// How fast scanning and reading are, on 1 GiB.
void speed() {
    Cgroup cgroup;
    Target target("gigabyte", &cgroup);
    Migration migration(cgroup, target.pid(), false);
    for (int i = 0; i < 4; i++) {
        auto a = migration.round();
        double read = a["readMs"].get<double>(), total = a["totalMs"].get<double>();
        std::printf("# round %d: %.0f MiB in %llu ranges: scan %.1f ms, read %.0f ms (%.2f GB/s), send %.0f "
                    "ms, total %.0f ms "
                    "(%.2f GB/s), attach %.2f ms\n",
                    i + 1, a["bytes"].get<double>() / 1048576,
                    static_cast<unsigned long long>(number(a, "ranges")), a["scanMs"].get<double>(), read,
                    a["bytes"].get<double>() / read / 1e6, a["sendMs"].get<double>(), total,
                    a["bytes"].get<double>() / total / 1e6, a["attachMs"].get<double>());
    }
    cgroup.freeze();
    std::printf("# final: %s\n", call(*migration.session, "final").dump().c_str());
}

void limitedBandwidth() {
    Cgroup cgroup;
    Target target("steps", &cgroup);
    Migration migration(cgroup, target.pid(), true, 8u << 20);
    target.say("fill\n");
    target.line();
    auto answer = migration.round();
    double expected = answer["bytes"].get<double>() / (8u << 20) * 1000;
    double total = answer["totalMs"].get<double>();
    check(total > expected * 0.7 && total < expected * 1.6 + 300, "the limit holds: " + answer.dump());
    for (int i = 0; i < static_cast<int>(total / 200 * 0.5); i++)
        migration.events.wait("progress", 1);
}

void wrongOrder() {
    testing::Recorder events;
    auto session = makeSourceSession(events);
    auto codeOf = [&](const char *command, const Json &arguments) {
        try {
            call(*session, command, arguments);
        } catch (const Error &error) {
            return error.code();
        }
        return std::string("none");
    };
    for (const char *command : {"round", "dirty", "final", "files", "dump-go"})
        check(codeOf(command, {{"dir", "/"}}) == "wrong-state", std::string(command) + " needs begin");
    check(codeOf("juggle", {}) == "unknown-command", "unknown command");
    check(codeOf("begin", {{"overlaySocket", 3}, {"initPid", 1}, {"cgroupProcs", {"/x"}}}) == "invalid",
          "fields are checked");
    session->abort();
    check(codeOf("begin", {}) == "aborted", "aborted");
}

/// An abort in the middle of a round ends it, and the process goes on untracked.
void abortInRound() {
    Cgroup cgroup;
    Target target("steps", &cgroup);
    Migration migration(cgroup, target.pid(), true, 1u << 20);
    target.say("fill\n");
    target.line();
    std::string code = "none";
    std::thread round([&] {
        try {
            migration.round();
        } catch (const Error &error) {
            code = error.code();
        }
    });
    std::this_thread::sleep_for(300ms);
    auto begin = std::chrono::steady_clock::now();
    migration.session->abort();
    round.join();
    check(code == "aborted" && std::chrono::steady_clock::now() - begin < 3s, "the round ends: " + code);
    check(readProc(target.pid(), "smaps").find(" uw") == std::string::npos, "nothing is tracked any more");
    target.say("write\n");
    check(target.line() == "write", "the target goes on");
}

} // namespace

int main(int argc, char **argv) {
    if (argc == 3 && !std::strcmp(argv[1], "target"))
        _exit(runTarget(argv[2])); // a sanitizer's work at exit is not what is to be migrated
    std::string only = argc > 1 ? argv[1] : "";
    test("step by step", only, stepByStep);
    test("chaos: threads and mappings", only, [] { chaos("mappings", 25); });
    test("chaos: fork and exec", only, [] { chaos("families", 25); });
    test("bandwidth limit and progress", only, limitedBandwidth);
    test("commands in the wrong order", only, wrongOrder);
    test("abort in a round", only, abortInRound);
    test("speed", only, speed);
    return failures ? 1 : 0;
}
